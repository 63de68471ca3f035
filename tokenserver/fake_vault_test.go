package tokenserver

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// fakeVault is Vault with the engine, as its client sees it: without a network.
// It mints the next token at half-life, and for who rejects the present one, as the engine
// does. All roles are of one grant, and share its token.
type fakeVault struct {
	clock *fakeClock

	mu         sync.Mutex
	life       time.Duration
	ttl        time.Duration // of a lease, if set
	roles      []string
	minted     time.Time
	tokens     int               // minted so far; each has its number in it
	leasedOnce int               // the latest token that was leased
	leases     map[string]string // living ones, with their tokens
	seen       []string          // methods and paths, in order
	reads      int
	lookups    int
	accepted   []string // Vault tokens; none: any

	down    bool
	hang    chan struct{} // requests wait until it is closed
	hangs   string        // the only path that waits; none: all
	status  int           // of every answer, if set
	message string
	cached  string // a lease ID to repeat, as an Agent does until it is given back
	keeps   bool   // gives no lease back

	rejected []string // what readers have rejected
	rejects  int      // the status for a reader who rejects, if set
	ignores  bool     // a reader who rejects gets the present token, as from an older engine
	warnings []string
	noDomain bool
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
		v.lookups++
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
	if reject := r.URL.Query().Get("reject"); reject != "" {
		v.rejected = append(v.rejected, reject)
		if v.rejects != 0 {
			return refused(v.rejects, "there is no other token. The next attempt makes sense at 2030-01-01T12:05:00Z.")
		}
		if reject == v.tokenID() && !v.ignores {
			v.mint()
		}
	}
	return http.StatusOK, v.lease(role)
}

func (v *fakeVault) mint() {
	v.minted = v.clock.Now()
	v.tokens++
}

func (v *fakeVault) tokenID() string { return fmt.Sprintf("id-%d", v.tokens) }

func (v *fakeVault) lease(role string) any {
	now := v.clock.Now()
	if v.minted.IsZero() || now.Sub(v.minted) >= v.life/2 || v.leasedOnce == v.tokens && !slices.Contains(slices.Collect(valuesOf(v.leases)), v.token()) {
		v.mint()
	}
	v.reads++
	id := fmt.Sprintf("zoho/creds/%s/%d", role, v.reads)
	if v.cached != "" {
		id = v.cached
	}
	v.leases[id], v.leasedOnce = v.token(), v.tokens
	expires := v.minted.Add(v.life)
	domain := "https://www.zohoapis.eu"
	if v.noDomain {
		domain = ""
	}
	return map[string]any{
		"lease_id": id, "lease_duration": int(min(expires.Sub(now), cmp.Or(v.ttl, v.life)).Seconds()), "warnings": v.warnings,
		"data": map[string]any{
			"access_token": v.token(), "token_id": v.tokenID(), "token_type": "Bearer",
			"api_domain": domain, "expires_at": expires.UTC().Format(time.RFC3339),
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

// living are the leases that were not given back, with their tokens.
func (v *fakeVault) living() map[string]string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return maps.Clone(v.leases)
}

func (v *fakeVault) rejections() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.rejected)
}

func (v *fakeVault) mints() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.tokens
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
