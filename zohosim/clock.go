package zohosim

import (
	"context"
	"sync"
	"time"
)

// A Clock can be moved forward. Its Now fits Options.Clock. It is safe for
// concurrent use.
type Clock struct {
	base func() time.Time

	mu     sync.Mutex
	offset time.Duration
}

// StoppedClock returns a clock that moves only when it is told to.
func StoppedClock(at time.Time) *Clock {
	return &Clock{base: func() time.Time { return at }}
}

// RunningClock returns a clock that shows the real time until it is advanced.
func RunningClock() *Clock {
	return &Clock{base: time.Now}
}

// Now returns the clock's time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.base().Add(c.offset)
}

// Advance moves the clock by d.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offset += d
}

// waitFor is the default of Options.Wait.
func waitFor(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
