package refreshtoken_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend/quota"
	"vault-plugin-secrets-zoho/backend/refreshtoken"
)

// change carries out the first change of a plan.
func change(t *testing.T, was *refreshtoken.Record, plan refreshtoken.Plan) *refreshtoken.Record {
	t.Helper()
	after, err := tryChange(was, plan)
	require.NoError(t, err)
	return after
}

func tryChange(was *refreshtoken.Record, plan refreshtoken.Plan) (*refreshtoken.Record, error) {
	for _, step := range plan {
		if step.Do == refreshtoken.ChangeRecord {
			return step.Change(was)
		}
	}
	return nil, errors.New("the plan changes no record")
}

const id = "id-H"

func entered(t *testing.T, was *refreshtoken.Record, role, client string) *refreshtoken.Record {
	t.Helper()
	return change(t, was, refreshtoken.Enter(id, entering(role, "H", client, start)))
}

func sending(role string, at time.Time) refreshtoken.Plan {
	return refreshtoken.Mint(id, refreshtoken.Sending{Role: role, Sent: quota.Request{At: at}, Limits: limits})
}

// mintedFor is a record after a mint for a role.
func mintedFor(t *testing.T, was *refreshtoken.Record, role, client, token string, at time.Time) *refreshtoken.Record {
	t.Helper()
	r := change(t, was, sending(role, at))
	return change(t, r, refreshtoken.MintAnswered(id, refreshtoken.Minted{
		EnteringRole: entering(role, "H", client, at), TokenID: token, Asked: at, Life: time.Hour, Limits: limits,
	}))
}

func given(t *testing.T, was *refreshtoken.Record, role, token string) *refreshtoken.Record {
	t.Helper()
	return change(t, was, refreshtoken.Exchanged(id, refreshtoken.Given{Origin: refreshtoken.Consent, Minted: refreshtoken.Minted{
		EnteringRole: entering(role, "H", goodClient, start), TokenID: token, Asked: start, Life: time.Hour, Limits: limits,
	}}, refreshtoken.LeavingRole{}))
}

func ended(t *testing.T, was *refreshtoken.Record, d refreshtoken.Deauthorization) *refreshtoken.Record {
	t.Helper()
	d.Now = start
	return change(t, was, refreshtoken.Deauthorize(id, d))
}

func requireRefused(t *testing.T, err error, reason refreshtoken.Reason) {
	t.Helper()
	require.Error(t, err)
	require.True(t, isRefusal(err, reason), "%v", err)
	require.NotContains(t, err.Error(), "secret-of")
}

func TestRecord_ThatIsEndingTakesNoRoleAndNoMintAndHandsNothingOut(t *testing.T) {
	t.Parallel()
	r := mintedFor(t, entered(t, nil, "crm", goodClient), "crm", goodClient, "at-1", start)
	require.NoError(t, r.MayHandOut("crm", "at-1"))
	e := ended(t, r, refreshtoken.Deauthorization{Role: "crm"})
	require.Equal(t, refreshtoken.Ends, e.State(func(string) refreshtoken.Presence { return refreshtoken.Has }))
	requireRefused(t, e.MayHandOut("crm", "at-1"), refreshtoken.IsEnding)
	for _, plan := range []refreshtoken.Plan{
		refreshtoken.Enter(id, entering("books", "H", goodClient, start)), sending("crm", start), sending("", start),
		refreshtoken.Exchanged(id, refreshtoken.Given{Minted: refreshtoken.Minted{EnteringRole: entering("books", "H", goodClient, start)}}, refreshtoken.LeavingRole{}),
		refreshtoken.Write(id, entering("crm", "H", goodClient, start), refreshtoken.LeavingRole{}),
	} {
		_, err := tryChange(e, plan)
		requireRefused(t, err, refreshtoken.IsEnding)
		require.ErrorContains(t, err, `for role "crm"`)
	}
}

func TestHandOut_LooksAtTheRoleAndTheTokenOnceMore(t *testing.T) {
	t.Parallel()
	r := mintedFor(t, entered(t, nil, "crm", goodClient), "crm", goodClient, "at-1", start)
	requireRefused(t, (*refreshtoken.Record)(nil).MayHandOut("crm", "at-1"), refreshtoken.Gone)
	requireRefused(t, r.MayHandOut("books", "at-1"), refreshtoken.NotNamed)
	requireRefused(t, r.MayHandOut("crm", "at-2"), refreshtoken.NotCounted)
	requireRefused(t, r.MayHandOut("crm", ""), refreshtoken.NotCounted)
	gone := change(t, r, refreshtoken.Release(id, "at-1"))
	requireRefused(t, gone.MayHandOut("crm", "at-1"), refreshtoken.NotCounted)
	require.Empty(t, gone.Grants[goodClient].Current)
	newer := mintedFor(t, r, "crm", goodClient, "at-2", start.Add(time.Minute))
	require.NoError(t, newer.MayHandOut("crm", "at-1"), "a superseded one still counts")
	require.False(t, newer.Keeps("at-1"))
	require.True(t, newer.Keeps("at-2"))
}

func TestMint_NeedsARoleThatTheRecordNames(t *testing.T) {
	t.Parallel()
	_, err := tryChange(nil, sending("crm", start))
	requireRefused(t, err, refreshtoken.Gone)
	r := entered(t, nil, "crm", goodClient)
	_, err = tryChange(r, sending("books", start))
	requireRefused(t, err, refreshtoken.NotNamed)
	require.Len(t, change(t, r, sending("crm", start)).Quota.Requests, 1)
	require.Len(t, change(t, r, sending("", start)).Quota.Requests, 1, "ahead, for whoever reads next")
}

// A server can give a refresh token that the mount has already.
func TestExchange_ARefreshTokenThatIsKnownIsMergedWithTheRecord(t *testing.T) {
	t.Parallel()
	known := mintedFor(t, entered(t, nil, "crm", goodClient), "crm", goodClient, "at-1", start)
	r := given(t, known, "books", "at-2")
	require.Equal(t, []string{"books", "crm"}, r.Roles)
	require.Equal(t, refreshtoken.Consent, r.Origin)
	require.True(t, r.Revoke)
	require.True(t, r.Counts("at-1"))
	require.True(t, r.Counts("at-2"))
	exchanged := refreshtoken.Exchanged(id, refreshtoken.Given{Minted: refreshtoken.Minted{EnteringRole: entering("books", "H", goodClient, start)}}, refreshtoken.LeavingRole{})
	require.Empty(t, exchanged[0].IfFails(known), "the other role keeps it")
	require.Equal(t, refreshtoken.AskRevokeNow, exchanged[0].IfFails(nil)[0].Do)
	require.True(t, known.IsTracked())
	ends := ended(t, known, refreshtoken.Deauthorization{Role: "crm"})
	require.Empty(t, exchanged[0].IfFails(ends), "it is revoked anyway")
	ends = change(t, ends, refreshtoken.RevokeAnswered(id, refreshtoken.Revoked))
	require.Len(t, exchanged[0].IfFails(ends), 1, "it was, and is not again")
}

// A record counts a request whose answer belongs to another one in flight.
func TestMint_AnAnswerBelongsToItsOwnRequest(t *testing.T) {
	t.Parallel()
	r := change(t, entered(t, nil, "crm", goodClient), sending("crm", start))
	r = change(t, r, refreshtoken.Exchanged(id, refreshtoken.Given{Origin: refreshtoken.Code, Minted: refreshtoken.Minted{
		EnteringRole: entering("books", "H", goodClient, start), TokenID: "at-2", Asked: start.Add(time.Second), Life: time.Hour, Limits: limits,
	}}, refreshtoken.LeavingRole{}))
	r = change(t, r, mintFailed(id, refreshtoken.Failed{Failure: refreshtoken.Failure{At: start, Definite: true}, Grant: goodClient, Asked: start, NoToken: true, Limits: limits}))
	require.True(t, r.Quota.Requests[0].NoLiveToken)
	require.True(t, r.Counts("at-2"))
}

func TestLeave_WhatZohoGaveIsRevokedAndWhatWasWrittenByHandLivesOn(t *testing.T) {
	t.Parallel()
	leave := refreshtoken.LeavingRole{Role: "crm", Now: start, Limits: limits}
	again, unsaid := leave, leave
	again.Again, unsaid.Unsaid = true, true
	byHand := mintedFor(t, entered(t, nil, "crm", goodClient), "crm", goodClient, "at-1", start)
	for name, c := range map[string]struct {
		was    *refreshtoken.Record
		leaves refreshtoken.LeavingRole
		revoke bool
	}{
		"from Zoho":                     {given(t, nil, "crm", "at-1"), leave, true},
		"from Zoho, authorized again":   {given(t, nil, "crm", "at-1"), again, true},
		"from Zoho, never stored":       {given(t, nil, "crm", "at-1"), unsaid, true},
		"by hand":                       {byHand, leave, false},
		"by hand, and authorized again": {byHand, again, true},
		"by hand, never stored":         {byHand, unsaid, false},
	} {
		after := change(t, c.was, refreshtoken.Leave(id, c.leaves))
		require.Empty(t, after.Roles, name)
		require.Equal(t, c.revoke, after.Revoke, name)
		require.Equal(t, !c.revoke, refreshtoken.LivesOn(c.was, after), name)
		require.Equal(t, !c.revoke, after.RefreshToken.IsZero(), name)
		require.Equal(t, !c.revoke, after.ClientSecret.IsZero(), name)
		require.Equal(t, "crm", after.Former.Role, name)
	}
	two := entered(t, byHand, "books", goodClient)
	after := change(t, two, refreshtoken.Leave(id, again))
	require.False(t, after.Revoke, "another has it")
	require.False(t, refreshtoken.LivesOn(two, after))
	never := entered(t, nil, "crm", goodClient)
	require.Nil(t, change(t, never, refreshtoken.Leave(id, unsaid)), "nothing counts")
	require.True(t, refreshtoken.LivesOn(never, nil))
}

// The wish ends when a role is stored with it, and not before.
func TestEnter_DoesNotCancelTheWishToRevokeUntilTheRoleIsStored(t *testing.T) {
	t.Parallel()
	r := mintedFor(t, entered(t, nil, "crm", goodClient), "crm", goodClient, "at-1", start)
	r = change(t, r, refreshtoken.Leave(id, refreshtoken.LeavingRole{Role: "crm", Again: true, Now: start, Limits: limits}))
	r = entered(t, r, "books", goodClient)
	require.True(t, r.Revoke)
	never := change(t, r, refreshtoken.Leave(id, refreshtoken.LeavingRole{Role: "books", Unsaid: true, Now: start, Limits: limits}))
	require.True(t, never.Revoke)
	require.Equal(t, "crm", never.Former.Role)
	stored := change(t, r, refreshtoken.Write(id, entering("books", "H", goodClient, start), refreshtoken.LeavingRole{}))
	require.False(t, stored.Revoke)
	require.Nil(t, stored.Former)
	again, err := tryChange(stored, refreshtoken.Write(id, entering("books", "H", goodClient, start), refreshtoken.LeavingRole{}))
	require.NoError(t, err)
	require.Same(t, stored, again, "the look costs no write")
}

func TestDeauthorize_OthersThatHaveItOrAreBeingWrittenNeedForce(t *testing.T) {
	t.Parallel()
	r := entered(t, mintedFor(t, entered(t, nil, "crm", goodClient), "crm", goodClient, "at-1", start), "books", goodClient)
	for presence, others := range map[refreshtoken.Presence]bool{
		refreshtoken.Unknown: true, refreshtoken.Writing: true, refreshtoken.Has: true, refreshtoken.Broken: true,
		refreshtoken.Other: false, refreshtoken.Again: false, refreshtoken.NotThere: false,
	} {
		d := refreshtoken.Deauthorization{Role: "crm", Holds: map[string]refreshtoken.Presence{"books": presence}}
		_, err := tryChange(r, refreshtoken.Deauthorize(id, d))
		if others {
			requireRefused(t, err, refreshtoken.OthersHaveIt)
			require.ErrorContains(t, err, "books")
		} else {
			require.NoError(t, err)
		}
		d.Force = true
		require.True(t, ended(t, r, d).IsEnding())
	}
	_, err := tryChange(r, refreshtoken.Deauthorize(id, refreshtoken.Deauthorization{Role: "crm"}))
	requireRefused(t, err, refreshtoken.OthersHaveIt)
	_, err = tryChange(r, refreshtoken.Deauthorize(id, refreshtoken.Deauthorization{Role: "desk", Force: true}))
	requireRefused(t, err, refreshtoken.NotNamed)
	_, err = tryChange(nil, refreshtoken.Deauthorize(id, refreshtoken.Deauthorization{Role: "crm", Force: true}))
	requireRefused(t, err, refreshtoken.Gone)
}

// Invariant 14: who knows a refresh token, but not the client's secret, ends nothing of others.
func TestDeauthorize_ByCredentialsThatNeverMintedEndsNothingOfOthers(t *testing.T) {
	t.Parallel()
	r := mintedFor(t, entered(t, nil, "crm", goodClient), "crm", goodClient, "at-1", start)
	r = entered(t, r, "evil", badClient)
	require.False(t, r.IsProven("evil"))
	require.True(t, r.IsProven("crm"))
	_, err := tryChange(r, refreshtoken.Deauthorize(id, refreshtoken.Deauthorization{Role: "evil", Force: true}))
	requireRefused(t, err, refreshtoken.NeverMinted)
	gone := map[string]refreshtoken.Presence{"crm": refreshtoken.NotThere}
	_, err = tryChange(r, refreshtoken.Deauthorize(id, refreshtoken.Deauthorization{Role: "evil", Holds: gone, OthersLease: true}))
	requireRefused(t, err, refreshtoken.NeverMinted)
	require.True(t, ended(t, r, refreshtoken.Deauthorization{Role: "evil", Holds: gone}).IsEnding(), "nobody else uses it")
	require.True(t, ended(t, r, refreshtoken.Deauthorization{Role: "crm", Force: true}).IsEnding())

	r = mintedFor(t, r, "evil", badClient, "at-2", start)
	require.True(t, r.IsProven("evil"))
	require.Equal(t, "secret-of-"+badClient, r.ClientSecret.Reveal(), "of the client that minted last")
	require.False(t, entered(t, r, "crm", "g-new").IsProven("crm"), "it was written with another secret")
}

// The emergency for which deauthorize is there: the mount's client was changed, or the config
// deleted. The record has what is needed, and knows who has proven itself.
func TestDeauthorize_NeedsNeitherTheConfigNorTheRolesClient(t *testing.T) {
	t.Parallel()
	r := mintedFor(t, entered(t, nil, "crm", goodClient), "crm", goodClient, "at-1", start)
	e := ended(t, r, refreshtoken.Deauthorization{Role: "crm", By: refreshtoken.Requester{EntityID: strings.Repeat("e", 5000)}})
	require.Equal(t, "H", e.RefreshToken.Reveal())
	require.Equal(t, "secret-of-"+goodClient, e.ClientSecret.Reveal())
	require.LessOrEqual(t, len(e.Ending.By.EntityID), 256)
}

func TestDeauthorize_AgainTriesItAtOnce(t *testing.T) {
	t.Parallel()
	e := ended(t, given(t, nil, "crm", "at-1"), refreshtoken.Deauthorization{Role: "crm"})
	e = change(t, e, refreshtoken.RevokeFailed(id, e, start, "no answer"))
	require.Equal(t, start.Add(time.Minute), e.Ending.RetryAt)
	require.True(t, ended(t, e, refreshtoken.Deauthorization{Role: "crm"}).Ending.RetryAt.IsZero())
}

func TestDeauthorize_OfWhatARoleHadBeforeEndsItWhileItIsLeased(t *testing.T) {
	t.Parallel()
	r := given(t, nil, "crm", "at-1")
	_, err := tryChange(r, refreshtoken.Deauthorize(id, refreshtoken.Deauthorization{}))
	requireRefused(t, err, refreshtoken.NotOver)
	r = change(t, r, refreshtoken.Leave(id, refreshtoken.LeavingRole{Role: "crm", Again: true, Now: start, Limits: limits}))
	e := ended(t, r, refreshtoken.Deauthorization{})
	require.Equal(t, "crm", e.Ending.Role)
}

func TestRevoke_IsGivenUpAfterAWeekAndWhatNeverWorkedByHandAfterOneAttempt(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		r        *refreshtoken.Record
		attempts int
	}{
		"from Zoho": {given(t, nil, "crm", "at-1"), refreshtoken.MaxRevocationFailures},
		"from Zoho, and its access token was no use": {given(t, nil, "crm", ""), refreshtoken.MaxRevocationFailures},
		"by hand, and it has worked":                 {mintedFor(t, entered(t, nil, "crm", goodClient), "crm", goodClient, "at-1", start), refreshtoken.MaxRevocationFailures},
		"by hand, and it never worked":               {entered(t, nil, "crm", goodClient), 1},
	} {
		e, now := ended(t, c.r, refreshtoken.Deauthorization{Role: "crm"}), start
		for attempt := 1; e.Ending.Outcome == ""; attempt++ {
			plan := refreshtoken.RevokeFailed(id, e, now, strings.Repeat("x", 9000))
			require.Equal(t, attempt == c.attempts, plan[0].Do == refreshtoken.TellGivenUp, "%s: told, before it is forgotten", name)
			e = change(t, e, plan)
			require.Equal(t, attempt, e.Ending.Failures)
			require.LessOrEqual(t, len(e.Ending.LastError), 1024)
			now = e.Ending.RetryAt
		}
		require.Equal(t, refreshtoken.GivenUp, e.Ending.Outcome, name)
		require.Equal(t, c.attempts, e.Ending.Failures, name)
		require.Less(t, now.Sub(start), 9*24*time.Hour, name)
	}
}

func TestEnter_RefusesTheThousandAndFirstRoleInWords(t *testing.T) {
	t.Parallel()
	r := mintedFor(t, entered(t, nil, "role-0", goodClient), "role-0", goodClient, "at-1", start)
	for i := 1; i < refreshtoken.MaxRoles; i++ {
		r = entered(t, r, fmt.Sprintf("role-%d", i), goodClient)
	}
	_, err := tryChange(r, refreshtoken.Enter(id, entering("one-more", "H", goodClient, start)))
	requireRefused(t, err, refreshtoken.TooMany)
	require.ErrorContains(t, err, "1000 roles")
	require.Len(t, entered(t, r, "role-7", goodClient).Roles, refreshtoken.MaxRoles, "one that is there can be written again")
}

func TestEnter_CredentialsThatNeverMintedLeaveRoomForOthers(t *testing.T) {
	t.Parallel()
	r := mintedFor(t, entered(t, nil, "honest", goodClient), "honest", goodClient, "at-1", start)
	for i := range refreshtoken.MaxUnproven {
		r = entered(t, r, fmt.Sprintf("evil-%d", i), fmt.Sprintf("guess-%d", i))
	}
	_, err := tryChange(r, refreshtoken.Enter(id, entering("evil", "H", "guess", start)))
	requireRefused(t, err, refreshtoken.TooManyTried)
	r = entered(t, r, "honest-2", goodClient)
	require.True(t, r.IsProven("honest-2"))
	r = given(t, r, "honest-3", "at-2")
	require.True(t, r.IsProven("honest-3"), "Zoho has taken its client's secret")
}

func TestGrants_ThatNeverWorkedAreForgottenAndNotThoseThatHave(t *testing.T) {
	t.Parallel()
	r := mintedFor(t, entered(t, nil, "crm", goodClient), "crm", goodClient, "at-1", start)
	for i := range 200 {
		at := start.Add(time.Duration(i) * time.Hour)
		grant := fmt.Sprintf("guess-%d", i)
		r = change(t, r, mintFailed(id, refreshtoken.Failed{Failure: refreshtoken.Failure{At: at, Definite: true, Code: strings.Repeat("c", 9000), Text: strings.Repeat("ü", 9000)}, Grant: grant, Asked: at, NoToken: true, Limits: limits}))
		require.NotNil(t, r.Grants[grant].Failure, "the latest one is kept")
	}
	require.Len(t, r.Grants, refreshtoken.MaxGrants+1)
	require.Equal(t, "at-1", r.Grants[goodClient].Current)
	require.LessOrEqual(t, len(encoded(r)), 64<<10)
}

func TestFailure_OfATrialIsNotKeptAndThrottlingIsKeptForAll(t *testing.T) {
	t.Parallel()
	r := change(t, entered(t, nil, "crm", goodClient), sending("crm", start))
	failed := refreshtoken.Failed{Failure: refreshtoken.Failure{At: start, Definite: true}, Grant: goodClient, Asked: start, NoToken: true, Trial: true, Limits: limits}
	after := change(t, r, mintFailed(id, failed))
	require.Nil(t, after.Grants[goodClient].Failure)
	require.Len(t, after.Quota.Requests, 1, "it counts")
	failed.Trial = false
	after = change(t, r, mintFailed(id, failed))
	require.True(t, after.Grants[goodClient].Failure.Forbids(start.Add(1000*time.Hour)))
	require.NotNil(t, after.Grants[goodClient].Refusal)
	forgiven, err := forgive(goodClient, start)(after)
	require.NoError(t, err)
	require.Nil(t, forgiven.Grants[goodClient].Failure)
	require.NotNil(t, forgiven.Grants[goodClient].Refusal, "what is handed out until then is in doubt")

	failed.Definite, failed.Throttled = false, true
	after = change(t, r, mintFailed(id, failed))
	require.Equal(t, quota.Silent, after.Quota.Request(start, limits).Verdict)
	failed.Throttled = false
	for n := range 3 {
		after = change(t, r, mintFailed(id, failed))
		require.Equal(t, start.Add(quota.Backoff(n+1)), after.Grants[goodClient].Failure.RetryAt)
		require.True(t, after.Grants[goodClient].Failure.Forbids(start))
		r = after
	}
}
