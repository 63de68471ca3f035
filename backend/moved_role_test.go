package backend_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/zohosim"
)

// moveClient gives the mount another client.
func (w *world) moveClient() {
	w.t.Helper()
	other := w.sim.AddClient(zohosim.ClientSpec{})
	w.configure(settings.ConfigChange{ClientID: &other.ID, ClientSecret: ptr(other.Secret("us"))})
}

// moveBack gives the mount its former client again.
func (w *world) moveBack() {
	w.t.Helper()
	w.configure(settings.ConfigChange{ClientID: &w.client.ID, ClientSecret: ptr(w.client.Secret("us"))})
}

func TestMovedRole_IsRevokedWithTheSecretThatALiveTokenHas(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	lease := w.read("crm-sync")
	w.moveClient()
	w.restart()
	_, err := w.deauthorize("crm-sync", false)
	require.NoError(t, err)
	require.False(t, w.formerLives())
	require.False(t, w.alive(lease))
	require.Equal(t, 0, w.sim.Count(zohosim.EndpointLegacyRevoke), "the newer endpoint wants the secret")
	require.NoError(t, w.release(lease))
}

func TestMovedRole_IsRevokedWithoutASecretIfNoTokenLives(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	require.NoError(t, w.release(w.read("crm-sync")))
	w.moveClient()
	_, err := w.deauthorize("crm-sync", false)
	require.NoError(t, err)
	require.False(t, w.formerLives())
}

func TestMovedRole_WhichZohoDoesNotLetGoOfGoesOnBeingRevoked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	require.NoError(t, w.release(w.read("crm-sync")))
	w.moveClient()
	w.sim.SetDown(true)
	_, err := w.deauthorize("crm-sync", false)
	require.ErrorContains(t, err, "has no refresh token any more")
	require.Len(t, w.status("crm-sync").Pending, 1)
	w.sim.SetDown(false)
	_, err = w.deauthorize("crm-sync", false)
	require.NoError(t, err)
	require.False(t, w.formerLives())
}

// Who knows a refresh token and not the client's secret can write a role with it, and
// must not be able to end it when the mount's client changes.
func TestMovedRole_ThatIsNotKnownToHaveWorkedEndsNothingOfOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.configure(settings.ConfigChange{ClientSecret: ptr("a-guess")})
	w.writeRole("crm-sync", settings.RoleChange{RefreshToken: &w.refreshToken})
	w.writeRole("victim", w.own(settings.RoleChange{RefreshToken: &w.refreshToken}))
	lease := w.read("victim")
	w.moveClient()
	_, err := w.deauthorize("crm-sync", true)
	require.ErrorContains(t, err, "another role has handed out access token "+lease.TokenID)
	require.ErrorContains(t, err, "write client "+w.client.ID+" to <mount>/config again, with its client_secret, and read a token of the role first")
	require.NoError(t, w.release(lease))
	_, err = w.deauthorize("crm-sync", true)
	require.ErrorContains(t, err, "so it may not revoke the refresh token that victim has, too")
	require.True(t, w.formerLives())

	w.deleteRole("crm-sync")
	_, err = w.deauthorize("victim", false)
	require.NoError(t, err, "the one that works can")
}

// The record of a refresh token has the client that minted from it, whatever the config has by
// now: this is when a deauthorization is needed most.
func TestMovedRole_ThatSharesItsRefreshTokenCanBeDeauthorizedByForce(t *testing.T) {
	t.Parallel()
	for _, gone := range []bool{false, true} {
		w := newWorld(t)
		w.writeRole("also", settings.RoleChange{RefreshToken: &w.refreshToken})
		require.NoError(t, w.release(w.read("crm-sync")))
		require.NoError(t, w.release(w.read("also")))
		w.moveClient()
		if gone {
			w.deleteConfig()
		}
		_, err := w.deauthorize("crm-sync", false)
		require.ErrorContains(t, err, "has its refresh token in common with also")
		_, err = w.deauthorize("crm-sync", true)
		require.NoError(t, err)
		require.False(t, w.formerLives())
		w.settle()
		require.Empty(t, w.refreshTokenOf("also"))
	}
}

// A consent for the new client revokes the former refresh token, and no other role of the
// mount moves with it.
func TestMovedRole_MovesAlone(t *testing.T) {
	t.Parallel()
	w := newConsentWorld(t)
	w.writeRole("also", settings.RoleChange{RefreshToken: ptr(w.consent())})
	w.writeRole("crm-sync", settings.RoleChange{Scopes: &scopes})
	w.configure(settings.ConfigChange{ClientID: &w.web.ID, ClientSecret: ptr(w.web.Secret("us"))})
	begun, err := w.engine.Authorize(t.Context(), "crm-sync")
	require.NoError(t, err)
	_, err = w.complete(w.decide(begun.URL, "accept"))
	require.NoError(t, err)
	w.settle()
	require.False(t, w.formerLives())
	w.read("crm-sync")
	require.ErrorContains(t, w.readError("also"), "no longer the mount's client")
	w.moveBack()
	w.read("also")
	require.ErrorContains(t, w.readError("crm-sync"), "no longer the mount's client")
}
