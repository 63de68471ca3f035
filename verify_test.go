package zohosecrets

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestVerify_KeepsOutWhatZohoRefuses(t *testing.T) {
	t.Parallel()
	m, z := newWorld(t)
	bad := fields{"refresh_token": "1000.no.such"}
	role := m.stored()["roles/crm-sync"]
	for _, got := range []answer{m.write("roles/crm-sync", bad), m.patch("roles/crm-sync", bad.with(fields{"verify": nil})), m.write("roles/new", bad)} {
		require.Equal(t, http.StatusBadRequest, got.status)
		require.Contains(t, got.text, "was not written. Zoho")
		require.NotContains(t, got.text, "1000.no.such")
	}
	require.Equal(t, role, m.stored()["roles/crm-sync"])
	require.Equal(t, http.StatusNotFound, m.read("roles/new").status)
	m.write("roles/new", bad.with(fields{"verify": false})).done(t)
	require.Equal(t, "never tried", m.state("new"))

	got := m.write("roles/new", fields{"verify": true})
	require.Equal(t, http.StatusBadRequest, got.status, "a trial can be asked for by itself")
	m.write("roles/new", fields{"refresh_token": z.sim.Consent(z.client, "us", "other@example.com", []string{"ZohoCRM.modules.ALL"})}).done(t)
	require.Equal(t, "ready", m.state("new"))
}

func TestVerify_AnOutageOnlyWarns(t *testing.T) {
	t.Parallel()
	m, z := newWorld(t)
	z.sim.SetDown(true)
	got := m.write("roles/new", fields{"refresh_token": "1000.new.token"}).done(t)
	require.Contains(t, got.warnings(), "the credentials were written without having been tried; the next read does that")
	require.NotContains(t, got.warnings(), "1000.new.token")
}

func TestVerify_OfTheConfigKeepsTheFormerSecretIfZohoRefusesTheNewOne(t *testing.T) {
	t.Parallel()
	m, z := newWorld(t)
	config := m.stored()["config"]
	bad := fields{"client_secret": "not-the-secret"}
	for _, got := range []answer{m.write("config", bad), m.patch("config", bad.with(fields{"verify": nil}))} {
		require.Equal(t, http.StatusBadRequest, got.status)
		require.Contains(t, got.text, `The config was not written; the former client secret stays in force. It was tried with role "crm-sync".`)
		require.NotContains(t, got.text, "not-the-secret")
	}
	require.Equal(t, config, m.stored()["config"])
	m.read("creds/crm-sync").done(t)
	m.write("config", bad.with(fields{"verify": false})).done(t)
	require.NotEqual(t, config, m.stored()["config"])
	m.write("config", fields{"client_secret": z.clientSecret}).done(t)
}
