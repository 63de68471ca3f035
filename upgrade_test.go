package zohosecrets

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"
	"github.com/stretchr/testify/require"
)

// A mount outlives many builds of the plugin. testdata/upgrade has what former
// ones left behind; see TestUpgradeData_IsWritten.

// takenOver is a mount of this build on the storage of a former one.
type takenOver struct {
	*mount
	former
	zoho *memoryOfZoho
}

// eachFormer runs a test on what each former build left behind.
func eachFormer(t *testing.T, run func(*testing.T, *takenOver)) {
	t.Helper()
	files, err := filepath.Glob("testdata/upgrade/*.json")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			run(t, takeOver(t, file))
		})
	}
}

func takeOver(t *testing.T, file string) *takenOver {
	t.Helper()
	content, err := os.ReadFile(file)
	require.NoError(t, err)
	up := &takenOver{mount: newMount(t)}
	require.NoError(t, json.Unmarshal(content, &up.former))
	up.zoho = remember(t, up.former)
	put := func(key, value string) {
		require.NoError(t, up.storage.Put(t.Context(), &logical.StorageEntry{Key: key, Value: []byte(value)}))
	}
	put("salt", up.Storage["salt"])
	// The Accounts server has moved to another port, and the names with it.
	moves := []string{up.AccountsURL, up.zoho.URL}
	for id, parts := range up.Names {
		require.Equal(t, id, nameOf(t, up.storage, parts))
		parts[1] = up.zoho.URL
		moves = append(moves, id, nameOf(t, up.storage, parts))
	}
	moved := strings.NewReplacer(moves...)
	for key, value := range up.Storage {
		put(moved.Replace(key), moved.Replace(value))
	}
	up.clock.Advance(up.Now.Sub(up.clock.Now()))
	return up
}

// memoryOfZoho revokes the access tokens that a former build left behind, and
// mints none.
type memoryOfZoho struct {
	*httptest.Server
	mu      sync.Mutex
	alive   map[string]bool
	revoked []string
	other   []string // requests for anything else
}

func remember(t *testing.T, left former) *memoryOfZoho {
	z := &memoryOfZoho{alive: map[string]bool{}}
	for _, l := range left.Leases {
		z.alive[l.AccessToken] = true
	}
	for _, token := range left.Ending {
		z.alive[token] = true
	}
	z.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		z.mu.Lock()
		defer z.mu.Unlock()
		token := r.FormValue("token")
		id, secret, _ := r.BasicAuth()
		switch {
		case r.URL.Path != "/oauth/v2/revoke/token" || id == "" || !slices.Contains(left.Secrets, secret):
			z.other = append(z.other, r.URL.Path)
			w.WriteHeader(http.StatusInternalServerError)
		case !z.alive[token]:
			z.other = append(z.other, "a revocation of something else")
			w.WriteHeader(http.StatusBadRequest)
		default:
			z.alive[token] = false
			z.revoked = append(z.revoked, token)
			_, _ = w.Write([]byte(`{"status":"success"}`))
		}
	}))
	t.Cleanup(z.Close)
	return z
}

// requireRevoked requires that exactly these tokens were revoked, in any order,
// and nothing else was asked.
func (z *memoryOfZoho) requireRevoked(t *testing.T, tokens ...string) {
	t.Helper()
	z.mu.Lock()
	defer z.mu.Unlock()
	require.ElementsMatch(t, tokens, z.revoked)
	require.Empty(t, z.other)
}

// awaitRevoked is requireRevoked for what happens in the background.
func (z *memoryOfZoho) awaitRevoked(t *testing.T, tokens ...string) {
	t.Helper()
	require.Eventually(t, func() bool {
		z.mu.Lock()
		defer z.mu.Unlock()
		return len(z.revoked) >= len(tokens)
	}, 10*time.Second, time.Millisecond)
	z.requireRevoked(t, tokens...)
}

// end revokes a lease as Vault does: all it has is what it stored.
func (up *takenOver) end(l formerLease) error {
	return up.revoke(l.Path, answer{Response: &logical.Response{Secret: &logical.Secret{InternalData: l.Internal}, Data: map[string]any{}}})
}

// endAll ends all leases, one after the other, and requires that a token is
// revoked with the last of its leases and not before.
func (up *takenOver) endAll(t *testing.T, before ...string) {
	t.Helper()
	revoked := before
	for i, l := range up.Leases {
		require.NoError(t, up.end(l))
		if !slices.ContainsFunc(up.Leases[i+1:], func(later formerLease) bool { return later.AccessToken == l.AccessToken }) {
			revoked = append(revoked, l.AccessToken)
		}
		up.zoho.requireRevoked(t, revoked...)
	}
	require.NotEmpty(t, revoked)
	for _, l := range up.Leases { // Vault may ask twice
		require.NoError(t, up.end(l))
	}
	up.zoho.requireRevoked(t, revoked...)
}

func TestUpgrade_ALeaseOfTheFormerBuildIsRevokedByThisOne(t *testing.T) {
	t.Parallel()
	eachFormer(t, func(t *testing.T, up *takenOver) { up.endAll(t) })
}

func TestUpgrade_ALeaseOfTheFormerBuildIsRevokedWithoutItsRoleAndConfig(t *testing.T) {
	t.Parallel()
	eachFormer(t, func(t *testing.T, up *takenOver) {
		for key := range up.Storage {
			if name, isRole := strings.CutPrefix(key, "roles/"); isRole {
				up.delete("roles/" + name).done(t)
			}
		}
		up.deleteConfig()
		up.zoho.awaitRevoked(t, up.Ending...) // nobody holds these, so they go with their roles
		up.endAll(t, up.Ending...)
	})
}

func TestUpgrade_ReadersGoOnWithTheTokenOfTheFormerBuild(t *testing.T) {
	t.Parallel()
	eachFormer(t, func(t *testing.T, up *takenOver) {
		seen := 0
		for _, l := range up.Leases {
			if !l.Current {
				continue
			}
			seen++
			got := up.read(l.Path).done(t)
			require.Equal(t, l.AccessToken, got.token())
			require.NoError(t, up.end(l))
			require.NoError(t, up.revoke(l.Path, got))
		}
		require.NotZero(t, seen)
	})
}

func TestUpgrade_WhatTheFormerBuildHasStoredCanBeRead(t *testing.T) {
	t.Parallel()
	eachFormer(t, func(t *testing.T, up *takenOver) {
		config := up.read("config").done(t).Data
		require.Equal(t, up.zoho.URL, config["accounts_url"])
		require.Equal(t, int64(300), config["min_ttl"])
		require.Equal(t, false, config["refresh_ahead"])
		require.Equal(t, []string{"crm-report", "crm-sync", "each-its-own", "was-down"}, up.list("roles/").done(t).Data["keys"])
		report, each := up.read("roles/crm-report").done(t).Data, up.read("roles/each-its-own").done(t).Data
		require.Equal(t, int64(2400), report["ttl"])
		require.Equal(t, "refresh_token", report["grant_type"])
		require.Equal(t, false, report["exclusive"])
		require.Equal(t, true, each["exclusive"])
		require.NotEqual(t, report["client_id"], each["client_id"])
		status := up.read("roles/crm-sync/status").done(t).Data
		require.Equal(t, "ready", status["state"])
		require.Equal(t, []string{"crm-report"}, status["shared_with"])

		holders := map[string]int{}
		for _, l := range up.Leases {
			id, _ := l.Internal["token_id"].(string)
			holders[id]++
		}
		listed, _ := up.list("tokens/").done(t).Data["key_info"].(map[string]any)
		require.Len(t, listed, len(holders)+len(up.Ending))
		for id, n := range holders {
			info, _ := listed[id].(map[string]any)
			require.Equal(t, n, info["holders"])
		}
		up.zoho.requireRevoked(t)
	})
}

func TestUpgrade_ARevocationThatTheFormerBuildDecidedOnIsCarriedOut(t *testing.T) {
	t.Parallel()
	eachFormer(t, func(t *testing.T, up *takenOver) {
		require.NoError(t, up.tick())
		up.zoho.requireRevoked(t, up.Ending...)
		up.endAll(t, up.Ending...)
		up.inner.Cleanup(context.Background())
		for key := range up.stored() {
			require.NotContains(t, []string{"tokens", "holders"}, strings.Split(key, "/")[0], "nothing is left of the tokens")
		}
	})
}
