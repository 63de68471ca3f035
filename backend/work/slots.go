package work

import (
	"context"
	"sync"
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
	busy    chan struct{} // capacity one: full while somebody is in
	waiters int           // including the one who is in
}

// Acquire waits for the slot of name. The release function must be called
// exactly once.
func (s *Slots) Acquire(ctx context.Context, name string) (release func(), err error) {
	s.mu.Lock()
	if s.held == nil {
		s.held = make(map[string]*slot)
	}
	sl := s.held[name]
	if sl == nil {
		sl = &slot{busy: make(chan struct{}, 1)}
		s.held[name] = sl
	}
	sl.waiters++
	s.mu.Unlock()

	leave := func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if sl.waiters--; sl.waiters == 0 {
			delete(s.held, name)
		}
	}
	select {
	case sl.busy <- struct{}{}:
		return func() { <-sl.busy; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}

// TryAcquire is Acquire for those who do not wait; free is false if somebody has
// the slot.
func (s *Slots) TryAcquire(name string) (release func(), free bool) {
	s.mu.Lock()
	taken := s.held[name] != nil
	s.mu.Unlock()
	if taken {
		return nil, false
	}
	release, err := s.Acquire(context.Background(), name) // at most a moment
	return release, err == nil
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
