// Package quota decides what Zoho allows: how many token requests in a window, how many
// live access tokens, and how long to wait after Zoho has throttled. It is pure: it has
// no storage and no clock of its own, and it asks Zoho nothing. A [Record] is what is
// known of one quota; a [Decision] is a value, which whoever asked carries out.
//
//	             silent ──► Silent: wait until Zoho may be asked again
//	                │ no
//	    budget used up ──► Used: wait until the oldest request leaves the window
//	                │ no
//	  only the reserve ──► Reserved: wait, unless a reader may have a request of it
//	                │ no
//	no room for a token ─► Full: wait until a token that is held has expired
//	                │ no
//	                ▼
//	               Go, after the tokens that the decision names have been ended
//
// A request counts from before it is sent until its window is over, whatever came of
// it. It counts as a live token for as long as a token that came of it can live, unless
// it is certain that none did.
//
// Source of the limits: zoho.com/accounts/protocol/oauth/token-limits.html.
package quota
