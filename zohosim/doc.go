// Package zohosim simulates Zoho's OAuth servers (Zoho calls them Accounts
// servers), one per data centre, and a small part of CRM's API that checks tokens and
// scopes.
// It is for tests and demonstrations of anything that talks to Zoho, and needs
// only the standard library.
//
// # What it simulates
//
//   - the token endpoint with the grants authorization_code, refresh_token and
//     client_credentials, and Zoho's habit of answering errors with HTTP 200
//   - client secrets and users that belong to one data centre
//   - the throttle: 10 token requests in 10 minutes per refresh token, failures
//     included, then a block that impatient callers prolong
//   - at most 10 live access tokens per refresh token and 20 refresh tokens per
//     user and client; one more silently kills the oldest
//   - at most 10 grant codes in 10 minutes per client, then a block
//   - both revocation endpoints, the consent page, and serverinfo
//   - the device flow: user codes, the page to enter one, polls with slow_down and other_dc
//   - the consent of an administrator for an organisation (/oauth/v2/org/auth),
//     whose tokens outlive the administrator: see [Sim.RemoveUser]
//   - who is behind a token: /oauth/user/info, and the ID token of an exchange
//   - the shapes in which Zoho has been seen to write expires_in and api_domain,
//     and an exchange that gives a refresh token without a usable access token
//   - faults: errors, nonsense, hanging, lost answers, whole outages
//
// The zero [Options] are as strict as the pages of the Accounts server: where
// those leave something open, the default is the reading that is harder on the
// caller. Other readings are harder still, most of them from old pages of single
// products, and some contradict each other. Each is an option, and [Hardest] sets
// all of them:
//
//   - Throttle.PerClient: token requests are counted per client
//   - RefreshTokensPerUser: the 20 refresh tokens are counted over all clients
//   - RefuseExcessRefreshTokens: the 21st is refused instead of killing the
//     oldest
//   - RefreshTokensPerMinute: 5 refresh tokens a minute for a user
//   - RefreshTokensPerTenMinutes: 20 for a client in ten minutes
//   - CodesPerMinute: 4 grant codes a minute, then ten minutes of block
//   - CodeLife: a grant code lives for a minute
//   - DeviceSlowDown: each slow_down lengthens the interval between polls by 5 seconds
//   - LegacyRevokeRefusesAccessTokens: the older revocation endpoint takes
//     refresh tokens only
//
// [Sim.Requests] tells what arrived, without any secret; [Sim.RefreshTokens] what
// a user has, and [Sim.Evicted] what newer tokens have pushed out.
//
// # What it cannot know
//
// It was written from Zoho's documents, its SDKs and answers that others have
// published, not from calls to Zoho. Only a live test can tell
//
//   - whether the older revocation endpoint takes access tokens of server-based
//     clients (here: yes; see Options.LegacyRevokeRefusesAccessTokens)
//   - the bodies of a refused revocation, and of the newer endpoint's success
//   - which of several things that are wrong with a call of the API it names first, and
//     what it answers to a write (here: nothing can be written)
//   - what scope does in a refresh request (here: nothing)
//   - whether failing calls count and calls during a block extend it (here:
//     both), and whether the key is the refresh token or the client
//   - which of the limits that Hardest sets are in force, and what the answers at
//     them are: the status and body of a refused 21st refresh token are guesses,
//     and those of the limits per minute are taken from the throttle
//   - whether a code is used up by an exchange that is refused (here: yes, unless
//     the throttle or CodesPerMinute refused it)
//   - whether the limit of codes a minute holds for exchanges too (here: yes)
//   - today's cap on live access tokens: 10, 15 and 30 are all in Zoho's pages
//     (here: 10), and whether client_credentials has one (here: also 10)
//   - anything of an organisation's consent but its address and that its codes
//     begin with 1005.: how its refresh tokens are counted (here: for the
//     organisation, not for the administrator), which scopes it may have (here:
//     all), the error without a soid, and whether /oauth/user/info and the ID
//     token name the administrator (here: no)
//   - what /oauth/user/info answers to a token without the scope, and which claims
//     are in an ID token
//   - the HTTP status of invalid_scope, missing_org_info and
//     invalid_redirect_uri (here: 200)
//   - the error of a multi-data-centre client at the wrong data centre (here:
//     whatever its first wrong parameter causes)
//   - of the device flow: whether polls count as token requests (here: only the one that gives
//     tokens), whether an initiation counts as a grant code (here: yes), how long slow_down lasts,
//     the errors of an initiation (here: those of the token endpoint), whether a device code is
//     used up by the poll that gives tokens (here: yes; the next one gets invalid_code), and what
//     a data centre says that a device code was not begun in, before the person has agreed
//   - serverinfo's exact shape, and whether the newer revocation path exists
//     everywhere (see Options.Missing)
//
// Misuse by the test itself, such as an unknown data centre in [Sim.Consent],
// panics with a message that says what is wrong.
package zohosim
