package tokenserver

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
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

// fakeVault is Vault with the engine, as its client sees it: without a network.
// It mints the next token at half-life, as the engine does.
type fakeVault struct {
	clock *fakeClock

	mu       sync.Mutex
	life     time.Duration
	role     string
	minted   time.Time
	tokens   int               // minted so far; each has its number in it
	leases   map[string]string // living ones, with their tokens
	seen     []string          // methods and paths, in order
	reads    int
	accepted []string // Vault tokens; none: any

	down    bool
	hang    chan struct{} // requests wait until it is closed
	status  int           // of every answer, if set
	message string
	cached  string // a lease ID to repeat
}

func (v *fakeVault) RoundTrip(r *http.Request) (*http.Response, error) {
	v.mu.Lock()
	hang := v.hang
	v.mu.Unlock()
	if hang != nil {
		select {
		case <-hang:
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.seen = append(v.seen, r.Method+" "+r.URL.Path)
	if v.down {
		return nil, errors.New("connection refused")
	}
	status, body := v.answer(r)
	encoded, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: status, Status: http.StatusText(status), Header: http.Header{"Content-Type": {"application/json"}},
		Body: io.NopCloser(bytes.NewReader(encoded)), Request: r,
	}, nil
}

func (v *fakeVault) answer(r *http.Request) (int, any) {
	refused := func(status int, message string) (int, any) {
		return status, map[string]any{"errors": []string{message}}
	}
	switch {
	case len(v.accepted) > 0 && !slices.Contains(v.accepted, r.Header.Get("X-Vault-Token")):
		return refused(http.StatusForbidden, "permission denied")
	case r.URL.Path == "/v1/auth/token/lookup-self":
		return http.StatusOK, map[string]any{"data": map[string]any{"id": "x"}}
	case v.status != 0:
		return refused(v.status, v.message)
	case r.URL.Path == "/v1/sys/leases/revoke":
		var sent map[string]any
		_ = json.NewDecoder(r.Body).Decode(&sent)
		delete(v.leases, fmt.Sprint(sent["lease_id"]))
		return http.StatusOK, map[string]any{}
	case r.URL.Path != "/v1/zoho/creds/"+v.role:
		return refused(http.StatusBadRequest, "there is no role "+strings.TrimPrefix(r.URL.Path, "/v1/zoho/creds/"))
	}
	return http.StatusOK, v.lease()
}

func (v *fakeVault) lease() any {
	now := v.clock.Now()
	if v.minted.IsZero() || now.Sub(v.minted) >= v.life/2 || !slices.Contains(slices.Collect(valuesOf(v.leases)), v.token()) && v.reads > 0 {
		v.minted = now
		v.tokens++
	}
	v.reads++
	id := fmt.Sprintf("zoho/creds/%s/%d", v.role, v.reads)
	if v.cached != "" {
		id = v.cached
	}
	v.leases[id] = v.token()
	expires := v.minted.Add(v.life)
	return map[string]any{
		"lease_id": id, "lease_duration": int(expires.Sub(now).Seconds()),
		"data": map[string]any{
			"access_token": v.token(), "token_id": fmt.Sprintf("id-%d", v.tokens), "token_type": "Bearer",
			"api_domain": "https://www.zohoapis.eu", "expires_at": expires.UTC().Format(time.RFC3339),
		},
	}
}

func valuesOf(m map[string]string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for _, value := range m {
			if !yield(value) {
				return
			}
		}
	}
}

func (v *fakeVault) token() string { return fmt.Sprintf("1000.token%d.secret", v.tokens) }

func (v *fakeVault) set(change func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	change()
}

// isLeased reports whether a token is alive at Zoho.
func (v *fakeVault) isLeased(token string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, leased := range v.leases {
		if leased == token {
			return true
		}
	}
	return false
}

func (v *fakeVault) readings() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.reads
}

// requests returns what Vault was asked.
func (v *fakeVault) requests() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.seen)
}

// world is a token server with all that it needs, in one process.
type world struct {
	t      *testing.T
	clock  *fakeClock
	vault  *fakeVault
	leases *Leases
	server *Server
	log    *syncBuffer
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
	vault := &fakeVault{clock: clock, life: time.Hour, role: "crm-sync", leases: map[string]string{}}
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

// takes gets a token for a caller, which has to be alive.
func (w *world) takes() *Lease {
	w.t.Helper()
	l, err := w.leases.Token(w.t.Context(), "crm-sync")
	require.NoError(w.t, err)
	require.True(w.t, w.vault.isLeased(l.Token.Reveal()), "the token is dead")
	require.Positive(w.t, l.expiresIn(w.clock.Now()))
	return l
}

func (w *world) fails(kind Kind) {
	w.t.Helper()
	_, err := w.leases.Token(w.t.Context(), "crm-sync")
	var failure *Error
	require.ErrorAs(w.t, err, &failure)
	require.Equal(w.t, kind, failure.Kind, failure.Text)
}
