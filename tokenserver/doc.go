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
//	fresh, due, short: a caller comes back early ──► doubted ── read, with or without success ──► fresh
//	from every state:  a reading is refused, or a caller revokes ──► none
//
//	fresh    the caller gets the token
//	due      the caller gets the token; the lease is read again meanwhile
//	short    the caller waits for the reading, but not for long: if it fails or is
//	         late, the caller gets what is left
//	doubted  the same; the reading asks for another token than this one
//	over     the caller waits for the reading; if it fails, the caller gets its error
//	none     the same
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
// # A caller who comes back early
//
// A program whose call to Zoho gets 401 refreshes, and sends the call again. It cannot
// say that its token is dead: a refresh after 401 looks like every other. What tells them
// apart is who had the token already, and when. The time since a process was told of the
// token that is still the current one:
//
//	                                              a quarter of expires_in is gone, and
//	0      0.1 s         5 s                      no more than 16 minutes are left
//	├────────┼────────────┼──────────────────────────────────────┼─────────────►
//	│threads │   hasty    │                retry                 │    habit
//
//	threads  They start together, and each asks. They get the token.
//	hasty    Perhaps threads that are slow, perhaps a program that runs for a second. The
//	         caller gets the token. If another one is hasty with it five seconds later,
//	         that is a retry.
//	retry    The token is doubted: the engine is asked for any other one (reject=<token_id>).
//	habit    Clients refresh before the end: by 5 s (Zoho's SDKs), 10 s (Go), 5 min, or a
//	         quarter of an hour (Nango). The caller gets the token. The last minute
//	         is always habit.
//
// A process that has not been told of the token is none of these: it starts, or had
// an older one. So many processes that start one after another cost nothing, if they
// can be told apart. On a Unix socket under Linux the kernel names the process.
// Over TCP, and from another PID namespace, it does not, and all callers of a role count
// as one process with many threads. What each was told is kept until somebody comes
// for whom it is nearly over, so that of eight such programs each may come back by habit.
// But their starts, more than five seconds apart, look like retries.
//
// So a retry may be a mistake. It must not cost the role more than it can bear: each is one
// of some seven token requests in ten minutes, for all readers of the role, and
// one of ten living tokens.
//
//   - A token is rejected once: another one takes its place, and nobody asks for it here
//     any more.
//   - After that the callers of the role are not believed for 5 minutes, then for 10, 20,
//     40, and 60. After an hour in which nobody came back early although it would have
//     been believed, it is 5 again. So it is two requests in ten minutes at most, four in
//     the first hour, and then one an hour.
//   - The engine gives no token of its reserve for it. If there is no other token, the caller
//     gets the one that there is: after a mistake it is good, and if it is dead the caller
//     hears that from Zoho, as it would without all this. Vault is asked again after half a
//     minute.
//   - The former token stays leased, for those who find it good.
//
// The server could know for certain by a call to Zoho with the token. It does not
// do that: it would need a way to Zoho, and a call that every scope allows.
//
// # When a lease is given back
//
// The engine revokes a token at Zoho when the last lease on it is revoked. So:
//
//   - A reading that brings the same token with a new lease gives the former
//     lease back at once: the new one holds the token. If it lasts for less time than a
//     caller was promised, because the role's ttl was changed, the former one stays.
//   - A reading that brings another token keeps the former lease. Callers were
//     told that they may use its token until then, and a revocation would take
//     it from them. It ends with its token.
//   - A caller that revokes the token, or the role, gets all leases on it given
//     back at once, for all callers: that is what revoking means at Zoho.
//   - The end of the program gives back what no caller was promised any longer: nobody
//     has asked for it, or what was told as expires_in is over. All other leases stay,
//     because clients keep tokens in memory and in files, and go on. They end with their
//     tokens, or with the Vault token that they were read with. -revoke-on-exit gives
//     every lease back.
//
// A lease that could not be given back is tried again after the next reading,
// every half minute while the role has no other, and at the end of the program.
// At the latest it ends with its token.
package tokenserver
