package refreshtoken

import (
	"slices"
	"time"

	"vault-plugin-secrets-zoho/backend/quota"
)

// EnteringRole is a role that is about to be stored with a refresh token.
type EnteringRole struct {
	Credential
	Role  string
	Grant string // fingerprint of the client's ID and secret
	Now   time.Time
}

// enter makes the record name a role. It does not cancel the wish to revoke: the role may
// never be stored.
func enter(e EnteringRole) Change {
	return func(was *Record) (*Record, error) {
		r := e.record(was)
		proven := !r.Grants[e.Grant].LastMint.IsZero()
		if was.Names(e.Role) && !was.IsEnding() && proven && was.IsProven(e.Role) {
			return was, nil
		}
		if err := r.add(e, proven); err != nil {
			return nil, err
		}
		return r, nil
	}
}

// record is a copy of the record of a refresh token, or a new one if there is none.
func (e EnteringRole) record(was *Record) *Record {
	if was == nil {
		return &Record{Origin: Hand, Since: e.Now, Credential: e.Credential}
	}
	r := was.clone()
	r.normalise(e.Now)
	return r
}

// add makes the record name a role. proven says that its credentials have worked.
func (r *Record) add(e EnteringRole, proven bool) error {
	if r.Ending != nil {
		return r.isEndingError()
	}
	at, named := slices.BinarySearch(r.Roles, e.Role)
	if !named && len(r.Roles) >= MaxRoles {
		return &RefusedError{Reason: TooMany}
	}
	if proven {
		delete(r.Unproven, e.Role)
	} else {
		if _, tried := r.Unproven[e.Role]; !tried && len(r.Unproven) >= MaxUnproven {
			return &RefusedError{Reason: TooManyTried}
		}
		if r.Unproven == nil {
			r.Unproven = make(map[string]string)
		}
		r.Unproven[e.Role] = e.Grant
	}
	if !named {
		r.Roles = slices.Insert(r.Roles, at, e.Role)
	}
	if r.RefreshToken.IsZero() { // it was left
		r.Credential = e.Credential
	}
	return nil
}

// Given is a refresh token that Zoho has given for a code, with an access token; TokenID is
// empty if that one cannot be used.
type Given struct {
	Minted
	Origin Origin
}

// arrive makes a record of a refresh token that Zoho has given. A server can repeat one that
// the mount knows: then the two are merged.
func arrive(g Given) Change {
	return func(was *Record) (*Record, error) {
		r := g.record(was)
		if err := r.add(g.EnteringRole, true); err != nil { // Zoho has taken the client's secret
			return nil, err
		}
		r.Origin, r.Revoke = g.Origin, true
		r.Quota.Count(quota.Request{At: g.Asked}, g.Limits)
		if g.TokenID != "" {
			r.minted(g.Minted)
		}
		return r, nil
	}
}

// stored looks at the record once more when a role is stored. By hand, the refresh token is
// wanted again.
func stored(e EnteringRole, byHand bool) Change {
	return func(was *Record) (*Record, error) {
		switch {
		case was == nil:
			return nil, &RefusedError{Reason: Gone}
		case was.Ending != nil:
			return nil, was.isEndingError()
		case was.Names(e.Role) && (!byHand || !was.isUnwanted()) && was.Former == nil:
			return was, nil
		}
		r := e.record(was)
		if !r.Names(e.Role) { // it was damaged meanwhile
			if err := r.add(e, !byHand); err != nil {
				return nil, err
			}
		}
		if byHand && r.isUnwanted() {
			r.Revoke = false
		}
		r.Former = nil
		return r, nil
	}
}

// isUnwanted reports whether a refresh token that was written by hand is to be revoked.
func (r *Record) isUnwanted() bool { return r.Origin == Hand && r.Revoke }

// LeavingRole is a role that is no longer stored with a refresh token.
type LeavingRole struct {
	Role   string
	Again  bool // it was authorized again: Zoho has given it another refresh token
	Unsaid bool // nobody has decided that it goes: the role was never stored, or is gone after a crash
	Now    time.Time
	Limits quota.Limits
}

// leave takes roles out of the record.
func leave(leaving ...LeavingRole) Change {
	return func(was *Record) (*Record, error) {
		if was == nil || was.Ending != nil || !slices.ContainsFunc(leaving, func(l LeavingRole) bool { return was.Names(l.Role) }) {
			return was, nil
		}
		r := was.clone()
		r.normalise(leaving[0].Now)
		again, said, last := false, false, ""
		for _, l := range leaving {
			at, named := slices.BinarySearch(r.Roles, l.Role)
			if !named {
				continue
			}
			r.Roles = slices.Delete(r.Roles, at, at+1)
			delete(r.Unproven, l.Role)
			again, said = again || l.Again, said || !l.Unsaid
			if last == "" || !l.Unsaid {
				last = l.Role
			}
		}
		if len(r.Roles) > 0 {
			return r, nil
		}
		switch {
		case r.Origin != Hand:
			r.Revoke = true
		case said:
			r.Revoke = again
		}
		if said || r.Former == nil {
			r.Former = &Former{Role: last, At: leaving[0].Now}
		}
		return r.settled(leaving[0].Now, leaving[0].Limits), nil
	}
}

// settled is r without what nobody needs: nil if it is left and nothing counts.
func (r *Record) settled(now time.Time, limits quota.Limits) *Record {
	if !r.isLeft() {
		return r
	}
	if r.isNeedless(now, limits) {
		return nil
	}
	r.Credential = Credential{AccountsURL: r.AccountsURL, ClientID: r.ClientID}
	return r
}

// Deauthorization is the decision of an operator to end the refresh token of a role.
type Deauthorization struct {
	Role  string // empty: of one that no role has any more
	By    Requester
	Force bool // also if others have it
	Now   time.Time

	// Holds is what is known of the other roles in the record. One that is missing counts as
	// having the refresh token.
	Holds map[string]Presence

	// OthersLease: another role has handed out an access token that others' credentials minted.
	OthersLease bool
}

// end decides that the refresh token ends.
func end(d Deauthorization) Change {
	return func(was *Record) (*Record, error) {
		if was == nil {
			return nil, &RefusedError{Reason: Gone}
		}
		if was.Ending != nil { // an operator wants it tried now
			r := was.clone()
			r.Ending.RetryAt = time.Time{}
			return r, nil
		}
		if d.Role != "" && !was.Names(d.Role) {
			return nil, &RefusedError{Reason: NotNamed, Roles: []string{d.Role}}
		}
		var others []string
		for _, name := range was.Roles {
			if presence, known := d.Holds[name]; name != d.Role && (!known || presence.Counts()) {
				others = append(others, name)
			}
		}
		switch unproven := d.Role != "" && !was.IsProven(d.Role); {
		case len(others) > 0 && d.Role == "":
			return nil, &RefusedError{Reason: NotOver, Roles: others}
		case len(others) > 0 && !d.Force:
			return nil, &RefusedError{Reason: OthersHaveIt, Roles: others}
		case unproven && (len(others) > 0 || d.OthersLease):
			return nil, &RefusedError{Reason: NeverMinted, Roles: []string{d.Role}}
		}
		r := was.clone()
		r.normalise(d.Now)
		r.Ending = &Ending{At: d.Now, Role: d.Role, By: d.By.bounded()}
		if d.Role == "" && r.Former != nil {
			r.Ending.Role = r.Former.Role
		}
		return r, nil
	}
}

func (by Requester) bounded() Requester {
	return Requester{EntityID: cut(by.EntityID, maxWord), DisplayName: cut(by.DisplayName, maxWord), RequestID: cut(by.RequestID, maxWord)}
}
