//go:build unix

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A process is the program on its own, as a service manager starts it.
type process struct {
	t   *testing.T
	cmd *exec.Cmd
	log *output
}

// launch starts the program with sockets that are passed in, or without.
func launch(t *testing.T, sockets []*os.File, args ...string) *process {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	script := `LISTEN_PID=$$ exec "$0" "$@"` // a process knows its ID only when it is there
	if sockets == nil {
		script = `exec "$0" "$@"`
	}
	p := &process{t: t, log: &output{}}
	p.cmd = exec.Command("sh", append([]string{"-c", script, self, "-mount=zoho-eu", "-role=crm-sync"}, args...)...)
	p.cmd.Env = append(os.Environ(), envProcess+"=1", "VAULT_TOKEN=x", fmt.Sprintf("LISTEN_FDS=%d", len(sockets)))
	p.cmd.ExtraFiles = sockets
	p.cmd.Stderr = p.log
	require.NoError(t, p.cmd.Start())
	t.Cleanup(func() {
		if p.cmd.ProcessState == nil {
			_ = p.stop()
		}
		if t.Failed() {
			t.Log(p.log.String())
		}
	})
	return p
}

func (p *process) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return p.cmd.Wait()
}

// passedIn makes sockets as systemd does: they stay open here.
func passedIn(t *testing.T) (files []*os.File, port, path string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "zoho") // of mode 0700, with a short name
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	path = filepath.Join(dir, "socket")
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	unix, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	require.NoError(t, err)
	require.NoError(t, os.Chmod(path, 0o600))
	for _, l := range []net.Listener{tcp, unix} {
		file, err := fileOf(t, l)
		require.NoError(t, err)
		files = append(files, file)
		t.Cleanup(func() { require.NoError(t, file.Close()) })
	}
	unix.SetUnlinkOnClose(false)
	require.NoError(t, tcp.Close())
	require.NoError(t, unix.Close())
	return files, tcp.Addr().String(), path
}

// fileOf returns the descriptor of something that listens.
func fileOf(t *testing.T, l io.Closer) (*os.File, error) {
	t.Helper()
	has, ok := l.(interface{ File() (*os.File, error) })
	require.True(t, ok)
	return has.File()
}

func clientOver(socket string) *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		var d net.Dialer
		if socket != "" {
			network, address = "unix", socket
		}
		return d.DialContext(ctx, network, address)
	}}}
}

// The port is never free, so nobody else can have it, and no caller fails.
func TestRun_AcrossARestartNobodyGetsItsSocketsAndCallersWaitInThem(t *testing.T) {
	startVault(t)
	setPair(t)
	sockets, port, path := passedIn(t)
	ask := func(socket string) string {
		return post(t, clientOver(socket), "http://"+port+"/oauth/v2/token", goodForm)
	}
	for range 2 {
		p := launch(t, sockets, "-listen=systemd")
		require.Contains(t, ask(""), "access_token")
		require.Contains(t, ask(path), "access_token")
		require.NoError(t, p.stop())

		_, err := net.Listen("tcp", port)
		require.ErrorIs(t, err, syscall.EADDRINUSE)
		_, err = net.Listen("unix", path)
		require.ErrorIs(t, err, syscall.EADDRINUSE)
		answers := make([]string, 2)
		var callers sync.WaitGroup
		for i, socket := range []string{"", path} {
			callers.Go(func() { answers[i] = ask(socket) })
		}
		p = launch(t, sockets, "-listen=systemd")
		callers.Wait() // also for one whose request has failed
		for _, answer := range answers {
			require.Contains(t, answer, "access_token")
		}
		require.NoError(t, p.stop())
	}
}

// A unit that was put together wrongly does not leave callers in a queue, or everybody in.
func TestRun_RefusesSocketsThatProtectNothing(t *testing.T) {
	startVault(t)
	sockets, _, path := passedIn(t)
	refused := func(says string, files []*os.File, args ...string) {
		t.Helper()
		p := launch(t, files, args...)
		require.Error(t, p.cmd.Wait())
		require.Contains(t, p.log.String(), says)
	}
	refused("systemd has passed in sockets that nobody would answer", sockets, "-listen=127.0.0.1:0")
	refused("no sockets were passed in", nil, "-listen=systemd")
	for network, address := range map[string]string{"tcp4": "0.0.0.0:0", "udp": "127.0.0.1:0"} {
		var l io.Closer
		var err error
		if network == "udp" {
			l, err = net.ListenPacket(network, address)
		} else {
			l, err = net.Listen(network, address)
		}
		require.NoError(t, err)
		file, err := fileOf(t, l)
		require.NoError(t, err)
		refused("-listen systemd, socket 1", []*os.File{file}, "-listen=systemd")
		require.NoError(t, l.Close())
		require.NoError(t, file.Close())
	}
	require.NoError(t, os.Chmod(path, 0o666)) // systemd's default
	refused("every user of this machine can connect to "+path, sockets[1:], "-listen=systemd")
	require.NoError(t, os.Chmod(path, 0o600))
	require.NoError(t, os.Chmod(filepath.Dir(path), 0o777))
	refused("lets other users in", sockets[1:], "-listen=systemd")
}

// systemd's own tool passes the sockets in, and starts the program at the first caller.
func TestRun_IsActivatedBySystemd(t *testing.T) {
	activate, err := exec.LookPath("systemd-socket-activate")
	if err != nil {
		require.Empty(t, os.Getenv("REQUIRE_ALL"), "systemd-socket-activate (Debian: apt-get install systemd)")
		t.Skip("there is no systemd-socket-activate")
	}
	startVault(t)
	dir, err := os.MkdirTemp("", "zoho")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	path := filepath.Join(dir, "socket")
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	port := free.Addr().String()
	require.NoError(t, free.Close())
	self, err := os.Executable()
	require.NoError(t, err)
	log := &output{}
	args := []string{"-l", port, "-l", path}
	for _, name := range []string{"VAULT_ADDR", "VAULT_TOKEN=x", "ZOHO_CLIENT_ID=an-id", "ZOHO_CLIENT_SECRET=0123456789abcdef", envProcess + "=1"} {
		args = append(args, "-E", name)
	}
	cmd := exec.Command(activate, append(args, self, "-listen=systemd", "-mount=zoho-eu", "-role=crm-sync")...)
	cmd.Stderr = log
	require.NoError(t, cmd.Start())
	require.Eventually(t, func() bool { return strings.Contains(log.String(), path) }, time.Minute, 10*time.Millisecond, "%s", log)
	for _, socket := range []string{path, ""} {
		require.Contains(t, post(t, clientOver(socket), "http://"+port+"/oauth/v2/token", goodForm), "access_token", "%s", log)
	}
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM)) // it has become the program
	require.NoError(t, cmd.Wait())
	require.FileExists(t, path, "the socket is systemd's")
}

// The count is what bounds the memory.
func TestRun_AFloodGetsNoMoreConnectionsAndACallerStillAnAnswer(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux shows how many sockets a process has")
	}
	startVault(t)
	setPair(t)
	sockets, port, _ := passedIn(t)
	p := launch(t, sockets, "-listen=systemd")
	require.Contains(t, post(t, clientOver(""), "http://"+port+"/oauth/v2/token", goodForm), "access_token")
	const flood = 600
	conns := make([]net.Conn, 0, flood)
	for range flood {
		c, err := net.DialTimeout("tcp", port, time.Minute)
		require.NoError(t, err)
		_, err = io.WriteString(c, "POST /oauth/v2/token HTTP/1.1\r\nX: ")
		assert.NoError(t, err)
		conns = append(conns, c)
	}
	defer func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}()
	require.Contains(t, post(t, clientOver(""), "http://"+port+"/oauth/v2/token", goodForm), "access_token")
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.cmd.Process.Pid))
	require.NoError(t, err)
	require.Less(t, len(open), 256/2+20, "the share of one of two sockets, and what else it has open")
	require.Contains(t, p.log.String(), "too many connections")
	require.NoError(t, p.stop())
}

// Who reads the log in a terminal sees nothing of what a stranger sends.
func TestRun_TheLogRepeatsNothingThatAStrangerSends(t *testing.T) {
	startVault(t)
	setPair(t)
	sockets, port, _ := passedIn(t)
	p := launch(t, sockets, "-listen=systemd")
	const hostile = "\x1b[2J\x1b]0;owned\x07MARKER"
	for _, sends := range []string{
		"POST /oauth/v2/token HTTP/1.1\r\nHost: x\r\n\r\n",
		hostile + " / HTTP/1.1\r\n\r\n",
		"POST /" + hostile + " HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST /oauth/v2/token HTTP/1.1\r\nHost: " + hostile + "\r\n\r\n",
		"POST /oauth/v2/token HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\nContent-Type: application/x-www-form-urlencoded\r\n\r\ngrant_type=" + hostile,
		"POST /oauth/v2/token HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: " + hostile + "\r\n\r\n",
	} {
		address, err := net.ResolveTCPAddr("tcp", port)
		require.NoError(t, err)
		c, err := net.DialTCP("tcp", nil, address)
		require.NoError(t, err)
		_, err = io.WriteString(c, sends)
		require.NoError(t, err)
		require.NoError(t, c.CloseWrite())
		_, _ = io.Copy(io.Discard, c) // until it has looked at all of it
		require.NoError(t, c.Close())
	}
	require.NoError(t, p.stop())
	require.Contains(t, p.log.String(), "refused a caller")
	require.NotContains(t, p.log.String(), "\x1b")
	require.NotContains(t, p.log.String(), "MARKER")
	require.False(t, bytes.ContainsAny([]byte(p.log.String()), "\x07\x1b"))
}
