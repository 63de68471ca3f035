package work_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend/work"
)

var (
	errClosed = errors.New("closed")
	errPanic  = errors.New("panic")
)

func newGroup(failed func(error)) *work.Group {
	return work.NewGroup(work.Options{
		Limit: time.Hour, Closed: errClosed, Failed: failed,
		Recovered: func(any, []byte) error { return errPanic },
	})
}

func TestOnce_RunsOneOfAKeyAtATimeForAllWhoAsk(t *testing.T) {
	t.Parallel()
	g := newGroup(nil)
	var ran atomic.Int32
	begun, end := make(chan struct{}), make(chan struct{})
	ask := func() error {
		return g.Once(t.Context(), "key", func(context.Context) error {
			if ran.Add(1) == 1 {
				close(begun)
			}
			<-end
			return nil
		})
	}
	var callers sync.WaitGroup
	callers.Go(func() { require.NoError(t, ask()) })
	<-begun
	left, leave := context.WithCancel(t.Context())
	leave()
	require.ErrorIs(t, g.Once(left, "key", func(context.Context) error { return nil }), context.Canceled, "who leaves does not stop it")
	callers.Go(func() { require.NoError(t, g.Once(t.Context(), "another", func(context.Context) error { return nil })) })
	close(end)
	callers.Wait()
	require.EqualValues(t, 1, ran.Load())
}

func TestDo_GoesOnWhenItsCallerLeaves(t *testing.T) {
	t.Parallel()
	g := newGroup(nil)
	left, leave := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	_, err := work.Result(left, g, func(ctx context.Context) (int, error) {
		leave()
		<-left.Done()
		ended <- ctx.Err()
		return 1, nil
	})
	if err != nil { // the caller may see either
		require.ErrorIs(t, err, context.Canceled)
	}
	require.NoError(t, <-ended)
	g.Close(0)
}

func TestClose_WaitsForWorkAndForWhatItBegins(t *testing.T) {
	t.Parallel()
	g := newGroup(nil)
	begun, closing, ended := make(chan struct{}), g.Closing(), false
	require.True(t, g.Go(func() {
		close(begun)
		<-closing
		_ = g.Once(g.Life(), "for its own end", func(context.Context) error { ended = true; return nil })
	}))
	<-begun
	g.Close(time.Hour)
	require.True(t, ended)
	require.False(t, g.Go(func() {}))
	require.ErrorIs(t, g.Do(t.Context(), func(context.Context) error { return nil }), errClosed)
	require.ErrorIs(t, g.Once(t.Context(), "key", func(context.Context) error { return nil }), errClosed)
	g.Close(0)
}

func TestClose_EndsTheContextOfWorkThatTakesTooLong(t *testing.T) {
	t.Parallel()
	g := newGroup(nil)
	require.True(t, g.Go(func() { <-g.Life().Done() }))
	g.Close(0)
}

func TestPanic_IsAnErrorAndEndsNoProcess(t *testing.T) {
	t.Parallel()
	failed := make(chan error, 1)
	g := newGroup(func(err error) { failed <- err })
	require.ErrorIs(t, g.Do(t.Context(), func(context.Context) error { panic("x") }), errPanic)
	require.ErrorIs(t, g.Once(t.Context(), "key", func(context.Context) error { panic("x") }), errPanic)
	require.True(t, g.Go(func() { panic("x") }))
	require.ErrorIs(t, <-failed, errPanic)
	g.Close(0)
}

func TestSlots_OneIsInAndAWaiterLeavesWithItsContext(t *testing.T) {
	t.Parallel()
	var s work.Slots
	release, err := s.Acquire(t.Context(), "name")
	require.NoError(t, err)
	_, free := s.TryAcquire("name")
	require.False(t, free)
	other, free := s.TryAcquire("other")
	require.True(t, free)
	other()
	left, leave := context.WithCancel(t.Context())
	leave()
	_, err = s.Acquire(left, "name")
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, 1, s.Waiting(func(name string) bool { return name == "name" }))
	release()
	require.Zero(t, s.Waiting(func(string) bool { return true }))
}
