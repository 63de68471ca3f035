package work

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"vault-plugin-secrets-zoho/backend/clock"
)

// Task is something that is tried until it succeeds. Whoever wants it done names it in
// each round.
type Task struct {
	Key   string // the same in each round
	Queue string // tasks of one queue wait for each other, and for no other queue
	Do    func(context.Context) error
}

// Retries tries tasks, a round at a time. What hangs in one queue delays no other queue,
// nor the caller. A task that fails has to pause. In its queue, the task that has waited
// longest is the next one, so that no task is forgotten behind others that hang.
//
// What failed is kept in memory only: after a restart each task is tried at once.
type Retries struct {
	group *Group
	now   func() time.Time

	mu    sync.Mutex
	tried map[string]attempt // by key
	busy  map[string]bool    // queues that still work on a former round
}

// attempt is the latest one of a task.
type attempt struct {
	at       time.Time
	failures int // in a row
}

const (
	// atOnce bounds how many tasks of one queue run at a time.
	atOnce = 4

	// roundLimit is for how long a queue begins tasks of one round. The next round has the
	// others, and what has become due.
	roundLimit = time.Minute

	// firstPause is less than the time between two rounds: the next one tries again.
	firstPause   = 45 * time.Second
	longestPause = 4 * time.Minute
)

// NewRetries returns Retries that have tried nothing.
func NewRetries(group *Group, now func() time.Time) *Retries {
	return &Retries{group: group, now: now, tried: make(map[string]attempt), busy: make(map[string]bool)}
}

// Round begins those of tasks that are due, and does not wait for them. It forgets the
// failures of every other task.
func (r *Retries) Round(tasks []Task) {
	r.mu.Lock()
	defer r.mu.Unlock()
	known := make(map[string]attempt, len(tasks))
	queues := make(map[string][]Task)
	for _, task := range tasks {
		latest := r.tried[task.Key]
		known[task.Key] = latest
		if latest.isDue(r.now()) {
			queues[task.Queue] = append(queues[task.Queue], task)
		}
	}
	r.tried = known
	for name, due := range queues {
		if r.busy[name] {
			continue
		}
		slices.SortStableFunc(due, func(a, b Task) int { return known[a.Key].at.Compare(known[b.Key].at) })
		r.busy[name] = r.group.Go(func() { r.work(name, due) })
	}
}

// isDue reports whether the pause after an attempt is over.
func (a attempt) isDue(now time.Time) bool {
	if a.failures == 0 {
		return true
	}
	pause := min(firstPause<<min(a.failures-1, 10), longestPause)
	return !clock.IsWithin(now, a.at.Add(pause), pause)
}

// work tries the tasks of a queue in their order, until the time of the round is up.
func (r *Retries) work(queue string, due []Task) {
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.busy, queue)
	}()
	began := r.now()
	var running sync.WaitGroup
	defer running.Wait()
	free := make(chan struct{}, atOnce)
	for _, task := range due {
		free <- struct{}{}
		if r.group.isClosing() || clock.Elapsed(r.now(), began) >= roundLimit {
			return
		}
		running.Go(func() {
			defer func() { <-free }()
			r.note(task.Key, r.group.run(task.Do))
		})
	}
}

// note keeps what came of an attempt, unless the task is no longer in a round.
func (r *Retries) note(key string, failed error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	latest, known := r.tried[key]
	if !known {
		return
	}
	latest.at = r.now()
	if latest.failures++; failed == nil {
		latest.failures = 0
	}
	r.tried[key] = latest
}

// Busy reports whether a queue works on a round, for tests.
func (r *Retries) Busy() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.busy) > 0
}

// Each calls do for all items, at most limit at a time, and returns all errors.
func Each[T any](limit int, items []T, do func(T) error) error {
	failed := make([]error, len(items))
	var running sync.WaitGroup
	free := make(chan struct{}, limit)
	for i, item := range items {
		free <- struct{}{}
		running.Go(func() {
			defer func() { <-free }()
			failed[i] = do(item)
		})
	}
	running.Wait()
	return errors.Join(failed...)
}
