package store_test

import (
	"context"
	"errors"
	"testing"

	"github.com/hashicorp/vault/sdk/logical"
	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend/store"
)

// answering fails with what it has.
type answering struct {
	logical.Storage
	err error
}

func (a *answering) List(context.Context, string) ([]string, error)             { return nil, a.err }
func (a *answering) Get(context.Context, string) (*logical.StorageEntry, error) { return nil, a.err }
func (a *answering) Put(context.Context, *logical.StorageEntry) error           { return a.err }
func (a *answering) Delete(context.Context, string) error                       { return a.err }

func TestWatch_TellsEachOperationThatFailsByAFaultOfTheStorage(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err  error
		told bool
	}{
		"it works":                   {nil, false},
		"it fails":                   {errFailed, true},
		"it took too long":           {context.DeadlineExceeded, true},
		"nobody waits":               {context.Canceled, false},
		"another is the active node": {errors.New("rpc: " + logical.ErrReadOnly.Error()), false},
	} {
		var told []string
		s := store.Watch(&answering{err: c.err}, func(operation string) { told = append(told, operation) })
		_, err := s.List(t.Context(), "a/")
		require.Equal(t, c.err, err, name)
		_, err = s.Get(t.Context(), "a/b")
		require.Equal(t, c.err, err, name)
		require.Equal(t, c.err, s.Put(t.Context(), &logical.StorageEntry{Key: "a/b"}), name)
		require.Equal(t, c.err, s.Delete(t.Context(), "a/b"), name)
		if c.told {
			require.Equal(t, []string{"list", "get", "put", "delete"}, told, name)
		} else {
			require.Empty(t, told, name)
		}
	}
}

// Whoever keeps a summary of all entries hears of each write in its order.
func TestEntries_TellOfEachWriteInItsSlot(t *testing.T) {
	t.Parallel()
	type write struct {
		id     string
		n      int
		failed error
	}
	var told []write
	c := codec()
	c.Written = func(id string, v *number, failed error) {
		n := 0
		if v != nil {
			n = v.n
		}
		told = append(told, write{id, n, failed})
	}
	b := newBench(c)
	ctx := t.Context()
	require.NoError(t, b.add(ctx, 1))
	b.become(always(refused))
	require.Error(t, b.add(ctx, 1))
	b.become(always(fine))
	_, _, err := b.entries.Change(ctx, "x", func(was *number) (*number, error) { return was, nil })
	require.NoError(t, err)
	_, _, err = b.entries.Change(ctx, "x", func(*number) (*number, error) { return nil, nil })
	require.NoError(t, err)
	require.Equal(t, []write{{"x", 1, nil}, {"x", 2, errFailed}, {"x", 0, nil}}, told)
}
