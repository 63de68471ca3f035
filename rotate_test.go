package zohosecrets

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/zohosim"
)

func (z *simulation) revocationFault(fault zohosim.Fault) {
	z.sim.Fault(zohosim.EndpointRevoke, fault)
	z.sim.Fault(zohosim.EndpointLegacyRevoke, fault)
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
		"refused":      {func(r *remote) { r.refuses("invalid_code") }, 400, "readers keep what they have. If a token has leaked, write force=true, or delete it below", false},
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
			require.Eventually(t, func() bool { return r.zoho.sim.Alive(leased.token()) != row.decided }, 10*time.Second, time.Millisecond, "what is decided is carried out")
			require.Equal(t, !row.decided, leased.token() == r.read("creds/crm-sync").done(t).token())
		})
	}
}
