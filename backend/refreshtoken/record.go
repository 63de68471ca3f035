package refreshtoken

import (
	"maps"
	"slices"
	"time"

	"vault-plugin-secrets-zoho/backend/secret"
)

// Bounds of a record. What would go beyond one is refused in words, or, where nothing but
// memory of failures is lost, forgotten.
const (
	// MaxRoles is how many roles can have one refresh token.
	MaxRoles = 1000

	// MaxUnproven is how many of them may have credentials that never minted. Whoever knows a
	// refresh token, but not the client's secret, cannot fill the record for the others.
	MaxUnproven = 100

	// MaxGrants is how many grants without a live token a record keeps that have minted, and
	// how many that never have.
	MaxGrants = 16
)

// Origin is how the mount came to a refresh token.
type Origin string

// The origins.
const (
	Hand    Origin = "hand"    // an operator wrote it: something else may use it, too
	Code    Origin = "code"    // a grant code without a redirect_uri: of a Self Client
	Consent Origin = "consent" // a grant code with one: of whoever consented
	Device  Origin = "device"  // a code that a person entered at Zoho
)

// Credential is all that is needed to revoke the refresh token.
type Credential struct {
	RefreshToken secret.Value `json:"-"` // zero when it is left
	AccountsURL  string       `json:"u"`
	CACert       string       `json:"ca,omitempty"`
	ClientID     string       `json:"c,omitempty"` // of the client that minted last; until one has, of the first writer
	ClientSecret secret.Value `json:"-"`
}

// Record is what the mount knows of one refresh token. It is a value: what changes it gets a
// copy.
type Record struct {
	Credential
	Origin Origin    `json:"o"`
	Since  time.Time `json:"b"`          // when it came to the mount
	Worked time.Time `json:"w,omitzero"` // when an access token was minted first; zero: it never worked

	Roles    []string          `json:"r,omitempty"` // the roles that may have it, sorted
	Unproven map[string]string `json:"n,omitempty"` // of these, the ones whose credentials never minted, with their grant
	Revoke   bool              `json:"v,omitempty"` // whether it is revoked when no role has it
	Former   *Former           `json:"f,omitempty"` // the role that had it last; nil: a role has it
	Ending   *Ending           `json:"e,omitempty"` // the decision to end it; nil: none

	Usage
}

// Former is the last role that gave up a refresh token.
type Former struct {
	Role string    `json:"r"`
	At   time.Time `json:"a"`
}

// Ending is the decision that a refresh token ends, and how far that has come.
type Ending struct {
	At        time.Time `json:"a"`
	Role      string    `json:"r,omitempty"` // the role that was deauthorized, or had it last
	By        Requester `json:"b,omitzero"`  // zero: the engine, as no role had it any more
	Failures  int       `json:"n,omitempty"` // attempts to revoke it that failed
	LastError string    `json:"l,omitempty"` // of the latest one
	RetryAt   time.Time `json:"t,omitzero"`  // of the next one; zero: now
	Outcome   Outcome   `json:"o,omitempty"` // what came of it; empty: not known yet
}

// Requester is who asks for something, as Vault tells it. It has the fields of
// ledger.Requester, from which it can be converted.
type Requester struct {
	EntityID    string `json:"e,omitempty"`
	DisplayName string `json:"d,omitempty"`
	RequestID   string `json:"r,omitempty"`
}

// Outcome is what came of the end of a refresh token.
type Outcome string

// The outcomes.
const (
	Revoked     Outcome = "revoked"
	AlreadyGone Outcome = "gone"     // Zoho did not know it
	GivenUp     Outcome = "given up" // Zoho could not be made to revoke it: it may live on
)

// clone copies what a change would otherwise write through to the original.
func (r *Record) clone() *Record {
	c := *r
	c.Roles, c.Unproven = slices.Clone(r.Roles), maps.Clone(r.Unproven)
	if r.Ending != nil {
		ending := *r.Ending
		c.Ending = &ending
	}
	c.Usage = r.Usage.clone()
	return &c
}

// IsEnding reports whether the end of the refresh token is decided.
func (r *Record) IsEnding() bool { return r != nil && r.Ending != nil }

// Names reports whether the record names a role.
func (r *Record) Names(role string) bool {
	if r == nil {
		return false
	}
	_, found := slices.BinarySearch(r.Roles, role)
	return found
}

// IsProven reports whether an access token was minted with the credentials of a role.
func (r *Record) IsProven(role string) bool {
	if !r.Names(role) {
		return false
	}
	_, unproven := r.Unproven[role]
	return !unproven
}

// LivesOn reports whether a change leaves the refresh token to live on at Zoho without a
// role, which an operator has to be told.
func LivesOn(before, after *Record) bool {
	return before != nil && len(before.Roles) > 0 && !before.IsEnding() && (after == nil || after.isLeft())
}

func (r *Record) isLeft() bool { return r.Ending == nil && len(r.Roles) == 0 && !r.Revoke }

// State is a state of a refresh token: see the package comment.
type State string

// The states.
const (
	Absent   State = "absent"
	Arriving State = "arriving"
	InUse    State = "in use"
	Leaving  State = "leaving"
	Left     State = "left"
	Ends     State = "ending"
)

// State computes the state from what is known of the roles that the record names.
func (r *Record) State(role func(name string) Presence) State {
	switch {
	case r == nil:
		return Absent
	case r.Ending != nil:
		return Ends
	case slices.ContainsFunc(r.Roles, func(name string) bool { p := role(name); return p == Has || p == Broken }):
		return InUse
	case slices.ContainsFunc(r.Roles, func(name string) bool { return role(name).Counts() }):
		return Arriving
	case r.Revoke:
		return Leaving
	default:
		return Left
	}
}

// MayHandOut reports whether a role may hand out an access token of this refresh token. It is
// asked once more when the reader is entered as a holder.
func (r *Record) MayHandOut(role, tokenID string) error {
	switch {
	case r == nil:
		return &RefusedError{Reason: Gone}
	case r.Ending != nil:
		return r.isEndingError()
	case !r.Names(role):
		return &RefusedError{Reason: NotNamed, Roles: []string{role}}
	case !r.Counts(tokenID) || r.IsMisdated(tokenID):
		return &RefusedError{Reason: NotCounted}
	}
	return nil
}

// Summary is a copy of the record for a list of all of them: without secrets, and without what
// it counts.
func (r *Record) Summary() *Record {
	c := *r
	c.Credential = Credential{AccountsURL: r.AccountsURL, ClientID: r.ClientID}
	c.Usage = Usage{}
	return &c
}

// CountsForClient reports whether the refresh token counts for what Zoho allows a user of the
// client: Zoho has given it or it has worked, and a role has it or it waits to be revoked.
func (r *Record) CountsForClient() bool {
	return (r.Origin != Hand || !r.Worked.IsZero()) && !r.isLeft() && (r.Ending == nil || r.Ending.Outcome == "")
}

// Named lists the roles that may have the refresh token.
func (r *Record) Named() []string {
	if r == nil {
		return nil
	}
	return r.Roles
}

// WaitsFor reports whether the refresh token was a role's, and waits to be revoked.
func (r *Record) WaitsFor(role string) bool {
	switch {
	case r.Ending != nil:
		return r.Ending.Role == role && r.Ending.Outcome == ""
	default:
		return len(r.Roles) == 0 && r.Revoke && r.Former != nil && r.Former.Role == role
	}
}

// Known is since when the refresh token counts for its client: since it came, or, if it was
// written by hand, since it has worked.
func (r *Record) Known() time.Time {
	if r.Origin == Hand && !r.Worked.IsZero() {
		return r.Worked
	}
	return r.Since
}

// Holder is a role that has the refresh token, or had it last.
func (r *Record) Holder() string {
	switch {
	case r.Ending != nil:
		return r.Ending.Role
	case len(r.Roles) > 0:
		return r.Roles[0]
	case r.Former != nil:
		return r.Former.Role
	}
	return ""
}
