package metrics

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Result is what came of a read of an access token, or of a token request to Zoho.
type Result int

// The results.
const (
	Success     Result = iota // a read got a token; a request minted one
	Refused                   // Zoho does not take the credentials
	Throttled                 // Zoho throttles, or the budget or the cap of live tokens is used up
	Unreachable               // Zoho could not be reached, or gave no answer in time
	Nonsense                  // Zoho's answer was a 5xx, a web page, or something else
	Invalid                   // of a read: no such role, no refresh token, or a wrong parameter
	Cancelled                 // whoever asked hung up
	Failed                    // Vault's storage failed, or the engine has a fault
	results                   // how many there are
)

// label is the word for a result. success is that for Success.
func (r Result) label(success string) string {
	switch r {
	case Success:
		return success
	case Refused:
		return "refused"
	case Throttled:
		return "throttled"
	case Unreachable:
		return "unreachable"
	case Nonsense:
		return "nonsense"
	case Invalid:
		return "invalid"
	case Cancelled:
		return "cancelled"
	default:
		return "failed"
	}
}

// Token is a kind of token that Zoho is asked to revoke.
type Token string

// The kinds.
const (
	AccessToken  Token = "access"
	RefreshToken Token = "refresh"
)

// End is what came of asking Zoho to revoke a token.
type End string

// The ends.
const (
	Revoked   End = "revoked"
	Gone      End = "gone"     // Zoho did not know it any more
	NotYet    End = "failed"   // it is tried again
	Abandoned End = "given_up" // nobody tries again: the token may live on until somebody removes it at Zoho
)

// LeaseEnd is what Vault was told when it revoked a lease.
type LeaseEnd string

// What Vault is told.
const (
	Released  LeaseEnd = "released"
	TryAgain  LeaseEnd = "failed"     // Vault asks again
	TakenOver LeaseEnd = "taken_over" // the lease ended, the engine goes on by itself: otherwise the lease would become irrevocable
)

// Build is what was built.
type Build struct {
	Version    string
	Commit     string
	SDKVersion string // of Vault's plugin SDK
}

// Metrics are those of one mount. They are safe for concurrent use.
type Metrics struct {
	registry      *prometheus.Registry
	requests      *prometheus.CounterVec
	duration      prometheus.Histogram
	leaseEnds     *prometheus.CounterVec
	revocations   *prometheus.CounterVec
	endDelay      prometheus.Histogram
	storageErrors *prometheus.CounterVec
	panics        prometheus.Counter

	roles    table
	consents atomic.Int64
}

// New returns Metrics that have counted nothing.
func New(build Build) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "zoho_token_requests_total", Help: "Requests to Zoho for an access token or for the exchange of a code, by what came of them and by Zoho's error word.",
		}, []string{"result", "code"}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "zoho_token_request_duration_seconds", Help: "How long Zoho took to answer token requests, failed ones included.",
			Buckets: []float64{0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30},
		}),
		leaseEnds: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "zoho_lease_ends_total", Help: "Leases that Vault revoked or let expire, by what the engine answered. taken_over would be irrevocable leases without the engine, which goes on by itself.",
		}, []string{"result"}),
		revocations: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "zoho_revocations_total", Help: "Requests to Zoho to revoke an access or refresh token, by what came of them. After given_up a refresh token may live on at Zoho.",
		}, []string{"token", "result"}),
		endDelay: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "zoho_access_token_end_delay_seconds", Help: "How long access tokens lived at Zoho after their end was decided: mostly when their last lease ended, later with revoke_delay.",
			Buckets: []float64{0.1, 0.5, 1, 5, 30, 60, 300, 900, 3600},
		}),
		storageErrors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "zoho_storage_errors_total", Help: "Errors of Vault's storage, by operation.",
		}, []string{"operation"}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{Name: "zoho_panics_total", Help: "Panics in the engine, each of which is a fault to report."}),
	}
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "zoho_build_info", Help: "Always 1; the labels say what is running.",
		ConstLabels: prometheus.Labels{"version": build.Version, "commit": build.Commit, "sdk_version": build.SDKVersion},
	})
	info.Set(1)
	m.registry.MustRegister(m.requests, m.duration, m.leaseEnds, m.revocations, m.endDelay, m.storageErrors, m.panics, info)
	m.begin()
	return m
}

// begin makes the series that an alert asks for: Prometheus sees no increase from a series
// that is not there to one.
func (m *Metrics) begin() {
	for r := Success; r <= Nonsense; r++ {
		m.requests.WithLabelValues(r.label("minted"), "")
	}
	for _, token := range []Token{AccessToken, RefreshToken} {
		for _, end := range []End{Revoked, Gone, NotYet} {
			m.revocations.WithLabelValues(string(token), string(end))
		}
	}
	m.revocations.WithLabelValues(string(RefreshToken), string(Abandoned))
	for _, end := range []LeaseEnd{Released, TryAgain, TakenOver} {
		m.leaseEnds.WithLabelValues(string(end))
	}
	for _, operation := range []string{"list", "get", "put", "delete"} {
		m.storageErrors.WithLabelValues(operation)
	}
}

// TokenRequest counts a request to Zoho. code is Zoho's error word, of those that the engine
// knows; empty if it sent none.
func (m *Metrics) TokenRequest(result Result, code string, took time.Duration) {
	m.requests.WithLabelValues(result.label("minted"), code).Inc()
	m.duration.Observe(took.Seconds())
}

// LeaseEnded counts the end of a lease.
func (m *Metrics) LeaseEnded(end LeaseEnd) { m.leaseEnds.WithLabelValues(string(end)).Inc() }

// Revocation counts a request to Zoho to revoke a token.
func (m *Metrics) Revocation(token Token, end End) {
	m.revocations.WithLabelValues(string(token), string(end)).Inc()
}

// AccessTokenEnded takes up how long an access token has lived at Zoho after its end was
// decided.
func (m *Metrics) AccessTokenEnded(after time.Duration) { m.endDelay.Observe(after.Seconds()) }

// StorageError counts an error of Vault's storage.
func (m *Metrics) StorageError(operation string) { m.storageErrors.WithLabelValues(operation).Inc() }

// Panic counts a panic.
func (m *Metrics) Panic() { m.panics.Inc() }

// PendingConsents takes up how many people have been asked for consent and have not answered.
func (m *Metrics) PendingConsents(n int) { m.consents.Store(int64(n)) }
