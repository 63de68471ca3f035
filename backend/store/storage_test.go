package store_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/hashicorp/vault/sdk/logical"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"vault-plugin-secrets-zoho/backend/store"
)

func put(ctx context.Context, s logical.Storage, value string) error {
	return s.Put(ctx, &logical.StorageEntry{Key: "a/key", Value: []byte(value)})
}

func get(ctx context.Context, s logical.Storage) (string, error) {
	entry, err := s.Get(ctx, "a/key")
	if err != nil || entry == nil {
		return "", err
	}
	return string(entry.Value), nil
}

func TestStorage_WhatWasReadAfterAFailedWriteStays(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	for _, o := range []outcome{refused, carried, late} {
		for _, deletes := range []bool{false, true} {
			f := newFaulty()
			s := store.New(f)
			require.NoError(t, put(ctx, s, "former"))
			f.become(always(o))
			err := s.Delete(ctx, "a/key")
			if !deletes {
				err = put(ctx, s, "new")
			}
			require.Equal(t, errFailed, err, "unwrapped")
			require.True(t, s.IsInDoubt("a/key"))
			_, err = get(ctx, s)
			require.Equal(t, errFailed, err, "nothing is decided from it")
			f.become(always(fine))
			read, err := get(ctx, s)
			require.NoError(t, err)
			require.False(t, s.IsInDoubt("a/key"))
			f.arrive()
			again, err := get(ctx, s)
			require.NoError(t, err)
			require.Equal(t, read, again)
			restarted, err := get(ctx, store.New(f))
			require.NoError(t, err)
			require.Equal(t, read, restarted)
			writes := f.writes
			_, err = get(ctx, s)
			require.NoError(t, err)
			require.Equal(t, writes, f.writes, "it is written back once")
		}
	}
}

func TestStorage_AListSettlesWhatIsInDoubtBelowIt(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	f := newFaulty()
	s := store.New(f)
	f.become(always(late))
	require.Error(t, put(ctx, s, "new"))
	f.become(always(refused))
	_, err := s.List(ctx, "a/")
	require.Equal(t, errFailed, err)
	_, err = s.List(ctx, "b/")
	require.NoError(t, err)
	f.become(always(fine))
	keys, err := s.List(ctx, "a/")
	require.NoError(t, err)
	f.arrive()
	again, err := s.List(ctx, "a/")
	require.NoError(t, err)
	require.Equal(t, keys, again)
}

// A standby, or a leader that was deposed: whoever is active settles it.
func TestStorage_ThatMayNotWriteHasNoDoubts(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	f := newFaulty()
	s := store.New(f)
	require.NoError(t, put(ctx, s, "former"))
	f.become(always(refused))
	f.failed = logical.ErrReadOnly
	require.Equal(t, logical.ErrReadOnly, put(ctx, s, "new"))
	require.False(t, s.IsInDoubt("a/key"))
	f.failed = errFailed
	require.Error(t, put(ctx, s, "new"))
	f.failed = fmt.Errorf("rpc error: %s", logical.ErrReadOnly.Error())
	read, err := get(ctx, s)
	require.NoError(t, err)
	require.Equal(t, "former", read)
	require.False(t, s.IsInDoubt("a/key"))
}

func TestStorage_AReaderThatGivesUpLeavesTheDoubtToTheNext(t *testing.T) {
	t.Parallel()
	f := newFaulty()
	s := store.New(f)
	f.become(always(carried))
	require.Error(t, put(t.Context(), s, "new"))
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := get(gone, s)
	require.Error(t, err)
	f.become(always(fine))
	read, err := get(t.Context(), s)
	require.NoError(t, err)
	require.Equal(t, "new", read)
}

// Any sequence of writes that fail in any way, and reads: what was read once is what storage
// has until somebody writes again, also in a new process; what was acknowledged is there.
func TestStorage_InAnyOrderNothingThatWasReadChangesByItself(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		ctx := context.Background()
		f := newFaulty()
		s := store.New(f)
		known, value := true, ""
		for i := range rapid.IntRange(1, 40).Draw(t, "events") {
			o := outcome(rapid.IntRange(0, 3).Draw(t, "outcome"))
			switch rapid.IntRange(0, 5).Draw(t, "event") {
			case 0, 1:
				f.become(always(o))
				err := put(ctx, s, fmt.Sprint(i))
				if known = err == nil; known {
					value = fmt.Sprint(i)
				}
			case 2:
				f.become(always(o))
				err := s.Delete(ctx, "a/key")
				if known = err == nil; known {
					value = ""
				}
			case 3:
				f.arrive()
			case 4:
				f.become(always(fine))
				if rapid.Bool().Draw(t, "carried out first") {
					f.arrive()
				}
				f.waiting = nil // raft has settled it
				s = store.New(f)
			default:
				f.become(always(o))
				read, err := get(ctx, s)
				if err != nil {
					continue
				}
				if known {
					require.Equal(t, value, read)
				}
				known, value = true, read
			}
		}
	})
}

func TestStorage_AWriteWaitsForTheWriteBackThatIsUnderWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		f := newFaulty()
		s := store.New(f)
		require.NoError(t, put(ctx, s, "former"))
		f.become(always(refused))
		require.Error(t, put(ctx, s, "refused"))
		f.become(always(fine))
		f.onWrite = func() {
			go func() { assert.NoError(t, put(ctx, s, "new")) }()
			synctest.Wait() // until it is done, or waits
		}
		_, err := get(ctx, s)
		require.NoError(t, err)
		synctest.Wait()
		read, err := get(ctx, s)
		require.NoError(t, err)
		require.Equal(t, "new", read)
	})
}

// Readers that settle a doubt at once, and a writer: none of them brings back what was before.
func TestStorage_AWriteBackNeverUndoesAWriteThatSucceeded(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	f := newFaulty()
	s := store.New(f)
	n := 0
	f.become(func(string) outcome { n++; return outcome(n % 4) })
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					_, _ = get(ctx, s)
				}
			}
		})
	}
	for i := range 2000 {
		if put(ctx, s, fmt.Sprint(i)) != nil {
			continue
		}
		for {
			if read, err := get(ctx, s); err == nil {
				require.Equal(t, fmt.Sprint(i), read)
				break
			}
		}
	}
	close(stop)
	wg.Wait()
}
