package store_test

import (
	"context"
	"errors"
	"sync"

	"github.com/hashicorp/vault/sdk/logical"
)

// outcome is what becomes of a write.
type outcome int

const (
	fine    outcome = iota
	refused         // it fails, and is not carried out
	carried         // it fails, and was carried out
	late            // it fails, and is carried out some time later, but before the next write that succeeds
)

var errFailed = errors.New("storage has failed")

// faulty is a storage whose writes can fail. It keeps the order of writes, as raft does: a
// write that comes late comes before all writes that were asked for after it.
type faulty struct {
	logical.Storage
	mu      sync.Mutex
	next    func(key string) outcome
	failed  error
	waiting func()
	onWrite func() // what happens before the next write is carried out
	reads   int
	writes  int
}

func newFaulty() *faulty {
	return &faulty{Storage: &logical.InmemStorage{}, next: func(string) outcome { return fine }, failed: errFailed}
}

func (f *faulty) become(next func(key string) outcome) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.next = next
}

func (f *faulty) write(key string, write func() error) error {
	if happens := f.onWrite; happens != nil {
		f.onWrite = nil
		happens()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.writes++
	switch f.next(key) {
	case refused:
		return f.failed
	case carried:
		f.arriveLocked()
		_ = write()
		return f.failed
	case late:
		f.arriveLocked()
		f.waiting = func() { _ = write() }
		return f.failed
	default:
		f.arriveLocked()
		return write()
	}
}

// arrive carries out a write that is late.
func (f *faulty) arrive() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.arriveLocked()
}

func (f *faulty) arriveLocked() {
	if f.waiting != nil {
		f.waiting()
		f.waiting = nil
	}
}

func (f *faulty) Put(ctx context.Context, entry *logical.StorageEntry) error {
	return f.write(entry.Key, func() error { return f.Storage.Put(context.WithoutCancel(ctx), entry) })
}

func (f *faulty) Delete(ctx context.Context, key string) error {
	return f.write(key, func() error { return f.Storage.Delete(context.WithoutCancel(ctx), key) })
}

func (f *faulty) Get(ctx context.Context, key string) (*logical.StorageEntry, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reads++
	return f.Storage.Get(ctx, key)
}

func always(o outcome) func(string) outcome { return func(string) outcome { return o } }
