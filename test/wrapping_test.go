package test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/zohosim"
)

// Anybody can send these, and each wrapping token would stay in Vault for a month.
func TestCallback_NobodyWithoutAVaultTokenLeavesAWrappingToken(t *testing.T) {
	t.Parallel()
	m := newMount(t, zohosim.Options{})
	m.useWebClient()
	for _, ttl := range []string{"768h", "1", "0"} {
		for _, method := range append(methods(), http.MethodPost, http.MethodHead) {
			for _, path := range []string{m.path + "/callback", m.path + "/callback?help=1", m.path + "/callback?state=made-up&code=1000.a.b", m.path + "/callback/", m.path + "/creds/crm-sync"} {
				status, body := m.ask("", method, path, nil, "X-Vault-Wrap-TTL", ttl)
				require.NotContains(t, body, "wrap_info", "%s %s wrapped for %s: HTTP %d", method, path, ttl, status)
				require.NotContains(t, body, `"token"`, "%s %s wrapped for %s: HTTP %d", method, path, ttl, status)
			}
		}
	}
	status, body := m.ask("", "GET", m.path+"/callback?state=made-up", nil, "X-Vault-Wrap-TTL", "768h")
	require.Equal(t, http.StatusBadRequest, status)
	require.Contains(t, body, "without X-Vault-Wrap-TTL", "it reaches the engine that wrapping is asked for")
}

// Wrapped creds are a way to hand them on: they keep their lease.
func TestCreds_AreWrappedWithTheirLease(t *testing.T) {
	t.Parallel()
	m := newMount(t, zohosim.Options{})
	reader := m.server.Client(m.tokenFor("reader"))
	reader.SetWrappingLookupFunc(func(string, string) string { return "5m" })
	wrapped, err := reader.Logical().ReadWithContext(t.Context(), m.path+"/creds/crm-sync")
	require.NoError(t, err)
	require.NotNil(t, wrapped.WrapInfo)
	require.Nil(t, wrapped.Data)
	keepSecret("wrapping token", wrapped.WrapInfo.Token)

	unwrapped, err := m.server.Client(wrapped.WrapInfo.Token).Logical().UnwrapWithContext(t.Context(), "")
	require.NoError(t, err)
	leased := creds{unwrapped, text(t, unwrapped, "access_token")}
	keepSecret("access token", leased.token)
	require.NotEmpty(t, leased.LeaseID)
	require.True(t, m.accepted(leased))
	m.revoke(leased)
	require.False(t, m.accepted(leased))
}
