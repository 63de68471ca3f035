package zohosecrets

import (
	"testing"

	"github.com/hashicorp/vault/sdk/logical"
	"github.com/stretchr/testify/require"
)

// What a message says to type can be pasted.
func TestMessages_NameTheMount(t *testing.T) {
	t.Parallel()
	m, z := newWorld(t)
	m.awaitsConsent(z)
	denied := m.decide(m.begin("roles/person"), "deny")
	at := func(op logical.Operation, path string, data fields) *logical.Response {
		req := request(t, op, path, data)
		req.MountPoint = "teams/zoho-eu/"
		resp, err := m.backend.HandleRequest(t.Context(), req)
		require.NoError(t, err)
		return resp
	}
	require.ErrorContains(t, at(logical.ReadOperation, "creds/none", nil).Error(), "vault write teams/zoho-eu/roles/none refresh_token=")
	page, _ := at(logical.ReadOperation, "callback", fields{"state": "x"}).Data[logical.HTTPRawBody].([]byte)
	require.Contains(t, string(page), "vault write -f teams/zoho-eu/roles/")

	z.sim.SetDown(true)
	at(logical.CreateOperation, "roles/away", fields{"refresh_token": z.refreshToken, "verify": false})
	req := request(t, logical.UpdateOperation, "roles/away/rotate", nil)
	req.MountPoint = "teams/zoho-eu/"
	_, err := m.backend.HandleRequest(t.Context(), req)
	require.ErrorContains(t, err, "below teams/zoho-eu/tokens/", "HTTP 503 is no response")
	z.sim.SetDown(false)

	at(logical.ReadOperation, "callback", denied)
	last, _ := at(logical.ReadOperation, "roles/person/status", nil).Data["last_consent"].(map[string]any)
	require.Contains(t, last["error"], "vault write -f teams/zoho-eu/roles/person/authorize")
}
