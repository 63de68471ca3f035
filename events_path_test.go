package zohosecrets

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/zohosim"
)

// newEventful is a mount whose events go to sender.
func newEventful(t *testing.T, sender logical.EventSender) (*mount, *simulation) {
	t.Helper()
	m := &mount{storage: &logical.InmemStorage{}, system: logical.TestSystemView(), clock: zohosim.StoppedClock(time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC))}
	m.system.PluginEnvironment = &logical.PluginEnvironment{VaultVersion: "1.21.1"}
	m.inner = newClocked(m.clock, m.storage, hclog.NewNullLogger())
	require.NoError(t, m.inner.Setup(t.Context(), &logical.BackendConfig{StorageView: m.storage, System: m.system, Logger: hclog.NewNullLogger(), EventsSender: sender}))
	m.vault = vault{t: t, backend: m.inner}
	t.Cleanup(func() { m.inner.Cleanup(context.Background()) })
	z := newSimulation(t, m.clock)
	m.write("config", z.config()).done(t)
	m.write("roles/crm-sync", z.role()).done(t)
	return m, z
}

// sent waits until an event of that name has arrived, and returns its metadata.
func sent(t *testing.T, sender *logical.MockEventSender, name string) map[string]any {
	t.Helper()
	var metadata map[string]any
	require.Eventually(t, func() bool {
		sender.Lock()
		defer sender.Unlock()
		for _, event := range sender.Events {
			if string(event.Type) == name {
				metadata = event.Event.Metadata.AsMap()
				return true
			}
		}
		return false
	}, 10*time.Second, time.Millisecond, name)
	return metadata
}

func TestEvents_GoToVaultWithItsNamesAndMetadata(t *testing.T) {
	t.Parallel()
	sender := logical.NewMockEventSender()
	m, z := newEventful(t, sender)
	require.Equal(t, map[string]any{"path": "config", "data_path": "config", "operation": "config-write", "modified": "true"}, sent(t, sender, "zoho/config-write"))
	require.Equal(t, map[string]any{"path": "roles/crm-sync", "data_path": "roles/crm-sync", "operation": "role-write", "modified": "true", "role": "crm-sync"}, sent(t, sender, "zoho/role-write"))
	m.write("roles/crm-sync", fields{"min_ttl": "2h"})
	require.Equal(t, "false", sent(t, sender, "zoho/role-write-fail")["modified"])

	leased := m.read("creds/crm-sync").done(t)
	id := leased.tokenID(t)
	minted := sent(t, sender, "zoho/token-mint")
	require.Equal(t, "tokens/"+id, minted["path"])
	require.Equal(t, id, minted["token_id"])
	require.Equal(t, "crm-sync", minted["roles"])
	require.NotEmpty(t, minted["grant"])
	require.Equal(t, leased.Data["expires_at"], minted["expires_at"])
	require.NoError(t, m.revoke("creds/crm-sync", leased))
	require.Equal(t, id, sent(t, sender, "zoho/token-revoke")["token_id"])

	z.sim.Kill(z.refreshToken)
	for range 3 {
		m.read("creds/crm-sync")
	}
	require.Equal(t, "refused", sent(t, sender, "zoho/token-mint-fail")["kind"])
	require.Equal(t, "invalid_code", sent(t, sender, "zoho/grant-refuse")["code"])
	require.Equal(t, "roles/crm-sync/status", sent(t, sender, "zoho/grant-reauthorize-required")["path"])
}

// deaf is a Vault that does not take events, and takes its time over it.
type deaf struct{ asked chan struct{} }

func (d deaf) SendEvent(ctx context.Context, _ logical.EventType, _ *logical.EventData) error {
	select {
	case <-d.asked:
	case <-ctx.Done():
	}
	return errors.New("unknown service pb.Events")
}

func TestEvents_AreFireAndForget(t *testing.T) {
	t.Parallel()
	sender := deaf{asked: make(chan struct{})}
	m, z := newEventful(t, sender)
	leased := m.read("creds/crm-sync").done(t)
	m.delete("tokens/" + leased.tokenID(t)).done(t)
	require.False(t, z.sim.Alive(leased.token()))
	close(sender.asked)
	m.read("creds/crm-sync").done(t)
}
