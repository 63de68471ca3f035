package store

import (
	"context"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"vault-plugin-secrets-zoho/backend/clock"
	"vault-plugin-secrets-zoho/backend/work"
)

// Codec turns a value into what is stored. Decode gets the present time, to correct times that
// a wrong clock wrote: a value is corrected once, when it is loaded.
type Codec[T any] struct {
	Encode func(*T) ([]byte, error)
	Decode func(stored []byte, now time.Time) (*T, error)

	// Rebuild puts together what is known of an entry that Decode refuses; nil for an entry
	// that is worth nothing. What it returns is stored at once. Without it, a damaged entry
	// gives the error of Decode.
	Rebuild func(ctx context.Context, id string) (*T, error)

	// Written is told of each write, in its slot: the value, nil for a deletion, or the error
	// with which the write failed. It may be nil.
	Written func(id string, value *T, failed error)
}

// Entries are the entries of one kind: those below a prefix, each with a name.
type Entries[T any] struct {
	storage *Storage
	prefix  string
	codec   Codec[T]
	now     func() time.Time
	slots   work.Slots // by name

	mu     sync.Mutex
	values map[string]*cached[T]
	writes int // by others, of which Invalidate tells: what was being read meanwhile is not kept
}

type cached[T any] struct {
	value *T
	used  time.Time
}

// NewEntries returns the entries below a prefix, which ends with a slash.
func NewEntries[T any](storage *Storage, prefix string, codec Codec[T], now func() time.Time) *Entries[T] {
	return &Entries[T]{storage: storage, prefix: prefix, codec: codec, now: now, values: make(map[string]*cached[T])}
}

// Get returns the value of a name; nil if there is none. It must not be changed.
func (e *Entries[T]) Get(ctx context.Context, name string) (*T, error) {
	if value := e.cached(name); value != nil {
		return value, nil
	}
	release, err := e.slots.Acquire(ctx, name)
	if err != nil {
		return nil, err
	}
	defer release()
	return e.load(ctx, name)
}

// Change changes a value in its slot: one write, or none. change gets the value as it is, nil
// for none, and returns what is to be there, nil for none; it does not change what it gets. If
// it returns what it got, or an error, nothing is written. was is what it got, also beside an
// error; nil if that could not be read.
//
// If the write fails, nobody knows what storage has, and whoever needs it next reads it.
func (e *Entries[T]) Change(ctx context.Context, name string, change func(*T) (*T, error)) (was, after *T, err error) {
	release, err := e.slots.Acquire(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	defer release()
	if was, err = e.load(ctx, name); err != nil {
		return nil, nil, err
	}
	after, err = change(was)
	if err != nil || after == was {
		return was, was, err
	}
	if err := e.write(ctx, name, after); err != nil {
		return was, was, err
	}
	return was, after, nil
}

// load returns a value from memory, or else from storage. The caller has the slot.
func (e *Entries[T]) load(ctx context.Context, name string) (*T, error) {
	if value := e.cached(name); value != nil {
		return value, nil
	}
	e.mu.Lock()
	writes := e.writes
	e.mu.Unlock()
	entry, err := e.storage.Get(ctx, e.prefix+name)
	if err != nil || entry == nil {
		return nil, err
	}
	value, err := e.codec.Decode(entry.Value, e.now())
	if err != nil {
		if e.codec.Rebuild == nil {
			return nil, err
		}
		if value, err = e.codec.Rebuild(ctx, name); err != nil || value == nil {
			return nil, err
		}
		if err := e.write(ctx, name, value); err != nil {
			return nil, err
		}
		return value, nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.writes == writes {
		e.values[name] = &cached[T]{value, e.now()}
	}
	return value, nil
}

// write writes a value, to storage and then to memory. The caller has the slot.
func (e *Entries[T]) write(ctx context.Context, name string, value *T) error {
	err := e.store(ctx, name, value)
	if e.codec.Written != nil {
		e.codec.Written(name, value, err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if err != nil || value == nil {
		delete(e.values, name)
		return err
	}
	e.values[name] = &cached[T]{value, e.now()}
	return nil
}

func (e *Entries[T]) store(ctx context.Context, name string, value *T) error {
	if value == nil {
		return e.storage.Delete(ctx, e.prefix+name)
	}
	encoded, err := e.codec.Encode(value)
	if err != nil {
		return err
	}
	return e.storage.Put(ctx, &logical.StorageEntry{Key: e.prefix + name, Value: encoded})
}

// Names lists the names that are stored.
func (e *Entries[T]) Names(ctx context.Context) ([]string, error) {
	keys, err := e.storage.List(ctx, e.prefix)
	for i, key := range keys {
		keys[i] = path.Base(key)
	}
	return keys, err
}

// Invalidate drops what another node has written: a key of these entries, or any other key,
// which it ignores.
func (e *Entries[T]) Invalidate(key string) {
	name, own := strings.CutPrefix(key, e.prefix)
	if !own {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.writes++
	delete(e.values, name)
}

// Waiting counts those who read or change an entry, or wait for that.
func (e *Entries[T]) Waiting() int { return e.slots.Waiting(func(string) bool { return true }) }

// DropUnused drops from memory what nobody has asked for within a time.
func (e *Entries[T]) DropUnused(within time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for name, c := range e.values {
		if clock.Elapsed(e.now(), c.used) > within {
			delete(e.values, name)
		}
	}
}

// Cached lists what is in memory.
func (e *Entries[T]) Cached() map[string]*T {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := make(map[string]*T, len(e.values))
	for name, c := range e.values {
		all[name] = c.value
	}
	return all
}

func (e *Entries[T]) cached(name string) *T {
	e.mu.Lock()
	defer e.mu.Unlock()
	c := e.values[name]
	if c == nil {
		return nil
	}
	c.used = e.now()
	return c.value
}
