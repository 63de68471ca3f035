package backend

import (
	"context"
	"sync"
	"time"

	"vault-plugin-secrets-zoho/backend/clock"
)

// stored is a record that is kept in Vault's storage and in memory. It is
// changed through update alone, storage first.
type stored[T any] struct {
	key string

	mu      sync.Mutex
	rec     T
	used    time.Time // when somebody asked for it last: see sweepMemory
	kept    bool      // it is in storage
	dropped bool      // it is no longer the one in memory; who still has it begins anew
}

// record returns the record as it is; its slices must not be changed.
func (s *stored[T]) record() T {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rec
}

func (s *stored[T]) touch(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used = now
}

// isUnused reports whether nobody has asked for the record lately. One that is not
// in storage is nothing but a question that somebody asked.
func (s *stored[T]) isUnused(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.kept {
		return clock.Elapsed(now, s.used) > leftoverAfter
	}
	return clock.Elapsed(now, s.used) > sweepAfter
}

func (s *stored[T]) isKept() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kept
}

func (s *stored[T]) isDropped() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dropped
}

func (s *stored[T]) drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dropped = true
}

// recall returns the record of id from memory, or else loads it from storage. A record that another node writes
// meanwhile is returned, but not kept.
func recall[R interface {
	comparable
	touch(now time.Time)
}](ctx context.Context, e *Engine, records map[string]R, prefix, id string, load func(context.Context) (R, error)) (R, error) {
	var none R
	for {
		e.mu.Lock()
		r := records[id]
		if r != none {
			r.touch(e.now()) // with mu held: see dropUnused
		}
		e.mu.Unlock()
		if r != none {
			return r, nil
		}
		var loaded R // by this caller, unless another one was faster
		if err := e.work.Once(ctx, "load "+prefix+id, func(ctx context.Context) error {
			e.mu.Lock()
			known := records[id] != none
			if !known {
				e.loading[prefix+id] = true
			}
			e.mu.Unlock()
			if known {
				return nil
			}
			r, err := load(ctx)
			e.mu.Lock()
			defer e.mu.Unlock()
			if err == nil && e.loading[prefix+id] {
				records[id] = r
			}
			delete(e.loading, prefix+id)
			loaded = r
			return err
		}); err != nil {
			return none, err // loaded may be written yet, if it is the caller who left
		}
		if loaded != none {
			return loaded, nil
		}
	}
}

// forget drops a record from memory, also one that is being loaded.
func forget[R any](e *Engine, records map[string]R, prefix, id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(records, id)
	delete(e.loading, prefix+id)
}

// update changes a record, in storage and then in memory. If the write fails,
// memory is as it was: change must not write to what the record points at.
func update[T any](ctx context.Context, e *Engine, s *stored[T], change func(*T)) error {
	release, err := e.writes.Acquire(ctx, s.key)
	if err != nil {
		return err
	}
	defer release()
	if s.isDropped() {
		return errDropped
	}
	rec := s.record()
	change(&rec)
	if err := e.store.put(ctx, s.key, rec); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rec, s.kept = rec, true
	return nil
}
