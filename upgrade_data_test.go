package zohosecrets

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/helper/salt"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/zohosim"
)

// former is what an earlier build left behind: its storage, byte for byte, and
// what Vault keeps in the leases. All secrets in it are the simulator's.
type former struct {
	AccountsURL string              `json:"accounts_url"` // of the simulator, which is gone
	Now         time.Time           `json:"now"`          // when the build was replaced
	Storage     map[string]string   `json:"storage"`
	Names       map[string][]string `json:"names"` // keyed hashes by which things are stored, and what of
	Leases      []formerLease       `json:"leases"`
	Ending      []string            `json:"ending"` // access tokens whose end was decided while Zoho was down
	Secrets     []string            `json:"secrets"`
}

type formerLease struct {
	Path        string         `json:"path"`
	AccessToken string         `json:"access_token"`
	Internal    map[string]any `json:"internal"`
	Current     bool           `json:"current"` // the next reader gets this token
}

// nameOf is the keyed hash of parts by which something is stored. It must never
// change: the roles of a former build could not find their tokens.
func nameOf(t *testing.T, storage logical.Storage, parts []string) string {
	t.Helper()
	s, err := salt.NewSalt(t.Context(), storage, &salt.Config{Location: "salt"})
	require.NoError(t, err)
	return s.GetHMAC(strings.Join(parts, "\x00"))[:32]
}

// TestUpgradeData_IsWritten does nothing unless it is asked to: it keeps the
// storage of the present build as test data for all later ones. At a release:
//
//	UPGRADE_DATA=testdata/upgrade/<version>.json go test -count=1 -run TestUpgradeData .
//
// For an older commit, copy this file into a worktree of it and do it there.
func TestUpgradeData_IsWritten(t *testing.T) {
	path := os.Getenv("UPGRADE_DATA")
	if path == "" {
		t.Skip("UPGRADE_DATA names no file to write")
	}
	m := newMount(t)
	z := newSimulation(t, m.clock)
	left := former{AccountsURL: z.url, Names: map[string][]string{}, Secrets: []string{z.clientSecret, z.refreshToken}}
	m.write("config", z.config().with(fields{"refresh_ahead": false, "min_ttl": "5m"})).done(t)
	m.write("roles/crm-sync", z.role()).done(t)
	m.write("roles/crm-report", z.role().with(fields{"ttl": "40m"})).done(t)
	own := func(role string, more fields) {
		client := z.sim.AddClient(zohosim.ClientSpec{})
		refreshToken := z.sim.Consent(client, "us", role+"@example.com", []string{"ZohoCRM.modules.ALL"})
		data := z.role().with(more).with(fields{"refresh_token": refreshToken, "client_id": client.ID, "client_secret": client.Secret("us")})
		m.write("roles/"+role, data).done(t)
		left.Secrets = append(left.Secrets, client.Secret("us"), refreshToken)
	}
	own("each-its-own", fields{"exclusive": true})
	own("was-down", nil)
	lease := func(role string) answer {
		leased := m.read("creds/" + role).done(t)
		left.Leases = append(left.Leases, formerLease{Path: "creds/" + role, AccessToken: leased.token(), Internal: leased.Secret.InternalData})
		return leased
	}

	lease("crm-sync") // two on a token that is superseded below
	lease("crm-sync")
	m.clock.Advance(56 * time.Minute)
	for _, role := range []string{"crm-sync", "crm-report", "crm-sync", "each-its-own", "each-its-own"} {
		lease(role)
		m.clock.Advance(time.Second)
	}
	given := m.read("creds/crm-report").done(t) // and given back: the ledger has that, too
	require.NoError(t, m.revoke("creds/crm-report", given))
	down := m.read("creds/was-down").done(t)
	z.sim.SetDown(true)
	require.Error(t, m.revoke("creds/was-down", down))
	left.Ending = append(left.Ending, down.token())
	for i, l := range left.Leases {
		left.Leases[i].Current = l.AccessToken == given.token()
	}

	m.inner.Cleanup(context.Background()) // waits for what is written behind
	left.Now, left.Storage = m.clock.Now(), m.stored()
	for key, value := range left.Storage {
		var role struct {
			RefreshToken string `json:"refresh_token"`
			ClientID     string `json:"pinned_client_id"`
			ClientSecret string `json:"client_secret"`
		}
		if filepath.Dir(key) != "roles" {
			continue
		}
		require.NoError(t, json.Unmarshal([]byte(value), &role))
		if role.ClientSecret == "" {
			role.ClientSecret = z.clientSecret
		}
		for _, parts := range [][]string{
			{"grant", left.AccountsURL, role.ClientID, role.ClientSecret, "refresh_token", role.RefreshToken},
			{"refresh token", left.AccountsURL, role.RefreshToken},
		} {
			left.Names[nameOf(t, m.storage, parts)] = parts
		}
	}
	encoded, err := json.MarshalIndent(left, "", "  ")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, append(encoded, '\n'), 0o644))
}
