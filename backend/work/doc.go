// Package work runs what the requests of many callers have in common: what must run
// once however many ask for it, what goes on when its caller hangs up, what takes
// turns, and what is waited for before the process may end.
//
// A [Group] is the work of one mount. It knows nothing of what it runs. [Slots] let
// one goroutine at a time work on a named thing.
//
// # The life of a group
//
//	open ───Close───► closing ───all work has ended; after a grace its context ends───► closed
//
// While a group closes, work that is under way may begin what it needs for its own
// end: a token that Zoho has given is stored by work that begins later. When nothing
// is under way any more, nothing begins.
package work
