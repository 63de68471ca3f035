package tokenserver

import (
	"container/list"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	// maxConnections bounds the connections of all listeners together, and with them
	// the memory: each may hold maxHeader, what net/http adds, and a few times maxBody.
	maxConnections = 256
	// maxSilence is how long a caller may keep the server waiting when others want the
	// place of its connection. Otherwise the timeouts of the HTTP server count. A machine
	// that is busy starting a thousand programs may need seconds for one request.
	maxSilence = 3 * time.Second
	// receiveBuffer is larger than most requests. The kernel doubles it.
	receiveBuffer = 16 << 10
)

// Bound gives each listener an equal share of the connections that the server
// keeps open, so that a flood at one delays no callers of the others.
//
// If all are taken, a new connection gets the place of the caller that has kept the
// server waiting longest: one that sends no request, or only half of one, or that
// rests between two. A caller that has shown the pair is never cut off; if there
// are only such, the new one waits in the kernel's queue.
func Bound(listeners []net.Listener, clock Clock, log *slog.Logger) []net.Listener {
	bounded := make([]net.Listener, len(listeners))
	for i, l := range listeners {
		if tcp, ok := l.(*net.TCPListener); ok {
			if err := limitReceiveBuffer(tcp, receiveBuffer); err != nil {
				log.Warn("the kernel keeps its size of the receive buffers", "error", err)
			}
		}
		bounded[i] = newBounded(l, max(maxConnections/len(listeners), 1), clock, log)
	}
	return bounded
}

type boundedListener struct {
	net.Listener
	max   int
	clock Clock
	log   *slog.Logger

	changed   chan struct{} // a place may be free
	closed    chan struct{}
	closeOnce sync.Once

	mu      sync.Mutex
	open    int
	waiting *list.List // of *conn; the one that has kept the server waiting longest is in front
	dropped int        // since it was logged
	logged  time.Time
}

func newBounded(l net.Listener, limit int, clock Clock, log *slog.Logger) *boundedListener {
	return &boundedListener{
		Listener: l, max: limit, clock: clock, log: log,
		changed: make(chan struct{}, 1), closed: make(chan struct{}), waiting: list.New(),
	}
}

// Accept returns the next connection when there is a place for it. Only one goroutine
// may call it, as http.Server does.
func (l *boundedListener) Accept() (net.Conn, error) {
	raw, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: raw, listener: l}
	for {
		next := l.admit(c)
		if next.admitted {
			return c, nil
		}
		if next.closes != nil {
			l.drop(next)
		}
		stop := func() {}
		if next.after > 0 {
			stop = l.clock.AfterFunc(next.after, l.signal)
		}
		select {
		case <-l.changed:
			stop()
		case <-l.closed:
			stop()
			_ = raw.Close() // nobody has seen it
			return nil, net.ErrClosed
		}
	}
}

// A decision says what happens with a new connection.
type decision struct {
	admitted bool
	closes   *conn         // the connection that has to end first
	report   int           // how many were closed since the log last said so; 0: it need not say so now
	after    time.Duration // when to decide again; 0: when a place is free
}

func (l *boundedListener) admit(c *conn) decision {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.clock.Now()
	if l.open < l.max {
		l.open++
		c.open = true
		c.waitLocked(now)
		return decision{admitted: true}
	}
	front := l.waiting.Front()
	if front == nil {
		return decision{}
	}
	longest, _ := front.Value.(*conn)
	if left := maxSilence - now.Sub(longest.since); left > 0 {
		return decision{after: left}
	}
	longest.leaveLocked()
	next := decision{closes: longest}
	l.dropped++
	if now.Sub(l.logged) >= time.Minute {
		next.report = l.dropped
		l.dropped, l.logged = 0, now
	}
	return next
}

// drop closes the raw connection: net/http notices, closes it with all that hangs on
// it, and with that frees its place.
func (l *boundedListener) drop(d decision) {
	if d.report > 0 {
		l.log.Warn("too many connections: closed those whose callers sent no request in time",
			"address", l.Addr().String(), "limit", l.max, "closed", d.report, "caller", callerAt(d.closes.Conn))
	}
	_ = d.closes.Conn.Close() // it may be closed already
}

func (l *boundedListener) signal() {
	select {
	case l.changed <- struct{}{}:
	default: // it will look
	}
}

func (l *boundedListener) Close() error {
	l.closeOnce.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// conn is a connection that has a place.
type conn struct {
	net.Conn
	listener *boundedListener

	// Guarded by the listener's lock.
	open    bool
	waiting *list.Element // nil while the server works for the caller
	since   time.Time     // when it began to wait
}

// serves keeps the connection until rests is called. It is for callers that have
// shown the pair.
func (c *conn) serves() {
	c.listener.mu.Lock()
	defer c.listener.mu.Unlock()
	c.leaveLocked()
}

// rests says that the server waits for the caller, from now on.
func (c *conn) rests() {
	c.listener.mu.Lock()
	defer c.listener.mu.Unlock()
	if c.open {
		c.leaveLocked()
		c.waitLocked(c.listener.clock.Now())
		c.listener.signal()
	}
}

func (c *conn) waitLocked(now time.Time) {
	c.since = now
	c.waiting = c.listener.waiting.PushBack(c)
}

func (c *conn) leaveLocked() {
	if c.waiting != nil {
		c.listener.waiting.Remove(c.waiting)
		c.waiting = nil
	}
}

// Close gives the place to another.
func (c *conn) Close() error {
	c.listener.mu.Lock()
	if c.open {
		c.open = false
		c.leaveLocked()
		c.listener.open--
		c.listener.signal()
	}
	c.listener.mu.Unlock()
	return c.Conn.Close()
}

// CloseWrite lets net/http end a connection so that the caller can read the answer
// to a request that was too large.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// whileRests notes when the work for a request is over.
func whileRests(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r)
		if c := connOf(r); c != nil {
			c.rests()
		}
	})
}
