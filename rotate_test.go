package zohosecrets

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/zohosim"
)

func TestDeauthorize_EndsTheRefreshTokenAndAllItsAccessTokens(t *testing.T) {
	t.Parallel()
	m, z := newWorld(t)
	leased := m.read("creds/crm-sync").done(t)
	got := m.write("roles/crm-sync/deauthorize", nil).done(t)
	require.Equal(t, http.StatusNoContent, got.status)
	require.False(t, z.sim.Alive(z.refreshToken))
	require.False(t, z.sim.Alive(leased.token()))
	for key, value := range m.stored() {
		require.NotContains(t, value, z.refreshToken, key)
	}
	require.Empty(t, m.requireStatus("crm-sync", untried().with(fields{
		"authorized": false, "state": "deauthorized",
		"deauthorized": map[string]any{"at": "2026-11-21T09:00:00Z", "display_name": "token", "entity_id": "entity-1", "request_id": "request-1"},
	})))
	m.requireRefused(m.read("creds/crm-sync"), m.stored(), "creds", `role "crm-sync" has no refresh token any more: it was deauthorized at 2026-11-21T09:00:00Z, and its status tells by whom. To use it again, send a person`, "roles/crm-sync/authorize")
	m.requireRefused(m.write("roles/crm-sync/deauthorize", nil), m.stored(), "again", "has no refresh token, so there is nothing to revoke")
	m.requireRefused(m.write("roles/crm-sync/rotate", nil), m.stored(), "rotate", "has no refresh token any more")

	asked := len(z.sim.Requests())
	require.NoError(t, m.revoke("creds/crm-sync", leased))
	require.Len(t, z.sim.Requests(), asked, "there is nothing left for the lease to give up")
	m.write("roles/crm-sync", fields{"code": z.code()}).done(t)
	m.read("creds/crm-sync").done(t)
}

func TestDeauthorize_OfARefreshTokenThatOthersHaveNeedsForce(t *testing.T) {
	t.Parallel()
	m, z := newWorld(t)
	m.write("roles/also", z.role()).done(t)
	m.requireRefused(m.write("roles/crm-sync/deauthorize", fields{"force": true}), m.stored(), "untried", `role "crm-sync" has never got an access token with its credentials`)
	require.NoError(t, m.revoke("creds/crm-sync", m.read("creds/crm-sync").done(t)))
	before, asked := m.stored(), len(z.sim.Requests())
	for _, data := range []fields{nil, {"force": false}, {"force": "false"}, {"force": nil}} {
		m.requireRefused(m.write("roles/crm-sync/deauthorize", data), before, "shared", `role "crm-sync" has its refresh token in common with also`, "write force=true")
	}
	require.Len(t, z.sim.Requests(), asked)
	got := m.write("roles/crm-sync/deauthorize", fields{"force": "true"}).done(t)
	require.Contains(t, got.warnings(), "also had the same refresh token and cannot mint any more")
	require.False(t, z.sim.Alive(z.refreshToken))
	require.Equal(t, http.StatusBadRequest, m.read("creds/also").status)
	got = m.write("roles/also/deauthorize", nil).done(t)
	require.Contains(t, got.warnings(), "Zoho answered that it does not know the refresh token")
	requireNone(t, got, z.refreshToken, z.clientSecret)
}

func TestDeauthorize_WhenZohoCannotBeAskedTheDecisionStands(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		arrange func(*simulation)
		status  int
	}{
		"Zoho is down": {func(z *simulation) { z.sim.SetDown(true) }, 503},
		"a web page":   {func(z *simulation) { z.revocationFault(zohosim.Fault{Kind: zohosim.FaultHTML500}) }, 502},
		"throttled":    {func(z *simulation) { z.revocationFault(zohosim.Fault{Kind: zohosim.FaultAnswer, Status: 429}) }, 429},
		"refused": {func(z *simulation) {
			z.revocationFault(zohosim.Fault{Kind: zohosim.FaultAnswer, Status: 401, Body: `{}`})
		}, 400},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRemote(t)
			leased := r.read("creds/crm-sync").done(t)
			row.arrange(r.zoho)
			got := r.write("roles/crm-sync/deauthorize", nil)
			require.Equal(t, row.status, got.status, got)
			require.Contains(t, got.text, `Role "crm-sync" has no refresh token any more`)
			require.Contains(t, got.text, "tried again by itself")
			require.Equal(t, http.StatusBadRequest, r.read("creds/crm-sync").status)
			r.zoho.sim.SetDown(false)
			r.zoho.sim.ClearFaults()
			r.write("roles/crm-sync/deauthorize", nil).done(t)
			require.False(t, r.zoho.sim.Alive(r.zoho.refreshToken))
			require.False(t, r.zoho.sim.Alive(leased.token()))
		})
	}
}

func (z *simulation) revocationFault(fault zohosim.Fault) {
	z.sim.Fault(zohosim.EndpointRevoke, fault)
	z.sim.Fault(zohosim.EndpointLegacyRevoke, fault)
}

func TestDeauthorize_AndRotateSayWhomTheyAreNotFor(t *testing.T) {
	t.Parallel()
	m, z := newWorld(t)
	m.awaitsConsent(z)
	m.write("roles/org", fields{"grant_type": "client_credentials", "scopes": "ZohoCRM.modules.ALL", "verify": false}).done(t)
	m.write("roles/alone", fields{"refresh_token": z.refreshToken, "exclusive": true, "verify": false}).done(t)
	before, asked := m.stored(), len(z.sim.Requests())
	m.requireRefused(m.write("roles/org/deauthorize", nil), before, "deauthorize", "mints with client_credentials and has no refresh token")
	m.requireRefused(m.write("roles/person/deauthorize", nil), before, "deauthorize", "nothing to revoke")
	m.requireRefused(m.write("roles/person/rotate", nil), before, "rotate", "has no refresh token yet")
	m.requireRefused(m.write("roles/alone/rotate", nil), before, "rotate", "is exclusive: each lease has an access token of its own")
	require.Len(t, z.sim.Requests(), asked)
}

func TestRotate_EndsTheTokenThatIsOutAndMintsAnother(t *testing.T) {
	t.Parallel()
	m, z := newWorld(t)
	got := m.write("roles/crm-sync/rotate", nil).done(t)
	require.Empty(t, got.Data["ended_token_ids"], "there was none")
	first, second := m.read("creds/crm-sync").done(t), m.read("creds/crm-sync").done(t)
	require.Equal(t, got.Data["token_id"], first.Data["token_id"])

	got = m.write("roles/crm-sync/rotate", nil).done(t)
	require.Equal(t, fields{
		"token_id": got.Data["token_id"], "expires_at": "2026-11-21T09:59:59Z", "ended_token_ids": []string{fmt.Sprint(first.Data["token_id"])},
	}, fields(got.Data))
	requireNone(t, got, first.token())
	require.False(t, z.sim.Alive(first.token()), "whoever held it")
	require.True(t, z.sim.Alive(z.refreshToken))
	third := m.read("creds/crm-sync").done(t)
	require.Equal(t, got.Data["token_id"], third.Data["token_id"])
	require.Equal(t, 2, z.sim.MintCount(z.refreshToken), "the new one serves the next reader")

	asked := z.revocations()
	require.NoError(t, m.revoke("creds/crm-sync", first))
	require.NoError(t, m.revoke("creds/crm-sync", second))
	require.Equal(t, asked, z.revocations())
	require.True(t, z.sim.Alive(third.token()), "an old lease never touches a newer token")
}

func TestRotate_GivesRefusedCredentialsAnotherChance(t *testing.T) {
	t.Parallel()
	r := newRemote(t)
	r.refuses("invalid_client")
	require.Equal(t, http.StatusBadRequest, r.read("creds/crm-sync").status)
	r.zoho.sim.ClearFaults()
	require.Equal(t, http.StatusBadRequest, r.read("creds/crm-sync").status, "it is remembered")
	r.write("roles/crm-sync/rotate", nil).done(t)
	r.read("creds/crm-sync").done(t)
}

func TestRotate_ThatFailsSaysWhatHasBecomeOfTheTokens(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		arrange func(*remote)
		status  int
		says    string
		decided bool // that the former token ends
	}{
		"no new one":   {func(r *remote) { r.fault(zohosim.FaultHTML500) }, 502, `No new access token for role "crm-sync", and so none was revoked`, false},
		"throttled":    {func(r *remote) { r.fault(zohosim.FaultThrottled) }, 429, "and so none was revoked", false},
		"refused":      {func(r *remote) { r.refuses("invalid_code") }, 400, "to revoke all the same, write force=true, or delete one below", false},
		"Zoho is down": {func(r *remote) { r.zoho.sim.SetDown(true) }, 503, "and so none was revoked", false},
		"not revoked":  {func(r *remote) { r.zoho.revocationFault(zohosim.Fault{Kind: zohosim.FaultHTML500}) }, 502, "is not handed out any more, but could not be revoked at Zoho yet", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRemote(t)
			leased := r.read("creds/crm-sync").done(t)
			row.arrange(r)
			got := r.write("roles/crm-sync/rotate", nil)
			require.Equal(t, row.status, got.status, got)
			require.Contains(t, got.text, row.says)
			require.NotContains(t, got.text, leased.token())
			require.True(t, r.zoho.sim.Alive(leased.token()))
			r.zoho.sim.SetDown(false)
			r.zoho.sim.ClearFaults()
			r.clock.Advance(15 * time.Minute)
			require.NoError(t, r.tick())
			require.Equal(t, !row.decided, r.zoho.sim.Alive(leased.token()), "what is decided is carried out")
			require.Equal(t, !row.decided, leased.token() == r.read("creds/crm-sync").done(t).token())
		})
	}
}
