package zohosecrets

import (
	"net/http"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"
	"github.com/stretchr/testify/require"
)

// Vault wraps what is no error in its sense, and the page that tells a person of a
// failure is none. So each request of somebody without a Vault token would leave
// a wrapping token in Vault, for as long as that one says.
func TestCallback_IsNotWrappedAndKeepsTheStateForTheBrowser(t *testing.T) {
	t.Parallel()
	m, z := newWorld(t)
	m.awaitsConsent(z)
	back := m.agree("roles/person")
	before := m.stored()
	for name, data := range map[string]fields{"a state": back, "a made-up one": {"state": "made-up"}, "none": nil} {
		req := request(t, logical.ReadOperation, "callback", data)
		req.WrapInfo = &logical.RequestWrapInfo{TTL: 768 * time.Hour}
		resp, err := m.backend.HandleRequest(t.Context(), req)
		got := answered(req, resp, err)
		require.Equal(t, http.StatusBadRequest, got.status, name)
		require.Contains(t, got.text, "X-Vault-Wrap-TTL", name)
		require.True(t, resp.IsError(), "%s: Vault wraps no error", name)
	}
	require.Equal(t, before, m.stored())
	m.completes(back)
}
