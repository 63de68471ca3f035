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
	sl := s.held[name]
	if sl == nil {
		defer s.mu.Unlock()
		return s.enterLocked(name), nil
	}
	sl.waiters++
	s.mu.Unlock()
	select {
	case sl.busy <- struct{}{}:
		return func() { <-sl.busy; s.leave(name, sl) }, nil
	case <-ctx.Done():
		s.leave(name, sl)
		return nil, ctx.Err()
	}
}

// TryAcquire is Acquire for those who do not wait; free is false if somebody has
// the slot.
func (s *Slots) TryAcquire(name string) (release func(), free bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held[name] != nil {
		return nil, false
	}
	return s.enterLocked(name), true
}

// enterLocked takes a slot that nobody has or waits for.
func (s *Slots) enterLocked(name string) (release func()) {
	if s.held == nil {
		s.held = make(map[string]*slot)
	}
	sl := &slot{busy: make(chan struct{}, 1), waiters: 1}
	sl.busy <- struct{}{}
	s.held[name] = sl
	return func() { <-sl.busy; s.leave(name, sl) }
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
