// Package tokenserver answers programs that insist on refreshing their access
// tokens by themselves. They speak to it as to Zoho's Accounts server, with the
// name of a role in the place of the refresh token; it answers with access
// tokens that it leases from Vault. It asks Zoho nothing.
//
// # One lease for each role
//
// All callers of a role get the token of one lease. Its states, and what a
// caller gets in each:
//
//	                  half of it is over,           nine tenths are over, or there
//	         read     or five minutes               is another Vault token          only the margin is left
//	none ───────────► fresh ─────────────────► due ──────────────────────► short ─────────────────► over
//	                    ▲                       │                            │                        │
//	                    └───────────────────────┴─────────── read ───────────┴────────────────────────┘
//
//	from every state: a reading is refused, or a caller revokes ──► none
//
//	fresh   the caller gets the token
//	due     the caller gets the token; the lease is read again meanwhile
//	short   the caller waits for the reading, but not for long: if it fails or is
//	        late, the caller gets what is left
//	over    the caller waits for the reading; if it fails, the caller gets its error
//	none    likewise
//
// A reading that fails because Vault or Zoho is away leaves the state as it is,
// and is tried again soon. A reading that is refused (the role is gone, Zoho
// refuses its credentials, the policy does not allow it, the Vault token is dead and
// its leases with it) ends in none, so that the caller hears of it.
//
// Callers keep a token and come back when it is nearly over, so a lease is read
// again by time, and not only when somebody asks: whoever comes finds a token
// with most of its life. That goes on for as long as somebody may have a token
// from here; then the lease runs out by itself. Whoever has revoked it has none.
//
// # When a lease is given back
//
// The engine revokes a token at Zoho when the last lease on it is revoked. So:
//
//   - A reading that brings the same token with a new lease gives the former
//     lease back at once: the new one holds the token.
//   - A reading that brings another token keeps the former lease. Callers were
//     told that they may use its token until then, and a revocation would take
//     it from them. It ends with its token.
//   - A caller that revokes the token, or the role, gets all leases on it given
//     back at once, for all callers: that is what revoking means at Zoho.
//   - The end of the program gives back every lease, former ones included.
//
// A lease that could not be given back is tried again after the next reading,
// every half minute while the role has no other, and at the end of the program.
// At the latest it ends with its token.
package tokenserver
