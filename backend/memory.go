package backend

import (
	"context"
	"math"
	"sync"
	"time"

	"vault-plugin-secrets-zoho/backend/clock"
	"vault-plugin-secrets-zoho/backend/work"
)

// memory keeps what was read from storage, so that it is read once. There is one memory
// for each kind of thing, and one value in it for each thing. That there is none is not
// kept: whoever asks for what is not there reads storage, one after the other.
//
// A value that is written, by this node or another, while it is read is returned, and not
// kept: it may be what was there before. So nobody gets what another caller has begun to
// read, but reads again.
type memory[T any] struct {
	prefix string // of the kind, in storage
	work   *work.Group
	now    func() time.Time

	mu      sync.Mutex
	values  map[string]*remembered[T]
	loading map[string]bool // is being read, and was not forgotten since
}

// remembered is one value in memory.
type remembered[T any] struct {
	value *T
	used  time.Time // when somebody asked for it last
}

func newMemory[T any](prefix string, group *work.Group, now func() time.Time) *memory[T] {
	return &memory[T]{prefix: prefix, work: group, now: now, values: make(map[string]*remembered[T]), loading: make(map[string]bool)}
}

// find returns the value of id if it is in memory; nil if it is not.
func (m *memory[T]) find(id string) *T {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.values[id]
	if r == nil {
		return nil
	}
	r.used = m.now() // with mu held: see dropIfUnused
	return r.value
}

// get returns the value of id from memory, or else from load, which runs once for all who
// ask at the same time, if it finds a value; nil if it finds none.
func (m *memory[T]) get(ctx context.Context, id string, load func(context.Context, string) (*T, error)) (*T, error) {
	for {
		if value := m.find(id); value != nil {
			return value, nil
		}
		var loaded *T
		mine := false // this caller loads it, and not another one at the same time
		if err := m.work.Once(ctx, "load "+m.prefix+id, func(ctx context.Context) error {
			if m.find(id) != nil {
				return nil
			}
			m.mu.Lock()
			m.loading[id] = true
			m.mu.Unlock()
			value, err := load(ctx, id)
			if err != nil {
				value = nil
			}
			loaded, mine = m.keep(id, value), true
			return err
		}); err != nil {
			return nil, err // loaded may be written yet, if it is the caller who left
		}
		if mine {
			return loaded, nil
		}
	}
}

// keep keeps a value that was read, unless it was forgotten meanwhile, and returns the
// one that counts: somebody may have set another.
func (m *memory[T]) keep(id string, value *T) *T {
	m.mu.Lock()
	defer m.mu.Unlock()
	current := m.loading[id]
	delete(m.loading, id)
	if r := m.values[id]; r != nil {
		return r.value
	}
	if value != nil && current {
		m.values[id] = &remembered[T]{value, m.now()}
	}
	return value
}

// set puts a value into memory, and returns the one that was there.
func (m *memory[T]) set(id string, value *T) (former *T) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r := m.values[id]; r != nil {
		former = r.value
	}
	m.values[id] = &remembered[T]{value, m.now()}
	return former
}

// replace puts another value in the place of one that is in memory.
func (m *memory[T]) replace(id string, former, value *T) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r := m.values[id]; r != nil && r.value == former {
		r.value = value
	}
}

// forget drops a value from memory, also one that is being read, and returns the one
// that was there.
func (m *memory[T]) forget(id string) (former *T) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r := m.values[id]; r != nil {
		former = r.value
	}
	delete(m.values, id)
	delete(m.loading, id)
	return former
}

// unused returns the values that nobody has asked for within their limit.
func (m *memory[T]) unused(limit func(*T) time.Duration) (values []*T) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.values {
		if clock.Elapsed(m.now(), r.used) > limit(r.value) {
			values = append(values, r.value)
		}
	}
	return values
}

// all returns everything that is in memory.
func (m *memory[T]) all() []*T {
	return m.unused(func(*T) time.Duration { return math.MinInt64 })
}

// dropIfUnused drops a value unless somebody has asked for it within limit. It calls drop
// before.
func (m *memory[T]) dropIfUnused(id string, limit time.Duration, drop func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r := m.values[id]; r != nil && clock.Elapsed(m.now(), r.used) > limit {
		drop()
		delete(m.values, id)
	}
}
