package tokenserver

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// fakeVault is Vault with the engine, as its client sees it: without a network.
// It mints the next token at half-life, as the engine does. All roles are of one grant,
// and share its token.
type fakeVault struct {
	clock *fakeClock

	mu       sync.Mutex
	life     time.Duration
	roles    []string
	minted   time.Time
	tokens   int               // minted so far; each has its number in it
	leases   map[string]string // living ones, with their tokens
	seen     []string          // methods and paths, in order
	reads    int
	accepted []string // Vault tokens; none: any

	down    bool
	hang    chan struct{} // requests wait until it is closed
	hangs   string        // the only path that waits; none: all
	status  int           // of every answer, if set
	message string
	cached  string // a lease ID to repeat, as an Agent does until it is given back
	keeps   bool   // gives no lease back
}

func (v *fakeVault) RoundTrip(r *http.Request) (*http.Response, error) {
	v.mu.Lock()
	hang, hangs := v.hang, v.hangs == "" || v.hangs == r.URL.Path
	v.mu.Unlock()
	if hang != nil && hangs {
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
	role := strings.TrimPrefix(r.URL.Path, "/v1/zoho/creds/")
	switch {
	case len(v.accepted) > 0 && !slices.Contains(v.accepted, r.Header.Get("X-Vault-Token")):
		return refused(http.StatusForbidden, "permission denied")
	case r.URL.Path == "/v1/auth/token/lookup-self":
		return http.StatusOK, map[string]any{"data": map[string]any{"id": "x"}}
	case v.status != 0:
		return refused(v.status, v.message)
	case r.URL.Path == "/v1/sys/leases/revoke" && v.keeps:
		return refused(http.StatusBadRequest, "failed to revoke entry")
	case r.URL.Path == "/v1/sys/leases/revoke":
		var sent map[string]any
		_ = json.NewDecoder(r.Body).Decode(&sent)
		delete(v.leases, fmt.Sprint(sent["lease_id"]))
		if sent["lease_id"] == v.cached {
			v.cached = ""
		}
		return http.StatusOK, map[string]any{}
	case !slices.Contains(v.roles, role):
		return refused(http.StatusBadRequest, "there is no role "+role)
	}
	return http.StatusOK, v.lease(role)
}

func (v *fakeVault) lease(role string) any {
	now := v.clock.Now()
	if v.minted.IsZero() || now.Sub(v.minted) >= v.life/2 || !slices.Contains(slices.Collect(valuesOf(v.leases)), v.token()) && v.reads > 0 {
		v.minted = now
		v.tokens++
	}
	v.reads++
	id := fmt.Sprintf("zoho/creds/%s/%d", role, v.reads)
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
