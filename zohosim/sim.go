package zohosim

import (
	"context"
	"errors"
	"fmt"
	"html/template"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"
)

// A Sim simulates Zoho: all its data centres, with common clients and a common
// clock. It is safe for concurrent use.
type Sim struct {
	clock       func() time.Time
	wait        func(context.Context, time.Duration) error
	consentPage *template.Template
	devicePages *template.Template
	closing     context.Context
	close       context.CancelFunc
	serving     sync.WaitGroup

	mu            sync.Mutex
	opts          Options
	user          browserUser
	profiles      map[string]Profile // by user
	clients       map[string]*Client
	tokens        *tokenStore
	devices       map[string]*deviceRequest // by device code
	tokenRequests *limiter
	grantCodes    *limiter
	exchanges     *limiter
	refreshTokens *limiter
	faults        map[Endpoint][]Fault
	down          bool
	journal       *journal
	idTokenKey    []byte            // nobody checks the signature
	bases         map[string]string // URLs of what listens, by data centre
	servers       []*http.Server
}

// A browserUser sits in front of the consent page.
type browserUser struct {
	name string
	home string // data centre; "" for that of the page
}

// New returns a simulator. Close it.
func New(options Options) *Sim {
	options = options.withDefaults()
	closing, closeNow := context.WithCancel(context.Background())
	return &Sim{
		clock:         options.Clock,
		wait:          options.Wait,
		consentPage:   newConsentPage(),
		devicePages:   newDevicePage(),
		closing:       closing,
		close:         closeNow,
		opts:          options,
		user:          browserUser{name: "user@example.com"},
		profiles:      map[string]Profile{},
		clients:       map[string]*Client{},
		tokens:        newTokenStore(),
		devices:       map[string]*deviceRequest{},
		tokenRequests: newLimiter(),
		grantCodes:    newLimiter(),
		exchanges:     newLimiter(),
		refreshTokens: newLimiter(),
		faults:        map[Endpoint][]Fault{},
		journal:       newJournal(),
		idTokenKey:    randomBytes(32),
		bases:         map[string]string{},
	}
}

// An Accounts server listens for one data centre. Its resource API is at the
// same URL.
type Accounts struct {
	URL        string // http://127.0.0.1:port
	DataCenter string
}

// Listen starts a data centre on a free port of 127.0.0.1.
func (s *Sim) Listen(dataCenter string) (*Accounts, error) {
	dc, ok := findDataCenter(dataCenter)
	if !ok {
		return nil, fmt.Errorf("zohosim: unknown data centre %q", dataCenter)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("zohosim: %w", err)
	}
	accounts := &Accounts{URL: "http://" + listener.Addr().String(), DataCenter: dataCenter}
	server := &http.Server{
		Handler:           dcHandler{sim: s, dc: dc, base: accounts.URL},
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          log.New(io.Discard, "", 0), // faults are no news
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing.Err() != nil {
		_ = listener.Close()
		return nil, errors.New("zohosim: the simulator is closed")
	}
	s.bases[dataCenter] = accounts.URL
	s.servers = append(s.servers, server)
	s.serving.Go(func() { _ = server.Serve(listener) }) // ends by Close
	return accounts, nil
}

// Handler returns a data centre for a server of the caller's own, such as
// httptest.NewServer. It panics on a data centre that does not exist. Faults
// that drop a connection do so by panicking with http.ErrAbortHandler, which
// servers understand and httptest.ResponseRecorder does not.
func (s *Sim) Handler(dataCenter string) http.Handler {
	return dcHandler{sim: s, dc: mustDataCenter(dataCenter)}
}

// Close stops what listens and lets go of requests that hang, also those of
// Handler. It may be called more than once.
func (s *Sim) Close() {
	s.mu.Lock()
	s.close()
	servers := s.servers
	s.servers = nil
	s.mu.Unlock()
	for _, server := range servers {
		_ = server.Close()
	}
	s.serving.Wait()
}

// decide answers a call, all but the writing.
func (s *Sim) decide(c *call) (answer, *Request, time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.now = s.clock()
	s.tokens.expire(c.now)
	s.expireDevices(c.now)
	arrival := s.journal.arrived(c)
	if s.down {
		return answer{fault: faultDown}, arrival, 0
	}
	if fault, ok := s.nextFault(c.endpoint); ok {
		return s.withFault(c, fault), arrival, s.opts.Latency
	}
	return s.route(c), arrival, s.opts.Latency
}

func (s *Sim) route(c *call) answer {
	for _, missing := range s.opts.Missing {
		if missing == c.endpoint {
			return notFound()
		}
	}
	switch c.endpoint {
	case EndpointToken:
		return s.token(c)
	case EndpointLegacyRevoke:
		return s.legacyRevoke(c)
	case EndpointRevoke:
		return s.revoke(c)
	case EndpointAuth, EndpointOrgAuth:
		return s.auth(c)
	case EndpointDeviceCode:
		return s.deviceCode(c)
	case EndpointDeviceToken:
		return s.deviceToken(c)
	case EndpointDevice:
		return s.device(c)
	case EndpointUserInfo:
		return s.userInfo(c)
	case EndpointServerInfo:
		return s.serverInfo(c)
	case EndpointAPI:
		return s.api(c)
	case EndpointOther:
	}
	return notFound()
}

func notFound() answer {
	return textAnswer(http.StatusNotFound, "text/html;charset=UTF-8",
		plainPage("404", "Not found"))
}

// answered completes a journal entry.
func (s *Sim) answered(entry *Request, out answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	entry.Error, entry.Fault = out.word, out.fault
	switch out.fault {
	case FaultHang, FaultClose, faultDown:
	default:
		entry.Status = out.status
	}
}
