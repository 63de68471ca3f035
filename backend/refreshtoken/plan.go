package refreshtoken

import (
	"time"

	"vault-plugin-secrets-zoho/backend/quota"
)

// Each use case is a plan, or two with a question to Zoho between them. The slot of the role
// is the caller's from the first step to the last.

// Sending is a token request that is about to be sent.
type Sending struct {
	Role   string // for whose reader, or for whose trial; empty: nobody waits for it
	Sent   quota.Request
	Limits quota.Limits
}

// Mint asks for an access token. The request counts before it is sent.
func Mint(id string, s Sending) Plan {
	count := func(was *Record) (*Record, error) {
		switch {
		case was == nil:
			return nil, &RefusedError{Reason: Gone}
		case was.Ending != nil:
			return nil, was.isEndingError()
		case s.Role != "" && !was.Names(s.Role) || len(was.Roles) == 0:
			return nil, &RefusedError{Reason: NotNamed, Roles: []string{s.Role}}
		}
		r := was.clone()
		r.normalise(s.Sent.At)
		r.Quota.Count(s.Sent, s.Limits)
		return r, nil
	}
	return Plan{
		{Do: ChangeRecord, Record: id, Change: count, Turn: true},
		{Do: AskMint, Record: id, Turn: true},
	}
}

// Minted is an access token that Zoho gave.
type Minted struct {
	EnteringRole // with which it was minted; Role as in Sending
	TokenID      string
	Asked        time.Time // Sending.Sent.At
	Life         time.Duration
	Exclusive    bool // for one lease: it does not become current
	APIDomain    string
	Scopes       []string
	Limits       quota.Limits
}

// MintAnswered stores an access token that Zoho gave. Its entry comes before the record, so
// that nobody finds one that is not stored. It is known to nobody if the record cannot be
// written, and ends.
func MintAnswered(id string, m Minted) Plan {
	current := func(was *Record) (*Record, error) {
		if was.IsEnding() {
			return nil, was.isEndingError()
		}
		return changeUsage(m.Now, func(r *Record) { r.minted(m) })(was)
	}
	token := []string{m.TokenID}
	return Plan{
		{Do: StoreToken, Record: id, Tokens: token, Turn: true, IfFails: func(*Record) Plan {
			return Plan{{Do: AskEndToken, Record: id, Tokens: token}, {Do: DropTokens, Record: id, Tokens: token}}
		}},
		{Do: ChangeRecord, Record: id, Change: current, Turn: true, IfFails: func(*Record) Plan {
			return Plan{{Do: CloseTokens, Record: id, Tokens: token}}
		}},
	}
}

// Failed is why a request brought no access token. How often that was so in a row, and when
// it may be tried again, is not the caller's to say.
type Failed struct {
	Failure
	Grant     string // empty: the request has none
	Asked     time.Time
	NoToken   bool // it is certain that no token came of it
	Trial     bool // of credentials that are not stored yet: a refusal is told, and not kept
	Throttled bool // Zoho wants silence; if it counts requests for the client, the client's entry has that
	Limits    quota.Limits
}

// Enter is the first half of a write by hand: before the trial and before the role.
func Enter(id string, e EnteringRole) Plan {
	return Plan{{Do: ChangeRecord, Record: id, Change: enter(e)}}
}

// Write is the second half: it stores the role, which then leaves its former records. id is
// empty if the role has no refresh token now. If the role is not to be stored after all, what
// has entered leaves: Leave with Unsaid, or Enter with the grant that the role keeps, if it is
// stored with the same refresh token.
func Write(id string, e EnteringRole, l LeavingRole, former ...string) Plan {
	plan := Plan{{Do: StoreRole, Roles: []string{e.Role}}}
	if id != "" {
		plan = append(plan, Step{Do: ChangeRecord, Record: id, Change: stored(e, true)})
	}
	l.Again = false
	return append(plan, leaveFormer(id, l, former)...)
}

// leaveFormer takes a role out of the records that it had before, of which one may be the one
// that it has now. Of a role whose entry is damaged, the directory names them.
func leaveFormer(now string, l LeavingRole, former []string) (plan Plan) {
	for _, id := range former {
		if id != "" && id != now {
			plan = append(plan, Step{Do: ChangeRecord, Record: id, Change: leave(l), Later: true})
		}
	}
	return plan
}

// Exchanged stores a refresh token that Zoho gave for a code, and the role with it. If
// storage does not take the refresh token, it is revoked at once, unless a role has it
// already: a server can repeat one.
func Exchanged(id string, g Given, l LeavingRole, former ...string) Plan {
	plan := Plan{{Do: ChangeRecord, Record: id, Change: arrive(g), IfFails: func(was *Record) Plan {
		if was.IsTracked() {
			return nil
		}
		return Plan{{Do: AskRevokeNow, Record: id}}
	}}}
	if g.TokenID != "" {
		plan = append(plan, Step{Do: StoreToken, Record: id, Tokens: []string{g.TokenID}, GoOn: true})
	}
	plan = append(plan,
		Step{Do: StoreRole, Roles: []string{g.Role}},
		Step{Do: ChangeRecord, Record: id, Change: stored(g.EnteringRole, false)})
	l.Again = true
	return append(plan, leaveFormer(id, l, former)...)
}

// IsTracked reports whether the record sees to the refresh token by itself: roles have it, or
// it is going to be revoked.
func (r *Record) IsTracked() bool {
	if r.IsEnding() {
		return r.Ending.Outcome == ""
	}
	return r != nil && (len(r.Roles) > 0 || r.Revoke)
}

// Leave takes a role out of a record. The role is not stored with it any more.
func Leave(id string, l LeavingRole) Plan {
	return Plan{{Do: ChangeRecord, Record: id, Change: leave(l)}}
}

// Delete deletes a role, and takes it out of its records.
func Delete(l LeavingRole, former ...string) Plan {
	return append(Plan{{Do: DeleteRole, Roles: []string{l.Role}}}, leaveFormer("", l, former)...)
}

// Deauthorize ends the refresh token of a role. Then Reconcile goes on, in the background.
func Deauthorize(id string, d Deauthorization) Plan {
	plan := Plan{{Do: ChangeRecord, Record: id, Change: end(d), Turn: true}}
	if d.Role != "" {
		plan = append(plan, Step{Do: ForgetInRoles, Record: id, Roles: []string{d.Role}})
	}
	return append(plan, Step{Do: AskRevoke, Record: id, Turn: true})
}

// RevokeAnswered takes up that Zoho has revoked the refresh token, or did not know it.
func RevokeAnswered(id string, outcome Outcome) Plan {
	return Plan{{Do: ChangeRecord, Record: id, Later: true, Turn: true, Change: func(was *Record) (*Record, error) {
		if !was.IsEnding() || was.Ending.Outcome != "" {
			return was, nil
		}
		r := was.clone()
		r.Ending.Outcome = outcome
		return r, nil
	}}}
}

const (
	// longestPause is the pause after the eleventh failure and later ones; the first is a
	// minute, and each is twice as long as the one before.
	longestPause = 1024 * time.Minute

	// MaxRevocationFailures is when the engine gives up: after seven days.
	MaxRevocationFailures = 20
)

// RevokeFailed takes up that Zoho has not revoked the refresh token. It is tried again for
// some days, whatever the reason: nothing that is stored stays for ever. One that was written
// by hand and never worked has one attempt, since a role can be written with ever new ones.
func RevokeFailed(id string, r *Record, now time.Time, reason string) Plan {
	failed := func(was *Record) (*Record, error) {
		if !was.IsEnding() || was.Ending.Outcome != "" {
			return was, nil
		}
		r := was.clone()
		r.normalise(now)
		ending := r.Ending
		ending.RetryAt = now.Add(min(time.Minute<<min(ending.Failures, 10), longestPause))
		ending.Failures++
		ending.LastError = cut(reason, maxText)
		if r.isHopeless(ending.Failures) {
			ending.Outcome = GivenUp
		}
		return r, nil
	}
	var plan Plan
	if r.IsEnding() && r.isHopeless(r.Ending.Failures+1) {
		plan = append(plan, Step{Do: TellGivenUp, Record: id}) // before nobody knows it any more
	}
	return append(plan, Step{Do: ChangeRecord, Record: id, Change: failed, Turn: true})
}

func (r *Record) isHopeless(failures int) bool {
	return failures >= MaxRevocationFailures || r.Origin == Hand && r.Worked.IsZero()
}

// Release ends an access token at Zoho whose last holder is gone. Its ledger has decided
// that: nobody can hold it any more.
func Release(id, tokenID string) Plan {
	token := []string{tokenID}
	return Plan{
		{Do: AskEndToken, Record: id, Tokens: token},
		{Do: ChangeRecord, Record: id, Change: uncount(tokenID), Later: true},
		{Do: DropTokens, Record: id, Tokens: token, Later: true},
	}
}
