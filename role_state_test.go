package zohosecrets

import (
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"
	"github.com/stretchr/testify/require"
)

func TestStatus_NamesTheMountInTheCommandsOfItsError(t *testing.T) {
	t.Parallel()
	m, _ := movedRole(t)
	req := request(t, logical.ReadOperation, "roles/crm-sync/status", nil)
	req.MountPoint = "books/"
	got, err := m.backend.HandleRequest(t.Context(), req)
	require.NoError(t, err)
	require.Contains(t, got.Data["last_error"], "vault write -f books/roles/crm-sync/authorize")
}

func (v vault) info(role string) map[string]any {
	v.t.Helper()
	all, _ := v.list("roles/").done(v.t).Data["key_info"].(map[string]any)
	info, _ := all[role].(map[string]any)
	return info
}

const sinceChange = "not tried since the credentials changed"

func TestState_AfterANewClientSecretIsNotThatOfARoleThatWasNeverTried(t *testing.T) {
	t.Parallel()
	m, z := newWorld(t)
	robot := fields{"grant_type": "client_credentials", "scopes": "ZohoCRM.modules.READ", "verify": false}
	m.write("roles/robot", robot).done(t)
	m.write("roles/never-read", robot.with(fields{"scopes": "ZohoCRM.org.READ"})).done(t)
	m.read("creds/crm-sync").done(t)
	m.read("creds/robot").done(t)
	m.inner.engine.Settle() // who got a token is written behind

	m.write("config", fields{"client_secret": z.client.RegenerateSecret("us"), "verify": false}).done(t)
	m.write("roles/new", fields{"refresh_token": "1000.a.b", "verify": false}).done(t)
	for _, node := range []vault{m.vault, newMountOn(t, m.storage, nil).vault} { // also after a restart
		require.Equal(t, sinceChange, node.state("crm-sync"))
		require.Equal(t, sinceChange, node.state("robot"))
		require.Equal(t, "never tried", node.state("never-read"))
		require.Equal(t, "never tried", node.state("new"))
	}
	require.Equal(t, sinceChange, m.read("roles/crm-sync/status").Data["state"])

	m.read("creds/robot").done(t)
	require.Equal(t, "ready", m.state("robot"))
	require.NotEmpty(t, m.read("creds/crm-sync").text, "its refresh token died with the former secret")
	require.Equal(t, "refused", m.state("crm-sync"))
}

func TestState_AfterAFailedConsentSaysSo(t *testing.T) {
	t.Parallel()
	m, z := newWorld(t)
	m.awaitsConsent(z)
	address := m.begin("roles/person")
	require.Equal(t, "never tried", m.state("person"), "nobody has come back yet")
	m.clock.Advance(time.Minute)
	m.callback(m.decide(address, "reject"))
	m.requireConsentFailed(t, "person", "2026-11-21T09:01:00Z")

	m.begin("roles/person")
	require.Equal(t, "never tried", m.state("person"), "another one is pending")
	require.NotContains(t, m.info("person"), "consent_error")
	m.completes(m.agree("roles/person"))
	require.Equal(t, "ready", m.state("person"))
	require.NotContains(t, m.info("person"), "consent_error")

	// A role that works goes on, and the list tells of the consent beside it.
	m.callback(m.decide(m.begin("roles/person"), "reject"))
	require.Equal(t, "ready", m.state("person"))
	require.NotEmpty(t, m.info("person")["consent_error"])
	status := m.read("roles/person/status").done(t).Data
	require.Empty(t, status["last_error"], "the latest mint has not failed")

	// One that was deauthorized does not hide it either.
	m.write("roles/person/deauthorize", nil).done(t)
	m.callback(m.decide(m.begin("roles/person"), "reject"))
	m.requireConsentFailed(t, "person", "2026-11-21T09:01:00Z")
}

// requireConsentFailed requires that status and list tell the failed consent of a role.
func (m *mount) requireConsentFailed(t *testing.T, role, at string) {
	t.Helper()
	status := m.read("roles/" + role + "/status").done(t).Data
	require.Equal(t, "consent failed", status["state"])
	require.Equal(t, at, status["last_error_at"])
	require.NotEmpty(t, status["last_error"])
	consent, _ := status["last_consent"].(map[string]any)
	require.Equal(t, consent["error"], status["last_error"])
	info := m.info(role)
	require.Equal(t, "consent failed", info["state"])
	require.Equal(t, at, info["consent_failed_at"])
	require.Equal(t, status["last_error"], info["consent_error"])
}
