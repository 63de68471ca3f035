package work_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend/work"
)

var errHung = errors.New("hung")

// rounds are Retries with a clock, and what was tried in which order.
type rounds struct {
	*work.Retries
	group *work.Group
	mu    sync.Mutex
	now   time.Time
	tried []string
}

func newRounds() *rounds {
	r := &rounds{group: newGroup(nil), now: time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)}
	r.Retries = work.NewRetries(r.group, func() time.Time {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.now
	})
	return r
}

func (r *rounds) pass(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now = r.now.Add(d)
}

// takeTried returns what was tried since it was asked last.
func (r *rounds) takeTried() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	tried := r.tried
	r.tried = nil
	return tried
}

// task fails, after do.
func (r *rounds) task(queue, key string, do func()) work.Task {
	return work.Task{Key: key, Queue: queue, Do: func(context.Context) error {
		r.mu.Lock()
		r.tried = append(r.tried, key)
		r.mu.Unlock()
		do()
		return errHung
	}}
}

func (r *rounds) tasks(queue string, n int, do func()) (tasks []work.Task) {
	for i := range n {
		tasks = append(tasks, r.task(queue, fmt.Sprintf("%s-%02d", queue, i), do))
	}
	return tasks
}

func TestRetries_ATaskThatFailsPausesEverLongerAndNotForEver(t *testing.T) {
	t.Parallel()
	r := newRounds()
	tasks := r.tasks("queue", 1, func() {})
	var tried []int
	for minute := range 20 {
		r.Round(tasks)
		r.group.Wait()
		if len(r.takeTried()) > 0 {
			tried = append(tried, minute)
		}
		r.pass(time.Minute)
	}
	require.Equal(t, []int{0, 1, 3, 6, 10, 14, 18}, tried)
}

func TestRetries_AQueueThatHangsDelaysNoOtherAndNoRound(t *testing.T) {
	t.Parallel()
	r := newRounds()
	end := make(chan struct{})
	hanging := r.tasks("hanging", 9, func() { <-end })
	var done atomic.Int32
	other := r.task("well", "other", func() { done.Add(1) })
	require.Eventually(t, func() bool {
		r.Round(append(hanging, other))
		r.pass(time.Minute)
		return done.Load() >= 2
	}, time.Minute, time.Millisecond, "it has its turns, in whichever rounds find its queue idle")
	begun := slices.DeleteFunc(r.takeTried(), func(key string) bool { return key == "other" })
	require.LessOrEqual(t, len(begun), 4, "of a queue that hangs four run at a time, whatever the number of rounds")
	close(end)
	r.group.Wait()
}

func TestRetries_ARoundGoesOnWhereTheLatestOneStopped(t *testing.T) {
	t.Parallel()
	r := newRounds()
	tasks := r.tasks("hanging", 18, func() { r.pass(20 * time.Second) })
	known := make(map[string]bool)
	for range 6 {
		r.Round(tasks)
		r.group.Wait()
		for _, key := range r.takeTried() {
			known[key] = true
		}
		r.pass(time.Hour) // all may be tried again
	}
	require.Len(t, known, 18, "each had its turn")
}

func TestRetries_ForgetTheFailuresOfWhatIsNotNamedAnyMore(t *testing.T) {
	t.Parallel()
	r := newRounds()
	tasks := r.tasks("queue", 1, func() {})
	for range 3 {
		r.Round(tasks)
		r.group.Wait()
		r.Round(nil)
	}
	require.Len(t, r.takeTried(), 3)
}

func TestRetries_AClockThatWasAheadDoesNotMakeATaskWait(t *testing.T) {
	t.Parallel()
	r := newRounds()
	tasks := r.tasks("queue", 1, func() {})
	r.Round(tasks)
	r.group.Wait()
	r.pass(-time.Hour)
	r.Round(tasks)
	r.group.Wait()
	require.Len(t, r.takeTried(), 2)
}

func TestRetries_BeginNothingWhenTheGroupCloses(t *testing.T) {
	t.Parallel()
	r := newRounds()
	begun := make(chan struct{}, 9)
	end := make(chan struct{})
	r.Round(r.tasks("queue", 9, func() { begun <- struct{}{}; <-end }))
	for range 4 {
		<-begun
	}
	closed := make(chan struct{})
	go func() { r.group.Close(time.Hour); close(closed) }()
	<-r.group.Closing()
	close(end)
	<-closed
	require.Len(t, r.takeTried(), 4)
}

func TestEach_CallsForAllWhateverFailsAndReturnsAllErrors(t *testing.T) {
	t.Parallel()
	err := work.Each(2, []int{1, 2, 3, 4}, func(n int) error {
		if n%2 == 0 {
			return fmt.Errorf("number %d", n)
		}
		return nil
	})
	require.EqualError(t, err, "number 2\nnumber 4")
}
