package metrics_test

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend/metrics"
)

var start = time.Date(2026, 12, 1, 9, 0, 0, 0, time.UTC)

func there() bool    { return true }
func notThere() bool { return false }

// written is what a scrape has, as Prometheus' own parser reads it.
func written(t testing.TB, m *metrics.Metrics, s metrics.Snapshot) (families map[string]*dto.MetricFamily, text string) {
	t.Helper()
	var body bytes.Buffer
	require.NoError(t, m.Write(&body, s))
	text = body.String()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(&body)
	require.NoError(t, err)
	return families, text
}

func rolesOf(m *metrics.Metrics, now time.Time) (s metrics.Snapshot) {
	own, leftOut := m.RolesInUse(now)
	s.LeftOut = len(leftOut)
	for _, name := range own {
		s.Roles = append(s.Roles, metrics.Role{Name: name, State: "ready", RequestsLeft: 10, LastMint: now})
	}
	return s
}

func TestWrite_CountsReadsByRoleAndResult(t *testing.T) {
	t.Parallel()
	m := metrics.New(metrics.Build{Version: "v1.2.3"})
	for range 3 {
		m.Read("crm", metrics.Success, start, there)
	}
	m.Read("crm", metrics.Refused, start, notThere) // it is in use: nobody is asked
	m.Read("no-such-role", metrics.Invalid, start, notThere)
	_, text := written(t, m, rolesOf(m, start))
	require.Contains(t, text, `zoho_reads_total{role="crm",result="issued"} 3`)
	require.Contains(t, text, `zoho_reads_total{role="crm",result="refused"} 1`)
	require.Contains(t, text, `zoho_reads_total{role="",result="invalid"} 1`)
	require.NotContains(t, text, "no-such-role")
	require.Contains(t, text, `version="v1.2.3"`)
}

// The bound of the labels: a tenant can make as many roles as storage takes.
func TestWrite_BeyondTheMostRolesHasASumAndSaysHowManyWereLeftOut(t *testing.T) {
	t.Parallel()
	m := metrics.New(metrics.Build{})
	const more = 100
	for i := range metrics.MostRoles + more {
		m.Read(fmt.Sprintf("role-%05d", i), metrics.Success, start, there)
	}
	families, text := written(t, m, rolesOf(m, start))
	require.Len(t, families["zoho_role_state"].Metric, metrics.MostRoles)
	require.Len(t, families["zoho_reads_total"].Metric, metrics.MostRoles+1)
	require.Contains(t, text, fmt.Sprintf("zoho_roles_left_out %d\n", more))
	require.Contains(t, text, fmt.Sprintf("zoho_reads_total{role=\"\",result=\"issued\"} %d\n", more))

	// One that is gone makes room for one that comes.
	m.Forget("role-00000")
	m.Read("new", metrics.Success, start, there)
	_, text = written(t, m, rolesOf(m, start))
	require.Contains(t, text, `zoho_reads_total{role="new",result="issued"} 1`)
	require.NotContains(t, text, "role-00000")
}

func TestRolesInUse_ForgetsWhatNobodyReadsForADay(t *testing.T) {
	t.Parallel()
	m := metrics.New(metrics.Build{})
	m.Read("nightly", metrics.Success, start, there)
	m.Holds("held", start.Add(time.Hour))
	inUse := func(at time.Time) []string {
		own, leftOut := m.RolesInUse(at)
		require.Empty(t, leftOut)
		return own
	}
	require.ElementsMatch(t, []string{"held", "nightly"}, inUse(start.Add(metrics.InUseFor)))
	require.Equal(t, []string{"held"}, inUse(start.Add(metrics.InUseFor+time.Second)))
	require.Empty(t, inUse(start.Add(2*metrics.InUseFor)))
}

func TestWrite_TellsSinceWhenTheOldestRevocationWaits(t *testing.T) {
	t.Parallel()
	m := metrics.New(metrics.Build{})
	_, text := written(t, m, metrics.Snapshot{})
	require.Contains(t, text, `zoho_revocations_waiting{token="access"} 0`)
	require.NotContains(t, text, "zoho_oldest_waiting_revocation_timestamp_seconds")
	_, text = written(t, m, metrics.Snapshot{Waiting: map[metrics.Token][]metrics.Waiting{
		metrics.RefreshToken: {{Since: time.Unix(2000, 0)}, {Since: time.Unix(1000, 0)}},
	}})
	require.Contains(t, text, `zoho_revocations_waiting{token="refresh"} 2`)
	require.Contains(t, text, `zoho_oldest_waiting_revocation_timestamp_seconds{token="refresh"} 1000`)
}

func TestWrite_ShowsTheClientsWithTheMostRefreshTokens(t *testing.T) {
	t.Parallel()
	m := metrics.New(metrics.Build{})
	var s metrics.Snapshot
	for i := range metrics.MostClients + 5 {
		s.Clients = append(s.Clients, metrics.Client{ID: fmt.Sprintf("1000.%04d", i), AccountsURL: "https://accounts.zoho.eu", RefreshTokens: i, Users: "unknown"})
	}
	families, text := written(t, m, s)
	require.Len(t, families["zoho_client_refresh_tokens"].Metric, metrics.MostClients)
	require.Contains(t, text, "zoho_clients_left_out 5\n")
	require.NotContains(t, text, `"1000.0004"`)
}

// A name that has no unit, or a counter without _total, would be no convention of Prometheus'.
func TestWrite_NamesAreAsPrometheusWantsThem(t *testing.T) {
	t.Parallel()
	m := metrics.New(metrics.Build{})
	m.Read("crm", metrics.Success, start, there)
	families, _ := written(t, m, rolesOf(m, start))
	for name, family := range families {
		require.True(t, strings.HasPrefix(name, "zoho_"), name)
		require.Regexp(t, `^[A-Z0-9].*[.]$`, strings.ReplaceAll(family.GetHelp(), "taken_over", "Taken_over"), name)
		require.Equal(t, family.GetType() == dto.MetricType_COUNTER, strings.HasSuffix(name, "_total"), name)
		if family.GetType() == dto.MetricType_HISTOGRAM || strings.Contains(name, "timestamp") {
			require.True(t, strings.HasSuffix(name, "_seconds"), name)
		}
	}
	require.Greater(t, len(families), 15)
}

func TestRead_AtOnceWithScrapesLosesNoCount(t *testing.T) {
	t.Parallel()
	m := metrics.New(metrics.Build{})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 500 {
				m.Read("crm", metrics.Success, start, there)
				m.TokenRequest(metrics.Success, "", time.Second)
			}
		})
		wg.Go(func() {
			for range 5 {
				var body bytes.Buffer
				if err := m.Write(&body, rolesOf(m, start)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	_, text := written(t, m, rolesOf(m, start))
	require.Contains(t, text, `zoho_reads_total{role="crm",result="issued"} 4000`)
	require.Contains(t, text, `zoho_token_requests_total{code="",result="minted"} 4000`)
}

// What a read pays for being counted, from all processors at once.
func BenchmarkRead_OfAHotRole(b *testing.B) {
	m := metrics.New(metrics.Build{})
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			m.Read("crm", metrics.Success, start, there)
		}
	})
}

func BenchmarkWrite_OfTenThousandRoles(b *testing.B) {
	m := metrics.New(metrics.Build{})
	for i := range 10000 {
		m.Read(fmt.Sprintf("role-%05d", i), metrics.Success, start, there)
	}
	for b.Loop() {
		var body bytes.Buffer
		if err := m.Write(&body, rolesOf(m, start)); err != nil {
			b.Fatal(err)
		}
	}
}
