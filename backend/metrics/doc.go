// Package metrics counts what the engine does, and writes that in Prometheus' text format,
// together with a snapshot of how things are. It knows neither storage nor the engine: use
// cases call a verb, such as [Metrics.Read], and the caller of Write brings the [Snapshot].
//
// # What a scrape has
//
// Counters and histograms begin at zero with the process, as Prometheus expects. They are
// those of the active node, which alone does the work. Gauges are computed for the scrape.
//
// # Labels
//
// A label is a role name, an address or ID of a client, or one of a few fixed words. It is
// never an account, a display name or a token. Only a role in use has series of its own: one
// that was read within [InUseFor], or whose access tokens somebody leases. At most
// [MostRoles] roles have them, those that came first; what the others do is counted under
// the empty role, and zoho_roles_left_out says how many roles that are. So a tenant who makes
// many roles cannot make the scrape grow without limit, and the totals stay right.
//
// # What it costs
//
// A read of an access token looks its role up in a sync.Map, adds to two atomic numbers, and
// takes no lock.
package metrics
