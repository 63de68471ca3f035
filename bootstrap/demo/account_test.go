//go:build unix

package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// A guess would send the secret to a server that need not know it.
func TestAccount_OfARealClientNeedsItsDataCentre(t *testing.T) {
	t.Setenv("ZOHO_CLIENT_ID", "1000.ABC")
	t.Setenv("ZOHO_CLIENT_SECRET", "made-up-secret")
	t.Setenv("ZOHO_DATA_CENTER", "")
	for variable, other := range map[string]string{"ZOHO_REFRESH_TOKEN": "ZOHO_CODE", "ZOHO_CODE": "ZOHO_REFRESH_TOKEN"} {
		t.Setenv(other, "")
		t.Setenv(variable, "made-up")
		_, err := openAccount(t.Context(), t.TempDir())
		require.ErrorContains(t, err, "set ZOHO_DATA_CENTER", variable)
		require.NotContains(t, err.Error(), "made-up")
	}
	t.Setenv("ZOHO_DATA_CENTER", "eu")
	a, err := openAccount(t.Context(), t.TempDir())
	require.NoError(t, err)
	require.True(t, a.real)
	require.Equal(t, "data_center=eu", a.server)
}
