package backend_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend"
	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/zohosim"
)

var scopes = []string{"ZohoCRM.modules.ALL"}

// tb is what the world needs of a *testing.T or a *rapid.T.
type tb interface {
	require.TestingT
	Helper()
	Cleanup(func())
	Context() context.Context
}

// world is a simulated Zoho and a mount that uses it, with one clock.
type world struct {
	t              tb
	sim            *zohosim.Sim
	clock          *zohosim.Clock
	wrong          atomic.Int64           // by how much the server's clock is wrong, in nanoseconds; Zoho's is right
	lookingAtClock atomic.Pointer[func()] // called when the engine looks at the clock
	accounts       *zohosim.Accounts
	client         *zohosim.Client
	refreshToken   string
	gate           gate
	storage        *storage
	engine         *backend.Engine
	pauses         pauses
	later          later
	leases         []*backend.Issued // of tests that keep them
	logger         hclog.Logger      // as of the next restart
	notify         func(backend.Event)
}

// newWorld has a mount with a client, and a role crm-sync.
func newWorld(t tb) *world {
	t.Helper()
	return newWorldWith(t, zohosim.Options{})
}

func newWorldWith(t tb, options zohosim.Options) *world {
	t.Helper()
	w := &world{
		t:       t,
		clock:   zohosim.StoppedClock(time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)),
		storage: &storage{Storage: &logical.InmemStorage{}},
	}
	options.Clock, options.Wait = w.clock.Now, w.gate.wait
	w.sim = zohosim.New(options)
	t.Cleanup(w.sim.Close)
	var err error
	w.accounts, err = w.sim.Listen("us")
	require.NoError(t, err)
	w.client = w.sim.AddClient(zohosim.ClientSpec{})
	w.refreshToken = w.sim.Consent(w.client, "us", "user@example.com", scopes)
	w.start()
	t.Cleanup(func() { w.engine.Close() })

	id, secret := w.client.ID, w.client.Secret("us")
	w.configure(settings.ConfigChange{AccountsURL: &w.accounts.URL, ClientID: &id, ClientSecret: &secret})
	w.writeRole("crm-sync", settings.RoleChange{RefreshToken: &w.refreshToken})
	return w
}

func (w *world) start() {
	w.engine = backend.New(backend.Options{Storage: w.storage, Now: w.now, After: w.pauses.after, Later: w.later.do, UserAgent: "test", Logger: w.logger, Notify: w.notify})
	require.NoError(w.t, w.engine.Open(context.Background()))
}

// now is the time by the server's clock.
func (w *world) now() time.Time {
	if looking := w.lookingAtClock.Load(); looking != nil {
		(*looking)()
	}
	return w.clock.Now().Add(time.Duration(w.wrong.Load()))
}

// setClockWrong sets the server's clock ahead of the right time, or behind it;
// Zoho's is always right.
func (w *world) setClockWrong(by time.Duration) { w.wrong.Store(int64(by)) }

// restart forgets everything but the storage, as a crash or a new leader does.
func (w *world) restart() {
	w.engine.Close()
	w.start()
}

func (w *world) configure(change settings.ConfigChange) {
	w.t.Helper()
	if change.Verify == nil {
		change.Verify = ptr(false)
	}
	change.Force = true
	_, err := w.engine.WriteConfig(w.t.Context(), change)
	require.NoError(w.t, err)
}

func (w *world) deleteConfig() {
	w.t.Helper()
	_, err := w.engine.DeleteConfig(w.t.Context(), true)
	require.NoError(w.t, err)
}

// writeRole does not try the credentials, unless the change says so: most tests
// count what readers ask of Zoho.
func (w *world) writeRole(name string, change settings.RoleChange) (warnings []string) {
	w.t.Helper()
	if change.Verify == nil {
		change.Verify = ptr(false)
	}
	warnings, err := w.engine.WriteRole(w.t.Context(), name, change)
	require.NoError(w.t, err)
	return warnings
}

func (w *world) deleteRole(name string) (warnings []string) {
	w.t.Helper()
	warnings, err := w.engine.DeleteRole(w.t.Context(), name)
	require.NoError(w.t, err)
	return warnings
}

func (w *world) read(role string) *backend.Issued {
	w.t.Helper()
	issued, err := w.engine.Issue(w.t.Context(), role, backend.Reader{})
	require.NoError(w.t, err)
	// The name of the first reader of a token follows its answer, unless a test keeps it back.
	for range 2000 {
		if len(w.keys("holders/"+issued.TokenID+"/")) > 0 {
			break
		}
		runtime.Gosched()
	}
	return issued
}

func (w *world) readError(role string) error {
	w.t.Helper()
	_, err := w.engine.Issue(w.t.Context(), role, backend.Reader{})
	require.Error(w.t, err)
	return err
}

func (w *world) release(issued *backend.Issued) error {
	return w.engine.Release(w.t.Context(), leaseOf(issued), notTainted)
}

func tainted() bool    { return true }
func notTainted() bool { return false }

func leaseOf(issued *backend.Issued) backend.Lease {
	return backend.Lease{TokenID: issued.TokenID, HolderID: issued.HolderID, ExpiresAt: issued.ExpiresAt}
}

func (w *world) tick() {
	w.t.Helper()
	require.NoError(w.t, w.engine.Tick(w.t.Context(), notTainted))
	w.settle()
}

// look is a tick while something that settle would wait for is held back.
func (w *world) look() {
	w.t.Helper()
	require.NoError(w.t, w.engine.Tick(w.t.Context(), notTainted))
	require.Eventually(w.t, func() bool { return !w.engine.IsRetrying() }, 10*time.Second, time.Millisecond)
}

// settle waits for what runs in the background.
func (w *world) settle() {
	w.pauses.lasting(false)
	w.engine.Settle()
}

func (w *world) alive(issued *backend.Issued) bool {
	return w.sim.Alive(issued.AccessToken.Reveal())
}

func (w *world) revocations() int {
	return w.sim.Count(zohosim.EndpointRevoke) + w.sim.Count(zohosim.EndpointLegacyRevoke)
}

// keys lists what is stored below prefix.
func (w *world) keys(prefix string) []string {
	w.t.Helper()
	keys, err := logical.CollectKeysWithPrefix(w.t.Context(), w.storage, prefix)
	require.NoError(w.t, err)
	return keys
}

// storage counts writes, and fails those that fail tells it to. An entry of
// more than 1 MiB is refused, as Vault's raft storage does.
type storage struct {
	logical.Storage
	mu     sync.Mutex
	writes []string
	fail   func(key string) bool
	lies   bool                   // what is said to have failed is carried out, as by raft when the time is up
	hold   func(key string) error // called without the lock: it may take its time
	list   func(prefix string)    // likewise, when it was listed
	read   func(key string)       // likewise, when it was read
	broken func(key string) bool  // what cannot be read
}

var (
	errDisk     = errors.New("disk on fire")
	errTooLarge = errors.New("put failed due to value being too large")
)

const largestEntry = 1 << 20 // bytes

func (s *storage) refuses(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil && s.fail(key) {
		return true
	}
	s.writes = append(s.writes, key)
	return false
}

func (s *storage) failing(fail func(key string) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = fail
}

// written returns the keys written since the last call.
func (s *storage) written() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	keys := s.writes
	s.writes = nil
	return keys
}

// unreadable fails the reads of keys that match; nil: none.
func (s *storage) unreadable(match func(key string) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken = match
}

func (s *storage) Get(ctx context.Context, key string) (*logical.StorageEntry, error) {
	s.mu.Lock()
	fails, read := s.broken != nil && s.broken(key), s.read
	s.mu.Unlock()
	if fails {
		return nil, errDisk
	}
	entry, err := s.Storage.Get(ctx, key)
	if read != nil {
		read(key)
	}
	return entry, err
}

func (s *storage) reading(read func(key string)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.read = read
}

func (s *storage) holding(hold func(key string) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hold = hold
}

func (s *storage) listing(list func(prefix string)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = list
}

// lying sets whether a write that fails is carried out all the same.
func (s *storage) lying(lies bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lies = lies
}

func (s *storage) Put(ctx context.Context, entry *logical.StorageEntry) error {
	if len(entry.Value) > largestEntry {
		return errTooLarge
	}
	if s.refuses(entry.Key) {
		s.mu.Lock()
		lies := s.lies
		s.mu.Unlock()
		if lies {
			_ = s.Storage.Put(ctx, entry)
		}
		return errDisk
	}
	s.mu.Lock()
	hold := s.hold
	s.mu.Unlock()
	if hold != nil {
		if err := hold(entry.Key); err != nil {
			return err
		}
	}
	return s.Storage.Put(ctx, entry)
}

func (s *storage) List(ctx context.Context, prefix string) ([]string, error) {
	s.mu.Lock()
	list := s.list
	s.mu.Unlock()
	keys, err := s.Storage.List(ctx, prefix)
	if list != nil {
		list(prefix)
	}
	return keys, err
}

func (s *storage) Delete(ctx context.Context, key string) error {
	if s.refuses(key) {
		return errDisk
	}
	return s.Storage.Delete(ctx, key)
}

func below(prefix string) func(string) bool {
	return func(key string) bool { return strings.HasPrefix(key, prefix) }
}

func ptr[T any](value T) *T { return &value }

// gate keeps answers of Zoho back while it is shut.
type gate struct {
	mu   sync.Mutex
	shut chan struct{}
}

func (g *gate) wait(ctx context.Context, _ time.Duration) error {
	g.mu.Lock()
	shut := g.shut
	g.mu.Unlock()
	select {
	case <-shut:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// holdAnswers keeps every answer of Zoho back until release is called.
func (w *world) holdAnswers() (release func()) {
	shut := make(chan struct{})
	w.gate.mu.Lock()
	w.gate.shut = shut
	w.gate.mu.Unlock()
	w.sim.SetLatency(time.Second)
	return func() { w.sim.SetLatency(0); close(shut) }
}

func (w *world) waitForRequests(n int) {
	w.t.Helper()
	require.Eventually(w.t, func() bool { return len(w.sim.Requests()) >= n }, 10*time.Second, time.Millisecond)
}

// currentToken is the token that the next reader would get.
func (w *world) currentToken() string {
	w.t.Helper()
	w.storage.failing(nil)
	issued := w.read("crm-sync")
	require.NoError(w.t, w.release(issued))
	return issued.TokenID
}

// throttleOff is for tests of other limits.
var throttleOff = zohosim.Throttle{Limit: -1}

// holdBack runs do until it writes a key that matches, and keeps that write back
// until finish is called with its outcome. Later writes go through.
func (w *world) holdBack(match func(key string) bool, do func() error) (finish func(error), done chan error) {
	reached, outcome := make(chan struct{}), make(chan error)
	once := false
	w.storage.holding(func(key string) error {
		if once || !match(key) {
			return nil
		}
		once = true
		close(reached)
		select {
		case err := <-outcome:
			return err
		case <-w.t.Context().Done(): // the test has failed before it got to finish
			return w.t.Context().Err()
		}
	})
	done = make(chan error, 1)
	go func() { done <- do() }()
	<-reached
	return func(err error) { outcome <- err }, done
}
