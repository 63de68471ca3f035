package tokenserver

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
)

// asks sends a challenge to a server as it comes on a connection to an address.
func (w *world) asks(c *Challenge, at net.Addr) http.Header {
	w.t.Helper()
	r := httptest.NewRequest(http.MethodGet, "/healthz", nil)
	c.Ask(r.Header)
	require.NotContains(w.t, fmt.Sprint(r.Header), pairSecret)
	return w.sendTo(r, at)
}

func (w *world) sendTo(r *http.Request, at net.Addr) http.Header {
	w.t.Helper()
	if at != nil {
		r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, at))
	}
	return w.send(r).Header()
}

func TestProof_HoldsForAServerThatKnowsThePair(t *testing.T) {
	inBubble(t, func(w *world) {
		for _, at := range []net.Addr{tcpAddr(8269), &net.UnixAddr{Name: "/run/s", Net: "unix"}} {
			c := w.server.Pair.Challenge(at)
			require.True(t, c.Holds(w.asks(c, at)))
			require.False(t, w.server.Pair.Challenge(at).Holds(w.asks(c, at)), "an answer is good for its question only")
		}
		// A path is another one in another container.
		c := w.server.Pair.Challenge(&net.UnixAddr{Name: "/run/s", Net: "unix"})
		require.True(t, c.Holds(w.asks(c, &net.UnixAddr{Name: "/var/run/s", Net: "unix"})))
	})
}

func TestProof_AnImpostorHasNone(t *testing.T) {
	inBubble(t, func(w *world) {
		c := w.server.Pair.Challenge(tcpAddr(8269))
		require.False(t, c.Holds(http.Header{}))
		sent := http.Header{}
		c.Ask(sent)
		require.False(t, c.Holds(sent), "it sends back what it was sent")
		require.False(t, c.Holds(w.asks(c, tcpAddr(8270))), "it asks the server at another address")
		require.False(t, c.Holds(w.asks(c, nil)))
		w.server.Pair = nil
		require.False(t, c.Holds(w.asks(c, tcpAddr(8269))))
	})
}

// An answer would let its receiver try secrets without asking the server.
func TestProof_WhoDoesNotKnowThePairGetsNoAnswerToGuessFrom(t *testing.T) {
	inBubble(t, func(w *world) {
		for _, guess := range []string{"", "0123456789abcdef"} {
			r := httptest.NewRequest(http.MethodGet, "/healthz", nil)
			r.Header.Set(headerNonce, "a nonce")
			if guess != "" {
				pair, err := ParsePair(pairID, guess)
				require.NoError(t, err)
				pair.Challenge(tcpAddr(8269)).Ask(r.Header)
			}
			require.Empty(t, w.sendTo(r, tcpAddr(8269)).Get(headerProof))
		}
	})
}

func tcpAddr(port int) net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port} }
