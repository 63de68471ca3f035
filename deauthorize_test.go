package zohosecrets

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/zohosim"
)

func TestDeauthorize_EndsTheRefreshTokenAndAllItsAccessTokens(t *testing.T) {
	t.Parallel()
	m, z := newWorld(t)
	leased := m.read("creds/crm-sync").done(t)
	got := m.write("roles/crm-sync/deauthorize", nil).done(t)
	require.Equal(t, http.StatusNoContent, got.status)
	m.inner.engine.Settle()
	require.False(t, z.sim.Alive(z.refreshToken))
	require.False(t, z.sim.Alive(leased.token()))
	for key, value := range m.stored() {
		require.NotContains(t, value, z.refreshToken, key)
	}
	require.Empty(t, m.requireStatus("crm-sync", untried().with(fields{
		"authorized": false, "state": "deauthorized",
		"deauthorized": map[string]any{"at": "2026-11-21T09:00:00Z", "display_name": "token", "entity_id": "entity-1", "request_id": "request-1"},
	})))
	m.requireRefused(m.read("creds/crm-sync"), m.stored(), "creds", `role "crm-sync" has no refresh token any more: it was deauthorized at 2026-11-21T09:00:00Z, and its status tells by whom. To use it again, send a person`, "roles/crm-sync/authorize")
	m.requireRefused(m.write("roles/crm-sync/deauthorize", nil), m.stored(), "again", "has no refresh token, so there is nothing to revoke")
	m.requireRefused(m.write("roles/crm-sync/rotate", nil), m.stored(), "rotate", "has no refresh token any more")

	asked := len(z.sim.Requests())
	require.NoError(t, m.revoke("creds/crm-sync", leased))
	require.Len(t, z.sim.Requests(), asked, "there is nothing left for the lease to give up")
	m.write("roles/crm-sync", fields{"code": z.code()}).done(t)
	m.read("creds/crm-sync").done(t)
}

func TestDeauthorize_OfARefreshTokenThatOthersHaveNeedsForce(t *testing.T) {
	t.Parallel()
	m, z := newWorld(t)
	m.write("roles/also", z.role()).done(t)
	m.requireRefused(m.write("roles/crm-sync/deauthorize", fields{"force": true}), m.stored(), "untried", `role "crm-sync" has never got an access token with its credentials`)
	require.NoError(t, m.revoke("creds/crm-sync", m.read("creds/crm-sync").done(t)))
	before, asked := m.stored(), len(z.sim.Requests())
	for _, data := range []fields{nil, {"force": false}, {"force": "false"}, {"force": nil}} {
		m.requireRefused(m.write("roles/crm-sync/deauthorize", data), before, "shared", `role "crm-sync" has its refresh token in common with also`, "write force=true")
	}
	require.Len(t, z.sim.Requests(), asked)
	got := m.write("roles/crm-sync/deauthorize", fields{"force": "true"}).done(t)
	require.Contains(t, got.warnings(), "also had the same refresh token and cannot mint any more")
	require.False(t, z.sim.Alive(z.refreshToken))
	m.inner.engine.Settle()
	m.requireRefused(m.read("creds/also"), m.stored(), "creds", `role "also" has no refresh token any more: it was deauthorized`)
	m.requireRefused(m.write("roles/also/deauthorize", nil), m.stored(), "again", "has no refresh token, so there is nothing to revoke")
	requireNone(t, got, z.refreshToken, z.clientSecret)
}

func TestDeauthorize_WhenZohoCannotBeAskedTheDecisionStands(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		arrange func(*simulation)
		status  int
	}{
		"Zoho is down": {func(z *simulation) { z.sim.SetDown(true) }, 503},
		"a web page":   {func(z *simulation) { z.revocationFault(zohosim.Fault{Kind: zohosim.FaultHTML500}) }, 502},
		"throttled":    {func(z *simulation) { z.revocationFault(zohosim.Fault{Kind: zohosim.FaultAnswer, Status: 429}) }, 429},
		"refused": {func(z *simulation) {
			z.revocationFault(zohosim.Fault{Kind: zohosim.FaultAnswer, Status: 401, Body: `{}`})
		}, 400},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRemote(t)
			leased := r.read("creds/crm-sync").done(t)
			row.arrange(r.zoho)
			got := r.write("roles/crm-sync/deauthorize", nil)
			require.Equal(t, row.status, got.status, got)
			require.Contains(t, got.text, `Role "crm-sync" has no refresh token any more`)
			require.Contains(t, got.text, "tried again by itself")
			require.Equal(t, http.StatusBadRequest, r.read("creds/crm-sync").status)
			r.zoho.sim.SetDown(false)
			r.zoho.sim.ClearFaults()
			r.write("roles/crm-sync/deauthorize", nil).done(t)
			require.False(t, r.zoho.sim.Alive(r.zoho.refreshToken))
			require.False(t, r.zoho.sim.Alive(leased.token()))
		})
	}
}

func TestDeauthorize_AndRotateSayWhomTheyAreNotFor(t *testing.T) {
	t.Parallel()
	m, z := newWorld(t)
	m.awaitsConsent(z)
	m.write("roles/org", fields{"grant_type": "client_credentials", "scopes": "ZohoCRM.modules.ALL", "verify": false}).done(t)
	m.write("roles/alone", fields{"refresh_token": z.refreshToken, "exclusive": true, "verify": false}).done(t)
	before, asked := m.stored(), len(z.sim.Requests())
	m.requireRefused(m.write("roles/org/deauthorize", nil), before, "deauthorize", "mints with client_credentials and has no refresh token")
	m.requireRefused(m.write("roles/person/deauthorize", nil), before, "deauthorize", "nothing to revoke")
	m.requireRefused(m.write("roles/person/rotate", nil), before, "rotate", "has no refresh token yet")
	m.requireRefused(m.write("roles/alone/rotate", nil), before, "rotate", "is exclusive: each lease has an access token of its own")
	require.Len(t, z.sim.Requests(), asked)
}
