package tokenserver

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// None of these tests is parallel: the umask is the process's.

func TestListen_RefusesWhatOtherMachinesCanReach(t *testing.T) {
	for _, address := range []string{"0.0.0.0:0", ":0", "[::]:0", "192.0.2.1:0", "example.com:0", "169.254.1.1:0", "127.0.0.1", "unix:", "unix:@abstract"} {
		listener, err := Listen(t.Context(), address, 0o600)
		if err == nil {
			_ = listener.Close()
		}
		require.Error(t, err, address)
		require.Contains(t, err.Error(), "-listen")
	}
	for _, address := range []string{"127.0.0.1:0", "localhost:0", "127.0.0.2:0"} {
		listener, err := Listen(t.Context(), address, 0o600)
		require.NoError(t, err)
		require.NoError(t, listener.Close())
	}
}

func TestListen_AUnixSocketHasItsModeAndReplacesOnlyALeftover(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	for _, mode := range []os.FileMode{0o600, 0o660} {
		listener, err := Listen(t.Context(), "unix:"+path, mode)
		require.NoError(t, err)
		info, err := os.Stat(path)
		require.NoError(t, err)
		require.Equal(t, mode, info.Mode().Perm())
		_, err = Listen(t.Context(), "unix:"+path, mode)
		require.ErrorContains(t, err, "another program listens there")
		require.NoError(t, listener.Close())
		require.NoFileExists(t, path)
	}

	killed, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	require.NoError(t, err)
	killed.SetUnlinkOnClose(false)
	require.NoError(t, killed.Close())
	listener, err := Listen(t.Context(), "unix:"+path, 0o600)
	require.NoError(t, err, "what a killed program has left behind")
	require.NoError(t, listener.Close())

	require.NoError(t, os.WriteFile(path, []byte("precious"), 0o600))
	_, err = Listen(t.Context(), "unix:"+path, 0o600)
	require.ErrorContains(t, err, "not a socket")
	require.FileExists(t, path)
}
