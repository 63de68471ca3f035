package backend_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"
	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend"
	"vault-plugin-secrets-zoho/backend/secret"
	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/backend/zoho"
	"vault-plugin-secrets-zoho/zohosim"
)

// Invariants 7 and 15: a lease ends without the salt, with which the roles of a refresh token are found.
func TestRevocation_OfALeaseWithoutTheSaltLeavesARefreshTokenThatARoleHas(t *testing.T) {
	w := newWorld(t)
	shared := w.refreshToken
	w.writeRole("books", settings.RoleChange{RefreshToken: &shared})
	held := w.read("books")
	w.reauthorize()
	w.clock.Advance(5 * time.Minute)
	w.tick()
	require.True(t, w.alive(held))
	w.engine.Close()
	w.engine = backend.New(backend.Options{Storage: w.storage, Now: w.now, After: w.pauses.after, UserAgent: "test"})
	w.storage.unreadable(func(key string) bool { return key == "salt" })
	require.Error(t, w.engine.Open(context.Background()))
	w.storage.unreadable(nil)
	require.NoError(t, w.release(held))
	w.settle()
	require.NoError(t, w.engine.Open(context.Background()))
	require.Contains(t, w.sim.RefreshTokens(w.client, "us", "user@example.com"), shared, "books still has it")
	w.read("books")
}

// readsWhileThrottled begins a read of crm-sync, whose request is under way while Zoho
// throttles that of another role. first lets the answer come, and returns what the read got.
func (w *world) readsWhileThrottled(other string) (first func() error) {
	w.t.Helper()
	n := len(w.sim.Requests())
	release := w.holdAnswers()
	outcome := make(chan error, 1)
	go func() {
		_, err := w.engine.Issue(w.t.Context(), "crm-sync", backend.Reader{})
		outcome <- err
	}()
	w.waitForRequests(n + 1)
	w.sim.SetLatency(0) // what comes now is answered at once
	w.sim.Fault(zohosim.EndpointToken, zohosim.Fault{Kind: zohosim.FaultThrottled, Count: 1})
	require.Error(w.t, w.readError(other))
	return func() error {
		release()
		return <-outcome
	}
}

// Invariant 4: where requests are counted for the client, several are under way at once.
func TestThrottle_IsNotEndedByTheSuccessOfARequestThatWasSentBefore(t *testing.T) {
	w := newWorld(t)
	w.configure(settings.ConfigChange{CountRequestsPer: ptr(settings.CountPerClient)})
	w.writeRole("second", settings.RoleChange{RefreshToken: ptr(w.consent())})
	w.writeRole("third", settings.RoleChange{RefreshToken: ptr(w.consent())})
	first := w.readsWhileThrottled("second")
	require.NoError(t, first())
	n := len(w.sim.Requests())
	require.Error(t, w.readError("third"), "silence for the cool-down")
	require.Len(t, w.sim.Requests(), n)
}

// A throttle that is over must not hide what is wrong now.
func TestStatus_TellsTheLatestFailureAndNotAThrottleBeforeIt(t *testing.T) {
	w := newWorld(t)
	w.sim.Fault(zohosim.EndpointToken, zohosim.Fault{Kind: zohosim.FaultThrottled, Count: 1})
	require.Error(t, w.readError("crm-sync"))
	w.clock.Advance(11 * time.Minute)
	w.sim.SetDown(true)
	require.Error(t, w.readError("crm-sync"))
	status := w.status("crm-sync")
	require.Equal(t, backend.StateUnreachable, status.State)
	require.Equal(t, w.clock.Now(), status.LastErrorAt)
}

// The back-off after a failure ends before the window does.
func TestStatus_WithNothingLeftTellsWhenThereIsSomethingAgain(t *testing.T) {
	w := newWorld(t)
	w.configure(settings.ConfigChange{RequestBudget: ptr(5)})
	require.NoError(t, w.release(w.read("crm-sync")))
	w.sim.SetDown(true)
	for range 40 {
		require.Error(t, w.readError("crm-sync"))
		w.clock.Advance(5 * time.Second)
	}
	status := w.status("crm-sync")
	require.Zero(t, status.RequestsLeft)
	require.True(t, status.RetryAt.After(w.clock.Now()), status.RetryAt)
}

// The role works on, so whoever found its refresh token has to know whose it is.
func TestLookup_FindsARefreshTokenOfARoleThatIsPinnedToAFormerServer(t *testing.T) {
	w := newWorld(t)
	w.writeRole("own", w.own(settings.RoleChange{RefreshToken: &w.refreshToken}))
	w.deleteRole("crm-sync")
	other := w.sim.AddClient(zohosim.ClientSpec{})
	w.configure(settings.ConfigChange{AccountsURL: ptr(""), DataCenter: ptr("us"), ClientID: &other.ID, ClientSecret: ptr(other.Secret("us"))})
	w.read("own")
	found, err := w.engine.Lookup(t.Context(), secret.New(w.refreshToken))
	require.NoError(t, err)
	require.Equal(t, []string{"own"}, found.RefreshToken.Roles)
}

// Invariant 14.
func TestGrant_CredentialsThatNeverWorkedEndNoTokenOfOthersToMakeRoom(t *testing.T) {
	w := newWorldWith(t, zohosim.Options{Throttle: throttleOff})
	w.configure(settings.ConfigChange{RequestBudget: ptr(100)})
	w.read("crm-sync")
	w.writeRole("own", settings.RoleChange{RefreshToken: &w.refreshToken, Exclusive: ptr(true)})
	w.clock.Advance(40 * time.Minute)
	w.tick() // mints ahead: nobody holds the current token
	current := w.status("crm-sync").TokenID
	for range 5 {
		w.read("own")
		w.clock.Advance(time.Second)
	}
	_, _ = w.write("evil", settings.RoleChange{RefreshToken: &w.refreshToken, ClientID: &w.client.ID, ClientSecret: ptr("wrong")}) // refused, or not tried
	w.settle()
	require.Equal(t, current, w.status("crm-sync").TokenID)
}

// Invariant 14: the refresh token is known, and the client secret is not.
func TestDeauthorize_ByCredentialsThatNeverWorkedEndsNoTokenThatOthersGot(t *testing.T) {
	w := newWorld(t)
	held := w.read("crm-sync")
	w.reauthorize()
	require.True(t, w.alive(held))
	w.writeRole("evil", settings.RoleChange{RefreshToken: &w.refreshToken, ClientID: &w.client.ID, ClientSecret: ptr("wrong"), Verify: ptr(false)})
	_, err := w.deauthorize("evil", false)
	require.ErrorContains(t, err, "has never got an access token")
	require.True(t, w.alive(held))
}

// Invariant 17: a write that came back after the ledger was erased.
func TestSweep_ALedgerWithoutATokenIsDeleted(t *testing.T) {
	w := newWorld(t)
	require.NoError(t, w.storage.Put(t.Context(), &logical.StorageEntry{Key: "holders/0123/00000000", Value: []byte("{}\n")}))
	for range 200 {
		w.clock.Advance(time.Hour)
		w.tick()
	}
	require.Empty(t, w.keys("holders/"))
}

// Two people can be asked one after the other.
func TestConsent_TheEndOfAnEarlierLinkIsNotThatOfTheLatest(t *testing.T) {
	w := newConsentWorld(t)
	first := w.authorize().String()
	w.clock.Advance(time.Minute)
	w.authorize()
	_, err := w.complete(w.decide(first, "reject"))
	require.Error(t, err)
	require.Equal(t, backend.ConsentPending, w.status("desk").LastConsent.State)
}

// Invariant 17.
func TestThrottle_OfAWrongClockIsToldWithTheEndThatCounts(t *testing.T) {
	w := newWorld(t)
	w.setClockWrong(24 * time.Hour)
	w.sim.Fault(zohosim.EndpointToken, zohosim.Fault{Kind: zohosim.FaultThrottled, Count: 1})
	require.Error(t, w.readError("crm-sync"))
	w.setClockWrong(0)
	w.clock.Advance(time.Minute)
	told := grantError(t, w.readError("crm-sync")).RetryAt
	require.Equal(t, told, w.status("crm-sync").RetryAt)
	require.True(t, told.Before(w.clock.Now().Add(time.Hour)), told)
	w.clock.Advance(11 * time.Minute)
	w.read("crm-sync")
}

// Invariant 13.
func TestExchange_ThatIsThrottledWhileAMintSucceedsSaysSo(t *testing.T) {
	w := newWorld(t)
	w.configure(settings.ConfigChange{CountRequestsPer: ptr(settings.CountPerClient)})
	w.writeRole("other", settings.RoleChange{RefreshToken: ptr(w.consent())})
	code := w.code()
	release := w.holdAnswers()
	first := make(chan error, 1)
	go func() { _, err := w.engine.Issue(t.Context(), "crm-sync", backend.Reader{}); first <- err }()
	w.waitForRequests(1)
	w.sim.SetLatency(0)
	w.sim.Fault(zohosim.EndpointToken, zohosim.Fault{Kind: zohosim.FaultThrottled, Count: 1})
	n := 0
	w.storage.listing(func(prefix string) {
		if strings.HasPrefix(prefix, "client-refresh-tokens/") {
			if n++; n == 2 {
				release()
				require.NoError(t, <-first)
			}
		}
	})
	_, err := w.writeCode("other", code)
	require.Equal(t, zoho.Throttled, grantError(t, err).Kind)
}

// Invariant 16: the decision is deleted last.
func TestErase_ACrashInTheMiddleBringsNoDeadTokenBack(t *testing.T) {
	w := newWorld(t)
	issued := w.read("crm-sync")
	for range 40 {
		w.read("crm-sync")
		w.clock.Advance(time.Second)
	}
	w.settle()
	keys := w.keys("holders/")
	require.Greater(t, len(keys), 1)
	slices.Sort(keys)
	w.storage.failing(func(key string) bool { return key == keys[0] && !w.alive(issued) })
	_, err := w.engine.KillToken(t.Context(), issued.TokenID)
	require.ErrorIs(t, err, errDisk)
	w.storage.failing(nil)
	w.restart()
	w.tick()
	require.Equal(t, backend.TokenEnded, w.known(issued.TokenID).State)
}

// Invariant 17: an operator can allow very many requests.
func TestQuota_ARecordKeepsOnlyRequestsThatStillCount(t *testing.T) {
	w := newWorldWith(t, zohosim.Options{Throttle: throttleOff, MaxLiveTokens: 100000})
	w.configure(settings.ConfigChange{RequestBudget: ptr(1000), RequestWindow: ptr(time.Minute), MaxLiveTokens: ptr(1000)})
	w.writeRole("own", settings.RoleChange{RefreshToken: &w.refreshToken, Exclusive: ptr(true)})
	for range 1500 {
		require.NoError(t, w.release(w.read("own")))
		w.clock.Advance(300 * time.Millisecond)
	}
	size := 0
	for _, record := range w.stored("refresh-tokens/") {
		size = max(size, len(record))
	}
	require.Less(t, size, 1<<16)
}

// The emergency: the client secret has leaked and was replaced, and Zoho cannot be asked.
func TestDeauthorize_WithANewClientSecretEndsWhatTheRoleItselfGot(t *testing.T) {
	w := newWorld(t)
	w.read("crm-sync")
	w.configure(settings.ConfigChange{ClientSecret: ptr("1000.another")})
	w.sim.SetDown(true)
	_, err := w.deauthorize("crm-sync", false)
	require.Equal(t, zoho.Unreachable, grantError(t, err).Kind)
	require.Equal(t, backend.StateDeauthorized, w.status("crm-sync").State)
	require.True(t, w.status("crm-sync").Pending[0].Decided)
}

// What another role got is ended first, and that is enough although Zoho does not know yet.
func TestDeauthorize_IsNotHeldUpByATokenWhoseEndIsDecided(t *testing.T) {
	w := newWorld(t)
	former := w.refreshToken
	held := w.read("crm-sync")
	w.reauthorize()
	w.writeRole("books", settings.RoleChange{RefreshToken: &former, ClientID: &w.client.ID, ClientSecret: ptr("another"), Verify: ptr(false)})
	_, err := w.deauthorize("books", false)
	require.ErrorContains(t, err, "delete <mount>/tokens/"+held.TokenID)
	w.sim.SetDown(true)
	_, err = w.engine.KillToken(t.Context(), held.TokenID)
	require.Error(t, err)
	_, err = w.deauthorize("books", false)
	require.Equal(t, zoho.Unreachable, grantError(t, err).Kind)
}

// With client_credentials Zoho counts the tokens of all roles of a client together.
func TestMint_OfANewRoleTakesTheRoomOfTokensThatNobodyHolds(t *testing.T) {
	w := newWorldWith(t, zohosim.Options{Throttle: throttleOff})
	w.configure(settings.ConfigChange{RequestBudget: ptr(100)})
	for i := range 12 {
		letter := string(rune('a' + i))
		warnings := w.writeRole("robot-"+letter, settings.RoleChange{
			GrantType: clientCredentials, Scopes: &[]string{"ZohoCRM.modules.READ", "ZohoCRM." + letter + ".READ"}, SOID: ptr("ZohoCRM.600123434"), Verify: ptr(true),
		})
		require.NotContains(t, strings.Join(warnings, "\n"), "without having been tried")
		require.Equal(t, i+1, w.asked())
		w.clock.Advance(time.Second)
	}
}

// Invariant 17: a silence that was dated in the future is over for the status, too.
func TestThrottle_OfAWrongClockIsOverWithTheNextSuccess(t *testing.T) {
	w := newWorld(t)
	w.configure(settings.ConfigChange{CountRequestsPer: ptr(settings.CountPerClient)})
	w.setClockWrong(24 * time.Hour)
	w.sim.Fault(zohosim.EndpointToken, zohosim.Fault{Kind: zohosim.FaultThrottled, Count: 1})
	require.Error(t, w.readError("crm-sync"))
	w.setClockWrong(0)
	require.Error(t, w.readError("crm-sync"))
	w.clock.Advance(12 * time.Minute)
	w.read("crm-sync")
	require.Equal(t, backend.StateReady, w.status("crm-sync").State)
}

// Invariants 4 and 9: the config that is tried is not the one that counts.
func TestConfig_ATrialThatIsRefusedForgetsNoRequest(t *testing.T) {
	w := newWorld(t)
	w.read("crm-sync")
	for range 3 {
		w.clock.Advance(time.Minute)
		_, err := w.rotate("crm-sync")
		require.NoError(t, err)
	}
	w.clock.Advance(2 * time.Minute)
	before := w.status("crm-sync").RequestsLeft
	_, err := w.engine.WriteConfig(t.Context(), settings.ConfigChange{ClientSecret: ptr("wrong"), RequestWindow: ptr(time.Minute)})
	require.Error(t, err)
	require.Equal(t, before-1, w.status("crm-sync").RequestsLeft)
}

// A failure that came after a throttle does not hide that nothing is asked for minutes.
func TestStatus_TellsOfASilenceThatIsInForceWhateverFailedAfterIt(t *testing.T) {
	w := newWorld(t)
	w.configure(settings.ConfigChange{CountRequestsPer: ptr(settings.CountPerClient)})
	w.writeRole("second", settings.RoleChange{RefreshToken: ptr(w.consent())})
	w.sim.Fault(zohosim.EndpointToken, zohosim.Fault{Kind: zohosim.FaultHTML500, Count: 1})
	first := w.readsWhileThrottled("second")
	w.clock.Advance(time.Second)
	require.Error(t, first())
	require.Equal(t, backend.StateThrottled, w.status("crm-sync").State)
}
