package zohosecrets

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"
	"github.com/stretchr/testify/require"
)

// newRemembered makes a mount with the Factory of mounts.
func newRemembered(t *testing.T, mounts *Mounts) vault {
	t.Helper()
	b, err := mounts.Factory(t.Context(), &logical.BackendConfig{StorageView: &logical.InmemStorage{}, System: logical.TestSystemView()})
	require.NoError(t, err)
	t.Cleanup(func() { b.Cleanup(context.Background()) })
	return vault{t, b}
}

func TestMounts_AreFullBackends(t *testing.T) {
	t.Parallel()
	var mounts Mounts
	require.Equal(t, Version, newRemembered(t, &mounts).version())
	b, err := mounts.Factory(t.Context(), nil)
	require.Error(t, err)
	require.Nil(t, b)
}

func TestMounts_AfterCloseNoneBeginsAnything(t *testing.T) {
	t.Parallel()
	var mounts Mounts
	all := []vault{newRemembered(t, &mounts), newRemembered(t, &mounts)}
	for _, v := range all {
		v.write("roles/crm-sync", goodRole().with(fields{"data_center": "us"})).done(t)
	}
	mounts.Close()
	for _, v := range all {
		got := v.write("roles/crm-sync", goodRole().with(fields{"data_center": "us"}))
		require.Equal(t, 503, got.status)
		require.Contains(t, got.text, "shutting down")
	}
}

// Each may take some seconds, and the process has to end soon.
func TestMounts_CloseSideBySide(t *testing.T) {
	t.Parallel()
	var mounts Mounts
	const number = 3
	var began atomic.Int32
	all, giveUp := make(chan struct{}), make(chan struct{})
	for range number {
		b, ok := newRemembered(t, &mounts).backend.(*zohoBackend)
		require.True(t, ok)
		clean := b.Clean
		b.Clean = func(ctx context.Context) {
			if began.Add(1) == number {
				close(all)
			}
			select {
			case <-all:
			case <-giveUp:
			}
			clean(ctx)
		}
	}
	closed := make(chan struct{})
	go func() { mounts.Close(); close(closed) }()
	select {
	case <-all:
	case <-time.After(time.Minute):
		t.Error("one mount waits for another")
	}
	close(giveUp)
	<-closed
}

func TestMounts_ForgetTheOneThatVaultHasCleanedUp(t *testing.T) {
	t.Parallel()
	var mounts Mounts
	first, second := newRemembered(t, &mounts), newRemembered(t, &mounts)
	first.backend.Cleanup(t.Context())
	first.backend.Cleanup(t.Context())
	require.Len(t, mounts.open, 1)
	second.write("roles/crm-sync", goodRole().with(fields{"data_center": "us"})).done(t)
	mounts.Close()
	require.Empty(t, mounts.open)
}
