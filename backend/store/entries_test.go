package store_test

import (
	"bytes"
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"vault-plugin-secrets-zoho/backend/clock"
	"vault-plugin-secrets-zoho/backend/refreshtoken"
	"vault-plugin-secrets-zoho/backend/secret"
	"vault-plugin-secrets-zoho/backend/store"
)

var (
	start      = time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	errDamaged = errors.New("damaged")
)

// number is a value with a time that a wrong clock can have written.
type number struct {
	n  int
	at time.Time
}

func codec() store.Codec[number] {
	return store.Codec[number]{
		Encode: func(v *number) ([]byte, error) {
			return append(strconv.AppendInt(nil, v.at.Unix(), 10), " "+strconv.Itoa(v.n)...), nil
		},
		Decode: func(stored []byte, now time.Time) (*number, error) {
			at, n, ok := bytes.Cut(stored, []byte(" "))
			unix, err := strconv.ParseInt(string(at), 10, 64)
			value, err2 := strconv.Atoi(string(n))
			if !ok || err != nil || err2 != nil {
				return nil, errDamaged
			}
			v := &number{value, time.Unix(unix, 0).UTC()}
			if clock.IsFuture(now, v.at) {
				v.at = now
			}
			return v, nil
		},
	}
}

type bench struct {
	*faulty
	now     time.Time
	storage *store.Storage
	entries *store.Entries[number]
}

func newBench(c store.Codec[number]) *bench {
	b := &bench{faulty: newFaulty(), now: start}
	b.storage = store.New(b.faulty)
	b.entries = store.NewEntries(b.storage, "numbers/", c, func() time.Time { return b.now })
	return b
}

func (b *bench) add(ctx context.Context, n int) error {
	_, _, err := b.entries.Change(ctx, "x", func(was *number) (*number, error) {
		if was == nil {
			return &number{n, b.now}, nil
		}
		return &number{was.n + n, b.now}, nil
	})
	return err
}

func TestEntries_AChangeThatFailsLeavesMemoryAndTheNextOneSeesWhatStorageHas(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	for o, want := range map[outcome]int{refused: 1, carried: 3} {
		b := newBench(codec())
		require.NoError(t, b.add(ctx, 1))
		b.become(always(o))
		require.Equal(t, errFailed, b.add(ctx, 2))
		require.Empty(t, b.entries.Cached())
		b.become(always(fine))
		value, err := b.entries.Get(ctx, "x")
		require.NoError(t, err)
		require.Equal(t, want, value.n)
		require.NoError(t, b.add(ctx, 10))
		value, err = b.entries.Get(ctx, "x")
		require.NoError(t, err)
		require.Equal(t, want+10, value.n)
	}
}

func TestEntries_WriteNothingForWhatDoesNotChange(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	b := newBench(codec())
	require.NoError(t, b.add(ctx, 1))
	for _, change := range []func(*number) (*number, error){
		func(was *number) (*number, error) { return was, nil },
		func(*number) (*number, error) { return &number{n: 9}, errDamaged },
	} {
		writes := b.writes
		was, after, _ := b.entries.Change(ctx, "x", change)
		require.Equal(t, writes, b.writes)
		require.Same(t, was, after)
		require.Equal(t, 1, was.n)
	}
	_, after, err := b.entries.Change(ctx, "x", func(*number) (*number, error) { return nil, nil })
	require.NoError(t, err)
	require.Nil(t, after)
	names, err := b.entries.Names(ctx)
	require.NoError(t, err)
	require.Empty(t, names)
	require.Empty(t, b.entries.Cached())
}

func TestEntries_ManyReadersReadOnce(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	b := newBench(codec())
	require.NoError(t, b.add(ctx, 1))
	b.entries.Invalidate("numbers/x")
	reads := b.reads
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			value, err := b.entries.Get(ctx, "x")
			if err != nil || value.n != 1 {
				t.Errorf("got %v, %v", value, err)
			}
		})
	}
	wg.Wait()
	require.Equal(t, reads+1, b.reads)
}

func TestEntries_ChangesAtOnceAreAllCounted(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	b := newBench(codec())
	n, acknowledged := 0, 0
	b.become(func(string) outcome { n++; return map[bool]outcome{true: refused, false: fine}[n%5 == 0] })
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				if b.add(ctx, 1) == nil {
					mu.Lock()
					acknowledged++
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	b.become(always(fine))
	value, err := b.entries.Get(ctx, "x")
	require.NoError(t, err)
	require.Equal(t, acknowledged, value.n)
}

func TestEntries_AChangeWaitsForTheOneThatIsUnderWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		b := newBench(codec())
		_, _, err := b.entries.Change(ctx, "x", func(*number) (*number, error) {
			go func() { assert.NoError(t, b.add(ctx, 1)) }()
			synctest.Wait() // until it is done, or waits
			return &number{10, start}, nil
		})
		require.NoError(t, err)
		synctest.Wait()
		value, err := b.entries.Get(ctx, "x")
		require.NoError(t, err)
		require.Equal(t, 11, value.n)
	})
}

func TestEntries_WhatAnotherNodeWritesWhileItIsReadIsNotKept(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	c := codec()
	var b *bench
	decode := c.Decode
	c.Decode = func(stored []byte, now time.Time) (*number, error) {
		b.entries.Invalidate("numbers/x")
		b.entries.Invalidate("roles/x")
		return decode(stored, now)
	}
	b = newBench(c)
	require.NoError(t, b.add(ctx, 1))
	b.entries.Invalidate("numbers/x")
	value, err := b.entries.Get(ctx, "x")
	require.NoError(t, err)
	require.Equal(t, 1, value.n)
	require.Empty(t, b.entries.Cached())
}

func TestEntries_ATimeInTheFutureIsCorrectedWhenItIsLoadedAndStoredWithTheNextWrite(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	b := newBench(codec())
	b.now = start.Add(1000 * time.Hour)
	require.NoError(t, b.add(ctx, 1))
	b.now = start
	b.entries.Invalidate("numbers/x")
	writes := b.writes
	value, err := b.entries.Get(ctx, "x")
	require.NoError(t, err)
	require.Equal(t, start, value.at)
	require.Equal(t, writes, b.writes)
	_, _, err = b.entries.Change(ctx, "x", func(was *number) (*number, error) { return &number{was.n + 1, was.at}, nil })
	require.NoError(t, err)
	b.entries.Invalidate("numbers/x")
	b.now = start.Add(2000 * time.Hour)
	value, err = b.entries.Get(ctx, "x")
	require.NoError(t, err)
	require.Equal(t, start, value.at)
}

func TestEntries_ADamagedOneIsRebuiltOnceOrGivesItsError(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	damage := func(b *bench) {
		require.NoError(t, b.add(ctx, 1))
		entry, err := b.faulty.Get(ctx, "numbers/x")
		require.NoError(t, err)
		entry.Value = []byte("junk")
		require.NoError(t, b.faulty.Put(ctx, entry))
		b.entries.Invalidate("numbers/x")
	}
	b := newBench(codec())
	damage(b)
	_, err := b.entries.Get(ctx, "x")
	require.Equal(t, errDamaged, err)
	require.Equal(t, errDamaged, b.add(ctx, 1))

	c, rebuilt := codec(), 0
	c.Rebuild = func(context.Context, string) (*number, error) { rebuilt++; return &number{7, start}, nil }
	b = newBench(c)
	damage(b)
	b.become(always(refused))
	_, err = b.entries.Get(ctx, "x")
	require.Equal(t, errFailed, err)
	b.become(always(fine))
	for range 2 {
		value, err := b.entries.Get(ctx, "x")
		require.NoError(t, err)
		require.Equal(t, 7, value.n)
		b.entries.Invalidate("numbers/x")
	}
	require.Equal(t, 2, rebuilt)

	c.Rebuild = func(context.Context, string) (*number, error) { return nil, nil }
	b = newBench(c)
	damage(b)
	value, err := b.entries.Get(ctx, "x")
	require.NoError(t, err)
	require.Nil(t, value)
	require.NoError(t, b.add(ctx, 5), "it begins anew")
}

func TestEntries_DropWhatNobodyAsksFor(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	b := newBench(codec())
	require.NoError(t, b.add(ctx, 1))
	b.now = b.now.Add(time.Hour)
	b.entries.DropUnused(2 * time.Hour)
	require.Len(t, b.entries.Cached(), 1)
	b.now = b.now.Add(2 * time.Hour)
	b.entries.DropUnused(2 * time.Hour)
	require.Empty(t, b.entries.Cached())
	value, err := b.entries.Get(ctx, "x")
	require.NoError(t, err)
	require.Equal(t, 1, value.n)
}

// Any sequence of changes that fail in any way: a sum never has what was refused, and always
// has what was acknowledged; what is in memory is what storage has.
func TestEntries_InAnyOrderMemoryIsWhatStorageHas(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		ctx := context.Background()
		b := newBench(codec())
		least, most := 0, 0
		for range rapid.IntRange(1, 40).Draw(t, "events") {
			o := outcome(rapid.IntRange(0, 3).Draw(t, "outcome"))
			b.become(always(o))
			switch rapid.IntRange(0, 5).Draw(t, "event") {
			case 0, 1, 2:
				before := least == most
				switch err := b.add(ctx, 1); {
				case err == nil && before:
					least, most = least+1, most+1
				case err == nil:
					value, err := b.entries.Get(ctx, "x")
					require.NoError(t, err)
					require.GreaterOrEqual(t, value.n, least+1)
					require.LessOrEqual(t, value.n, most+1)
					least, most = value.n, value.n
				default:
					most++
				}
			case 3:
				b.arrive()
			case 4:
				b.become(always(fine))
				b.entries.Invalidate("numbers/x")
			default:
				value, err := b.entries.Get(ctx, "x")
				if err != nil {
					continue
				}
				n := 0
				if value != nil {
					n = value.n
				}
				require.GreaterOrEqual(t, n, least)
				require.LessOrEqual(t, n, most)
				least, most = n, n
			}
		}
	})
}

// The record of a refresh token is kept by it as it is.
func TestEntries_KeepTheRecordOfARefreshToken(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	f := newFaulty()
	records := store.NewEntries(store.New(f), "refresh-tokens/", store.Codec[refreshtoken.Record]{Encode: refreshtoken.Encode, Decode: refreshtoken.Decode}, func() time.Time { return start })
	enter := refreshtoken.Enter("id", refreshtoken.EnteringRole{
		Credential: refreshtoken.Credential{RefreshToken: secret.New("token"), AccountsURL: "https://accounts.zoho.eu"}, Role: "crm", Now: start,
	})[0]
	f.become(always(carried))
	_, _, err := records.Change(ctx, enter.Record, enter.Change)
	require.Error(t, err)
	f.become(always(fine))
	was, after, err := records.Change(ctx, enter.Record, enter.Change)
	require.NoError(t, err)
	require.True(t, was.Names("crm"))
	require.True(t, after.Names("crm"))
}
