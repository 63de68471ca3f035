package tokenserver

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// None of these tests is parallel: the umask is the process's.

func TestListen_RefusesWhatOtherMachinesCanReach(t *testing.T) {
	for _, address := range []string{
		"0.0.0.0:0", ":0", "[::]:0", "192.0.2.1:0", "example.com:0", "169.254.1.1:0", "127.0.0.1", "unix:", "unix:@abstract",
		"[::ffff:192.0.2.1]:0", "[fe80::1%lo]:0", "127.0.0.1:port", "localhost.example.com:0", "systemd",
	} {
		listeners, err := Listen(t.Context(), address, 0o600)
		require.Error(t, err, address)
		require.Empty(t, listeners)
		require.Contains(t, err.Error(), "-listen")
	}
	for _, address := range []string{"127.0.0.1:0", "localhost:0", "127.0.0.2:0", "[::ffff:127.0.0.1]:0"} {
		listeners, err := Listen(t.Context(), address, 0o600)
		require.NoError(t, err)
		require.NoError(t, CloseAll(listeners))
	}
}

func hasIPv6(t *testing.T) bool {
	t.Helper()
	l, err := net.Listen("tcp", "[::1]:0")
	if err == nil {
		require.NoError(t, l.Close())
	}
	return err == nil
}

// Otherwise another user takes the address that is left, and gets what callers send who
// try that one first.
func TestListen_OnLocalhostLeavesNoLoopbackAddressToOthers(t *testing.T) {
	listeners, err := Listen(t.Context(), "localhost:0", 0o600)
	require.NoError(t, err)
	defer func() { require.NoError(t, CloseAll(listeners)) }()
	_, port, err := net.SplitHostPort(listeners[0].Addr().String())
	require.NoError(t, err)
	hosts := []string{"127.0.0.1", "localhost", "0.0.0.0"}
	if hasIPv6(t) {
		require.Len(t, listeners, 2)
		hosts = append(hosts, "::1")
	}
	if runtime.GOOS != "linux" {
		hosts = hosts[:2] // elsewhere who listens on all addresses gets what nobody else listens for
	}
	for _, host := range hosts {
		_, err := net.Listen("tcp", net.JoinHostPort(host, port))
		require.Error(t, err, host)
	}
}

func TestListen_OnLocalhostFailsIfAnotherHasOneOfTheAddresses(t *testing.T) {
	if !hasIPv6(t) {
		t.Skip("without IPv6 there is one loopback address only")
	}
	impostor, err := net.Listen("tcp", "[::1]:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, impostor.Close()) }()
	_, port, err := net.SplitHostPort(impostor.Addr().String())
	require.NoError(t, err)
	_, err = Listen(t.Context(), "localhost:"+port, 0o600)
	require.ErrorContains(t, err, "callers may have sent it the client secret")
	free, err := net.Listen("tcp", "127.0.0.1:"+port)
	require.NoError(t, err, "it keeps none of the others")
	require.NoError(t, free.Close())
}

// socketDir is a directory that nobody else can write, with a short name.
func socketDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "zoho")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	return dir
}

func TestListen_AUnixSocketHasItsModeAndReplacesOnlyALeftover(t *testing.T) {
	path := filepath.Join(socketDir(t), "socket")
	for _, mode := range []os.FileMode{0o600, 0o660} {
		listener, err := Listen(t.Context(), "unix:"+path, mode)
		require.NoError(t, err)
		info, err := os.Stat(path)
		require.NoError(t, err)
		require.Equal(t, mode, info.Mode().Perm())
		require.Empty(t, OpenTo(listener[0]))
		_, err = Listen(t.Context(), "unix:"+path, mode)
		require.ErrorContains(t, err, "another program listens there")
		require.NoError(t, CloseAll(listener))
		require.NoFileExists(t, path)
	}

	killed, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	require.NoError(t, err)
	killed.SetUnlinkOnClose(false)
	require.NoError(t, killed.Close())
	listener, err := Listen(t.Context(), "unix:"+path, 0o600)
	require.NoError(t, err, "what a killed program has left behind")
	require.NoError(t, CloseAll(listener))

	require.NoError(t, os.WriteFile(path, []byte("precious"), 0o600))
	_, err = Listen(t.Context(), "unix:"+path, 0o600)
	require.ErrorContains(t, err, "not a socket")
	require.FileExists(t, path)
}

// Whoever can make files there makes the socket while the server is started again.
func TestListen_AUnixSocketIsNotMadeWhereOthersCouldMakeIt(t *testing.T) {
	dir := filepath.Join(socketDir(t), "made")
	listener, err := Listen(t.Context(), "unix:"+filepath.Join(dir, "s"), 0o600)
	require.NoError(t, err, "a directory that is missing is made")
	require.NoError(t, CloseAll(listener))
	info, err := os.Stat(dir)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o700), info.Mode().Perm())
	for _, mode := range []os.FileMode{0o777, 0o775, 0o707, os.ModeSticky | 0o777} {
		require.NoError(t, os.Chmod(dir, mode))
		_, err := Listen(t.Context(), "unix:"+filepath.Join(dir, "s"), 0o600)
		require.ErrorContains(t, err, "lets other users in", "%04o", mode)
	}
	require.NoError(t, os.Chmod(dir, 0o755))
	foreign(t, dir)
	_, err = Listen(t.Context(), "unix:"+filepath.Join(dir, "s"), 0o600)
	require.ErrorContains(t, err, "belongs to the user with ID 65534")
}

// foreign gives a file to another user, which only root can do.
func foreign(t *testing.T, file string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can give a file to another user")
	}
	require.NoError(t, os.Lchown(file, 65534, 65534))
}

func TestListen_OfManyThatStartAtOnceOnALeftoverOneHasTheSocket(t *testing.T) {
	path := filepath.Join(socketDir(t), "socket")
	for range 200 {
		killed, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		require.NoError(t, err)
		killed.SetUnlinkOnClose(false)
		require.NoError(t, killed.Close())
		var mu sync.Mutex
		var wg sync.WaitGroup
		var won []net.Listener
		for range 8 {
			wg.Go(func() {
				if l, err := listenUnix(t.Context(), path, 0o600); err == nil {
					mu.Lock()
					defer mu.Unlock()
					won = append(won, l)
				}
			})
		}
		wg.Wait()
		require.Len(t, won, 1)
		c, err := net.Dial("unix", path)
		require.NoError(t, err)
		require.NoError(t, c.Close())
		require.NoError(t, CloseAll(won))
	}
}

func TestOpenTo_ASocketOfSystemdsDefaultModeIsForEverybody(t *testing.T) {
	path := filepath.Join(socketDir(t), "socket")
	for mode, open := range map[os.FileMode]bool{0o666: true, 0o602: true, 0o660: false, 0o600: false} {
		listeners, err := Listen(t.Context(), "unix:"+path, mode)
		require.NoError(t, err)
		require.Equal(t, open, OpenTo(listeners[0]) != "", "%04o", mode)
		require.NoError(t, CloseAll(listeners))
	}
	listeners, err := Listen(t.Context(), "127.0.0.1:0", 0o600)
	require.NoError(t, err)
	require.NotEmpty(t, OpenTo(listeners[0]))
	require.NoError(t, CloseAll(listeners))
}

func TestListen_SaysThatPassedInSocketsWouldGetNoAnswers(t *testing.T) {
	t.Setenv(envListenPID, fmt.Sprint(os.Getpid()))
	t.Setenv(envListenFDs, "1")
	_, err := Listen(t.Context(), "127.0.0.1:0", 0o600)
	require.ErrorContains(t, err, "-listen=systemd")
	t.Setenv(envListenPID, "1") // another process's
	_, err = Listen(t.Context(), "systemd", 0o600)
	require.ErrorContains(t, err, "no sockets were passed in")
}
