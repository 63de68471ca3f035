// Package work runs what the requests of many callers have in common: what must run
// once however many ask for it, what goes on when its caller hangs up, what takes
// turns, and what is waited for before the process may end.
//
// A [Group] is the work of one mount. It knows nothing of what it runs. [Slots] let
// one goroutine at a time work on a named thing. [Retries] tries what has to be done once
// and fails for a while, in rounds.
//
// # The life of a group
//
//	open ───Close───► closing ───all work has ended; after a grace its context ends───► closed
//
// While a group closes, work that is under way may begin what it needs for its own
// end: a token that Zoho has given is stored by work that begins later. When nothing
// is under way any more, nothing begins.
// # The life of a task
//
//	          a round, its queue free
//	waiting ───────────────────────────► running ──── done, or not named any more ────► forgotten
//	   ▲                                    │
//	   ╰──── the pause is over ── paused ◄──╯ failed: 45 s, and twice as long each time,
//	                                         up to 4 minutes
//
// A task that the time of a round has left out is waiting still, and comes before those
// that were tried.
package work
