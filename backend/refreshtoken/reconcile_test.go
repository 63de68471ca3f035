package refreshtoken_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend/quota"
	"vault-plugin-secrets-zoho/backend/refreshtoken"
)

func reconcileWith(t *testing.T, r *refreshtoken.Record, presence map[string]refreshtoken.Presence, turnFree bool, tokens ...refreshtoken.Token) refreshtoken.Step {
	t.Helper()
	step, err := refreshtoken.Reconcile(id, r, refreshtoken.World{
		Now: start, Limits: limits, TurnFree: turnFree,
		Role:   func(name string) refreshtoken.Presence { return presence[name] },
		Tokens: func() ([]refreshtoken.Token, error) { return tokens, nil },
	})
	require.NoError(t, err)
	return step
}

type roles = map[string]refreshtoken.Presence

func TestReconcile_LeavesARoleThatMayHaveItAlone(t *testing.T) {
	t.Parallel()
	r := given(t, nil, "crm", "at-1")
	for _, p := range []refreshtoken.Presence{refreshtoken.Unknown, refreshtoken.Writing, refreshtoken.Has, refreshtoken.Broken} {
		step, err := refreshtoken.Reconcile(id, r, refreshtoken.World{Now: start, TurnFree: true, Role: func(string) refreshtoken.Presence { return p }, Tokens: func() ([]refreshtoken.Token, error) {
			t.Fatal("it looks at tokens, which have to be loaded for that")
			return nil, nil
		}})
		require.NoError(t, err)
		require.Equal(t, refreshtoken.Nothing, step.Do)
	}
}

func TestReconcile_EndsWhatIsLeavingWhenNobodyLeasesItsTokensAndTheTurnIsFree(t *testing.T) {
	t.Parallel()
	r := change(t, given(t, nil, "crm", "at-1"), refreshtoken.Leave(id, refreshtoken.LeavingRole{Role: "crm", Now: start, Limits: limits}))
	require.Equal(t, refreshtoken.Leaving, r.State(nil))
	held, open, closed := refreshtoken.Token{ID: "at-1", Held: true}, refreshtoken.Token{ID: "at-2"}, refreshtoken.Token{ID: "at-3", Closed: true}
	require.Equal(t, refreshtoken.Nothing, reconcileWith(t, r, nil, true, held).Do)
	step := reconcileWith(t, r, nil, true, held, open)
	require.Equal(t, refreshtoken.CloseTokens, step.Do)
	require.Equal(t, []string{"at-2"}, step.Tokens)
	require.Equal(t, refreshtoken.Nothing, reconcileWith(t, r, nil, false, closed).Do, "a mint is under way")
	step = reconcileWith(t, r, nil, true, closed)
	require.True(t, step.Turn)
	e := change(t, r, refreshtoken.Plan{step})
	require.True(t, e.IsEnding())
	require.Equal(t, refreshtoken.AskRevoke, reconcileWith(t, e, nil, true).Do)
	require.Equal(t, refreshtoken.Nothing, reconcileWith(t, e, nil, false).Do)
	_, err := refreshtoken.Reconcile(id, r, refreshtoken.World{Now: start, TurnFree: true, Tokens: func() ([]refreshtoken.Token, error) { return nil, errors.New("storage has failed") }})
	require.Error(t, err)
}

func TestReconcile_AForcedEndReachesAllRolesAndWaitsForTheOneThatIsBeingWritten(t *testing.T) {
	t.Parallel()
	r := entered(t, entered(t, entered(t, given(t, nil, "crm", "at-1"), "books", goodClient), "desk", goodClient), "old", goodClient)
	e := ended(t, r, refreshtoken.Deauthorization{Role: "crm", Force: true})
	e = change(t, e, refreshtoken.RevokeAnswered(id, refreshtoken.Revoked))
	is := roles{"crm": refreshtoken.Other, "books": refreshtoken.Has, "desk": refreshtoken.Writing, "old": refreshtoken.Broken}
	step := reconcileWith(t, e, is, true, refreshtoken.Token{ID: "at-1", Held: true})
	require.Equal(t, refreshtoken.DropTokens, step.Do, "it is dead, whoever holds it")
	step = reconcileWith(t, e, is, true)
	require.Equal(t, refreshtoken.ForgetInRoles, step.Do)
	require.Equal(t, []string{"books"}, step.Roles)
	is["books"] = refreshtoken.Other
	require.Equal(t, refreshtoken.Nothing, reconcileWith(t, e, is, true).Do)
	is["desk"] = refreshtoken.NotThere
	require.Nil(t, change(t, e, refreshtoken.Plan{reconcileWith(t, e, is, true)}))
}

func TestReconcile_WaitsForTheNextAttempt(t *testing.T) {
	t.Parallel()
	e := ended(t, given(t, nil, "crm", "at-1"), refreshtoken.Deauthorization{Role: "crm"})
	e = change(t, e, refreshtoken.RevokeFailed(id, e, start, "no answer"))
	require.Equal(t, refreshtoken.Nothing, reconcileWith(t, e, nil, true).Do)
	e = change(t, e, refreshtoken.RevokeFailed(id, e, start.Add(-time.Minute), "no answer"))
	e.Ending.RetryAt = start
	require.Equal(t, refreshtoken.AskRevoke, reconcileWith(t, e, nil, true).Do)
}

func TestReconcile_ForgetsWhatIsLeftWhenNothingCounts(t *testing.T) {
	t.Parallel()
	r := mintedFor(t, entered(t, nil, "crm", goodClient), "crm", goodClient, "at-1", start)
	step := reconcileWith(t, r, roles{"crm": refreshtoken.Other}, true)
	left := change(t, r, refreshtoken.Plan{step})
	require.Equal(t, refreshtoken.Left, left.State(nil))
	require.Equal(t, refreshtoken.Nothing, reconcileWith(t, left, nil, true).Do)
	later := refreshtoken.World{Now: start.Add(3 * time.Hour), Limits: limits, Tokens: func() ([]refreshtoken.Token, error) { return nil, nil }}
	step, err := refreshtoken.Reconcile(id, left, later)
	require.NoError(t, err)
	require.Nil(t, change(t, left, refreshtoken.Plan{step}))
	back := entered(t, left, "books", goodClient)
	require.Equal(t, "H", back.RefreshToken.Reveal(), "a role brings the secret along")
	require.Len(t, back.Quota.Requests, 1, "and its requests still count")
	require.Equal(t, "at-1", back.Grants[goodClient].Current)
}

// A role that leaves tells whether it was authorized again by what it has now.
func TestReconcile_OfSeveralLeftoversTheWishToRevokeWins(t *testing.T) {
	t.Parallel()
	r := entered(t, mintedFor(t, entered(t, nil, "crm", goodClient), "crm", goodClient, "at-1", start), "stale", goodClient)
	for _, is := range []roles{
		{"crm": refreshtoken.Again, "stale": refreshtoken.NotThere},
		{"crm": refreshtoken.Again, "stale": refreshtoken.Other},
	} {
		require.True(t, change(t, r, refreshtoken.Plan{reconcileWith(t, r, is, true)}).Revoke)
	}
	after := change(t, r, refreshtoken.Plan{reconcileWith(t, r, roles{"crm": refreshtoken.Has, "stale": refreshtoken.NotThere}, true)})
	require.Equal(t, []string{"crm"}, after.Roles)
}

func TestRebuild_FindsRolesAndTokensAndAsksNothingForAWindow(t *testing.T) {
	t.Parallel()
	require.Nil(t, refreshtoken.Rebuild(refreshtoken.Found{Now: start, Limits: limits}))
	live := []quota.Request{
		{At: start.Add(-time.Minute), Until: start.Add(time.Hour), Token: "at-2"},
		{At: start.Add(-time.Hour / 2), Until: start.Add(time.Hour / 2), Token: "at-1"},
	}
	r := refreshtoken.Rebuild(refreshtoken.Found{Credential: entering("", "H", goodClient, start).Credential, Roles: []string{"crm", "books", "crm"}, Live: live, Now: start, Limits: limits})
	require.Equal(t, []string{"books", "crm"}, r.Roles)
	require.NoError(t, r.MayHandOut("crm", "at-1"), "a lease on it was counted all the while")
	require.Len(t, r.Quota.Live(start), 2)
	require.False(t, r.Revoke)
	require.Equal(t, quota.Silent, r.Quota.Request(start.Add(limits.Window), limits).Verdict)
	require.Equal(t, quota.Go, r.Quota.Request(start.Add(limits.Window+limits.Timeout), limits).Verdict)
	_, err := refreshtoken.Decode([]byte(encoded(r)), start)
	require.NoError(t, err)
}

func TestClock_NoTimeInTheFutureIsBelieved(t *testing.T) {
	t.Parallel()
	ahead := start.Add(1000 * time.Hour)
	r := change(t, nil, refreshtoken.Enter(id, entering("crm", "H", goodClient, ahead)))
	r = mintedFor(t, r, "crm", goodClient, "at-1", ahead)
	for range 5 {
		r = change(t, r, mintFailed(id, refreshtoken.Failed{Failure: refreshtoken.Failure{At: ahead}, Grant: goodClient, Asked: ahead, Limits: limits}))
	}
	e := change(t, r, refreshtoken.Deauthorize(id, refreshtoken.Deauthorization{Role: "crm", Now: ahead}))
	e = change(t, e, refreshtoken.RevokeFailed(id, e, ahead, "no answer"))

	loaded, err := refreshtoken.Decode([]byte(encoded(e)), start)
	require.NoError(t, err)
	for what, at := range map[string]time.Time{
		"since": loaded.Since, "worked": loaded.Worked, "last mint": loaded.Grants[goodClient].LastMint, "failure": loaded.Grants[goodClient].Failure.At,
		"retry": loaded.Grants[goodClient].Failure.RetryAt, "ending": loaded.Ending.At, "next attempt": loaded.Ending.RetryAt,
	} {
		require.Equal(t, start, at.UTC(), what)
	}
	require.Equal(t, refreshtoken.AskRevoke, reconcileWith(t, loaded, nil, true).Do)
	require.Len(t, loaded.Quota.Live(start.Add(time.Hour-time.Second)), 1, "it counts from when that was seen")
	require.Empty(t, loaded.Quota.Live(start.Add(time.Hour)))

	tolerated, err := refreshtoken.Decode([]byte(encoded(entered(t, nil, "crm", goodClient))), start.Add(-2*time.Second))
	require.NoError(t, err)
	require.Equal(t, start, tolerated.Since.UTC(), "two nodes may be seconds apart")
}

func TestClock_AnAccessTokenThatAWrongClockDatedIsHandedOutNoMore(t *testing.T) {
	t.Parallel()
	r := mintedFor(t, entered(t, nil, "crm", goodClient), "crm", goodClient, "at-1", start)
	m, err := misdate("at-1", start)(r)
	require.NoError(t, err)
	requireRefused(t, m.MayHandOut("crm", "at-1"), refreshtoken.NotCounted)
	require.True(t, m.Counts("at-1"), "Zoho counts it")
	require.False(t, m.Keeps("at-1"))
	require.Empty(t, m.Grants[goodClient].Current)
	loaded, err := refreshtoken.Decode([]byte(encoded(m)), start.Add(time.Hour))
	require.NoError(t, err)
	require.True(t, loaded.IsMisdated("at-1"), "also when its times look right again")
	require.False(t, change(t, loaded, refreshtoken.Release(id, "at-1")).IsMisdated("at-1"))
	none, err := misdate("at-1", start)(nil)
	require.NoError(t, err)
	require.Nil(t, none)
}

// The end of an access token never creates a record.
func TestRelease_CreatesNoRecordAnewAndWritesNothingInVain(t *testing.T) {
	t.Parallel()
	plan := refreshtoken.Release(id, "at-1")
	after, err := tryChange(nil, plan)
	require.NoError(t, err)
	require.Nil(t, after)
	r := given(t, nil, "crm", "at-2")
	after, err = tryChange(r, plan)
	require.NoError(t, err)
	require.Same(t, r, after)
}

// The writes for which somebody waits: see design.md.
func TestPlans_AskOnlyWhenTheyHaveWrittenAndLetNobodyWaitForMore(t *testing.T) {
	t.Parallel()
	do := func(plan refreshtoken.Plan) (waited, later []refreshtoken.Do) {
		for _, s := range plan {
			if s.Later {
				later = append(later, s.Do)
			} else {
				require.Empty(t, later, "nobody waits for what comes after")
				waited = append(waited, s.Do)
			}
		}
		return waited, later
	}
	e, l := entering("crm", "H", goodClient, start), refreshtoken.LeavingRole{Role: "crm"}
	m := refreshtoken.Minted{EnteringRole: e, TokenID: "at-1"}
	type dos = []refreshtoken.Do
	for name, c := range map[string]struct {
		plan          refreshtoken.Plan
		waited, later dos
	}{
		"mint":                 {sending("crm", start), dos{refreshtoken.ChangeRecord, refreshtoken.AskMint}, nil},
		"its answer":           {refreshtoken.MintAnswered(id, m), dos{refreshtoken.StoreToken, refreshtoken.ChangeRecord}, nil},
		"enter":                {refreshtoken.Enter(id, e), dos{refreshtoken.ChangeRecord}, nil},
		"write":                {refreshtoken.Write(id, e, l, "id-former", id, ""), dos{refreshtoken.StoreRole, refreshtoken.ChangeRecord}, dos{refreshtoken.ChangeRecord}},
		"write of none":        {refreshtoken.Write("", e, l, id), dos{refreshtoken.StoreRole}, dos{refreshtoken.ChangeRecord}},
		"exchange":             {refreshtoken.Exchanged(id, refreshtoken.Given{Minted: m}, l, "id-former"), dos{refreshtoken.ChangeRecord, refreshtoken.StoreToken, refreshtoken.StoreRole, refreshtoken.ChangeRecord}, dos{refreshtoken.ChangeRecord}},
		"exchange, no token":   {refreshtoken.Exchanged(id, refreshtoken.Given{Minted: refreshtoken.Minted{EnteringRole: e}}, l), dos{refreshtoken.ChangeRecord, refreshtoken.StoreRole, refreshtoken.ChangeRecord}, nil},
		"delete":               {refreshtoken.Delete(l, id), dos{refreshtoken.DeleteRole}, dos{refreshtoken.ChangeRecord}},
		"deauthorize":          {refreshtoken.Deauthorize(id, refreshtoken.Deauthorization{Role: "crm"}), dos{refreshtoken.ChangeRecord, refreshtoken.ForgetInRoles, refreshtoken.AskRevoke}, nil},
		"deauthorize a former": {refreshtoken.Deauthorize(id, refreshtoken.Deauthorization{}), dos{refreshtoken.ChangeRecord, refreshtoken.AskRevoke}, nil},
		"release":              {refreshtoken.Release(id, "at-1"), dos{refreshtoken.AskEndToken}, dos{refreshtoken.ChangeRecord, refreshtoken.DropTokens}},
		"revocation":           {refreshtoken.RevokeAnswered(id, refreshtoken.Revoked), nil, dos{refreshtoken.ChangeRecord}},
	} {
		waited, later := do(c.plan)
		require.Equal(t, c.waited, waited, name)
		require.Equal(t, c.later, later, name)
	}
	minted := refreshtoken.MintAnswered(id, m)
	require.Equal(t, refreshtoken.CloseTokens, minted[1].IfFails(nil)[0].Do, "it is given to nobody")
	require.Equal(t, refreshtoken.AskEndToken, minted[0].IfFails(nil)[0].Do, "nobody could revoke it later")
}

// A crash between the role and the last write of a write by hand leaves the wish to revoke
// what is in use again.
func TestReconcile_CancelsTheWishToRevokeWhatARoleIsStoredWith(t *testing.T) {
	t.Parallel()
	r := mintedFor(t, entered(t, nil, "crm", goodClient), "crm", goodClient, "at-1", start)
	r = change(t, r, refreshtoken.Leave(id, refreshtoken.LeavingRole{Role: "crm", Again: true, Now: start, Limits: limits}))
	r = entered(t, r, "books", goodClient)
	for _, p := range []refreshtoken.Presence{refreshtoken.Unknown, refreshtoken.Writing, refreshtoken.Broken} {
		require.Equal(t, refreshtoken.Nothing, reconcileWith(t, r, roles{"books": p}, true).Do)
	}
	after := change(t, r, refreshtoken.Plan{reconcileWith(t, r, roles{"books": refreshtoken.Has}, true)})
	require.False(t, after.Revoke)
	require.Equal(t, refreshtoken.Nothing, reconcileWith(t, after, roles{"books": refreshtoken.Has}, true).Do)
	zohos := given(t, nil, "crm", "at-1")
	require.Equal(t, refreshtoken.Nothing, reconcileWith(t, zohos, roles{"crm": refreshtoken.Has}, true).Do)
}
