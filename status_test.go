package zohosecrets

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/zohosim"
)

// untried is the status of a role that nobody has read.
func untried() fields {
	return fields{
		"state": "never tried", "authorized": true, "authorized_as": "", "authorized_as_kind": "", "shared_with": []string{}, "budget_shared_with": []string{},
		"scopes": []string{}, "scopes_granted": []string{}, "deauthorized": map[string]any{}, "last_consent": map[string]any{}, "last_success": "", "last_error": "",
		"last_error_code": "", "last_error_at": "", "retry_at": "", "requests_left": 10, "client_refresh_tokens": 0, "live_tokens": 0, "holders": 0,
		"token_id": "", "expires_at": "", "pending_revocations": []map[string]any{}, "next_refresh": "",
	}
}

// requireStatus requires that status, and returns what names the grant.
func (m *mount) requireStatus(role string, want fields) any {
	m.t.Helper()
	got := fields(m.read("roles/" + role + "/status").done(m.t).Data).with(nil)
	grant := got["grant"]
	delete(got, "grant")
	require.EqualValues(m.t, want, got)
	return grant
}

func TestStatus_OfAGrantThatWorks(t *testing.T) {
	t.Parallel()
	m, z := newWorld(t)
	z.sim.SetAnswer(zohosim.Answer{WithScope: true})
	grant := m.requireStatus("crm-sync", untried())
	require.Regexp(t, `^[0-9a-f]{32}$`, grant)
	m.write("roles/also", z.role()).done(t)
	require.Equal(t, grant, m.requireStatus("also", untried().with(fields{"shared_with": []string{"crm-sync"}, "budget_shared_with": []string{"crm-sync"}})))

	leased := m.read("creds/crm-sync").done(t)
	m.read("creds/also").done(t)
	ready := untried().with(fields{
		"state": "ready", "shared_with": []string{"also"}, "budget_shared_with": []string{"also"}, "scopes_granted": []string{"ZohoCRM.modules.ALL"}, "last_success": "2026-11-21T09:00:00Z",
		"requests_left": 9, "client_refresh_tokens": 1, "live_tokens": 1, "holders": 2, "token_id": leased.Data["token_id"], "expires_at": "2026-11-21T09:59:59Z",
		"next_refresh": m.read("roles/crm-sync/status").Data["next_refresh"],
	})
	require.Regexp(t, `^2026-11-21T09:[123]\d:\d\dZ$`, ready["next_refresh"], "about half-life; grants do not all meet")
	require.Equal(t, grant, m.requireStatus("crm-sync", ready))
	m.write("config", fields{"refresh_ahead": false}).done(t)
	m.requireStatus("crm-sync", ready.with(fields{"next_refresh": ""}))
	require.NoError(t, m.revoke("creds/crm-sync", leased))
	m.requireStatus("crm-sync", ready.with(fields{"next_refresh": "", "holders": 1}))
	require.Equal(t, 1, z.sim.Count(zohosim.EndpointToken))
}

func TestStatus_TellsWhyThereIsNoToken(t *testing.T) {
	t.Parallel()
	const now = "2026-11-21T09:00:00Z"
	for state, c := range map[string]struct {
		arrange    func(*simulation)
		code, says string
		retry      string
	}{
		"refused":     {func(z *simulation) { z.sim.Kill(z.refreshToken) }, "invalid_code", "Get a new one", ""},
		"throttled":   {func(z *simulation) { z.fault(zohosim.FaultThrottled) }, "Access Denied", "so wait", "2026-11-21T09:10:00Z"},
		"unreachable": {func(z *simulation) { z.sim.SetDown(true) }, "", "could not be reached", "2026-11-21T09:00:04Z"},
	} {
		m, z := newWorld(t)
		c.arrange(z)
		require.NotEmpty(t, m.read("creds/crm-sync").text)
		asked := len(z.sim.Requests())
		got := fields(m.read("roles/crm-sync/status").done(t).Data)
		require.Equal(t, state, got["state"])
		require.Equal(t, c.code, got["last_error_code"], state)
		require.Contains(t, got["last_error"], c.says)
		require.Equal(t, now, got["last_error_at"], state)
		require.Equal(t, c.retry, got["retry_at"], state)
		require.Equal(t, 9, got["requests_left"], state)
		require.Empty(t, got["last_success"], state)
		require.Empty(t, got["token_id"], state)
		require.Equal(t, true, got["authorized"], state)
		require.Len(t, z.sim.Requests(), asked, "Zoho is not asked")

		// What it tells of the past goes when the present is better.
		z.sim.SetDown(false)
		z.sim.ClearFaults()
		m.clock.Advance(20 * time.Minute)
		m.write("roles/crm-sync", fields{"refresh_token": z.sim.Consent(z.client, "us", "user@example.com", []string{"ZohoCRM.modules.ALL"})}).done(t)
		got = m.read("roles/crm-sync/status").done(t).Data
		require.Equal(t, "ready", got["state"], state)
		require.Empty(t, got["last_error"], state)
		require.Empty(t, got["last_error_at"], state)
		require.Empty(t, got["retry_at"], state)
	}
}

func (z *simulation) fault(kind zohosim.FaultKind) {
	z.sim.Fault(zohosim.EndpointToken, zohosim.Fault{Kind: kind})
}

func TestStatus_OfARoleThatCannotMint(t *testing.T) {
	t.Parallel()
	m, z := newWorld(t)
	m.awaitsConsent(z)
	nobody := untried().with(fields{"authorized": false, "scopes": []string{"ZohoCRM.modules.ALL"}})
	require.Empty(t, m.requireStatus("person", nobody), "it has no grant yet")

	m.deleteConfig()
	got := m.read("roles/crm-sync/status").done(t).Data
	require.Equal(t, "refused", got["state"])
	require.Contains(t, got["last_error"], "which is no longer the mount's client")

	for role, says := range map[string]string{"crm-sink": `role "crm-sink" does not exist`, "-": "this is not a role name"} {
		answer := m.read("roles/" + role + "/status")
		require.Equal(t, http.StatusBadRequest, answer.status)
		require.Contains(t, answer.text, says)
	}
}

// Zoho counts the requests of client_credentials for the client as a whole.
func TestStatus_OfAnOrganisationCountsWhatItsClientAsks(t *testing.T) {
	t.Parallel()
	m, _ := newWorld(t)
	org := fields{"grant_type": "client_credentials", "scopes": "ZohoCRM.modules.READ"}
	m.write("roles/reader", org).done(t)
	m.write("roles/writer", org.with(fields{"scopes": "ZohoCRM.modules.CREATE"})).done(t)
	for _, role := range []string{"reader", "writer"} {
		got := m.read("roles/" + role + "/status").done(t).Data
		require.Equal(t, "ready", got["state"], role)
		require.Equal(t, 8, got["requests_left"], role)
		require.Equal(t, 2, got["live_tokens"], role)
		require.Equal(t, 0, got["holders"], role)
		require.Empty(t, got["shared_with"], role)
	}
	leased := m.read("creds/reader").done(t)
	require.Equal(t, leased.Data["token_id"], m.read("roles/reader/status").Data["token_id"])
	require.Equal(t, 1, m.read("roles/reader/status").Data["holders"])
	require.Equal(t, 0, m.read("roles/writer/status").Data["holders"])
}

func TestStatus_ArrivesInVaultAsTheSchemaSays(t *testing.T) {
	t.Parallel()
	r := newRemote(t)
	r.read("creds/crm-sync").done(t)
	got := r.read("roles/crm-sync/status").done(t).Data
	require.Equal(t, "ready", got["state"])
	require.Equal(t, true, got["authorized"])
	require.EqualValues(t, 1, got["holders"])
	require.Equal(t, []any{}, got["shared_with"])
	require.Equal(t, "2026-11-21T09:59:59Z", got["expires_at"])
}
