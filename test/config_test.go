package test

import (
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/zohosim"
)

// Vault has no body in a deletion: force is in the address, as `vault delete zoho/config force=true` sends it.
func TestConfig_IsDeletedWithForceAlthoughARoleUsesItsClient(t *testing.T) {
	t.Parallel()
	m := newMount(t, zohosim.Options{})
	_, err := m.root.Logical().DeleteWithContext(t.Context(), m.path+"/config")
	require.ErrorContains(t, err, "add force=true")
	got, err := m.root.Logical().DeleteWithDataWithContext(t.Context(), m.path+"/config", url.Values{"force": {"true"}})
	require.NoError(t, err)
	require.Contains(t, got.Warnings[0], `role "crm-sync" hands out no access tokens any more`)
}
