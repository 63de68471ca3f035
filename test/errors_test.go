package test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/hashicorp/vault/api"
	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/zohosim"
)

// The statuses of design.md's error table, as a client of a real server gets
// them, and the text with them.
func TestErrors_ArriveWithTheirStatusAndSayWhatToDo(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		prepare func(*mount)
		status  int
		says    string
	}{
		"the refresh token is dead": {
			func(m *mount) { m.sim.Kill(m.refreshToken) }, http.StatusBadRequest, "invalid_code",
		},
		"the client secret is wrong": {
			func(m *mount) {
				m.write("config", map[string]any{"client_secret": "0123456789abcdef", "verify": false})
			},
			http.StatusBadRequest, "data_center",
		},
		"the role does not exist": {
			func(m *mount) { _, _ = m.root.Logical().Delete(m.path + "/roles/crm-sync") },
			http.StatusBadRequest, "vault write",
		},
		"there is no config": {
			func(m *mount) {
				_, _ = m.root.Logical().DeleteWithData(m.path+"/config", map[string][]string{"force": {"true"}})
			},
			http.StatusBadRequest, "client_id",
		},
		"Zoho throttles": {
			func(m *mount) { m.sim.Fault(zohosim.EndpointToken, zohosim.Fault{Kind: zohosim.FaultThrottled}) },
			http.StatusTooManyRequests, "next attempt makes sense at",
		},
		"Zoho answers with a web page": {
			func(m *mount) { m.sim.Fault(zohosim.EndpointToken, zohosim.Fault{Kind: zohosim.FaultHTML500}) },
			http.StatusBadGateway, "web page",
		},
		"Zoho cannot be reached": {
			func(m *mount) { m.sim.SetDown(true) }, http.StatusServiceUnavailable, "could not be reached",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMount(t, zohosim.Options{})
			c.prepare(m)
			_, err := m.readAs(t.Context(), m.root, "crm-sync")
			var failed *api.ResponseError
			require.True(t, errors.As(err, &failed), "%v", err)
			require.Equal(t, c.status, failed.StatusCode, "%v", err)
			require.Contains(t, strings.Join(failed.Errors, " "), c.says)
		})
	}
}

func TestHelp_OfTheMountAndOfEachPathIsThere(t *testing.T) {
	t.Parallel()
	m := newMount(t, zohosim.Options{})
	for _, path := range []string{"/", "/config", "/roles/", "/roles/crm-sync", "/creds/crm-sync", "/info", "/callback",
		"/roles/crm-sync/status", "/roles/crm-sync/authorize", "/roles/crm-sync/deauthorize", "/roles/crm-sync/rotate"} {
		help := m.cli("path-help", m.path+path)
		require.Contains(t, help, "DESCRIPTION", path)
		require.NotContains(t, help, "<no value>", path)
	}
}
