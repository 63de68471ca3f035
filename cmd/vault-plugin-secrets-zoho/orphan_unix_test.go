//go:build unix

package main

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/plugin"
	"github.com/stretchr/testify/require"
)

func TestOrphan_EndsByItselfWhenItsParentIsKilled(t *testing.T) {
	t.Parallel()
	program, err := os.Executable()
	require.NoError(t, err)
	// The shell stands for Vault.
	cmd := exec.CommandContext(t.Context(), "sh", "-c", `"$0" & wait`, program)
	cmd.Env = append(os.Environ(), plugin.HandshakeConfig.MagicCookieKey+"="+plugin.HandshakeConfig.MagicCookieValue, "PLUGIN_PROTOCOL_VERSIONS=5", "TMPDIR="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	log, err := cmd.StderrPipe()
	require.NoError(t, err)
	address, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(address).ReadString('\n')
	require.NoError(t, err)
	require.Contains(t, line, "|grpc|", "the plugin serves")

	require.NoError(t, cmd.Process.Kill())
	// The log ends with the last process that writes to it.
	ended := make(chan string, 1)
	go func() {
		text, _ := io.ReadAll(log)
		ended <- string(text)
	}()
	select {
	case text := <-ended:
		require.Contains(t, text, "Vault has died")
	case <-time.After(time.Minute):
		require.Fail(t, "the plugin goes on without its parent")
	}
}
