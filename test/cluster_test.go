package test

import (
	"os"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/bootstrap"
	"vault-plugin-secrets-zoho/zohosim"
)

// newCluster starts three nodes with the plugin.
func newCluster(t *testing.T) *bootstrap.Cluster {
	t.Helper()
	dir, err := os.MkdirTemp("", "zoho")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	cluster, err := bootstrap.StartCluster(t.Context(), bootstrap.VaultOptions{Dir: dir, Audit: true, LogLevel: "trace"}, 3)
	require.NoError(t, err)
	t.Cleanup(func() {
		cluster.Kill()
		for _, node := range cluster.Nodes {
			require.Empty(t, secretsIn(node.LogFile(), cluster.Nodes[0].AuditLog()))
		}
	})
	for _, node := range cluster.Nodes {
		require.NoError(t, node.InstallPlugin(env.plugin))
	}
	require.NoError(t, cluster.Nodes[0].RegisterPlugin(t.Context(), env.plugin))
	return cluster
}

// Invariants 8 and 12.
func TestCluster_ANewLeaderServesTheSameTokenAndRevokesTheOldLeases(t *testing.T) {
	t.Parallel()
	cluster := newCluster(t)
	leader := cluster.Nodes[0]
	m := newMountOn(t, leader, zohosim.Options{})
	held := []creds{m.read("crm-sync"), m.read("crm-sync")}

	leader.Kill()
	active, err := cluster.Active(t.Context())
	require.NoError(t, err)
	require.NotEqual(t, leader.Addr(), active.Addr())
	m.root = active.Client(active.RootToken())

	held = append(held, m.read("crm-sync"))
	require.Equal(t, held[0].token, held[2].token)
	require.Equal(t, 1, m.sim.Count(zohosim.EndpointToken), "the new leader minted")
	for _, lease := range held {
		require.True(t, m.accepted(lease))
		m.revoke(lease)
	}
	require.False(t, m.accepted(held[0]))
	require.Equal(t, 1, m.revocations())
}

// Invariant 12.
func TestCluster_ReadsThroughStandbysMintOnce(t *testing.T) {
	t.Parallel()
	cluster := newCluster(t)
	m := newMountOn(t, cluster.Nodes[0], zohosim.Options{})
	var wg sync.WaitGroup
	var mu sync.Mutex
	var held []creds
	for range 10 {
		for _, node := range cluster.Nodes {
			wg.Go(func() {
				got, err := m.readAs(t.Context(), node.Client(node.RootToken()), "crm-sync")
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				held = append(held, got)
			})
		}
	}
	wg.Wait()
	require.Len(t, held, 30)
	require.Equal(t, 1, m.sim.Count(zohosim.EndpointToken))

	standby := cluster.Nodes[2]
	m.root = standby.Client(standby.RootToken())
	for i, lease := range held {
		require.True(t, m.accepted(lease), "revoked with lease %d of %d", i, len(held))
		m.revoke(lease)
	}
	require.False(t, m.accepted(held[0]))
	require.Equal(t, 1, m.revocations())
}
