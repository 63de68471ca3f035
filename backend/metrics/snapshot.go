package metrics

import "time"

// MostClients is how many clients have series of their own: those with the most refresh
// tokens.
const MostClients = 500

// Snapshot is how things are at the moment of a scrape.
type Snapshot struct {
	Roles      []Role // with series of their own
	LeftOut    int    // roles in use without
	Clients    []Client
	LiveTokens int                 // access tokens that may be alive
	Holders    int                 // leases on them
	Waiting    map[Token][]Waiting // revocations that are decided and not done
}

// Role is a role in use.
type Role struct {
	Name         string
	State        string
	RequestsLeft int       // of the window, the reserve included
	ReserveTaken int       // requests that were taken from the reserve
	LiveTokens   int       // that Zoho may count as alive, those of other roles with the same refresh token included
	Holders      int       // leases of this role
	LastMint     time.Time // zero: never
	TokenEnds    time.Time // the current token; zero: there is none
}

// Client is a client, with the refresh tokens of it that the mount knows.
type Client struct {
	AccountsURL, ID string
	RefreshTokens   int
	Users           string // "one", "many" or "unknown": whose they are
}

// Waiting is a revocation that waits.
type Waiting struct{ Since time.Time }
