package zohosecrets

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/stretchr/testify/require"
)

// Every operation of every path meets a storage that fails, once or for good, at
// its first call, at its second, and so on until it gets through. It must not
// panic, claim a success that is not in storage, or tell a secret; and when
// storage is well again the same request must work.

// faultyStorage fails the call number fail, or all from that one on.
type faultyStorage struct {
	logical.Storage
	mu      sync.Mutex
	calls   int
	fail    int // counted from 1; 0: never
	forGood bool
	failed  bool
}

// breakAt counts from now on.
func (s *faultyStorage) breakAt(fail int, forGood bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls, s.fail, s.forGood, s.failed = 0, fail, forGood, false
}

// heal makes storage work again, and reports whether it had failed.
func (s *faultyStorage) heal() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = 0
	return s.failed
}

func (s *faultyStorage) call() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	if s.fail == 0 || s.calls < s.fail || (s.calls > s.fail && !s.forGood) {
		return nil
	}
	s.failed = true
	return errDisk
}

func (s *faultyStorage) Get(ctx context.Context, key string) (*logical.StorageEntry, error) {
	if err := s.call(); err != nil {
		return nil, err
	}
	return s.Storage.Get(ctx, key)
}

func (s *faultyStorage) List(ctx context.Context, prefix string) ([]string, error) {
	if err := s.call(); err != nil {
		return nil, err
	}
	return s.Storage.List(ctx, prefix)
}

func (s *faultyStorage) Put(ctx context.Context, entry *logical.StorageEntry) error {
	if err := s.call(); err != nil {
		return err
	}
	return s.Storage.Put(ctx, entry)
}

func (s *faultyStorage) Delete(ctx context.Context, key string) error {
	if err := s.call(); err != nil {
		return err
	}
	return s.Storage.Delete(ctx, key)
}

// scene is a request that is about to be made, with all that it needs.
type scene struct {
	*mount
	zoho   *simulation
	faulty *faultyStorage
	ear    *ear
	path   string
	data   fields
	leased answer // what a revocation is of
}

// setScene prepares a case, and then has a node take over that has nothing in
// memory, so that all goes through its storage.
func setScene(t *testing.T, c faultCase) *scene {
	t.Helper()
	before := newMount(t)
	s := &scene{mount: before, zoho: newSimulation(t, before.clock), path: c.path, data: c.data}
	s.ear = &ear{t: t, secrets: map[string]string{}}
	before.vault.backend = s.ear
	s.ear.Backend = before.inner
	s.ear.learn(s.zoho.clientSecret, "the client secret")
	s.ear.learn(s.zoho.refreshToken, "the refresh token")
	before.write("config", s.zoho.config().with(fields{"redirect_uri": callbackURL})).done(t)
	before.write("roles/crm-sync", s.zoho.role()).done(t)
	if c.arrange != nil {
		c.arrange(s)
	}
	before.inner.Cleanup(context.Background())

	s.faulty = &faultyStorage{Storage: before.storage}
	s.inner = s.node(s.faulty, s.ear)
	s.ear.Backend = s.inner
	return s
}

// node is a mount on storage, with the scene's clock.
func (s *scene) node(storage logical.Storage, log io.Writer) *zohoBackend {
	s.t.Helper()
	logger := hclog.New(&hclog.LoggerOptions{Output: log, Level: hclog.Trace, JSONFormat: true})
	b := newClocked(s.clock, storage, logger)
	require.NoError(s.t, b.Setup(s.t.Context(), &logical.BackendConfig{StorageView: storage, System: s.system, Logger: logger}))
	s.t.Cleanup(func() { b.Cleanup(context.Background()) })
	return b
}

// ask makes the request.
func (s *scene) ask(op logical.Operation) answer {
	s.t.Helper()
	switch op {
	case logical.RevokeOperation:
		req := logical.RevokeRequest(s.path, s.leased.Secret, s.leased.Data)
		resp, err := s.backend.HandleRequest(s.t.Context(), req)
		return answered(req, resp, err)
	case logical.RollbackOperation:
		req := logical.RollbackRequest("")
		resp, err := s.backend.HandleRequest(s.t.Context(), req)
		s.inner.engine.Settle()
		return answered(req, resp, err)
	case logical.CreateOperation, logical.UpdateOperation:
		return s.write(s.path, s.data) // with the existence check, which may meet the failure
	default:
		return s.send(op, s.path, s.data)
	}
}

// status is that of an answer, or of the page that a browser gets.
func (a answer) statusOfPage() int {
	if a.Response != nil && a.Data[logical.HTTPStatusCode] != nil {
		status, _ := a.Data[logical.HTTPStatusCode].(int)
		return status
	}
	return a.status
}

// try makes the request while storage fails, and again when it is well.
func (c faultCase) try(t *testing.T, fail int, forGood bool) (failed bool) {
	t.Helper()
	s := setScene(t, c)
	what := fmt.Sprintf("%s %s, storage call %d, for good: %t", c.op, s.path, fail, forGood)
	config, role := s.stored()["config"], s.stored()[c.path]
	s.faulty.breakAt(fail, forGood)
	got := s.ask(c.op)
	failed = s.faulty.heal()
	require.NotContains(t, got.text, "internal error", what)
	tolerated := failed && c.op == logical.RollbackOperation // what fails is logged, and left to the next
	switch status := got.statusOfPage(); status {
	case 200, 204:
		if c.holds != nil && !tolerated {
			c.holds(t, s, got)
		}
	case 500:
		require.True(t, failed, "%s: %s", what, got)
		if c.path != pathCallbackName { // a person need not know
			require.Contains(t, got.text, errDisk.Error(), what)
		}
		if c.path != "config" {
			require.Equal(t, config, s.stored()["config"], what)
		}
		if c.path == "config" || strings.HasPrefix(c.path, "roles/") {
			require.Equal(t, role, s.stored()[c.path], "%s: what fails changes nothing", what)
		}
	default:
		require.Fail(t, "neither success nor an error of storage", "%s: %d %s", what, status, got)
	}

	if got.statusOfPage() == 500 || tolerated {
		again := s.ask(c.op)
		if !c.once || again.statusOfPage() != 400 {
			require.Contains(t, []int{200, 204}, again.statusOfPage(), "%s, and again: %s", what, again)
			if c.holds != nil {
				c.holds(t, s, again)
			}
		}
	}
	s.inner.Cleanup(context.Background())
	s.ear.requireSilence()
	return failed
}

func TestStorage_AFailureAtAnyCallIsAnErrorAndPasses(t *testing.T) {
	t.Parallel()
	for _, c := range faultCases() {
		for _, forGood := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, for good %t", c.name(), forGood), func(t *testing.T) {
				t.Parallel()
				const enough = 100
				for fail := 1; c.try(t, fail, forGood); fail++ {
					require.Less(t, fail, enough)
				}
			})
		}
	}
}

func TestStorage_TheCasesAreEveryOperationOfEveryPath(t *testing.T) {
	t.Parallel()
	b := newMount(t).inner
	b.Route("") // from here on, the patterns are as Route gives them
	missing := map[string]bool{}
	for _, path := range b.Paths {
		for op := range path.Operations {
			missing[path.Pattern+" "+string(op)] = true
		}
	}
	for _, c := range faultCases() {
		if path := b.Route(c.path); path != nil {
			delete(missing, path.Pattern+" "+string(c.op))
		}
	}
	require.Empty(t, missing)
}
