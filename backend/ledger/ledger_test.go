package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend/ledger"
)

// TestLedger_CountsEveryHolderAndEndsOnlyWithoutOne runs random readers against a storage that
// fails, that carries out what it says has failed, and that takes its time, and crashes in
// between. Invariants 6 and 8: a token does not end while somebody holds it, and no crash loses a
// holder or a decision.
func TestLedger_CountsEveryHolderAndEndsOnlyWithoutOne(t *testing.T) {
	const seeds = 300
	for seed := range uint64(seeds) {
		synctest.Test(t, func(t *testing.T) {
			w := &world{T: t, random: rand.New(rand.NewPCG(seed, seed)), held: map[string]bool{}, leaving: map[string]bool{}}
			w.start()
			for range 40 {
				w.step()
			}
			w.finish()
		})
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// world is what the test knows about one token.
type world struct {
	*testing.T
	random   *rand.Rand
	reliable bool // storage is at once, and never fails
	disk     logical.InmemStorage
	process  *process
	ledger   *ledger.Ledger
	mu       sync.Mutex
	held     map[string]bool // whose Hold has succeeded, and whose release nobody has asked for
	leaving  map[string]bool // whose release was asked for, and has not succeeded
	doomed   bool            // somebody wanted the token dead, or was told that it ends
}

// process is one life of the plugin. It writes to the disk until it crashes.
type process struct {
	*world
	goroutines sync.WaitGroup
	closing    chan struct{}
	crashed    bool
}

func (w *world) start() {
	p := &process{world: w, closing: make(chan struct{})}
	w.process = p
	l, err := ledger.New(ledger.Options{
		Storage: p, Prefix: "holders/", TokenID: "token", Log: hclog.NewNullLogger,
		Go:  p.run,
		Now: time.Now, After: time.After, Closing: p.closing, Closed: errors.New("the plugin ends"),
	})
	require.NoError(w, err)
	require.NoError(w, l.Load(w.Context()))
	w.ledger = l
}

func (p *process) run(f func()) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.crashed {
		p.goroutines.Go(f)
	}
	return !p.crashed
}

// crash ends the process at once, and starts another.
func (w *world) crash() {
	w.mu.Lock()
	w.process.crashed = true
	w.mu.Unlock()
	close(w.process.closing)
	w.process.goroutines.Wait()
	w.start()
	all, _ := w.ledger.Count()
	w.mu.Lock() // who asked the former process may still be on his way
	defer w.mu.Unlock()
	require.GreaterOrEqual(w, all, len(w.held), "a crash lost a holder")
	if w.doomed {
		require.True(w, w.ledger.IsEnding(), "a crash lost the decision")
	}
}

func (p *process) Put(ctx context.Context, entry *logical.StorageEntry) error {
	if p.reliable {
		return p.disk.Put(ctx, entry)
	}
	p.mu.Lock()
	took, fails, lies := time.Duration(p.pickLocked(60))*time.Millisecond, p.pickLocked(5) == 0, p.pickLocked(2) == 0
	p.mu.Unlock()
	time.Sleep(took)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.crashed || fails && !lies {
		return errors.New("storage is down")
	}
	if err := p.disk.Put(ctx, entry); err != nil || fails {
		return errors.Join(errors.New("storage answered too late"), err)
	}
	return nil
}

func (p *process) Get(ctx context.Context, key string) (*logical.StorageEntry, error) {
	return p.disk.Get(ctx, key)
}
func (p *process) List(ctx context.Context, prefix string) ([]string, error) {
	return p.disk.List(ctx, prefix)
}
func (p *process) Delete(ctx context.Context, key string) error { return p.disk.Delete(ctx, key) }

// pick is a random number below n.
func (w *world) pick(n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.pickLocked(n)
}

func (w *world) pickLocked(n int) int { return w.random.IntN(n) }

// step does something at random.
func (w *world) step() {
	switch n := w.pick(20); {
	case n < 9:
		w.hold(1 + w.pick(6))
	case n < 16:
		w.release(1 + w.pick(4))
	case n < 18:
		time.Sleep(time.Duration(w.pick(200)) * time.Millisecond)
	case n < 19:
		w.crash()
	default:
		w.ledger.Flush()
	}
}

// hold lets so many readers come at the same time. The process may crash under them.
func (w *world) hold(readers int) {
	l := w.ledger
	var asking sync.WaitGroup
	for i := range readers {
		asking.Go(func() {
			id, err := l.Hold(w.Context(), ledger.Holder{Role: "crm-sync", Requester: ledger.Requester{DisplayName: fmt.Sprint(i % 2)}, Since: time.Now(), Until: time.Now().Add(time.Hour)})
			w.mu.Lock()
			defer w.mu.Unlock()
			if err == nil {
				require.False(w, w.held[id], "two holders have one place")
				require.False(w, w.doomed, "a token that ends got a holder")
				w.held[id] = true
			}
		})
	}
	w.orCrash(&asking)
}

// release lets so many leases end at the same time. What has failed is asked again later, as Vault does.
func (w *world) release(leases int) {
	l := w.ledger
	var asking sync.WaitGroup
	w.mu.Lock()
	for _, id := range slices.Sorted(maps.Keys(w.held)) {
		if leases--; leases < 0 {
			break
		}
		delete(w.held, id)
		w.leaving[id] = true
	}
	for _, id := range slices.Sorted(maps.Keys(w.leaving)) {
		asking.Go(func() {
			ending, err := l.Release(w.Context(), id, time.Now(), nil)
			w.mu.Lock()
			defer w.mu.Unlock()
			if err != nil {
				return
			}
			delete(w.leaving, id)
			if ending {
				require.Empty(w, w.held, "the token ends although somebody holds it")
				w.doomed = true
			}
		})
	}
	w.mu.Unlock()
	w.orCrash(&asking)
}

// orCrash waits for those who ask; sometimes the process ends first.
func (w *world) orCrash(asking *sync.WaitGroup) {
	if w.pick(8) == 0 {
		time.Sleep(time.Duration(w.pick(40)) * time.Millisecond)
		w.crash()
	}
	asking.Wait()
}

// finish: when storage works again all leases end, and the token with them or after a crash by its age.
func (w *world) finish() {
	for range 200 {
		if len(w.held)+len(w.leaving) == 0 {
			break
		}
		w.release(len(w.held))
	}
	require.Empty(w, w.leaving)
	for range 200 {
		if w.ledger.End(w.Context(), time.Now()) == nil {
			break
		}
	}
	w.doomed = true
	w.crash()
	require.NoError(w, w.ledger.Erase(w.Context(), func(context.Context) error { return nil }))
	keys, err := w.disk.List(w.Context(), "holders/")
	require.NoError(w, err)
	require.Empty(w, keys)
	close(w.process.closing)
	w.process.goroutines.Wait()
}

// A segment has the texts of a reader once, and the next process has places of another series.
func TestLedger_KeepsWhatItKnowsOfEachHolderInShortRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t, reliable: true, held: map[string]bool{}, leaving: map[string]bool{}}
		w.start()
		uuid := "12345678-1234-1234-1234-123456789012"
		for range 2 {
			for i := range 40 {
				_, err := w.ledger.Hold(t.Context(), ledger.Holder{
					Role: "crm-sync", Requester: ledger.Requester{EntityID: uuid, DisplayName: fmt.Sprintf("app-%d <\n>", i%3), RequestID: uuid},
					Since: time.Now().Add(time.Duration(i) * time.Second).UTC(), Until: time.Now().Add(time.Hour).UTC(),
				})
				require.NoError(t, err)
				time.Sleep(2 * time.Second) // so each has a write
			}
			before, readers := w.ledger.Holders(), w.ledger.Readership()
			w.crash()
			require.Equal(t, before, w.ledger.Holders())
			require.Equal(t, readers, w.ledger.Readership())
		}
		for _, h := range w.ledger.Holders() { // of both series
			_, err := w.ledger.Release(t.Context(), h.ID, time.Now(), nil)
			require.NoError(t, err)
		}
		require.True(t, w.ledger.IsEnding())
		w.crash()
		require.True(t, w.ledger.IsEnding())
		require.Empty(t, w.ledger.Holders())

		keys, err := w.disk.List(t.Context(), "holders/")
		require.NoError(t, err)
		stored := 0
		for _, key := range keys {
			entry, err := w.disk.Get(t.Context(), "holders/"+key)
			require.NoError(t, err)
			stored += len(entry.Value)
		}
		require.Less(t, stored/80, 256, "bytes of a holder, its release included: a write of a lone reader is as small as the floor's")
		close(w.process.closing)
		w.process.goroutines.Wait()
	})
}

// A crowd's holders are named by writes that take at most a twentieth of storage's time, at least
// every second and at most twenty times a second.
func TestLedger_ThePauseFollowsTheWrite(t *testing.T) {
	for took, want := range map[time.Duration]time.Duration{
		-time.Hour:            50 * time.Millisecond, // the clock was set back
		0:                     50 * time.Millisecond,
		time.Millisecond:      50 * time.Millisecond,
		20 * time.Millisecond: 400 * time.Millisecond,
		time.Minute:           time.Second,
	} {
		synctest.Test(t, func(t *testing.T) {
			now, pauses := time.Now(), make(chan time.Duration, 1)
			l, err := ledger.New(ledger.Options{
				Storage: &logical.InmemStorage{}, Prefix: "holders/", TokenID: "token", Log: hclog.NewNullLogger,
				Go:    func(f func()) bool { go f(); return true },
				Now:   func() time.Time { now = now.Add(took); return now },
				After: func(d time.Duration) <-chan time.Time { pauses <- d; return time.After(d) },
			})
			require.NoError(t, err)
			_, err = l.Hold(t.Context(), ledger.Holder{Role: "crm-sync"})
			require.NoError(t, err)
			require.Equal(t, want, <-pauses)
		})
	}
}
