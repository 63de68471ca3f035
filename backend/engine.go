package backend

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/sdk/helper/salt"
	"github.com/hashicorp/vault/sdk/logical"

	"vault-plugin-secrets-zoho/backend/metrics"
	"vault-plugin-secrets-zoho/backend/quota"
	"vault-plugin-secrets-zoho/backend/refreshtoken"
	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/backend/store"
	"vault-plugin-secrets-zoho/backend/work"
	"vault-plugin-secrets-zoho/backend/zoho"
)

// Options are what an Engine is made of.
type Options struct {
	Storage   logical.Storage
	Logger    hclog.Logger                         // nil: silent
	Now       func() time.Time                     // nil: time.Now
	After     func(time.Duration) <-chan time.Time // for pauses between writes; nil: time.After
	Later     func(time.Duration, func())          // runs something later; nil: time.AfterFunc
	UserAgent string                               // sent to Zoho
	Build     Build                                // told by the metrics
	Notify    func(Event)                          // called in the background; nil: nobody listens
}

// Build is what was built.
type Build = metrics.Build

// Engine is one mount. It is safe for concurrent use.
type Engine struct {
	storage   *store.Storage
	store     jsonStorage // the same
	logger    atomic.Pointer[mountLogger]
	notify    func(Event)
	now       func() time.Time
	userAgent string

	config *memory[settings.Config] // one key: keyConfig
	roles  *memory[settings.Role]   // by name
	tokens *memory[token]

	refreshTokens *store.Entries[refreshtoken.Record] // by the fingerprint of the refresh token
	clients       *store.Entries[refreshtoken.Client] // by the fingerprint of the client
	refused       *store.Entries[quota.Record]        // by role: credentials that Zoho refused. It is no quota of Zoho's, and counts in a window as well
	directory     directory
	metrics       *metrics.Metrics
	completing    atomic.Bool // the directory is being completed for the metrics

	work        *work.Group   // what runs: flights of several callers, and work in the background
	writes      work.Slots    // by storage key: read-modify-write of one record
	turns       work.Slots    // by quota ID: what is asked of Zoho that counts for it
	scrapes     work.Slots    // one scrape of the metrics runs at a time
	reconciling work.Slots    // by quota ID: Reconcile takes one step at a time
	retry       *work.Retries // revocations that have failed, or that nobody waits for, by Accounts server
	salt        atomic.Pointer[salt.Salt]

	mu       sync.Mutex
	grants   map[string]*grant       // by their ID
	accounts map[string]*zoho.Client // by CA certificate
	ticking  sync.Mutex
	round    round                // guarded by ticking
	failing  map[string]time.Time // by holder: since when its release fails
	searched time.Time            // when failing was searched for old ones last

	after func(time.Duration) <-chan time.Time // for pauses between writes
	later func(time.Duration, func())
}

// New returns an Engine. It touches neither storage nor network.
func New(opts Options) *Engine {
	e := &Engine{
		directory: newDirectory(),
		metrics:   metrics.New(opts.Build),
		notify:    opts.Notify,
		now:       opts.Now,
		userAgent: opts.UserAgent,
		grants:    make(map[string]*grant),
		accounts:  make(map[string]*zoho.Client),
		failing:   make(map[string]time.Time),
	}
	if opts.Logger == nil {
		opts.Logger = hclog.NewNullLogger()
	}
	e.logger.Store(&mountLogger{base: opts.Logger, Logger: opts.Logger})
	if e.now == nil {
		e.now = time.Now
	}
	e.work = work.NewGroup(work.Options{
		Limit: flightLimit, Closed: errClosed, Recovered: e.recovered,
		Failed: func(err error) { e.log().Error("background work failed", "error", err) },
	})
	e.retry = work.NewRetries(e.work, e.now)
	if e.after = opts.After; e.after == nil {
		e.after = time.After
	}
	if e.later = opts.Later; e.later == nil {
		e.later = func(d time.Duration, do func()) { time.AfterFunc(d, do) }
	}
	e.config = newMemory[settings.Config](e.work)
	e.roles = newMemory[settings.Role](e.work)
	e.tokens = newMemory[token](e.work)
	e.storage = store.New(store.Watch(opts.Storage, e.metrics.StorageError))
	e.store = jsonStorage{e.storage}
	e.makeRecords(e.storage)
	return e
}

// mountLogger is the logger with the mount's path, once it is known.
type mountLogger struct {
	hclog.Logger
	base hclog.Logger
	path string
}

func (e *Engine) log() hclog.Logger { return e.logger.Load().Logger }

// MountedAt lets log lines tell the mount. Vault says where that is with each
// request only, and it can be moved.
func (e *Engine) MountedAt(path string) {
	if l := e.logger.Load(); path != "" && path != l.path {
		e.logger.Store(&mountLogger{base: l.base, Logger: l.base.With("mount", path), path: path})
	}
}

// flightLimit bounds a mint or a revocation as a whole, storage included. It
// stays below the 90 s that Vault gives a revocation.
const flightLimit = 75 * time.Second

// recovered turns a panic into an error. What it says may hold a secret, so it goes
// to the server log alone.
func (e *Engine) recovered(panicked any, stack []byte) error {
	e.metrics.Panic()
	e.log().Error("panic in the secrets engine", "panic", panicked, "stack", string(stack))
	return errors.New("internal error in the Zoho secrets engine; the server log has it as \"panic in the secrets engine\", please report it")
}

// Close lets nothing new begin, gives what is under way a moment to end by
// itself - a mint that is cut off may leave a token at Zoho that nobody knows -
// and then stops it.
func (e *Engine) Close() {
	const moment = 3 * time.Second
	for _, t := range e.tokens.all() {
		t.ledger.Flush()
	}
	e.work.Close(moment)
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, client := range e.accounts {
		client.Close()
	}
}

// Settle waits for what runs in the background at the moment. Only tests need that.
func (e *Engine) Settle() { e.work.Wait() }

// Invalidate drops what is remembered of a storage key that another node wrote.
func (e *Engine) Invalidate(key string) {
	name, rest, _ := strings.Cut(key, "/")
	switch name + "/" {
	case keyConfig + "/":
		e.config.forget(keyConfig)
	case prefixRoles:
		e.roles.forget(rest)
	case prefixRefreshTokens:
		e.refreshTokens.Invalidate(key)
		e.directory.forget(rest)
	case prefixClients:
		e.clients.Invalidate(key)
	case prefixRefused:
		e.refused.Invalidate(key)
	case prefixTokens, prefixHolders:
		id, _, _ := strings.Cut(rest, "/")
		e.tokens.forget(id)
	}
}

// accountsClient returns the client for the given CA certificate, with its
// connections.
func (e *Engine) accountsClient(caCert string) (*zoho.Client, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if client := e.accounts[caCert]; client != nil {
		return client, nil
	}
	client, err := zoho.NewClient(e.userAgent, caCert)
	if err != nil {
		return nil, err
	}
	e.accounts[caCert] = client
	return client, nil
}

// caCertFor is the CA certificate for a revocation: the mount's present one if
// the Accounts server is still the mount's, since the server's certificate may have
// changed with it; otherwise the one with which the credentials were used.
func (e *Engine) caCertFor(accountsURL, former string, config *settings.Config) string {
	if config.AccountsURL() == accountsURL {
		return config.CACert
	}
	return former
}

// Open loads the salt with which the engine names what it stores, or makes it. It never
// changes. Every request begins with Open. Only a revocation goes on without: it finds
// all names in the records that it reads.
func (e *Engine) Open(ctx context.Context) error {
	if e.salt.Load() != nil {
		return nil
	}
	// One at a time: two that create it at once would use different salts.
	release, err := e.writes.Acquire(ctx, keySalt)
	if err != nil {
		return err
	}
	defer release()
	s, err := salt.NewSalt(ctx, e.store, &salt.Config{Location: keySalt})
	if err == nil {
		e.salt.Store(s)
	}
	return err
}

// fingerprint is a keyed hash of parts with the mount's own salt: the same for
// the same parts, worth nothing outside this mount, safe to log.
func (e *Engine) fingerprint(kind string, parts ...string) string {
	s := e.salt.Load()
	if s == nil {
		s = salt.NewNonpersistentSalt() // Open has failed: this names nothing that is stored
	}
	const shown = 32 // hex digits: 128 bits, and short enough to read aloud
	return s.GetHMAC(kind + "\x00" + strings.Join(parts, "\x00"))[:shown]
}
