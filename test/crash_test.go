package test

import (
	"errors"
	"net/http"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"
	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/bootstrap"
	"vault-plugin-secrets-zoho/zohosim"
)

// Invariant 8.
func TestCrash_OfThePluginInTheMiddleOfAReadLosesNoLease(t *testing.T) {
	t.Parallel()
	server := ownServer(t)
	m := newMountOn(t, server, zohosim.Options{})
	other := newMountOn(t, server, zohosim.Options{})
	held, elsewhere := m.read("crm-sync"), other.read("crm-sync")
	m.write("roles/slow", map[string]any{"refresh_token": m.consent(), "verify": false})

	m.sim.SetLatency(5 * time.Second)
	failed := make(chan error, 1)
	go func() {
		_, err := m.readAs(t.Context(), m.root, "slow")
		failed <- err
	}()
	m.waitForRequests(zohosim.EndpointToken, 2)
	killPlugin(t, server)
	require.Equal(t, http.StatusInternalServerError, status(t, <-failed))
	m.waitForPlugin()

	m.sim.SetLatency(0)
	require.Equal(t, held.token, m.read("crm-sync").token)
	require.True(t, m.accepted(m.read("slow")))
	require.Equal(t, elsewhere.token, other.read("crm-sync").token)
	m.revokePrefix("creds")
	require.False(t, m.accepted(held))
}

// Invariant 8.
func TestCrash_OfThePluginInTheMiddleOfARevocationLosesNoLease(t *testing.T) {
	t.Parallel()
	server := ownServer(t)
	m := newMountOn(t, server, zohosim.Options{})
	held := m.read("crm-sync")

	m.sim.SetLatency(5 * time.Second)
	failed := make(chan error, 1)
	go func() {
		_, err := m.root.Logical().WriteWithContext(t.Context(), "sys/leases/revoke", map[string]any{"lease_id": held.LeaseID, "sync": true})
		failed <- err
	}()
	m.waitForRequests(zohosim.EndpointRevoke, 1)
	killPlugin(t, server)
	require.Error(t, <-failed)
	m.waitForPlugin()

	m.sim.SetLatency(0)
	next := m.read("crm-sync")
	require.NotEqual(t, held.token, next.token, "its revocation was decided")
	require.True(t, m.accepted(next))
	m.revoke(held)
	require.False(t, m.accepted(held))
	require.True(t, m.accepted(next))
	require.Equal(t, 1, m.leases())
}

func TestReload_OfOneMountLeavesTheOtherAsItWas(t *testing.T) {
	t.Parallel()
	server := ownServer(t)
	first, second := newMountOn(t, server, zohosim.Options{}), newMountOn(t, server, zohosim.Options{})
	held, elsewhere := first.read("crm-sync"), second.read("crm-sync")
	_, err := first.root.Logical().WriteWithContext(t.Context(), "sys/plugins/reload/backend", map[string]any{"mounts": []string{first.path + "/"}})
	require.NoError(t, err)
	require.Equal(t, held.token, first.read("crm-sync").token)
	require.Equal(t, elsewhere.token, second.read("crm-sync").token)
	second.revokePrefix("creds")
	require.False(t, second.accepted(elsewhere))
	require.True(t, first.accepted(held))
}

func (m *mount) waitForRequests(endpoint zohosim.Endpoint, n int) {
	m.t.Helper()
	eventually(m.t, "a request to arrive at Zoho", func() bool { return m.sim.Count(endpoint) >= n })
}

// waitForPlugin gives Vault the moment in which it notices that the process has
// died; from then on each request starts it again.
func (m *mount) waitForPlugin() {
	m.t.Helper()
	eventually(m.t, "the plugin to run again", func() bool {
		_, err := m.root.Logical().ReadWithContext(m.t.Context(), m.path+"/info")
		return err == nil
	})
}

func status(t *testing.T, err error) int {
	t.Helper()
	var failed *api.ResponseError
	require.True(t, errors.As(err, &failed), "%v", err)
	return failed.StatusCode
}

// killPlugin kills the server's plugin process without a word.
func killPlugin(t *testing.T, server *bootstrap.Vault) {
	t.Helper()
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("finding the plugin's process needs /proc")
	}
	process, err := server.PluginProcess()
	require.NoError(t, err)
	require.NoError(t, syscall.Kill(process.PID, syscall.SIGKILL))
}
