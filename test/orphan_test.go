package test

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/bootstrap"
	"vault-plugin-secrets-zoho/zohosim"
)

func TestOrphan_ThePluginEndsItselfWhenItsVaultIsKilled(t *testing.T) {
	t.Parallel()
	server := ownServer(t)
	m := newMountOn(t, server, zohosim.Options{})
	held := m.read("crm-sync")

	for range 2 {
		plugin := pluginProcess(t, server)
		killVault(t, server)
		waitForEnd(t, plugin)
		require.NoError(t, server.Restart(t.Context()))
		require.Equal(t, held.token, m.read("crm-sync").token)
	}
	m.revokePrefix("creds")
	require.False(t, m.accepted(held))
}

// A mint that is cut off may leave a token at Zoho that nobody knows.
func TestOrphan_ThePluginFinishesAMintThatIsUnderWayBeforeItEnds(t *testing.T) {
	t.Parallel()
	server := ownServer(t)
	m := newMountOn(t, server, zohosim.Options{})
	refreshToken := m.consent()
	m.write("roles/slow", map[string]any{"refresh_token": refreshToken, "verify": false})
	m.sim.SetLatency(2 * time.Second) // longer than the plugin needs to see that Vault is gone
	failed := make(chan error, 1)
	go func() {
		_, err := m.readAs(t.Context(), m.root, "slow")
		failed <- err
	}()
	m.waitForRequests(zohosim.EndpointToken, 1)
	m.sim.SetLatency(0)
	plugin := pluginProcess(t, server)
	killVault(t, server)
	require.Error(t, <-failed)
	waitForEnd(t, plugin)
	require.Equal(t, http.StatusOK, m.sim.Requests()[0].Status, "the plugin has waited for Zoho's answer")
	require.Zero(t, m.sim.LiveTokens(refreshToken), "what could not be stored was revoked again")
}

func pluginProcess(t *testing.T, server *bootstrap.Vault) int {
	t.Helper()
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("finding the plugin's process needs /proc")
	}
	process, err := server.PluginProcess()
	require.NoError(t, err)
	t.Cleanup(func() { // if the test has failed; after its end the number could be another process's
		if runsPlugin(process.PID) {
			_ = syscall.Kill(process.PID, syscall.SIGKILL)
		}
	})
	return process.PID
}

// killVault kills the server and not its plugins, as the kernel does when it
// runs out of memory.
func killVault(t *testing.T, server *bootstrap.Vault) {
	t.Helper()
	require.NoError(t, syscall.Kill(server.PID(), syscall.SIGKILL))
	<-server.Done()
}

func waitForEnd(t *testing.T, plugin int) {
	t.Helper()
	eventually(t, "the plugin's process to end by itself", func() bool { return !runsPlugin(plugin) })
}

// runsPlugin reports whether the process runs the plugin's program. One that
// has ended has no program, also while nobody has asked for its exit status.
func runsPlugin(pid int) bool {
	program, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	return err == nil && strings.Contains(program, bootstrap.PluginName)
}
