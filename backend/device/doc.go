// Package device decides what happens to a consent for which a person types a code into a page
// of Zoho's (the device flow). It is pure: it has no storage, no clock and no lock, and it asks
// Zoho nothing. A [Pending] is one such consent as it is stored; its methods are its transitions.
// The engine carries them out.
//
// # The states
//
//	authorize method=device
//	        │ Zoho: user code, device code
//	        ▼
//	     waiting ◄──────────────────────╮
//	        │ due: NextPoll is over      │ pending, slow down: answered
//	        ▼                            │ no answer: still Unanswered
//	     asking (Unanswered) ───────────┤
//	        │                            ╰── throttled, unreachable, nonsense: later
//	        ├── tokens ──────► the exchange: see package refreshtoken, "an exchange"
//	        ├── denied, other data centre, refused ──► over
//	        ╰── expired, or ExpiresAt is over ───────► over
//
// A consent that is over is deleted, and the role's last_consent says how it ended.
//
// # Who may change it
//
// Who has the slot of the role: authorize, which replaces one that is pending; a poll; and the
// deletion of the role. A poll asks in the turn of the client. Only a node that may write polls:
// [Pending.Ask] is stored before Zoho is asked, and on a standby that write fails.
//
// # What storage has after a crash, and what becomes of it
//
//	authorize                 storage has                     and then
//	  client(request)         a request that counts           it expires
//	  Zoho gives the codes    nothing of the codes            they expire at Zoho; nobody knows them
//	  pending                 waiting                         the next node polls, though nobody was told the
//	                                                          user code; it expires
//	  last consent            all of it                       the next node polls
//
//	a poll                    storage has                     and then
//	  pending(asking)         Unanswered                      the next node waits as if the poll had been sent,
//	                                                          and asks again
//	  Zoho says "pending"     the same                        the same
//	  pending(waiting)        waiting                         the next poll
//	  Zoho gives the tokens   Unanswered                      the one gap: the refresh token lives on, unknown.
//	                                                          The next poll is refused, and last_consent says
//	                                                          what may live at Zoho
//	  record(R, revoke)       Unanswered; arriving            R leaves, and the token is revoked; then as above
//	  role R                  Unanswered; in use              R has other credentials than when it began: the
//	                                                          consent is dropped, and R works
//	  pending deleted         the role has it                 nothing
//
// A poll whose answer was lost is the same as a crash after "asking". If a later poll is answered
// with "pending", nothing was lost. If a later poll gives tokens, those are stored as usual.
package device
