package backend

import (
	"context"
	"sync"
)

// cache remembers stored values by key. Values are shared and must not be
// changed. Absence is not remembered.
type cache[T any] struct {
	mu      sync.Mutex
	changes uint64
	values  map[string]*T
}

// get returns the value of key, loading it if need be; nil if there is none.
// A value that was loaded while something was forgotten is returned but not
// kept: it may be older than the write that caused the forgetting.
func (c *cache[T]) get(ctx context.Context, key string, load func(context.Context, string) (*T, error)) (*T, error) {
	c.mu.Lock()
	value, seen := c.values[key], c.changes
	c.mu.Unlock()
	if value != nil {
		return value, nil
	}
	value, err := load(ctx, key)
	if err != nil || value == nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.changes == seen {
		if c.values == nil {
			c.values = make(map[string]*T)
		}
		c.values[key] = value
	}
	return value, nil
}

// forget drops key: to be called after its stored value has changed.
func (c *cache[T]) forget(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changes++
	delete(c.values, key)
}
