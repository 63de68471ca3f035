package zohosecrets

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/go-hclog"
	gplugin "github.com/hashicorp/go-plugin"
	"github.com/hashicorp/vault/sdk/logical"
	bplugin "github.com/hashicorp/vault/sdk/plugin"
	"github.com/stretchr/testify/require"
)

// treacherousStorage stands for a mistake that is only made with some data.
type treacherousStorage struct {
	logical.Storage
	prefix string
}

func (s treacherousStorage) Get(ctx context.Context, key string) (*logical.StorageEntry, error) {
	if strings.HasPrefix(key, s.prefix) {
		panic("nobody may see this: hunter2")
	}
	return s.Storage.Get(ctx, key)
}

// lockedBuffer is a log that several goroutines write.
type lockedBuffer struct {
	mu      sync.Mutex
	content bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.content.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.content.String()
}

// newTreacherous is a plugin behind gRPC in which any look at a key with the
// prefix panics, in whatever goroutine that happens.
func newTreacherous(t *testing.T, prefix string) (vault, *lockedBuffer) {
	t.Helper()
	log, storage := &lockedBuffer{}, &logical.InmemStorage{}
	well := newMountOn(t, storage, nil)
	zoho := newSimulation(t, well.clock)
	well.write("config", zoho.config()).done(t)
	well.write("roles/crm-sync", zoho.role()).done(t)
	factory := func(ctx context.Context, conf *logical.BackendConfig) (logical.Backend, error) {
		logger := hclog.New(&hclog.LoggerOptions{Output: log, Level: hclog.Trace})
		b := newClocked(well.clock, treacherousStorage{conf.StorageView, prefix}, logger)
		conf.Logger = logger
		return b, b.Setup(ctx, conf)
	}
	client, _ := gplugin.TestPluginGRPCConn(t, false, map[string]gplugin.Plugin{
		"backend": &bplugin.GRPCBackendPlugin{Factory: factory, Logger: hclog.NewNullLogger()},
	})
	t.Cleanup(func() { _ = client.Close() })
	raw, err := client.Dispense("backend")
	require.NoError(t, err)
	b, ok := raw.(logical.Backend)
	require.True(t, ok)
	require.NoError(t, b.Setup(t.Context(), &logical.BackendConfig{
		StorageView: storage, System: logical.TestSystemView(), Logger: hclog.NewNullLogger(),
	}))
	t.Cleanup(func() { b.Cleanup(context.Background()) })
	return vault{t, b}, log
}

func TestPanic_WhereverItHappensArrivesInVaultAsA500AndIsInTheLog(t *testing.T) {
	t.Parallel()
	for prefix, path := range map[string]string{"config": "config", "roles/": "roles/crm-sync", "refresh-tokens/": "creds/crm-sync", "salt": "creds/crm-sync"} {
		t.Run(prefix, func(t *testing.T) {
			t.Parallel()
			v, log := newTreacherous(t, prefix)
			for range 2 {
				got := v.read(path)
				require.Equal(t, 500, got.status, got)
				require.Contains(t, got.text, "internal error in the Zoho secrets engine")
				require.NotContains(t, got.text, "hunter2")
			}
			require.Contains(t, log.String(), "hunter2")
			require.Contains(t, log.String(), "treacherousStorage", "with the place where it happened")
			v.read("info").done(t)
		})
	}
}
