package tokenserver

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"
)

// mostSeries bounds the roles that have series of their own: the first by name.
const mostSeries = 2000

// Metrics are what a token server tells Prometheus. Their labels are names of roles that
// Vault has given a lease for, and fixed words. Nil counts nothing.
//
// They are written without Prometheus' library, which would make the program a quarter larger
// for five metrics. A test reads them with its parser.
type Metrics struct {
	leases  *Leases
	version string

	mu       sync.Mutex
	answers  map[string]int // by answerIssued, answerRevoked, or the word of a refusal
	readings map[string]int // by readingLeased, or the Kind of the error
}

const (
	answerIssued  = "issued"
	answerRevoked = "revoked"
	readingLeased = "leased"
)

// NewMetrics returns Metrics for leases, which feed them from then on. Prometheus sees no
// increase in a series that begins, so those that matter are there from the start.
func NewMetrics(leases *Leases, version string) *Metrics {
	m := &Metrics{
		leases: leases, version: version,
		answers:  map[string]int{answerIssued: 0, wordInvalidCode: 0, wordGeneralError: 0, wordThrottled: 0},
		readings: map[string]int{readingLeased: 0},
	}
	for _, kind := range []Kind{Refused, Throttled, NotLetIn, BadAnswer, Unavailable} {
		m.readings[string(kind)] = 0
	}
	leases.metrics = m
	return m
}

// answered counts an answer to a caller.
func (m *Metrics) answered(result string) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.answers[result]++
}

// read counts a reading of a lease.
func (m *Metrics) read(err error) {
	if m == nil {
		return
	}
	result := readingLeased
	var failure *Error
	if errors.As(err, &failure) {
		result = string(failure.Kind)
	} else if err != nil {
		result = string(Unavailable)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.readings[result]++
}

// HTTPServer returns what serves /metrics, and nothing else, on a listener of its own. Anybody
// who can connect to that may read it: it has no secret.
func (m *Metrics) HTTPServer(log *slog.Logger) *http.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		m.write(w)
	})
	return &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       5 * time.Second,
		WriteTimeout:      10 * time.Second,
		IdleTimeout:       90 * time.Second,
		MaxHeaderBytes:    maxHeader,
		Protocols:         onlyHTTP1(),
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
}

// write writes Prometheus' text format. Neither words nor names of roles have a character that
// it would have to escape; %q escapes those of the version as the format does.
func (m *Metrics) write(w io.Writer) {
	m.mu.Lock()
	answers, readings := maps.Clone(m.answers), maps.Clone(m.readings)
	m.mu.Unlock()
	family := func(name, kind, help string) { fmt.Fprintf(w, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind) }
	counter := func(name, help string, counts map[string]int) {
		family(name, "counter", help)
		for _, result := range slices.Sorted(maps.Keys(counts)) {
			fmt.Fprintf(w, "%s{result=%q} %d\n", name, result, counts[result])
		}
	}
	counter("zoho_token_server_answers_total", "Answers to callers: issued, revoked, or Zoho's word for why there was no token.", answers)
	counter("zoho_token_server_readings_total", "Readings of a lease from Vault, by what came of them.", readings)

	ends := m.leases.ends()
	names := slices.Sorted(maps.Keys(ends))
	own := names[:min(len(names), mostSeries)]
	family("zoho_token_server_lease_expiry_timestamp_seconds", "gauge", "When the access token ends that callers of a role get, in Unix seconds.")
	for _, name := range own {
		fmt.Fprintf(w, "zoho_token_server_lease_expiry_timestamp_seconds{role=%q} %d\n", name, ends[name].Unix())
	}
	family("zoho_token_server_roles_left_out", "gauge", "Roles with a lease that have no series of their own.")
	fmt.Fprintf(w, "zoho_token_server_roles_left_out %d\n", len(names)-len(own))
	family("zoho_token_server_build_info", "gauge", "Always 1; the label says what is running.")
	fmt.Fprintf(w, "zoho_token_server_build_info{version=%q} 1\n", m.version)
}

// ends is when the lease of each role ends that has one.
func (s *Leases) ends() map[string]time.Time {
	ends := make(map[string]time.Time)
	for _, r := range s.all() {
		r.mu.Lock()
		if r.current != nil {
			ends[r.name] = r.current.end()
		}
		r.mu.Unlock()
	}
	return ends
}
