package test

import (
	"context"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/hashicorp/go-cleanhttp"
	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/bootstrap"
	"vault-plugin-secrets-zoho/zohosim"
)

// scrapes asks for the metrics as Prometheus does: with the Vault token as a bearer.
func (m *mount) scrapes(ctx context.Context, method, server, token string, header ...string) (status int, answered http.Header, body string) {
	m.t.Helper()
	req, err := http.NewRequestWithContext(ctx, method, server+"/v1/"+m.path+"/metrics", nil)
	require.NoError(m.t, err)
	req.Header.Set("Authorization", "Bearer "+token)
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := cleanhttp.DefaultClient().Do(req)
	require.NoError(m.t, err)
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	require.NoError(m.t, err)
	return resp.StatusCode, resp.Header, string(content)
}

// The policy allows the metrics and nothing else, and Vault takes the bearer of a scrape for its token.
func TestMetrics_AreScrapedWithABearerAndTheMonitorPolicy(t *testing.T) {
	t.Parallel()
	m := newMount(t, zohosim.Options{})
	m.read("crm-sync")
	m.policy(m.path+"-monitor", "monitor.hcl", "zoho/", m.path+"/")
	monitor := m.as(m.path + "-monitor")

	status, header, body := m.scrapes(t.Context(), http.MethodGet, m.server.Addr(), monitor.Token())
	require.Equal(t, http.StatusOK, status, body)
	require.Equal(t, "text/plain; version=0.0.4; charset=utf-8", header.Get("Content-Type"))
	for _, line := range []string{`zoho_role_state{role="crm-sync",state="ready"} 1`, `zoho_reads_total{role="crm-sync",result="issued"} 1`, `zoho_role_holders{role="crm-sync"} 1`} {
		require.Contains(t, body, "\n"+line+"\n")
	}

	status, _, _ = m.scrapes(t.Context(), http.MethodGet, m.server.Addr(), "none")
	require.Equal(t, http.StatusForbidden, status)
	status, _, body = m.scrapes(t.Context(), http.MethodHead, m.server.Addr(), monitor.Token())
	require.NotEqual(t, http.StatusInternalServerError, status)
	require.Empty(t, body)
	_, err := m.readAs(t.Context(), monitor, "crm-sync")
	refused(t, err)

	raw := m.cli("read", "-format=raw", m.path+"/metrics")
	require.Contains(t, raw, "zoho_build_info{")
}

// Vault hashes the text of an answer like any other value, so a scrape puts no role's name into the audit log in clear.
func TestMetrics_AreNotInTheAuditLogInClear(t *testing.T) {
	t.Parallel()
	m := newMount(t, zohosim.Options{})
	m.read("crm-sync")
	status, _, body := m.scrapes(t.Context(), http.MethodGet, m.server.Addr(), m.root.Token())
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, body, "zoho_build_info")
	status, _, body = m.scrapes(t.Context(), http.MethodGet, m.server.Addr(), m.root.Token(), "X-Vault-Wrap-TTL", "1m")
	require.Equal(t, http.StatusOK, status)
	require.NotContains(t, body, "zoho_build_info", "what is wrapped has to be unwrapped first")
	log, err := os.ReadFile(m.server.AuditLog())
	require.NoError(t, err)
	require.Contains(t, string(log), m.path+"/metrics")
	require.NotContains(t, string(log), "zoho_build_info")
}

// scrapedThrough requires that each node of a cluster gives the metrics of the active one.
func (m *mount) scrapedThrough(running []*bootstrap.Vault, line string) {
	m.t.Helper()
	for _, node := range running {
		eventually(m.t, node.Addr()+" to show "+line, func() bool {
			status, _, body := m.scrapes(m.t.Context(), http.MethodGet, node.Addr(), node.RootToken())
			return status == http.StatusOK && strings.Contains(body, "\n"+line+"\n")
		})
	}
}

func TestMetrics_OfTheTokenServerTellWhatItsCallersGet(t *testing.T) {
	t.Parallel()
	m := newMount(t, zohosim.Options{})
	address := freePort(t)
	s := m.startTokenServer("-metrics=" + address)
	s.gets()
	status, _, body := m.get("http://" + address + "/metrics")
	require.Equal(t, http.StatusOK, status)
	for _, line := range []string{`zoho_token_server_answers_total{result="issued"} 1`, `zoho_token_server_readings_total{result="leased"} 1`} {
		require.Contains(t, body, "\n"+line+"\n")
	}
	require.Regexp(t, `zoho_token_server_lease_expiry_timestamp_seconds\{role="crm-sync"\} \d+\n`, body)
}
