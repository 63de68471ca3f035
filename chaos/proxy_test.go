//go:build unix

package main

import (
	"bufio"
	"net"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// echo answers each line with itself.
func echo(t *testing.T) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				for lines := bufio.NewScanner(conn); lines.Scan(); {
					_, _ = conn.Write([]byte(lines.Text() + "\n"))
				}
			}()
		}
	}()
	return listener.Addr().String()
}

func newLine(t *testing.T, from string) (n *network, ask func() error) {
	t.Helper()
	n = newNetwork(func(net.Addr, net.Addr) string { return from })
	t.Cleanup(n.stop)
	address, err := n.reach("b", echo(t))
	require.NoError(t, err)
	conn, err := net.Dial("tcp", address)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	lines := bufio.NewReader(conn)
	return n, func() error {
		if _, err := conn.Write([]byte("hello\n")); err != nil {
			return err
		}
		if err := conn.SetReadDeadline(time.Now().Add(300 * time.Millisecond)); err != nil {
			return err
		}
		_, err := lines.ReadString('\n')
		return err
	}
}

func TestNetwork_LetsNothingThroughToOrFromANodeThatIsCutOff(t *testing.T) {
	t.Parallel()
	for _, cut := range []string{"a", "b"} {
		n, ask := newLine(t, "a")
		require.NoError(t, ask())
		n.cutOff(cut)
		require.ErrorIs(t, ask(), os.ErrDeadlineExceeded)
		n.cutOff("")
		require.NoError(t, ask(), "what was held back arrives")
	}
}

func TestNetwork_LeavesTheOthersAloneWhenOneNodeIsCutOff(t *testing.T) {
	t.Parallel()
	n, ask := newLine(t, "a")
	n.cutOff("c")
	require.NoError(t, ask())
}

func TestProcessAt_FindsWhoHasDialled(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("needs /proc")
	}
	here, err := os.Getwd()
	require.NoError(t, err)
	conn, err := net.Dial("tcp", echo(t))
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	require.Equal(t, here, processAt(conn.LocalAddr(), conn.RemoteAddr(), []string{"/nowhere", here}))
	require.Empty(t, processAt(conn.LocalAddr(), conn.RemoteAddr(), []string{"/nowhere"}))
}
