package backend

import (
	"context"
	"sync"
	"time"
)

// stored is a record that is kept in Vault's storage and in memory. It is
// changed through update, storage first. (Only the moment in which a time in the future
// was seen is in memory first: see seeFuture.)
type stored[T any] struct {
	key string

	mu      sync.Mutex
	rec     T
	kept    bool // it is in storage
	dropped bool // it is no longer the one in memory; who still has it begins anew
}

// record returns the record as it is; its slices must not be changed.
func (s *stored[T]) record() T {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rec
}

// idleLimit is for how long nobody asks for a record that leaves memory. One that is not in
// storage is nothing but a question that somebody asked.
func (s *stored[T]) idleLimit() time.Duration {
	if s.isKept() {
		return sweepAfter
	}
	return leftoverAfter
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

// deleteDamaged deletes an entry that cannot be decoded, unless somebody writes it anew.
func deleteDamaged[T any](ctx context.Context, e *Engine, key string) (deleted bool, err error) {
	release, err := e.writes.Acquire(ctx, key)
	if err != nil {
		return false, err
	}
	defer release()
	if _, err := get[T](ctx, e.store, key); !IsBroken(err) {
		return false, err
	}
	err = e.store.Delete(ctx, key)
	return err == nil, err
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
