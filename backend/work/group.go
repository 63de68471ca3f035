package work

import (
	"context"
	"runtime/debug"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

// Options are what a Group is made of. All are required.
type Options struct {
	// Limit is how long one piece of work may take.
	Limit time.Duration

	// Closed is the error of work that may not begin any more.
	Closed error

	// Recovered turns a panic in work into an error. A panic in a goroutine would
	// otherwise end the process.
	Recovered func(panicked any, stack []byte) error

	// Failed is told of an error for which nobody waits.
	Failed func(error)
}

// Group is work that is waited for together. It is safe for concurrent use.
type Group struct {
	options Options
	flights singleflight.Group
	life    context.Context
	end     context.CancelFunc
	closing chan struct{} // closed with the first Close

	mu      sync.Mutex
	running sync.WaitGroup
	active  int // how many pieces of work run
	closed  bool
}

// NewGroup returns a group that is open.
func NewGroup(options Options) *Group {
	g := &Group{options: options, closing: make(chan struct{})}
	g.life, g.end = context.WithCancel(context.Background())
	return g
}

// Life is the context of work that no caller waits for. It ends when the group is
// closed.
func (g *Group) Life() context.Context { return g.life }

func (g *Group) isClosing() bool {
	select {
	case <-g.closing:
		return true
	default:
		return false
	}
}

// Closing is closed when the group begins to close.
func (g *Group) Closing() <-chan struct{} { return g.closing }

// Once runs fn once per key at a time, and gives its result to everybody who asks
// meanwhile. A caller whose context ends stops waiting; fn goes on, under the
// group's life and limit. The error is Options.Closed if fn may not begin any more.
func (g *Group) Once(ctx context.Context, key string, fn func(context.Context) error) error {
	if !g.begin() {
		return g.options.Closed
	}
	flight := g.flights.DoChan(key, func() (any, error) { return nil, g.run(fn) })
	return g.wait(ctx, func() error { return (<-flight).Err })
}

// Do runs fn for its caller, and goes on like Once when the caller stops waiting:
// what has to be done as a whole must not be cut in half by a client that hangs up.
func (g *Group) Do(ctx context.Context, fn func(context.Context) error) error {
	if !g.begin() {
		return g.options.Closed
	}
	return g.wait(ctx, func() error { return g.run(fn) })
}

// Result is Do for work that has a result.
func Result[T any](ctx context.Context, g *Group, fn func(context.Context) (T, error)) (T, error) {
	result := make(chan T, 1) // not a variable: the caller may have left
	if err := g.Do(ctx, func(ctx context.Context) error {
		value, err := fn(ctx)
		result <- value
		return err
	}); err != nil {
		var none T
		return none, err
	}
	return <-result, nil
}

// Go runs fn in a goroutine that Close waits for; began is false when nothing may
// begin any more.
func (g *Group) Go(fn func()) (began bool) {
	if !g.begin() {
		return false
	}
	go func() {
		defer g.done()
		var err error
		defer func() {
			if err != nil {
				g.options.Failed(err)
			}
		}()
		defer g.recoverAs(&err)
		fn()
	}()
	return true
}

// Close lets nothing begin but what the work under way needs for its own end, and waits
// for all of it. After grace its context ends.
func (g *Group) Close(grace time.Duration) {
	g.mu.Lock()
	if !g.closed {
		g.closed = true
		close(g.closing)
	}
	g.mu.Unlock()
	cutOff := time.AfterFunc(grace, g.end)
	g.running.Wait()
	cutOff.Stop()
	g.end()
}

// Wait waits for what runs at the moment.
func (g *Group) Wait() { g.running.Wait() }

// run runs fn under the group's life and limit.
func (g *Group) run(fn func(context.Context) error) (err error) {
	defer g.recoverAs(&err)
	ctx, cancel := context.WithTimeout(g.life, g.options.Limit)
	defer cancel()
	return fn(ctx)
}

// wait waits for run, which has been begun, or for the caller's context.
func (g *Group) wait(ctx context.Context, run func() error) error {
	finished := make(chan error, 1)
	go func() {
		defer g.done()
		finished <- run()
	}()
	select {
	case err := <-finished:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g *Group) begin() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed && g.active == 0 {
		return false
	}
	g.active++
	g.running.Add(1)
	return true
}

func (g *Group) done() {
	g.mu.Lock()
	g.active--
	g.mu.Unlock()
	g.running.Done()
}

func (g *Group) recoverAs(err *error) {
	if p := recover(); p != nil {
		*err = g.options.Recovered(p, debug.Stack())
	}
}
