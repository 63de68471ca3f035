package backend_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend"
	"vault-plugin-secrets-zoho/backend/secret"
	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/zohosim"
)

// lookupRefreshToken requires that the engine knows it, and does not repeat it.
func (w *world) lookupRefreshToken(plain string) *backend.RefreshTokenInfo {
	w.t.Helper()
	found, err := w.engine.Lookup(w.t.Context(), secret.New(plain))
	require.NoError(w.t, err)
	require.Nil(w.t, found.Token)
	require.NotNil(w.t, found.RefreshToken)
	require.NotContains(w.t, found.RefreshToken.Advice, plain)
	return found.RefreshToken
}

func TestLookup_OfARefreshTokenTellsTheRoleAndWhatToDo(t *testing.T) {
	w := newWorld(t)
	info := w.lookupRefreshToken(w.refreshToken)
	require.Equal(t, backend.RefreshTokenInUse, info.State)
	require.Equal(t, []string{"crm-sync"}, info.Roles)
	require.NotEmpty(t, info.AccountsURL)
	require.Contains(t, info.Advice, "vault write -f <mount>/roles/crm-sync/deauthorize -")

	_, err := w.deauthorize("crm-sync", false)
	require.NoError(t, err)
	w.settle()
	_, err = w.engine.Lookup(t.Context(), secret.New(w.refreshToken))
	require.ErrorContains(t, err, "not known here")
	require.ErrorContains(t, err, "or was revoked")
}

// The command that it suggests works as it stands, and afterwards it says what has become of the refresh token.
func TestLookup_OfASharedRefreshTokenNamesAllRolesAndACommandThatWorks(t *testing.T) {
	w := newWorld(t)
	w.writeRole("aaa", settings.RoleChange{RefreshToken: &w.refreshToken, ClientID: &w.client.ID, ClientSecret: ptr("a-guess"), Verify: ptr(false)})
	w.writeRole("reports", settings.RoleChange{RefreshToken: &w.refreshToken})
	w.read("crm-sync")
	info := w.lookupRefreshToken(w.refreshToken)
	require.Equal(t, backend.RefreshTokenInUse, info.State)
	require.Equal(t, []string{"aaa", "crm-sync", "reports"}, info.Roles)
	require.Contains(t, info.Advice, "aaa, crm-sync, reports")
	require.Contains(t, info.Advice, "vault write <mount>/roles/crm-sync/deauthorize force=true", "and not of aaa, whose credentials never worked")

	_, err := w.deauthorize("crm-sync", true)
	require.NoError(t, err)
	w.settle()
	_, err = w.engine.Lookup(t.Context(), secret.New(w.refreshToken))
	require.ErrorContains(t, err, "not known here")
	for _, role := range info.Roles {
		require.NotNil(t, w.status(role).Deauthorized, role)
	}
}

func TestLookup_OfARefreshTokenThatIsOnItsWayOutSaysHowFarThatIs(t *testing.T) {
	w := newWorld(t)
	_, err := w.writeCode("x", w.code())
	require.NoError(t, err)
	former := w.owned()[1]
	w.read("x")
	_, err = w.writeCode("x", w.code())
	require.NoError(t, err)
	w.settle()
	info := w.lookupRefreshToken(former)
	require.Equal(t, backend.RefreshTokenLeaving, info.State)
	require.Equal(t, []string{"x"}, info.Roles)

	w.read("crm-sync")
	w.sim.Fault(zohosim.EndpointRevoke, zohosim.Fault{Kind: zohosim.FaultAnswer, Status: http.StatusServiceUnavailable})
	w.sim.Fault(zohosim.EndpointLegacyRevoke, zohosim.Fault{Kind: zohosim.FaultAnswer, Status: http.StatusServiceUnavailable})
	_, err = w.deauthorize("crm-sync", false)
	require.Error(t, err)
	info = w.lookupRefreshToken(w.refreshToken)
	require.Equal(t, backend.RefreshTokenEnding, info.State)
	require.Equal(t, []string{"crm-sync"}, info.Roles)
	require.Contains(t, info.Advice, "pending_revocations")
}
