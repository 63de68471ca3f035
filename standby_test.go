package zohosecrets

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/helper/consts"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/zohosim"
)

// isForwarded tells which operations are the active node's: those that change
// something, here or at Zoho, and those that tell what only it knows.
func isForwarded(url string, op logical.Operation) bool {
	switch op {
	case logical.CreateOperation, logical.UpdateOperation, logical.PatchOperation, logical.DeleteOperation:
		return true
	default:
		return strings.HasPrefix(url, "tokens/") || slices.Contains([]string{"clients/", "metrics", "creds/crm-sync", "callback", "roles/crm-sync/status"}, url)
	}
}

func TestForwarding_EveryMutatingOrIssuingOperationHasBothFlags(t *testing.T) {
	t.Parallel()
	forwarded := 0
	for _, path := range newMount(t).inner.Paths {
		for op, handler := range path.Operations {
			url := urlOf(path, "crm-sync")
			require.Equal(t, isForwarded(url, op), handler.Properties().ForwardPerformanceStandby, "%s %s", op, url)
			require.Equal(t, isForwarded(url, op), handler.Properties().ForwardPerformanceSecondary, "%s %s", op, url)
			if isForwarded(url, op) {
				forwarded++
			}
		}
	}
	require.Equal(t, 21, forwarded)
}

// standbyStates are those in which a node may not write.
func standbyStates() map[string]consts.ReplicationState {
	return map[string]consts.ReplicationState{
		"performance standby":              consts.ReplicationPerformanceStandby,
		"performance secondary":            consts.ReplicationPerformanceSecondary,
		"standby of a performance primary": consts.ReplicationPerformanceStandby | consts.ReplicationPerformancePrimary,
		"standby of a secondary":           consts.ReplicationPerformanceStandby | consts.ReplicationPerformanceSecondary,
	}
}

func TestStandby_NeverCallsZoho(t *testing.T) {
	t.Parallel()
	for name, state := range standbyStates() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, z := newWorld(t)
			m.awaitsConsent(z)
			back := m.agree("roles/person")
			code := z.sim.Code(z.client, "us", zohosim.CodeSpec{Scopes: []string{"ZohoCRM.modules.ALL"}})
			asked, before := len(z.sim.Requests()), m.stored()
			m.system.ReplicationStateVal = state
			for _, path := range m.inner.Paths {
				for op := range path.Operations {
					url, data := urlOf(path, "crm-sync"), fields{}
					if isWrite(op) {
						data["code"] = code
					}
					if url == "callback" {
						data = back
					}
					resp, err := m.backend.HandleRequest(t.Context(), request(t, op, url, data))
					if isForwarded(url, op) {
						require.Nil(t, resp, "%s %s", op, url)
						require.Equal(t, logical.ErrReadOnly, err, "%s %s: bare, so that Vault forwards the request", op, url)
					} else {
						require.NoError(t, err, "%s %s", op, url)
						require.False(t, resp.IsError(), "%s %s", op, url)
					}
				}
			}
			require.Len(t, z.sim.Requests(), asked)
			require.Equal(t, before, m.stored())

			m.system.ReplicationStateVal = consts.ReplicationState(0)
			m.completes(back) // where it was forwarded to
			m.write("roles/crm-sync", fields{"code": code}).done(t)
		})
	}
}

func TestStandby_PeriodicWorkIsLeftToTheActiveNode(t *testing.T) {
	t.Parallel()
	states := standbyStates()
	states["DR secondary"] = consts.ReplicationDRSecondary
	for name, state := range states {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, z := newWorld(t)
			// A revocation is due: its lease is gone, and Zoho was down.
			leased := m.read("creds/crm-sync").done(t)
			z.sim.SetDown(true)
			require.Error(t, m.revoke("creds/crm-sync", leased))
			z.sim.SetDown(false)
			asked, before := len(z.sim.Requests()), m.stored()

			m.system.ReplicationStateVal = state
			for range 3 {
				m.clock.Advance(time.Minute)
				require.NoError(t, m.tick())
			}
			require.Len(t, z.sim.Requests(), asked)
			require.Equal(t, before, m.stored())

			m.system.ReplicationStateVal = consts.ReplicationState(0)
			require.NoError(t, m.tick())
			require.Greater(t, len(z.sim.Requests()), asked)
			require.False(t, z.sim.Alive(leased.token()))
		})
	}
}

func TestSecondary_ALocalMountWorksByItself(t *testing.T) {
	t.Parallel()
	m, z := newWorld(t)
	m.system.ReplicationStateVal, m.system.LocalMountVal = consts.ReplicationPerformanceSecondary, true
	m.write("roles/crm-sync", z.role()).done(t)
	leased := m.read("creds/crm-sync").done(t)
	require.NoError(t, m.revoke("creds/crm-sync", leased))
	require.Equal(t, 1, z.sim.Count(zohosim.EndpointToken))
}

func TestInvalidate_AnotherNodesWriteIsSeen(t *testing.T) {
	t.Parallel()
	active, z := newWorld(t)
	standby := newMountOn(t, active.storage, nil)
	read := func(path, field string) any { return standby.read(path).done(t).Data[field] }
	require.Equal(t, int64(0), read("config", "min_ttl"))
	require.Equal(t, int64(0), read("roles/crm-sync", "ttl"))

	active.write("config", fields{"min_ttl": "5m"}).done(t)
	active.write("roles/crm-sync", fields{"ttl": "40m"}).done(t)
	require.Equal(t, int64(0), read("config", "min_ttl"), "it remembers, or this test proves nothing")
	require.Equal(t, int64(0), read("roles/crm-sync", "ttl"))
	standby.backend.InvalidateKey(t.Context(), "config")
	standby.backend.InvalidateKey(t.Context(), "roles/crm-sync")
	require.Equal(t, int64(300), read("config", "min_ttl"))
	require.Equal(t, int64(2400), read("roles/crm-sync", "ttl"))

	active.delete("roles/crm-sync").done(t)
	standby.backend.InvalidateKey(t.Context(), "roles/crm-sync")
	require.Equal(t, 404, standby.read("roles/crm-sync").status)

	// What else a node remembers: the grant, its token and who holds it.
	active.write("roles/crm-sync", z.role()).done(t)
	standby.backend.InvalidateKey(t.Context(), "roles/crm-sync")
	require.Equal(t, "never tried", standby.state("crm-sync"))
	active.read("creds/crm-sync").done(t)
	for key := range active.stored() {
		standby.backend.InvalidateKey(t.Context(), key)
	}
	require.Equal(t, "ready", standby.state("crm-sync"))
	standby.read("creds/crm-sync").done(t)
	require.Equal(t, 1, z.sim.Count(zohosim.EndpointToken), "the new active node goes on with the token of the old one")
}
