package backend_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend"
	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/zohosim"
)

// status demands that Zoho is not asked for it.
func (w *world) status(role string) *backend.Status {
	w.t.Helper()
	before := len(w.sim.Requests())
	status, err := w.engine.Status(w.t.Context(), role)
	require.NoError(w.t, err)
	require.Len(w.t, w.sim.Requests(), before)
	return status
}

func TestStatus_OfARoleThatWasNeverRead(t *testing.T) {
	w := newWorld(t)
	status := w.status("crm-sync")
	require.NotEmpty(t, status.GrantID)
	status.GrantID = ""
	require.Empty(t, status.SharedWith)
	status.SharedWith = nil
	require.Equal(t, &backend.Status{State: backend.StateNeverTried, Authorized: true, RequestsLeft: 10}, status)
}

func TestStatus_OfARoleThatNobodyHasAuthorized(t *testing.T) {
	w := newWorld(t)
	w.writeRole("desk", settings.RoleChange{Scopes: &scopes})
	require.Equal(t, &backend.Status{State: backend.StateNeverTried, Scopes: scopes, RequestsLeft: 10}, w.status("desk"))
}

func TestStatus_CountsTokensHoldersAndWhatIsLeftOfTheBudget(t *testing.T) {
	w := newWorld(t)
	w.sim.SetAnswer(zohosim.Answer{WithScope: true})
	w.writeRole("books", settings.RoleChange{RefreshToken: &w.refreshToken})
	w.writeRole("own", settings.RoleChange{RefreshToken: &w.refreshToken, Exclusive: ptr(true)})
	shared, _, own := w.read("crm-sync"), w.read("books"), w.read("own")
	for range 2 {
		w.restart()
		status := w.status("crm-sync")
		require.Equal(t, backend.StateReady, status.State)
		require.Equal(t, w.clock.Now(), status.LastSuccess)
		require.Equal(t, 8, status.RequestsLeft)
		require.Equal(t, 2, status.LiveTokens)
		require.Equal(t, 3, status.Holders)
		require.Equal(t, shared.TokenID, status.TokenID)
		require.Equal(t, shared.ExpiresAt, status.ExpiresAt)
		require.ElementsMatch(t, []string{"books", "own"}, status.SharedWith)
		require.Equal(t, scopes, status.Granted)
		require.ElementsMatch(t, status.SharedWith, status.BudgetWith)
	}
	require.NoError(t, w.release(own))
	status := w.status("crm-sync")
	require.Equal(t, 1, status.LiveTokens)
	require.Equal(t, 2, status.Holders)

	w.clock.Advance(10*time.Minute + 11*time.Second)
	require.Equal(t, 10, w.status("crm-sync").RequestsLeft, "the window slides")
}

func TestStatus_NextRefreshIsWhenTheTokenIsReplacedAhead(t *testing.T) {
	w := newWorld(t)
	first := w.read("crm-sync")
	status := w.status("crm-sync")
	require.NotZero(t, status.NextRefresh)
	w.clock.Advance(status.NextRefresh.Sub(w.clock.Now()))
	w.tick()
	require.Equal(t, first.TokenID, w.status("crm-sync").TokenID)
	w.clock.Advance(time.Second)
	w.tick()
	require.NotEqual(t, first.TokenID, w.status("crm-sync").TokenID)
	w.configure(settings.ConfigChange{RefreshAhead: ptr(false)})
	require.Zero(t, w.status("crm-sync").NextRefresh)
}

func TestStatus_TellsWhyThereIsNoToken(t *testing.T) {
	for state, spoil := range map[backend.GrantState]func(*world){
		backend.StateUnreachable: func(w *world) { w.sim.SetDown(true) },
		backend.StateThrottled: func(w *world) {
			w.sim.Fault(zohosim.EndpointToken, zohosim.Fault{Kind: zohosim.FaultThrottled})
		},
		backend.StateRefused: func(w *world) { w.sim.Kill(w.refreshToken) },
	} {
		t.Run(string(state), func(t *testing.T) {
			w := newWorld(t)
			spoil(w)
			failed := grantError(t, w.readError("crm-sync"))
			w.restart()
			status := w.status("crm-sync")
			require.Equal(t, state, status.State)
			require.Equal(t, w.clock.Now(), status.LastErrorAt)
			require.Equal(t, failed.Code, status.ErrorCode)
			require.Equal(t, failed.RetryAt.Unix(), status.RetryAt.Unix())
			require.Contains(t, failed.Error(), status.LastError)
			require.NotContains(t, status.LastError, w.refreshToken)
			require.Zero(t, status.LastSuccess)
			require.Equal(t, 9, status.RequestsLeft)

			w.sim.SetDown(false)
			w.sim.ClearFaults()
			w.clock.Advance(11 * time.Minute)
			w.writeRole("crm-sync", settings.RoleChange{RefreshToken: ptr(w.consent())})
			w.read("crm-sync")
			status = w.status("crm-sync")
			require.Equal(t, backend.StateReady, status.State)
			require.Empty(t, status.LastError)
		})
	}
}

func TestStatus_OfAClientThatTheMountHasNoLongerSaysWhatToDo(t *testing.T) {
	w := newWorld(t)
	w.configure(settings.ConfigChange{ClientID: ptr("1000.OTHER"), ClientSecret: ptr("x")})
	status := w.status("crm-sync")
	require.Equal(t, backend.StateRefused, status.State)
	require.Contains(t, status.LastError, "no longer the mount's client")
}

func TestStatus_OfClientCredentialsTellsTheClientsBudgetAndTheRolesOwnTokens(t *testing.T) {
	w := newWorld(t)
	cc := ptr(settings.GrantTypeClientCredentials)
	w.writeRole("reader", settings.RoleChange{GrantType: cc, Scopes: ptr([]string{"ZohoCRM.modules.READ"})})
	w.writeRole("writer", settings.RoleChange{GrantType: cc, Scopes: &scopes})
	lease := w.read("reader")
	w.read("writer")
	w.read("writer")
	status := w.status("reader")
	require.Equal(t, 8, status.RequestsLeft)
	require.Equal(t, 2, status.LiveTokens, "as Zoho counts them")
	require.Equal(t, 1, status.Holders)
	require.Equal(t, lease.TokenID, status.TokenID)
	require.Equal(t, []string{"ZohoCRM.modules.READ"}, status.Scopes)
	require.Empty(t, status.SharedWith)
}

func TestStatus_OfNoRoleIsAUserError(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"nobody", "", "../x", "a b"} {
		_, err := w.engine.Status(t.Context(), name)
		var bad *settings.UserError
		require.ErrorAs(t, err, &bad)
	}
}
