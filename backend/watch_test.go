package backend_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend"
	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/zohosim"
)

// metrics is what a scrape has.
func (w *world) metrics() string {
	w.t.Helper()
	var body bytes.Buffer
	require.NoError(w.t, w.engine.WriteMetrics(w.t.Context(), &body))
	return body.String()
}

// shows requires lines of a scrape.
func (w *world) shows(lines ...string) {
	w.t.Helper()
	text := "\n" + w.metrics()
	for _, line := range lines {
		require.Contains(w.t, text, "\n"+line+"\n")
	}
}

func (w *world) showsNot(parts ...string) {
	w.t.Helper()
	text := w.metrics()
	for _, part := range parts {
		require.NotContains(w.t, text, part)
	}
}

func TestMetrics_OfARoleThatIsReadTellWhatItsStatusTells(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.showsNot("crm-sync") // nobody uses it yet
	w.read("crm-sync")
	w.read("crm-sync")
	now := w.clock.Now()
	w.shows(
		`zoho_role_state{role="crm-sync",state="ready"} 1`, `zoho_roles_left_out 0`,
		`zoho_reads_total{role="crm-sync",result="issued"} 2`,
		`zoho_token_requests_total{code="",result="minted"} 1`, `zoho_token_request_duration_seconds_count 1`,
		`zoho_role_requests_left{role="crm-sync"} 9`, `zoho_role_reserve_taken{role="crm-sync"} 0`,
		`zoho_role_live_tokens{role="crm-sync"} 1`, `zoho_role_holders{role="crm-sync"} 2`, `zoho_live_tokens 1`, `zoho_holders 2`,
		fmt.Sprintf(`zoho_role_last_mint_timestamp_seconds{role="crm-sync"} %g`, float64(now.Unix())),
		fmt.Sprintf(`zoho_role_token_expiry_timestamp_seconds{role="crm-sync"} %g`, float64(now.Add(time.Hour-time.Second).Unix())),
	)
}

func TestMetrics_CountTokenRequestsByWhatCameOfThem(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.sim.SetDown(true)
	_ = w.readError("crm-sync")
	w.shows(`zoho_token_requests_total{code="",result="unreachable"} 1`, `zoho_reads_total{role="crm-sync",result="unreachable"} 1`, `zoho_role_state{role="crm-sync",state="unreachable"} 1`)
	w.sim.SetDown(false)
	w.sim.Kill(w.refreshToken)
	w.clock.Advance(time.Minute)
	_ = w.readError("crm-sync")
	w.shows(`zoho_token_requests_total{code="invalid_code",result="refused"} 1`, `zoho_reads_total{role="crm-sync",result="refused"} 1`, `zoho_role_state{role="crm-sync",state="refused"} 1`)
	_ = w.readError("no-such-role")
	w.shows(`zoho_reads_total{role="",result="invalid"} 1`)
	w.showsNot("no-such-role")
}

func TestMetrics_TellOfARevocationThatWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	leased := w.read("crm-sync")
	w.sim.SetDown(true)
	require.Error(t, w.release(leased))
	decided := w.clock.Now()
	w.clock.Advance(2 * time.Minute)
	w.shows(`zoho_revocations_waiting{token="access"} 1`, `zoho_revocations_total{result="failed",token="access"} 1`, `zoho_lease_ends_total{result="failed"} 1`,
		fmt.Sprintf(`zoho_oldest_waiting_revocation_timestamp_seconds{token="access"} %g`, float64(decided.Unix())))
	w.sim.SetDown(false)
	require.NoError(t, w.release(leased))
	w.shows(`zoho_revocations_waiting{token="access"} 0`, `zoho_revocations_total{result="revoked",token="access"} 1`, `zoho_lease_ends_total{result="released"} 1`,
		`zoho_access_token_end_delay_seconds_bucket{le="60"} 0`, `zoho_access_token_end_delay_seconds_bucket{le="300"} 1`)
	w.showsNot("zoho_oldest_waiting_revocation_timestamp_seconds{")
}

// Irrevocable never: what Vault would give up after six attempts, the engine goes on with.
func TestMetrics_CountTheLeasesThatWouldHaveBecomeIrrevocable(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	leased := w.read("crm-sync")
	w.sim.SetDown(true)
	require.Error(t, w.release(leased))
	w.clock.Advance(6 * time.Minute)
	require.NoError(t, w.release(leased))
	w.shows(`zoho_lease_ends_total{result="taken_over"} 1`, `zoho_revocations_waiting{token="access"} 1`)
}

// What a former process, or another node, has handed out is in use as well.
func TestMetrics_OfARoleThatSomebodyLeasesAreThereAfterARestart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.read("crm-sync")
	w.restart()
	w.showsNot("crm-sync")
	w.tick()
	w.shows(`zoho_role_holders{role="crm-sync"} 1`, `zoho_role_state{role="crm-sync",state="ready"} 1`, `zoho_reads_total{role="crm-sync",result="issued"} 0`)
}

func TestMetrics_OfADeletedRoleAreGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	require.NoError(t, w.release(w.read("crm-sync")))
	w.deleteRole("crm-sync")
	w.settle()
	w.showsNot("crm-sync")
}

func TestMetrics_CountTheRefreshTokensOfEachClientAlsoAfterARestart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.read("crm-sync")
	for i := range 17 {
		name, token := fmt.Sprintf("role-%d", i), w.sim.Consent(w.client, "us", "user@example.com", scopes)
		w.writeRole(name, settings.RoleChange{RefreshToken: &token})
		w.read(name)
	}
	line := fmt.Sprintf(`zoho_client_refresh_tokens{client_id=%q,accounts_url=%q,users="unknown"} 18`, w.client.ID, w.accounts.URL)
	w.shows(line)
	w.restart()
	w.showsNot(line) // a scrape does not wait for that
	w.settle()
	w.shows(line)
	_, err := w.engine.Deauthorize(t.Context(), "role-3", false, settings.Requester{})
	require.NoError(t, err)
	w.settle()
	w.showsNot(line)
}

func TestMetrics_CountPendingConsents(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	redirect := "https://vault.example.com/v1/zoho/callback"
	w.configure(settings.ConfigChange{RedirectURI: &redirect})
	asked := []string{"ZohoCRM.modules.ALL"}
	w.writeRole("person", settings.RoleChange{Scopes: &asked})
	_, err := w.engine.Authorize(t.Context(), "person")
	require.NoError(t, err)
	w.tick()
	w.shows(`zoho_pending_consents 1`)
	w.clock.Advance(time.Hour)
	w.tick()
	w.shows(`zoho_pending_consents 0`)
}

// Whoever is on call needs the metrics most when storage fails.
func TestMetrics_CanBeReadWhileStorageFailsAndCountThat(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.read("crm-sync")
	w.storage.failing(func(string) bool { return true })
	w.storage.unreadable(func(string) bool { return true })
	_, _ = w.engine.Issue(t.Context(), "crm-sync", backend.Reader{})
	require.Regexp(t, `zoho_storage_errors_total\{operation="put"\} [1-9]`, w.metrics())
	w.shows(`zoho_role_state{role="crm-sync",state="ready"} 1`)
}

// No storage scan, and no other look at storage when memory has what is in use.
func TestMetrics_AskStorageForNothingThatMemoryHas(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 50 {
		name, token := fmt.Sprintf("role-%d", i), w.sim.Consent(w.client, "us", fmt.Sprintf("user-%d@example.com", i), scopes)
		w.writeRole(name, settings.RoleChange{RefreshToken: &token})
		w.read(name)
	}
	_ = w.metrics()
	w.settle()
	asked := len(w.sim.Requests())
	w.storage.written()
	w.storage.reading(func(key string) { t.Errorf("%s was read", key) })
	w.storage.listing(func(prefix string) { t.Errorf("%s was listed", prefix) })
	for range 3 {
		w.clock.Advance(time.Minute)
		_ = w.metrics()
	}
	require.Empty(t, w.storage.written())
	require.Len(t, w.sim.Requests(), asked)
}

// Ten roles share a refresh token, or to write them would take longer than all else.
func BenchmarkMetrics_OfTenThousandRoles(b *testing.B) {
	w := newWorldWith(b, zohosim.Options{})
	token := ""
	for i := range 10000 {
		if i%10 == 0 {
			token = w.sim.Consent(w.client, "us", fmt.Sprintf("user-%d@example.com", i), scopes)
		}
		name := fmt.Sprintf("role-%d", i)
		w.writeRole(name, settings.RoleChange{RefreshToken: &token})
		w.read(name)
	}
	w.settle()
	for b.Loop() {
		if err := w.engine.WriteMetrics(context.Background(), io.Discard); err != nil {
			b.Fatal(err)
		}
	}
}
