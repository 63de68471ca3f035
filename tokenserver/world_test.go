package tokenserver

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/vault/api"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A fakeClock moves when a test says so.
type fakeClock struct {
	mu     sync.Mutex
	now    time.Time
	timers []*fakeTimer
}

type fakeTimer struct {
	at time.Time
	f  func()
}

func (c *fakeClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *fakeClock) AfterFunc(d time.Duration, f func()) func() {
	c.mu.Lock()
	defer c.mu.Unlock()
	timer := &fakeTimer{at: c.now.Add(d), f: f}
	c.timers = append(c.timers, timer)
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.timers = slices.DeleteFunc(c.timers, func(t *fakeTimer) bool { return t == timer })
	}
}

// advance moves the clock timer by timer, and lets everybody do after each what
// there is to do. It has to be called in a bubble of synctest.
func (c *fakeClock) advance(d time.Duration) {
	end := c.Now().Add(d)
	for {
		synctest.Wait()
		c.mu.Lock()
		at := slices.IndexFunc(c.timers, func(t *fakeTimer) bool { return !t.at.After(end) })
		for i, t := range c.timers {
			if at >= 0 && t.at.Before(c.timers[at].at) {
				at = i
			}
		}
		if at < 0 {
			c.now = end
			c.mu.Unlock()
			return
		}
		timer := c.timers[at]
		c.timers = slices.Delete(c.timers, at, at+1)
		c.now = timer.at
		c.mu.Unlock()
		timer.f()
	}
}

// world is a token server with all that it needs, in one process.
type world struct {
	t      *testing.T
	clock  *fakeClock
	vault  *fakeVault
	leases *Leases
	server *Server
	log    *syncBuffer

	processes int
}

// syncBuffer is a log that may be read while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

const (
	pairID     = "1000.CALLER"
	pairSecret = "the-secret-of-the-pair"
)

func newWorld(t *testing.T) *world {
	t.Helper()
	clock := &fakeClock{now: time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)}
	vault := &fakeVault{clock: clock, life: time.Hour, roles: []string{"crm-sync"}, leases: map[string]string{}}
	client, err := api.NewClient(&api.Config{Address: "http://vault.invalid", HttpClient: &http.Client{Transport: vault}})
	require.NoError(t, err)
	client.SetToken("the-vault-token")
	log := &syncBuffer{}
	logger := slog.New(slog.NewTextHandler(log, nil))
	leases := NewLeases(&Vault{client: client, mount: "zoho", token: &vaultToken{}, clock: clock}, clock, logger)
	leases.spread = func() float64 { return 0 }
	pair, err := ParsePair(pairID, pairSecret)
	require.NoError(t, err)
	w := &world{t: t, clock: clock, vault: vault, leases: leases, log: log}
	w.server = &Server{Leases: leases, Pair: pair, Version: "v1.2.3", Log: logger, Clock: clock}
	t.Cleanup(func() {
		for _, value := range []string{".secret", pairSecret, "the-vault-token"} {
			require.NotContains(t, log.String(), value, "a secret is in the log")
		}
	})
	return w
}

// inBubble runs a test that waits for goroutines.
func inBubble(t *testing.T, test func(w *world)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { test(newWorld(t)) })
}

// takes gets a token, which has to be alive, for a process that has asked for none before.
func (w *world) takes() *Lease {
	w.t.Helper()
	return w.takesFrom("crm-sync")
}

func (w *world) takesFrom(role string) *Lease {
	w.t.Helper()
	w.processes++
	l := w.answers(fmt.Sprintf("uid=0 pid=%d", w.processes), role).Lease
	require.True(w.t, w.vault.isLeased(l.Token.Reveal()), "the token is dead")
	return l
}

// answers gets a token for a process, dead or alive.
func (w *world) answers(process, role string) Answer {
	w.t.Helper()
	answer, err := w.leases.Token(w.t.Context(), role, process)
	require.NoError(w.t, err)
	require.Positive(w.t, answer.ExpiresIn)
	return answer
}

// closes ends all leases, or those that nobody was promised.
func (w *world) closes(revoke bool) error {
	_, err := w.leases.Close(w.t.Context(), revoke)
	return err
}

func (w *world) fails(kind Kind) {
	w.t.Helper()
	_, err := w.leases.Token(w.t.Context(), "crm-sync", "")
	var failure *Error
	require.ErrorAs(w.t, err, &failure)
	require.Equal(w.t, kind, failure.Kind, failure.Text)
}

func inBubbleOf(t *testing.T, name string, test func(w *world)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { inBubble(t, test) })
}
