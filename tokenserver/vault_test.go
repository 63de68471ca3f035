package tokenserver

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
)

// A caller has a time limit, and gets the refusal at once. Vault's client would wait
// for more than a second before each of two more tries.
func TestVault_IsAskedOnceForEachReading(t *testing.T) {
	for _, status := range []int{http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusServiceUnavailable} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			asked := 0
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				asked++
				w.WriteHeader(status)
			}))
			defer server.Close()
			t.Setenv("VAULT_ADDR", server.URL)
			read := func() {
				vault, err := NewVault("zoho", "", SystemClock())
				require.NoError(t, err)
				_, err = vault.Read(t.Context(), crmSync, "")
				require.Error(t, err)
				vault.client.CloneConfig().HttpClient.CloseIdleConnections()
			}
			read()
			require.Equal(t, 1, asked)
			t.Setenv("VAULT_MAX_RETRIES", "1")
			read()
			require.Equal(t, 3, asked, "unless the operator wants it otherwise")
		})
	}
}
