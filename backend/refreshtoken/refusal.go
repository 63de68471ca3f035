package refreshtoken

import (
	"fmt"
	"strings"
	"time"
)

// Reason is why a change is refused.
type Reason int

// The reasons.
const (
	Gone         Reason = iota + 1 // there is no record
	IsEnding                       // its end is decided
	NotNamed                       // the record does not name the role
	NotCounted                     // the access token is not one that the record counts
	OthersHaveIt                   // deauthorize needs force
	NeverMinted                    // the role has not shown that it knows the client's secret
	TooMany                        // MaxRoles
	TooManyTried                   // MaxUnproven
	ClientFull                     // MaxClientBytes
	NotOver                        // a role has it, so its end is not the engine's to decide
)

// RefusedError says that a change cannot be made. Nothing was written.
type RefusedError struct {
	Reason Reason
	Roles  []string // whom the reason is about
	Ending *Ending  // of IsEnding
}

func (r *RefusedError) Error() string {
	roles := strings.Join(r.Roles, ", ")
	switch r.Reason {
	case Gone:
		return "the engine does not know this refresh token any more: write a refresh token or a code to the role again, or authorize it"
	case IsEnding:
		return fmt.Sprintf("this refresh token is being revoked at Zoho: that was decided for role %q at %s. Get another one, with a grant code or the role's authorize", r.Ending.Role, r.Ending.At.UTC().Format(time.RFC3339))
	case NotNamed:
		return fmt.Sprintf("role %s has been given other credentials, or was deleted: read the role again", roles)
	case NotCounted:
		return "this access token has ended: ask for another one"
	case OthersHaveIt:
		return fmt.Sprintf("%s would lose the refresh token, too; if that is meant, write force=true", roles)
	case NeverMinted:
		return fmt.Sprintf("role %s has never got an access token with its credentials, so it may not revoke a refresh token that others use: read a token of it first", roles)
	case TooMany:
		return fmt.Sprintf("%d roles have this refresh token already, which is the most that one can have: delete roles that are not needed, or authorize this one on its own", MaxRoles)
	case TooManyTried:
		return fmt.Sprintf("%d roles have this refresh token with credentials that never minted an access token: read a token of them, or delete them", MaxUnproven)
	case ClientFull:
		return "so many roles mint with client_credentials of this client that its entry is full: delete roles that are not needed, or give this one a client of its own"
	case NotOver:
		return "a role has this refresh token, or is being written with it"
	}
	return "the change cannot be made"
}

func (r *Record) isEndingError() *RefusedError {
	return &RefusedError{Reason: IsEnding, Ending: r.Ending}
}
