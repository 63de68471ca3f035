package zohosecrets

import (
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/hashicorp/vault/sdk/logical"
)

// Mounts are the mounts of one process. The zero value has none. It is safe
// for concurrent use.
type Mounts struct {
	mu   sync.Mutex
	open map[*zohoBackend]struct{}
}

// Factory is the package's Factory, and remembers the mount until Vault cleans
// it up.
func (m *Mounts) Factory(ctx context.Context, conf *logical.BackendConfig) (logical.Backend, error) {
	b, err := setUp(ctx, conf)
	if err != nil {
		return nil, err
	}
	// A backend around b would have to pass on every optional interface that
	// the SDK may ask for, so b itself tells when it is cleaned up.
	clean := b.Clean
	b.Clean = func(ctx context.Context) {
		clean(ctx)
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.open, b)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.open == nil {
		m.open = make(map[*zohoBackend]struct{})
	}
	m.open[b] = struct{}{}
	return b, nil
}

// Close ends every mount as Vault's clean-up does: nothing new begins, and what
// is under way has a few seconds to end by itself.
func (m *Mounts) Close() {
	m.mu.Lock()
	open := slices.Collect(maps.Keys(m.open))
	m.mu.Unlock()
	var closing sync.WaitGroup
	for _, b := range open {
		closing.Go(func() { b.Cleanup(context.Background()) })
	}
	closing.Wait()
}
