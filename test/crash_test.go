package test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"sync"
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

	m.sim.SetLatency(time.Minute) // far longer than the engine waits, so that no answer comes before the plugin is killed
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

// Invariants 6 and 8: readers in a crowd go ahead of storage, which counts them
// all the same.
func TestCrash_OfThePluginInTheMiddleOfACrowdLosesNoLease(t *testing.T) {
	t.Parallel()
	server := ownServer(t)
	m := newMountOn(t, server, zohosim.Options{})
	held := m.crowd(300, func() { killPlugin(t, server) })
	m.waitForPlugin()

	all, _ := m.holders(held[0])
	require.GreaterOrEqual(t, all, len(held))
	for i, lease := range held {
		if i%50 == 0 || i == len(held)-1 {
			require.True(t, m.accepted(lease), "revoked with lease %d of %d", i, len(held))
		}
		m.revoke(lease)
	}
	require.True(t, m.accepted(m.read("crm-sync")))
	require.Equal(t, 1, m.leases())
}

func TestReload_InTheMiddleOfACrowdNamesEveryHolder(t *testing.T) {
	t.Parallel()
	m := newMountOn(t, ownServer(t), zohosim.Options{})
	held := m.crowd(300, func() {
		_, err := m.root.Logical().WriteWithContext(t.Context(), "sys/plugins/reload/backend", map[string]any{"mounts": []string{m.path + "/"}})
		require.NoError(t, err)
	})
	all, unnamed := m.holders(held[0])
	require.GreaterOrEqual(t, all, len(held))
	require.Zero(t, unnamed)
	require.Equal(t, held[0].token, m.read("crm-sync").token)
}

// crowd lets sixteen clients read until there are so many leases and something
// has been done, and returns the leases.
func (m *mount) crowd(leases int, do func()) []creds {
	m.t.Helper()
	var mu sync.Mutex
	var held []creds
	var wg sync.WaitGroup
	enough, stop := make(chan struct{}), make(chan struct{})
	read := func() {
		got, err := m.readAs(m.t.Context(), m.root, "crm-sync")
		if err != nil {
			return // the plugin is away
		}
		mu.Lock()
		defer mu.Unlock()
		if held = append(held, got); len(held) == leases {
			close(enough)
		}
	}
	for range 16 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					read()
				}
			}
		})
	}
	end := sync.OnceFunc(func() { close(stop); wg.Wait() })
	defer end() // also if do has failed
	<-enough
	do()
	end()
	return held
}

// holders counts who holds a lease's token, and who of them has no name.
func (m *mount) holders(of creds) (all, unnamed int) {
	m.t.Helper()
	id, _ := of.Data["token_id"].(string)
	answer, err := m.root.Logical().ReadWithContext(m.t.Context(), m.path+"/tokens/"+id)
	require.NoError(m.t, err)
	number := func(key string) int {
		n, err := strconv.Atoi(fmt.Sprint(answer.Data[key]))
		require.NoError(m.t, err)
		return n
	}
	return number("holder_count"), number("unnamed_count")
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
