// Package backend stands behind the engine's paths: it keeps the config and
// the roles, mints and shares access tokens, knows who holds them, and ends
// them at Zoho. It knows Vault's storage, and nothing of Vault's requests.
//
// # Words
//
// A role names a grant: what an access token is minted from. Two roles with
// the same grant share its token, its budget and its failures. Each lease on a
// token is a holder.
//
// # What a reader sees of a grant
//
//	           mint
//	  ┌────────────────────────┐
//	  ▼                        │
//	fresh ──half life──► stale ──less than min_ttl──► invalid
//	  served             served, and the next          the reader waits
//	                     token is minted behind        for the mint
//
// # The life of a token
//
//	           newer mint
//	current ────────────────► superseded
//	   │                          │
//	   │ last holder released     │ last holder released, or had none
//	   ▼                          ▼
//	 ending ──── Zoho: revoked, or already gone ────► gone
//	   ╰────────────── expired (from any state) ────► gone
//
// A token of an exclusive role never becomes current: it has its one holder, or,
// if that reader is gone, none, and is then ended like a superseded one. The same
// goes for a current token once no role uses its grant.
//
// Who may change what:
//
//   - The grant's one mint in flight makes a token current ([Engine.Issue]
//     waits for it; a reader that gives up does not stop it).
//   - The token's ledger alone decides that a token is ending, in the same
//     step in which it takes the last holder out, so that no new holder can
//     slip in between. From then on no reader gets the token.
//   - The token's one revocation in flight makes it gone.
//
// # What is written, and when
//
// A token request is counted in the grant's record before it is sent. A new
// token is stored before anybody gets it. A holder is in the ledger before its
// reader gets the answer; concurrent holders of one token share a write. The
// decision to end a token is in the ledger before Zoho is asked. So at a crash
// between any two writes the records err on the safe side: a request too many
// is counted, a holder too many is remembered, a revocation is repeated.
//
// # Locks
//
// Mutexes guard memory only. Read-modify-write of a stored record takes a
// named slot, which a waiter leaves when its context ends.
package backend
