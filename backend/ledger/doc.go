// Package ledger knows who holds one access token, and keeps that in Vault's storage.
// It knows neither Zoho nor what a token is minted from.
//
// Each lease on a token is a [Holder]. Many leases come and go at once, and each has
// to be in storage before its reader gets the token: otherwise a crash would let the
// token end while somebody holds it. So what has gathered while one write ran goes
// into the next write together, and a crowd of readers does not wait for each write.
//
// # A holder's place
//
//	            a write reserves it            a later write gives it back
//	    free ─────────────────────────► reserved ─────────────────────► free
//	     │                                 │
//	     │ a reader,                       │ a reader,
//	     │ who waits for                   │ who does not wait
//	     │ the next write                  ▼
//	     │                           held, unnamed ──╮
//	     │                                 │         │ released
//	     │                                 │ the     ├─────────────────► gone
//	     ▼                                 │ next    │
//	held, named ◄──────────────────────────╯ write   │
//	     ╰───────────────────────────────────────────╯
//
// The entry of a new token reserves places for those who wait for it ([Ledger.Reserve]). More
// are reserved when three or more readers come in writes that follow closely on
// each other: a write that all of them would wait for tells storage how many more
// readers may come before the next write, which has their names. After a crash a place
// that was reserved and has no name counts as held, since a lease may be in it. If a
// lease is in it, its revocation frees the place. If not, the token ends of age and not
// with its last lease. So a crash makes the ledger count too many holders, and never too
// few.
//
// # The end of a token
//
//	           its last holder is released,
//	           and nobody wants it kept
//	held ─────────────────────────────────────────► ending
//	│  ▲                                              ▲
//	│  │ a reader                                     │ the time is over (the round), or
//	▼  │                                              │ somebody wants it dead
//	idle ─────────────────────────────────────────────╯
//	its last holder is released, and
//	a role wants it kept for a while
//
// The ledger alone decides that the token ends, in the same step in which it takes the
// last holder out, so that no new holder can come in between. The decision is in
// storage before anybody acts on it. From then on nobody can hold the token.
//
// When the last holder of an idle token left is in storage before its release succeeds,
// so a crash keeps the token for no longer.
//
// # Locks
//
// One mutex guards the ledger in memory. Functions whose names end in Locked need it
// held. It is released while storage is written.
package ledger
