package backend

import (
	"context"
	"sync"
)

// slots serialises work on one named thing at a time. Unlike a mutex a slot
// may be held over a storage call, because a waiter leaves when its context
// ends; unlike striped locks two names never share a slot, so no pair of names
// can block each other.
type slots struct {
	mu   sync.Mutex
	held map[string]*slot
}

type slot struct {
	busy    chan struct{} // capacity one: full while somebody is in
	waiters int           // including the one who is in
}

// acquire waits for the slot of name. The release function must be called
// exactly once.
func (s *slots) acquire(ctx context.Context, name string) (release func(), err error) {
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

// tryAcquire is acquire for those who do not wait; free is false if somebody has
// the slot.
func (s *slots) tryAcquire(name string) (release func(), free bool) {
	s.mu.Lock()
	taken := s.held[name] != nil
	s.mu.Unlock()
	if taken {
		return nil, false
	}
	release, err := s.acquire(context.Background(), name) // at most a moment
	return release, err == nil
}
