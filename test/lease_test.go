package test

import (
	"encoding/json"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/zohosim"
)

func TestMount_TheServerRunsTheVersionThatWasRegistered(t *testing.T) {
	t.Parallel()
	m := newMount(t, zohosim.Options{})
	if !cannotListPlugins(m.server) {
		require.Contains(t, m.cli("plugin", "list", "secret"), env.plugin.Version)
	}
	mounts, err := m.root.Sys().ListMountsWithContext(t.Context())
	require.NoError(t, err)
	require.Equal(t, env.plugin.Version, mounts[m.path+"/"].RunningVersion)
	info, err := m.root.Logical().ReadWithContext(t.Context(), m.path+"/info")
	require.NoError(t, err)
	require.Equal(t, env.plugin.Version, info.Data["version"])
	require.NotEmpty(t, info.Data["sdk_version"])
}

func TestRead_GivesALeasedTokenThatWorksAndWhoseTTLIsItsRemainingLife(t *testing.T) {
	t.Parallel()
	m := newMount(t, zohosim.Options{})
	before := time.Now()
	var answer struct {
		LeaseID       string `json:"lease_id"`
		LeaseDuration int    `json:"lease_duration"`
		Renewable     bool   `json:"renewable"`
		Data          struct {
			AccessToken   string    `json:"access_token"`
			Authorization string    `json:"authorization"`
			APIDomain     string    `json:"api_domain"`
			DataCenter    string    `json:"data_center"`
			ExpiresAt     time.Time `json:"expires_at"`
			TokenID       string    `json:"token_id"`
			Role          string    `json:"role"`
		} `json:"data"`
	}
	require.NoError(t, json.Unmarshal([]byte(m.cli("read", "-format=json", m.path+"/creds/crm-sync")), &answer))
	after := time.Now()
	keepSecret("access token", answer.Data.AccessToken)

	require.Contains(t, answer.LeaseID, m.path+"/creds/crm-sync/")
	require.False(t, answer.Renewable)
	require.True(t, m.sim.Alive(answer.Data.AccessToken))
	require.Equal(t, "Zoho-oauthtoken "+answer.Data.AccessToken, answer.Data.Authorization)
	require.Equal(t, m.accounts.URL, answer.Data.APIDomain)
	require.Empty(t, answer.Data.DataCenter, "the Accounts server is none of Zoho's")
	require.Equal(t, "crm-sync", answer.Data.Role)
	require.NotEmpty(t, answer.Data.TokenID)

	// The lease ends with the token: not a second later, and not two earlier.
	ttl := time.Duration(answer.LeaseDuration) * time.Second
	require.False(t, before.Add(ttl).After(answer.Data.ExpiresAt))
	require.Less(t, answer.Data.ExpiresAt.Sub(after.Add(ttl)), 2*time.Second)
	require.False(t, answer.Data.ExpiresAt.After(after.Add(time.Hour)))
	require.Greater(t, ttl, time.Hour-5*time.Second-after.Sub(before))
}

func TestRead_ByManyAtOnceMintsOnce(t *testing.T) {
	t.Parallel()
	m := newMount(t, zohosim.Options{Latency: 100 * time.Millisecond})
	var wg sync.WaitGroup
	tokens := make([]string, 1000)
	for i := range tokens {
		wg.Go(func() {
			got, err := m.readAs(t.Context(), m.root, "crm-sync")
			if err != nil {
				t.Error(err)
			}
			tokens[i] = got.token
		})
	}
	wg.Wait()
	for _, token := range tokens {
		require.Equal(t, tokens[0], token)
	}
	require.Equal(t, 1, m.sim.Count(zohosim.EndpointToken))
	require.Equal(t, len(tokens), m.leases())
}

func TestRevoke_OfOneOfTwoLeasesLeavesTheTokenAliveAndOfTheSecondKillsIt(t *testing.T) {
	t.Parallel()
	m := newMount(t, zohosim.Options{})
	first, second := m.read("crm-sync"), m.read("crm-sync")
	require.Equal(t, first.token, second.token)
	require.True(t, m.accepted(first))

	m.revoke(first)
	require.True(t, m.accepted(second))
	require.Zero(t, m.revocations())

	m.revoke(second)
	require.False(t, m.accepted(second))
	require.Equal(t, 1, m.revocations())

	third := m.read("crm-sync")
	require.NotEqual(t, first.token, third.token)
	require.True(t, m.accepted(third))
}

func TestRevoke_ByPrefixEndsAllLeasesWithOneCall(t *testing.T) {
	t.Parallel()
	m := newMount(t, zohosim.Options{})
	var last creds
	for range 20 {
		last = m.read("crm-sync")
	}
	m.revokePrefix("creds/crm-sync")
	require.Zero(t, m.leases())
	require.False(t, m.accepted(last))
	require.Equal(t, 1, m.revocations())
}

func TestRevoke_OfTheVaultTokenThatReadEndsItsLeases(t *testing.T) {
	t.Parallel()
	m := newMount(t, zohosim.Options{})
	app := m.tokenFor("app")
	got, err := m.readAs(t.Context(), m.server.Client(app), "crm-sync")
	require.NoError(t, err)
	require.True(t, m.accepted(got))
	require.NoError(t, m.root.Auth().Token().RevokeTreeWithContext(t.Context(), app))
	eventually(t, "the lease to be gone", func() bool { return m.leases() == 0 })
	require.False(t, m.accepted(got))
}

func TestRevoke_AfterTheRoleAndTheConfigAreDeleted(t *testing.T) {
	t.Parallel()
	m := newMount(t, zohosim.Options{})
	got := m.read("crm-sync")
	for _, path := range []string{"/roles/crm-sync", "/config"} {
		_, err := m.root.Logical().DeleteWithContext(t.Context(), m.path+path)
		require.NoError(t, err)
	}
	require.True(t, m.accepted(got), "deleting a role does not break its readers")
	m.revoke(got)
	require.False(t, m.accepted(got))
}

func TestRevoke_AtTheEndOfAShortLeaseByVaultItself(t *testing.T) {
	t.Parallel()
	m := newMount(t, zohosim.Options{})
	m.write("roles/crm-sync", map[string]any{"ttl": "2s"})
	got := m.read("crm-sync")
	require.Equal(t, 2, got.LeaseDuration)
	require.True(t, m.accepted(got))
	eventually(t, "the access token to be revoked at Zoho", func() bool { return !m.accepted(got) })
}

func TestRenew_IsRefused(t *testing.T) {
	t.Parallel()
	m := newMount(t, zohosim.Options{})
	got := m.read("crm-sync")
	require.False(t, got.Renewable)
	_, err := m.root.Sys().RenewWithContext(t.Context(), got.LeaseID, 3600)
	require.ErrorContains(t, err, "lease is not renewable")
	require.True(t, m.accepted(got))
}

func TestDisable_WithLiveLeasesRevokesTheirTokens(t *testing.T) {
	t.Parallel()
	m := newMount(t, zohosim.Options{})
	m.write("roles/books", map[string]any{"refresh_token": m.consent()})
	first, second, other := m.read("crm-sync"), m.read("crm-sync"), m.read("books")
	m.disable()
	for _, got := range []creds{first, second, other} {
		require.False(t, m.accepted(got))
	}
	require.Equal(t, 2, m.revocations())
}

// Invariant 7.
func TestDisable_WorksWhileZohoIsDown(t *testing.T) {
	t.Parallel()
	m := newMount(t, zohosim.Options{})
	m.read("crm-sync")
	m.sim.SetDown(true)
	m.disable()
}
