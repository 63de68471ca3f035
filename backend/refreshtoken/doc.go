// Package refreshtoken decides what becomes of a refresh token. It is pure: it has no
// storage, no clock and no lock of its own, and it asks Zoho nothing. A [Record] is what the
// mount knows of one refresh token, and is one entry of storage. A [Plan] says what to write
// and what to ask, in order, as a value; the caller carries it out, step by step. After a
// crash or a failed write, [Reconcile] names the next step until nothing is left to do. The
// engine asks it at once for what it leaves, once a minute for records that it knows to be
// unsettled, and once a day for all records.
//
// # Where a fact is stored
//
//	roles/<name>           what the operator wrote, and the role's copy of the refresh token and the secret
//	refresh-tokens/<id>    the Record: who has it, how it ends, its requests, the state of its grants, and
//	                       its own copy of the refresh token and the secret, so that it can end without a role
//	clients/<client>       a [Client]: requests without a refresh token, client_credentials
//	tokens/<token_id>      what is needed to revoke one access token
//	holders/<token_id>/    who holds it: each holder is one lease
//
// <id> is a fingerprint of the Accounts server and the refresh token. The client is no part
// of it, so all roles with one refresh token share one Record.
//
// # The states
//
// A role has a refresh token if the role is stored with it, and the record names the role
// and is not ending. A plan names the role in the record before it stores the role, and takes
// the name out after the role is deleted or stored without the refresh token. So the record
// may name too many roles, and never too few. An access token or a request counts until Zoho
// counts it no more: until it expires, or leaves the window.
//
//	a code, a consent,
//	or written by hand         its last role leaves, or is not stored
//	        │                ╭──────────────────────────────────╮
//	        ▼                │ revoke                           │ not revoke
//	    arriving ───────────►├─────────► leaving                ╰────► left
//	        │ role stored    │              │ nobody leases               │ no request or access
//	        ▼                │              ▼ its access tokens           ▼ token in it counts
//	     in use ─────────────╯           ending ─────────────────────► deleted
//	        │                               ▲    Zoho: revoked, or already gone,
//	        ╰────────── deauthorize ────────╯    or given up; and no role is stored with it
//
// A role that is written with a refresh token takes its record back from leaving and from left.
//
// The states are computed. Stored are the names, [Record].Revoke and [Record].Ending. Revoke
// is always true for a refresh token that Zoho gave to this mount, since nobody else has it.
// For one that was written by hand it is true only if its last role is authorized again: the
// write that takes the role out of the record says so, and after a crash Reconcile asks the
// role whether Zoho has given it its present refresh token. An operator is told of each
// refresh token that is left: it lives on at Zoho. A record that is left has no secret any
// more, and stays until nothing in it counts.
//
// Ending cannot be undone. Nothing is minted or handed out, and no role may enter. Zoho is
// asked again after each failure, with longer and longer pauses. After [MaxRevocationFailures]
// failures (or one, for a refresh token that was written by hand and has never worked) the
// engine gives up: it tells the operator that the refresh token may live on, and forgets it.
//
// # What storage has after a crash, and what becomes of it
//
// A crash can come after any line. The last column says what follows: Reconcile names the
// steps. "Leaves" means that the name goes out of the record; if it was the last one, the
// record is leaving or left.
//
//	an exchange, for role R         storage has                          and then
//	  client(request)               a request that counts                it expires
//	  Zoho gives the token          no record                            it lives on, unknown: the one such gap
//	  record(R, revoke)             arriving; R has its former one       R leaves; leaving, ending, revoked
//	  tokens/<token_id>             the same, with its access token      the same
//	  role R                        in use; R may still be named in      R leaves its former record
//	                                its former record
//	  former record(without R)      all of it                            the former record is leaving, left or in use
//
//	a write by hand, of role R      storage has                          and then
//	  record(R)                     arriving; R has its former one       R leaves; as before, or left
//	  role R                        in use; revoke may still be true     revoke becomes false, if it came by hand;
//	                                                                     R leaves its former record
//	  record(not revoke)            in use; revoke is false              R leaves its former record
//	  former record(without R)      all of it                            the former record is leaving, left or in use
//
//	a deauthorization of role R     storage has                          and then
//	  record(ending)                ending; R is stored with it          Zoho is asked, then R is stored without it
//	  role R without it             ending                               Zoho is asked
//	  Zoho revokes                  the same                             Zoho is asked again: "already gone"
//	  record(outcome)               ending, with an outcome              its access tokens are deleted; then each role
//	                                                                     that has it is stored without it
//	  tokens, other roles           the same                             the rest of them; then the record is deleted
//	  record deleted                no record                            done
//
//	a deletion of role R            storage has                          and then
//	  role R deleted                the record still names R             R leaves. From Zoho: leaving, and then ending
//	                                                                     when nobody leases its tokens. By hand: left
//	  record(without R)             leaving, left or in use              the same
//
//	a mint for role R               storage has                          and then
//	  record(request)               a request, perhaps a live token      it expires
//	  tokens/<token_id>             a token that its record does not     Tick has Zoho revoke it, within a minute
//	                                count
//	  record(current)               all of it                            done
//
// A write that failed may have been carried out. So a plan ends there with an error, unless
// the step says otherwise, and Reconcile looks at what storage has. If the record of an
// exchange cannot be written, Zoho is asked at once to revoke the refresh token; if that
// fails as well, the operator is told that it may live on.
//
// A damaged record costs no credential, since the roles have theirs. [Rebuild] finds the
// roles and the living access tokens again. Lost are the origin, a decision to end it, who
// has proven to know the client's secret, and how many requests were sent.
//
// # Who may change what
//
// In this order: the slot of a role, the turn of a record (one question to Zoho at a time),
// the slot of a record (read, change, write; never held during a question).
//
//   - Whoever writes, deletes or deauthorizes a role holds its slot from the first step to the
//     last. Reconcile takes a slot only if it is free: a role whose slot is taken is being
//     written, and counts as having the refresh token.
//   - A step with Turn is taken in the record's turn: each question to Zoho, and the decision
//     to end. So whoever mints does not see the refresh token end meanwhile.
//   - Whoever hands out an access token enters its reader as a holder and then looks at the
//     record once more ([Record.MayHandOut]): a reader that looked before a deauthorization
//     gets no dead token after it.
package refreshtoken
