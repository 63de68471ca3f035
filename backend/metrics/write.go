package metrics

import (
	"cmp"
	"io"
	"maps"
	"slices"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
)

// ContentType is that of what Write writes.
const ContentType = "text/plain; version=0.0.4; charset=utf-8"

// Write writes all that was counted, and the snapshot. What the snapshot has goes into the text
// without a registry, which would sort and check thousands of series for each scrape.
func (m *Metrics) Write(w io.Writer, s Snapshot) error {
	counted, err := m.registry.Gather()
	if err != nil {
		return err
	}
	all := make(families)
	for _, family := range counted {
		all[family.GetName()] = family
	}
	slices.SortFunc(s.Roles, func(a, b Role) int { return cmp.Compare(a.Name, b.Name) })
	all.addRoles(s)
	all.addReads(&m.roles, s.Roles)
	all.addClients(s.Clients)
	all.addWaiting(s.Waiting)
	all.gauge("zoho_live_tokens", "Access tokens that may be alive at Zoho.", float64(s.LiveTokens))
	all.gauge("zoho_holders", "Leases on access tokens.", float64(s.Holders))
	all.gauge("zoho_pending_consents", "People who were asked for consent and have not answered yet, as of the last minute.", float64(m.consents.Load()))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if _, err := expfmt.MetricFamilyToText(w, all[name]); err != nil {
			return err
		}
	}
	return nil
}

// families are what a scrape has, by name.
type families map[string]*dto.MetricFamily

// gauge adds a gauge with labels, which are names and values in turn.
func (f families) gauge(name, help string, value float64, labels ...string) {
	f.add(name, help, dto.MetricType_GAUGE, &dto.Metric{Label: pairs(labels), Gauge: &dto.Gauge{Value: &value}})
}

// counter adds a counter likewise.
func (f families) counter(name, help string, value float64, labels ...string) {
	f.add(name, help, dto.MetricType_COUNTER, &dto.Metric{Label: pairs(labels), Counter: &dto.Counter{Value: &value}})
}

func (f families) add(name, help string, kind dto.MetricType, metric *dto.Metric) {
	family := f[name]
	if family == nil {
		family = &dto.MetricFamily{Name: &name, Help: &help, Type: &kind}
		f[name] = family
	}
	family.Metric = append(family.Metric, metric)
}

func pairs(labels []string) (all []*dto.LabelPair) {
	for i := 0; i+1 < len(labels); i += 2 {
		all = append(all, &dto.LabelPair{Name: &labels[i], Value: &labels[i+1]})
	}
	return all
}

func (f families) addRoles(s Snapshot) {
	for _, r := range s.Roles {
		gauge := func(name, help string, value float64) { f.gauge(name, help, value, "role", r.Name) }
		f.gauge("zoho_role_state", "1 for the state of each role in use, which is the label.", 1, "role", r.Name, "state", r.State)
		gauge("zoho_role_requests_left", "Token requests that the budget of the role's refresh token or client allows now, the reserve included.", float64(r.RequestsLeft))
		gauge("zoho_role_reserve_taken", "Token requests in the window that were taken from the reserve for readers without a token.", float64(r.ReserveTaken))
		gauge("zoho_role_live_tokens", "Access tokens of the role's refresh token or client that may be alive. Roles that share it have the same number.", float64(r.LiveTokens))
		gauge("zoho_role_holders", "Leases of the role on access tokens.", float64(r.Holders))
		gauge("zoho_role_last_mint_timestamp_seconds", "When an access token was minted for the role last, in Unix seconds. 0: never with these credentials.", unix(r.LastMint))
		if !r.TokenEnds.IsZero() {
			gauge("zoho_role_token_expiry_timestamp_seconds", "When the role's current access token ends, in Unix seconds. Absent if there is none.", unix(r.TokenEnds))
		}
	}
	f.gauge("zoho_roles_left_out", "Roles in use that have no series of their own, because others came first. What they do is in the totals, and in zoho_reads_total under the empty role.", float64(s.LeftOut))
}

func (f families) addReads(table *table, roles []Role) {
	const name, help = "zoho_reads_total", "Reads of access tokens by role and by what came of them. The empty role has what roles without series of their own did, and reads of roles that do not exist."
	add := func(role string, counts *reads) {
		for result := range results {
			// One result is always there, or Prometheus would not see the first read as an increase.
			if n := counts[result].Load(); n > 0 || result == Success {
				f.counter(name, help, float64(n), "role", role, "result", result.label("issued"))
			}
		}
	}
	add("", &table.rest)
	for _, r := range roles {
		if found := table.find(r.Name); found != nil && found.own {
			add(r.Name, found.reads)
		}
	}
}

func (f families) addClients(clients []Client) {
	slices.SortFunc(clients, func(a, b Client) int {
		return cmp.Or(cmp.Compare(b.RefreshTokens, a.RefreshTokens), cmp.Compare(a.ID, b.ID), cmp.Compare(a.AccountsURL, b.AccountsURL))
	})
	named := clients[:min(len(clients), MostClients)]
	for _, c := range named {
		f.gauge("zoho_client_refresh_tokens", "Refresh tokens of each client that this mount knows, of the twenty that Zoho lets a user have. The label users says whose they are: of one user, of many, or unknown.",
			float64(c.RefreshTokens), "client_id", c.ID, "accounts_url", c.AccountsURL, "users", c.Users)
	}
	f.gauge("zoho_clients_left_out", "Clients with refresh tokens that have no series of their own, because others have more.", float64(len(clients)-len(named)))
}

func (f families) addWaiting(waiting map[Token][]Waiting) {
	for _, token := range []Token{AccessToken, RefreshToken} {
		list := waiting[token]
		f.gauge("zoho_revocations_waiting", "Tokens whose end is decided and that Zoho has not revoked yet.", float64(len(list)), "token", string(token))
		if len(list) > 0 {
			first := slices.MinFunc(list, func(a, b Waiting) int { return a.Since.Compare(b.Since) })
			f.gauge("zoho_oldest_waiting_revocation_timestamp_seconds", "Since when the oldest of zoho_revocations_waiting waits, in Unix seconds. Absent if none waits.", unix(first.Since), "token", string(token))
		}
	}
}

// unix is a time as Prometheus has it; 0 for none.
func unix(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}
