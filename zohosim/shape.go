package zohosim

// Expiry is a way to write the life of a token into an answer.
type Expiry string

// The ways that have been seen in Zoho's documents and in recorded answers.
const (
	ExpirySeconds       Expiry = ""                // "expires_in": 3600
	ExpiryMillisWithSec Expiry = "millis-with-sec" // "expires_in": 3600000, "expires_in_sec": 3600
	ExpiryMillis        Expiry = "millis"          // "expires_in": 3600000
	ExpiryString        Expiry = "string"          // "expires_in": "3600"
	ExpiryMissing       Expiry = "missing"         // no expires_in at all
)

// Answer is the shape of a successful token answer.
type Answer struct {
	Expiry Expiry

	// APIDomain is given as api_domain instead of the data centre's own.
	APIDomain string
	// NoAPIDomain leaves api_domain out, as the pages of Desk and Workerly do.
	NoAPIDomain bool
	// APIDomainSlash ends api_domain with a slash, as Recruit's page does.
	APIDomainSlash bool

	// WithScope adds scope, separated by spaces, to the answers of all grants.
	// The answer of client_credentials always has it.
	WithScope bool

	// BesideRefreshToken is what access_token is in an answer that has a
	// refresh_token. The access token is made, and counts.
	// Source: none shows it; an answer to an exchange is the only place where a
	// refresh token can be read, so it must not be lost with the rest.
	BesideRefreshToken AccessTokenShape
}

// AccessTokenShape is a way to give an access token, or not.
type AccessTokenShape string

// The ways to give an access token.
const (
	AccessTokenGiven   AccessTokenShape = ""        // "access_token": "1000..."
	AccessTokenMissing AccessTokenShape = "missing" // no access_token at all
	AccessTokenEmpty   AccessTokenShape = "empty"   // "access_token": ""
	AccessTokenNull    AccessTokenShape = "null"    // "access_token": null
)
