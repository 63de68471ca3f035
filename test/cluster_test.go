package test

import (
	"encoding/json"
	"os"
	"strconv"
	"sync"
	"testing"

	"github.com/hashicorp/vault/api"
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
	t.Attr("with", "three nodes with raft storage")
	for _, node := range cluster.Nodes {
		require.NoError(t, node.InstallPlugin(env.plugin))
	}
	require.NoError(t, cluster.Nodes[0].RegisterPlugin(t.Context(), env.plugin))
	return cluster
}

// servedBy waits until every node serves the mount. A standby that answers reads itself, as OpenBao's do from 2.5 on, learns of
// a mount somewhat later than the leader.
func (m *mount) servedBy(cluster *bootstrap.Cluster) {
	m.t.Helper()
	m.everyNodeSoon(cluster, "roles/crm-sync", func(role *api.Secret) bool { return role != nil })
}

// everyNodeSoon waits until every node answers a read as it should.
func (m *mount) everyNodeSoon(cluster *bootstrap.Cluster, path string, right func(*api.Secret) bool) {
	m.t.Helper()
	for _, node := range cluster.Nodes {
		eventually(m.t, node.Addr()+" to answer "+path, func() bool {
			answer, err := node.Client(node.RootToken()).Logical().ReadWithContext(m.t.Context(), m.path+"/"+path)
			return err == nil && right(answer)
		})
	}
}

// Invariants 8 and 12.
func TestCluster_ANewLeaderServesTheSameTokenAndRevokesTheOldLeases(t *testing.T) {
	t.Parallel()
	cluster := newCluster(t)
	leader := cluster.Nodes[0]
	m := newMountOn(t, leader, zohosim.Options{})
	held := []creds{m.read("crm-sync"), m.read("crm-sync")}
	m.servedBy(cluster)
	m.scrapedThrough(cluster.Nodes, `zoho_reads_total{role="crm-sync",result="issued"} 2`)

	leader.Kill()
	active, err := cluster.Active(t.Context())
	require.NoError(t, err)
	require.NotEqual(t, leader.Addr(), active.Addr())
	m.root = active.Client(active.RootToken())

	held = append(held, m.read("crm-sync"))
	require.Equal(t, held[0].token, held[2].token)
	require.Equal(t, 1, m.sim.Count(zohosim.EndpointToken), "the new leader minted")
	m.scrapedThrough([]*bootstrap.Vault{active}, `zoho_role_holders{role="crm-sync"} 3`)
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
	m.servedBy(cluster)
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

// Invariant 12. A standby passes on what only the active node can tell, so that is right at once. The rest it passes on,
// too, as Vault's do, or answers it itself, as OpenBao's do from 2.5 on, and then learns of a change somewhat later.
func TestCluster_EveryNodeAnswersWithWhatWasChangedOnAnother(t *testing.T) {
	t.Parallel()
	cluster := newCluster(t)
	m := newMountOn(t, cluster.Nodes[0], zohosim.Options{})
	m.servedBy(cluster)
	through := func(node *bootstrap.Vault) *api.Logical { return node.Client(node.RootToken()).Logical() }
	m.knownEverywhere(cluster, creds{}, "never tried", 0)

	first := m.read("crm-sync")
	m.knownEverywhere(cluster, first, "ready", 1)
	second, err := m.readAs(t.Context(), cluster.Nodes[2].Client(m.server.RootToken()), "crm-sync")
	require.NoError(t, err)
	m.knownEverywhere(cluster, first, "ready", 2)
	for i, lease := range []creds{first, second} {
		_, err := through(cluster.Nodes[i+1]).WriteWithContext(t.Context(), "sys/leases/revoke", map[string]any{"lease_id": lease.LeaseID, "sync": true})
		require.NoError(t, err)
		m.knownEverywhere(cluster, first, "ready", 1-i)
	}

	// Through a standby, for all.
	_, err = through(cluster.Nodes[1]).WriteWithContext(t.Context(), m.path+"/roles/crm-sync", map[string]any{"ttl": "40m"})
	require.NoError(t, err)
	m.everyNodeSoon(cluster, "roles/crm-sync", func(role *api.Secret) bool { return role != nil && role.Data["ttl"] == json.Number("2400") })
	_, err = through(cluster.Nodes[2]).WriteWithContext(t.Context(), m.path+"/config", map[string]any{"min_ttl": "5m"})
	require.NoError(t, err)
	m.everyNodeSoon(cluster, "config", func(config *api.Secret) bool { return config != nil && config.Data["min_ttl"] == json.Number("300") })

	m.sim.Kill(m.refreshToken)
	_, err = m.readAs(t.Context(), m.root, "crm-sync")
	require.ErrorContains(t, err, "invalid_code")
	m.knownEverywhere(cluster, first, "refused", 0)

	_, err = through(cluster.Nodes[1]).DeleteWithContext(t.Context(), m.path+"/roles/crm-sync")
	require.NoError(t, err)
	m.everyNodeSoon(cluster, "roles/crm-sync", func(role *api.Secret) bool { return role == nil })
}

// knownEverywhere requires of every node that it knows the state of the role and, if there is one, who holds the token; and
// waits for the state in its list of roles.
func (m *mount) knownEverywhere(cluster *bootstrap.Cluster, token creds, state string, holders int) {
	m.t.Helper()
	for _, node := range cluster.Nodes {
		logical := node.Client(node.RootToken()).Logical()
		status, err := logical.ReadWithContext(m.t.Context(), m.path+"/roles/crm-sync/status")
		require.NoError(m.t, err)
		require.NotNil(m.t, status)
		require.Equal(m.t, state, status.Data["state"])
		require.Equal(m.t, json.Number(strconv.Itoa(holders)), status.Data["holders"])
		if token.Secret != nil {
			shown, err := logical.ReadWithContext(m.t.Context(), m.path+"/tokens/"+text(m.t, token.Secret, "token_id"))
			require.NoError(m.t, err)
			require.NotNil(m.t, shown)
			require.Len(m.t, eachOf(m.t, shown.Data["holders"], "request_id"), holders)
			found, err := logical.WriteWithContext(m.t.Context(), m.path+"/tokens/lookup", map[string]any{"token": token.token})
			require.NoError(m.t, err)
			require.Equal(m.t, holders == 0, text(m.t, found, "state") == "ended")
		}
		eventually(m.t, node.Addr()+" to list the role as "+state, func() bool {
			list, err := logical.ListWithContext(m.t.Context(), m.path+"/roles")
			if err != nil || list == nil {
				return false
			}
			roles, _ := list.Data["key_info"].(map[string]any)
			role, _ := roles["crm-sync"].(map[string]any)
			return role["state"] == state
		})
	}
}
