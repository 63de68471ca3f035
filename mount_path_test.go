package zohosecrets

import (
	"testing"

	"github.com/hashicorp/vault/sdk/logical"
	"github.com/stretchr/testify/require"
)

// What a message says to type can be pasted.
func TestMessages_NameTheMount(t *testing.T) {
	t.Parallel()
	m := newMount(t)
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
}
