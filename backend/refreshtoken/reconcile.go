package refreshtoken

import (
	"slices"
	"time"

	"vault-plugin-secrets-zoho/backend/quota"
)

// Presence is what is known of a role that a record names.
type Presence int

// What can be known.
const (
	Unknown  Presence = iota // it could not be read
	Writing                  // its slot is taken
	Has                      // it is stored with the refresh token
	Broken                   // its entry is damaged
	Other                    // it is stored with other credentials, which an operator wrote, or none
	Again                    // it is stored with another refresh token, which Zoho gave
	NotThere                 // there is no such role
)

// Counts reports whether the role may have the refresh token.
func (p Presence) Counts() bool { return p <= Broken }

// Token is an access token that is stored, of the record.
type Token struct {
	ID     string
	Held   bool // somebody leases it, or may
	Closed bool // its ledger has decided that it ends
}

// World is what Reconcile may look at. It looks at no more than it needs.
type World struct {
	Now      time.Time
	Limits   quota.Limits
	TurnFree bool

	// Role tells of a role that the record names. The caller takes the role's slot if it is
	// free, and keeps the slot of a role that is not stored with the refresh token until the
	// step is done: nobody stores it meanwhile.
	Role func(name string) Presence

	// Tokens lists the access tokens of the record that are stored.
	Tokens func() ([]Token, error)
}

// Reconcile names the next step for a record: a single write or question, which is safe at
// any moment. The caller calls it again after each step, until it names none.
func Reconcile(id string, r *Record, w World) (Step, error) {
	switch {
	case r == nil:
		return Step{}, nil
	case r.Ending != nil:
		return reconcileEnding(id, r, w)
	}
	var leaving []LeavingRole
	has := false
	for _, name := range r.Roles {
		switch p := w.Role(name); p {
		case Has:
			has = true
		case Other, Again, NotThere:
			leaving = append(leaving, LeavingRole{Role: name, Again: p == Again, Unsaid: p == NotThere, Now: w.Now, Limits: w.Limits})
		case Unknown, Writing, Broken:
		}
	}
	switch {
	case len(leaving) > 0:
		return Step{Do: ChangeRecord, Record: id, Change: leave(leaving...)}, nil
	case has && r.isUnwanted(): // a write by hand was cut off when the role was stored
		return Step{Do: ChangeRecord, Record: id, Change: wanted}, nil
	case len(r.Roles) > 0:
		return Step{}, nil
	}
	return reconcileLeft(id, r, w)
}

// wanted cancels the wish to revoke a refresh token that a role was stored with by hand.
func wanted(was *Record) (*Record, error) {
	if was == nil || was.Ending != nil || !was.isUnwanted() || len(was.Roles) == 0 {
		return was, nil
	}
	r := was.clone()
	r.Revoke, r.Former = false, nil
	return r, nil
}

// reconcileLeft is Reconcile for a refresh token that no role has.
func reconcileLeft(id string, r *Record, w World) (Step, error) {
	tokens, err := w.Tokens()
	if err != nil {
		return Step{}, err
	}
	var open []string
	held := false
	for _, t := range tokens {
		switch {
		case t.Closed:
		case t.Held:
			held = true
		default:
			open = append(open, t.ID)
		}
	}
	switch {
	case len(open) > 0: // from then on no reader who looked before gets it
		return Step{Do: CloseTokens, Record: id, Tokens: open}, nil
	case r.Revoke && (held || !w.TurnFree):
		return Step{}, nil
	case r.Revoke:
		return Step{Do: ChangeRecord, Record: id, Change: end(Deauthorization{Now: w.Now}), Turn: true}, nil
	case r.RefreshToken.IsZero() && !r.isNeedless(w.Now, w.Limits):
		return Step{}, nil
	}
	settle := func(was *Record) (*Record, error) {
		if was == nil || !was.isLeft() {
			return was, nil
		}
		return was.clone().settled(w.Now, w.Limits), nil
	}
	return Step{Do: ChangeRecord, Record: id, Change: settle}, nil
}

// reconcileEnding is Reconcile for a refresh token whose end is decided.
func reconcileEnding(id string, r *Record, w World) (Step, error) {
	if r.Ending.Outcome == "" {
		if r.Ending.RetryAt.After(w.Now) || !w.TurnFree {
			return Step{}, nil
		}
		return Step{Do: AskRevoke, Record: id, Turn: true}, nil
	}
	tokens, err := w.Tokens()
	if err != nil {
		return Step{}, err
	}
	if len(tokens) > 0 {
		drop := Step{Do: DropTokens, Record: id}
		for _, t := range tokens {
			drop.Tokens = append(drop.Tokens, t.ID)
		}
		return drop, nil
	}
	var has []string
	waits := false
	for _, name := range r.Roles {
		switch w.Role(name) {
		case Has:
			has = append(has, name)
		case Unknown, Writing:
			waits = true // it may be about to be stored
		case Broken, Other, Again, NotThere: // a damaged role has to be written in full
		}
	}
	switch {
	case len(has) > 0:
		return Step{Do: ForgetInRoles, Record: id, Roles: has}, nil
	case waits:
		return Step{}, nil
	}
	remove := func(was *Record) (*Record, error) {
		if !was.IsEnding() || was.Ending.Outcome == "" {
			return was, nil
		}
		return nil, nil
	}
	return Step{Do: ChangeRecord, Record: id, Change: remove}, nil
}

// Found is what roles and access tokens tell of a record that is damaged.
type Found struct {
	Credential
	Roles  []string // stored with the refresh token; one whose slot is taken is not known: the next round looks again
	Live   []quota.Request
	Now    time.Time
	Limits quota.Limits
}

// Rebuild makes a record from what is found. Whether the refresh token came from Zoho, who
// decided that it ends, and how many requests were sent is lost: so it lives on if its last
// role is deleted, and nothing is asked until no former request can count. It returns nil if
// no role has it: then an operator has to compare Connected Apps at Zoho with the roles.
func Rebuild(f Found) *Record {
	if len(f.Roles) == 0 {
		return nil
	}
	r := &Record{Credential: f.Credential, Origin: Hand, Since: f.Now, Roles: slices.Compact(slices.Sorted(slices.Values(f.Roles)))}
	r.rebuild(f)
	if len(f.Live) > 0 {
		r.Worked = r.Quota.Requests[0].At
	}
	r.normalise(f.Now)
	return r
}

// rebuild takes up the living access tokens, and asks nothing for the length of a window.
func (u *Usage) rebuild(f Found) {
	u.Quota.Requests = slices.SortedFunc(slices.Values(f.Live), func(a, b quota.Request) int { return a.At.Compare(b.At) })
	limits := f.Limits
	limits.Window += limits.Timeout
	u.Quota.Throttled = quota.NewSilence(f.Now, "", "Vault's record of the token requests was damaged. So that Zoho's limit is not exceeded, Vault sends none until the former ones no longer count.", nil, limits)
}
