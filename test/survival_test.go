package test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/zohosim"
)

// Invariant 8.
func TestSurvival_OfSealRestartCrashAndReload(t *testing.T) {
	t.Parallel()
	server := ownServer(t)
	m := newMountOn(t, server, zohosim.Options{})
	first, second := m.read("crm-sync"), m.read("crm-sync")
	held := []creds{first, second}
	for _, event := range []struct {
		what   string
		happen func() error
	}{
		{"seal and unseal", func() error {
			if err := server.Seal(t.Context()); err != nil {
				return err
			}
			return server.Unseal(t.Context())
		}},
		{"restart", func() error { return server.Restart(t.Context()) }},
		{"crash", func() error { server.Kill(); return server.Restart(t.Context()) }},
		{"plugin reload", func() error {
			_, err := m.root.Logical().WriteWithContext(t.Context(), "sys/plugins/reload/backend", map[string]any{"mounts": []string{m.path + "/"}})
			return err
		}},
	} {
		require.NoError(t, event.happen(), event.what)
		got := m.read("crm-sync")
		require.Equal(t, first.token, got.token, "after %s", event.what)
		held = append(held, got)
	}
	require.Equal(t, 1, m.mints())

	for _, got := range held {
		require.True(t, m.accepted(got), "a holder is still there")
		m.revoke(got)
	}
	require.False(t, m.accepted(first))
	require.Equal(t, 1, m.revocations())
}
