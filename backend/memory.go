package backend

import (
	"context"
	"sync"

	"vault-plugin-secrets-zoho/backend/work"
)

// memory keeps what was read from storage, so that it is read once. There is one memory
// for each kind of thing, and one value in it for each thing. That there is none is not
// kept.
//
// A value that is written, by this node or another, while it is read is not kept: it may
// be what was there before. Those get it who asked before that; whoever asks afterwards
// reads again.
type memory[T any] struct {
	work *work.Group

	mu       sync.Mutex
	values   map[string]*T
	readings map[string]*reading[T] // that are under way, and were not forgotten since
}

// reading is a value that is being read.
type reading[T any] struct {
	done      chan struct{} // closed when value and err are there
	value     *T
	err       error
	forgotten bool // guarded by mu
}

func newMemory[T any](group *work.Group) *memory[T] {
	return &memory[T]{work: group, values: make(map[string]*T), readings: make(map[string]*reading[T])}
}

// find returns the value of id if it is in memory; nil if it is not.
func (m *memory[T]) find(id string) *T {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.values[id]
}

// get returns the value of id from memory, or else from load, which runs once for all who
// ask meanwhile; nil if load finds none. A caller whose context ends stops waiting; load
// goes on.
func (m *memory[T]) get(ctx context.Context, id string, load func(context.Context, string) (*T, error)) (*T, error) {
	m.mu.Lock()
	if value := m.values[id]; value != nil {
		m.mu.Unlock()
		return value, nil
	}
	r, underWay := m.readings[id]
	if !underWay {
		r = &reading[T]{done: make(chan struct{})}
		m.readings[id] = r
	}
	m.mu.Unlock()
	if !underWay {
		go func() {
			r.value, r.err = work.Result(context.WithoutCancel(ctx), m.work, func(ctx context.Context) (*T, error) { return load(ctx, id) })
			m.finish(id, r)
		}()
	}
	select {
	case <-r.done:
		return r.value, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// finish keeps what was read, and tells those who wait.
func (m *memory[T]) finish(id string, r *reading[T]) {
	m.mu.Lock()
	defer m.mu.Unlock()
	defer close(r.done)
	if r.err != nil {
		r.value = nil
	}
	if known := m.values[id]; known != nil { // somebody has set it, or read it after it was written
		r.value, r.err = known, nil
	} else if r.value != nil && !r.forgotten {
		m.values[id] = r.value
	}
	if !r.forgotten {
		delete(m.readings, id)
	}
}

// set puts a value into memory, and returns the one that was there.
func (m *memory[T]) set(id string, value *T) (former *T) {
	m.mu.Lock()
	defer m.mu.Unlock()
	former = m.values[id]
	m.values[id] = value
	return former
}

// forget drops a value from memory, also one that is being read, and returns the one
// that was there.
func (m *memory[T]) forget(id string) (former *T) {
	m.mu.Lock()
	defer m.mu.Unlock()
	former = m.values[id]
	delete(m.values, id)
	m.forgetReadingLocked(id)
	return former
}

func (m *memory[T]) forgetReadingLocked(id string) {
	if r := m.readings[id]; r != nil {
		r.forgotten = true
		delete(m.readings, id)
	}
}

// all returns everything that is in memory.
func (m *memory[T]) all() []*T {
	m.mu.Lock()
	defer m.mu.Unlock()
	values := make([]*T, 0, len(m.values))
	for _, value := range m.values {
		values = append(values, value)
	}
	return values
}
