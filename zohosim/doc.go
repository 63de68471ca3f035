// Package zohosim simulates Zoho's OAuth servers (Zoho calls them Accounts
// servers), one per data centre, and a small resource API that checks tokens.
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
//   - both revocation endpoints, the consent page, and serverinfo
//   - the shapes in which Zoho has been seen to write expires_in and api_domain
//   - faults: errors, nonsense, hanging, lost answers, whole outages
//
// The zero [Options] are the strict ones: where Zoho's documents disagree, the
// default is the reading that is harder on the caller. [Sim.Requests] tells
// what arrived, without any secret.
//
// # What it cannot know
//
// It was written from Zoho's documents, its SDKs and answers that others have
// published, not from calls to Zoho. Only a live test can tell
//
//   - whether the older revocation endpoint takes access tokens of server-based
//     clients (here: yes; see Options.LegacyRevokeRefusesAccessTokens)
//   - the bodies of a refused revocation, and of the newer endpoint's success
//   - what scope does in a refresh request (here: nothing)
//   - whether failing calls count and calls during a block extend it (here:
//     both), and whether the key is the refresh token or the client
//   - today's cap on live access tokens: 10, 15 and 30 are all in Zoho's pages
//     (here: 10), and whether client_credentials has one (here: also 10)
//   - the HTTP status of invalid_scope, missing_org_info and
//     invalid_redirect_uri (here: 200)
//   - the error of a multi-data-centre client at the wrong data centre (here:
//     whatever its first wrong parameter causes)
//   - serverinfo's exact shape, and whether the newer revocation path exists
//     everywhere (see Options.Missing)
//
// Misuse by the test itself, such as an unknown data centre in [Sim.Consent],
// panics with a message that says what is wrong.
package zohosim
