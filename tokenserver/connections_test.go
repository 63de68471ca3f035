package tokenserver

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// memoryListener has connections without a network, so that nothing but the clock
// decides when something happens.
type memoryListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newMemoryListener() *memoryListener {
	return &memoryListener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *memoryListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *memoryListener) Close() error { l.once.Do(func() { close(l.closed) }); return nil }

func (*memoryListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8269} }

// flooded is a server with few places, and those who want them.
type flooded struct {
	*world
	memory  *memoryListener
	bounded *boundedListener
	server  *http.Server

	alive sync.WaitGroup

	mu   sync.Mutex
	open int
	most int // connections at the same time
}

func newFlooded(w *world, places int) *flooded {
	f := &flooded{world: w, memory: newMemoryListener()}
	f.bounded = newBounded(f.memory, places, w.clock, w.server.Log)
	f.server = w.server.HTTPServer()
	f.server.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			f.alive.Add(1)
		case http.StateClosed:
			f.alive.Done()
		default:
		}
	}
	ended := make(chan error, 1)
	go func() { ended <- f.server.Serve(f.bounded) }()
	w.t.Cleanup(func() {
		require.NoError(w.t, f.server.Close())
		require.ErrorIs(w.t, <-ended, http.ErrServerClosed)
		f.alive.Wait()
		require.LessOrEqual(w.t, f.counts(0), places+1, "one of them waits for a place")
		require.Zero(w.t, f.bounded.open, "a place is lost")
		require.Zero(w.t, f.bounded.waiting.Len())
	})
	return f
}

// counts returns how many connections the server had at the same time.
func (f *flooded) counts(change int) (most int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open += change
	f.most = max(f.most, f.open)
	return f.most
}

// connects is a caller who sends something, or nothing; it waits for a place if there
// is none.
func (f *flooded) connects(sends string) *peer {
	here, there := net.Pipe()
	p := &peer{Conn: here, answer: make(chan string, 1)}
	go func() {
		select {
		case f.memory.conns <- &countedConn{Conn: there, closes: sync.OnceFunc(func() { f.counts(-1) })}:
			f.counts(1)
		case <-f.memory.closed:
		}
	}()
	go func() {
		_, _ = io.WriteString(here, sends) // the server may not want it
	}()
	go func() {
		defer close(p.answer)
		if resp, err := http.ReadResponse(bufio.NewReader(here), nil); err == nil {
			body, _ := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			p.answer <- string(body)
		}
	}()
	f.t.Cleanup(func() { _ = here.Close() })
	synctest.Wait()
	return p
}

type countedConn struct {
	net.Conn
	closes func()
}

func (c *countedConn) Close() error { c.closes(); return c.Conn.Close() }

type peer struct {
	net.Conn
	answer chan string
}

// isCutOff reports whether the server has ended the connection without an answer.
func (p *peer) isCutOff() bool {
	select {
	case _, answered := <-p.answer:
		return !answered
	default:
		return false
	}
}

func refreshText(changes ...string) string {
	body := refresh(changes...).Encode()
	return "POST /oauth/v2/token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: " +
		strconv.Itoa(len(body)) + "\r\n\r\n" + body
}

func TestBound_AFloodGetsNoMorePlacesAndKeepsNobodyOut(t *testing.T) {
	for name, sends := range map[string]string{
		"nothing":       "",
		"half a header": "POST /oauth/v2/token HTTP/1.1\r\nX: ",
		"half a body":   refreshText()[:200],
		"another pair":  refreshText("client_secret", "x"), // and keeps the connection
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				f := newFlooded(w, 4)
				for range 4 {
					f.connects(sends)
				}
				caller := f.connects(refreshText())
				w.clock.advance(maxSilence)
				require.Contains(t, <-caller.answer, "access_token")
				require.Equal(t, 5, f.counts(0))
				require.Contains(t, w.log.String(), "too many connections")
			})
		})
	}
}

func TestBound_ACallerHasASecondForItsRequestEvenInAFlood(t *testing.T) {
	inBubble(t, func(w *world) {
		f := newFlooded(w, 2)
		first, second := f.connects(""), f.connects("")
		third := f.connects("")
		w.clock.advance(maxSilence - time.Millisecond)
		require.False(t, first.isCutOff())
		require.False(t, second.isCutOff())
		go func() { _, _ = io.WriteString(first, refreshText()) }()
		require.Contains(t, <-first.answer, "access_token")
		w.clock.advance(time.Millisecond)
		require.True(t, second.isCutOff(), "it has kept the server waiting longest")
		go func() { _, _ = io.WriteString(third, refreshText()) }()
		require.Contains(t, <-third.answer, "access_token")
	})
}

func TestBound_WhoHasShownThePairIsNotCutOffForOthers(t *testing.T) {
	inBubble(t, func(w *world) {
		f := newFlooded(w, 2)
		hang := make(chan struct{})
		w.vault.set(func() { w.vault.hang = hang })
		callers := []*peer{f.connects(refreshText()), f.connects(refreshText())}
		another := f.connects("")
		w.clock.advance(2 * maxSilence)
		for _, caller := range callers {
			require.False(t, caller.isCutOff())
		}
		close(hang)
		for _, caller := range callers {
			require.Contains(t, <-caller.answer, "access_token")
		}
		w.clock.advance(maxSilence)
		go func() { _, _ = io.WriteString(another, refreshText()) }()
		require.Contains(t, <-another.answer, "access_token", "a connection that rests gives its place away")
	})
}

func TestBound_WithoutAFloodNobodyIsCutOff(t *testing.T) {
	inBubble(t, func(w *world) {
		f := newFlooded(w, 2)
		caller := f.connects("")
		w.clock.advance(time.Hour) // of the server's clock; the timeouts of net/http have another
		go func() { _, _ = io.WriteString(caller, refreshText()) }()
		require.Contains(t, <-caller.answer, "access_token")
	})
}

// Callers of the Unix socket do not wait because somebody floods the port.
func TestBound_EachListenerHasItsOwnPlaces(t *testing.T) {
	inBubble(t, func(w *world) {
		for _, l := range Bound([]net.Listener{newMemoryListener(), newMemoryListener()}, w.clock, w.server.Log) {
			bounded, ok := l.(*boundedListener)
			require.True(t, ok)
			require.Equal(t, maxConnections/2, bounded.max)
		}
	})
}

func TestBound_TheEndDoesNotWaitForAPlace(t *testing.T) {
	inBubble(t, func(w *world) {
		f := newFlooded(w, 1)
		f.connects("")
		waits := f.connects("")
		require.NoError(t, f.server.Close())
		synctest.Wait()
		require.True(t, waits.isCutOff())
	})
}

// What a request may cost: each is refused before anybody looks at the pair.
func TestServer_BoundsWhatARequestMayCost(t *testing.T) {
	for name, c := range map[string]struct {
		sends string
		want  string
	}{
		"header":     {"POST /oauth/v2/token HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", maxHeader+4096) + "\r\n\r\n", "431 Request Header Fields Too Large"},
		"body":       {refreshText("scope", strings.Repeat("x", maxBody)), "larger than 16 KiB"},
		"parameters": {"POST /oauth/v2/token?" + strings.Repeat("a&", maxParams) + " HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", "cannot be decoded"},
		"fields": {"POST /oauth/v2/token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 128\r\n\r\n" +
			strings.Repeat("a&", maxParams), "cannot be decoded"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				answer := <-newFlooded(w, 1).connects(c.sends).answer
				require.Contains(t, answer, c.want)
				require.Empty(t, w.vault.requests())
			})
		})
	}
}
