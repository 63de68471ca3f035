package backend

import (
	"context"
	"errors"
	"runtime/debug"
	"time"
)

// flightLimit bounds a mint or a revocation as a whole, storage included. It
// stays below the 90 s that Vault gives a revocation.
const flightLimit = 75 * time.Second

// fly runs fn once per key at a time and gives its result to everybody who
// asks meanwhile. A caller whose context ends stops waiting; fn goes on, under
// the mount's life and flightLimit.
func (e *Engine) fly(ctx context.Context, key string, fn func(context.Context) error) error {
	if !e.begin() {
		return errClosed
	}
	flight := e.flights.DoChan(key, func() (_ any, err error) {
		defer e.recoverAs(&err)
		ctx, cancel := context.WithTimeout(e.life, flightLimit)
		defer cancel()
		return nil, fn(ctx)
	})
	return e.await(ctx, func() error { return (<-flight).Err })
}

// detach runs fn once for its caller. Like a flight it goes on when the caller
// stops waiting: what has to be done as a whole must not be cut in half by a
// client that hangs up.
func (e *Engine) detach(ctx context.Context, fn func(context.Context) error) error {
	if !e.begin() {
		return errClosed
	}
	return e.await(ctx, func() (err error) {
		defer e.recoverAs(&err)
		ctx, cancel := context.WithTimeout(e.life, flightLimit)
		defer cancel()
		return fn(ctx)
	})
}

// detached is detach for work that has a result.
func detached[T any](ctx context.Context, e *Engine, fn func(context.Context) (T, error)) (T, error) {
	result := make(chan T, 1) // not a variable: the caller may have left
	if err := e.detach(ctx, func(ctx context.Context) error {
		value, err := fn(ctx)
		result <- value
		return err
	}); err != nil {
		var none T
		return none, err
	}
	return <-result, nil
}

// await waits for run, which has been begun, or for the caller's context.
func (e *Engine) await(ctx context.Context, run func() error) error {
	finished := make(chan error, 1)
	go func() {
		defer e.done()
		finished <- run()
	}()
	select {
	case err := <-finished:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// spawn runs fn in a goroutine that Close waits for; false when closing.
func (e *Engine) spawn(fn func()) bool {
	if !e.begin() {
		return false
	}
	go func() {
		defer e.done()
		var err error
		defer func() {
			if err != nil {
				e.log().Error("background work failed", "error", err)
			}
		}()
		defer e.recoverAs(&err)
		fn()
	}()
	return true
}

func (e *Engine) begin() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	// What is under way while the engine closes may begin what it needs for a
	// good end: a token that Zoho has given is stored by a flight of its own.
	if e.closed && e.active == 0 {
		return false
	}
	e.active++
	e.running.Add(1)
	return true
}

func (e *Engine) done() {
	e.mu.Lock()
	e.active--
	e.mu.Unlock()
	e.running.Done()
}

// recoverAs turns a panic into an error: one in a goroutine would end the
// process, and with it every mount that it serves. What it says may hold a
// secret, so it goes to the server log alone.
func (e *Engine) recoverAs(err *error) {
	if p := recover(); p != nil {
		e.log().Error("panic in the secrets engine", "panic", p, "stack", string(debug.Stack()))
		*err = errors.New("internal error in the Zoho secrets engine; the server log has it as \"panic in the secrets engine\", please report it")
	}
}
