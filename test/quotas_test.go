package test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/zohosim"
)

// What docs/operating.md says of Vault's rate-limit quotas. An hour is longer than any test, so nothing depends on time.
func TestOperating_ARateLimitQuotaStopsWhoReadsWithoutEndAndKeepsNobodyFromEndingLeases(t *testing.T) {
	t.Parallel()
	m := newMount(t, zohosim.Options{})
	const most = 5
	for name, path := range map[string]string{"creds": "creds/*", "callback": "callback"} {
		m.cli("write", "sys/quotas/rate-limit/"+m.path+"-"+name, "path="+m.path+"/"+path, "rate=5", "interval=1h")
	}
	reader := m.tokenFor("reader")
	for range most {
		status, _ := m.ask(reader, "GET", m.path+"/creds/crm-sync", nil)
		require.Equal(t, http.StatusOK, status)
	}
	leases := m.leases()
	mints := m.mints()
	for range most {
		status, _ := m.ask(reader, "GET", m.path+"/creds/crm-sync", nil)
		require.Equal(t, http.StatusTooManyRequests, status)
	}
	require.Equal(t, most, leases)
	require.Equal(t, leases, m.leases())
	require.Equal(t, mints, m.mints())

	for range most { // a quota of its own
		status, _ := m.ask("", "GET", m.path+"/callback", nil)
		require.Equal(t, http.StatusBadRequest, status)
	}
	status, _ := m.ask("", "GET", m.path+"/callback", nil)
	require.Equal(t, http.StatusTooManyRequests, status)

	status, _ = m.ask(m.server.RootToken(), "GET", m.path+"/roles/crm-sync/status", nil)
	require.Equal(t, http.StatusOK, status)
	m.revokePrefix("creds/crm-sync")
	require.Zero(t, m.leases())
}
