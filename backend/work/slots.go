package work

import (
	"context"
	"sync"

	"golang.org/x/sync/semaphore"
)

// Slots serialise work on one named thing at a time. Unlike a mutex a slot
// may be held over a storage call, because a waiter leaves when its context
// ends; unlike striped locks two names never share a slot, so no pair of names
// can block each other.
type Slots struct {
	mu   sync.Mutex
	held map[string]*slot
}

type slot struct {
	turn    *semaphore.Weighted // of size one
	waiters int                 // including the one who is in
}

// Acquire waits for the slot of name. The release function must be called
// exactly once.
func (s *Slots) Acquire(ctx context.Context, name string) (release func(), err error) {
	sl := s.enter(name)
	if err := sl.turn.Acquire(ctx, 1); err != nil {
		s.leave(name, sl)
		return nil, err
	}
	return func() { sl.turn.Release(1); s.leave(name, sl) }, nil
}

// TryAcquire is Acquire for those who do not wait; free is false if somebody has
// the slot.
func (s *Slots) TryAcquire(name string) (release func(), free bool) {
	sl := s.enter(name)
	if !sl.turn.TryAcquire(1) {
		s.leave(name, sl)
		return nil, false
	}
	return func() { sl.turn.Release(1); s.leave(name, sl) }, true
}

func (s *Slots) enter(name string) *slot {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held == nil {
		s.held = make(map[string]*slot)
	}
	sl := s.held[name]
	if sl == nil {
		sl = &slot{turn: semaphore.NewWeighted(1)}
		s.held[name] = sl
	}
	sl.waiters++
	return sl
}

func (s *Slots) leave(name string, sl *slot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sl.waiters--; sl.waiters == 0 {
		delete(s.held, name)
	}
}

// Waiting counts those who are in, or wait for, the slots whose names match.
func (s *Slots) Waiting(matches func(name string) bool) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, sl := range s.held {
		if matches(name) {
			n += sl.waiters
		}
	}
	return n
}
