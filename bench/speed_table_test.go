//go:build unix

package main

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// turns are those of one line: the engine's rate in each of three turns, of a floor that does 100.
func turns(f *figures, rates ...float64) {
	for _, rate := range rates {
		for which, r := range [compared]float64{floor: 100, withWrite: 50, engine: rate} {
			took := time.Duration(float64(10*time.Second) / r)
			f.add(which, outcome{took, slices.Repeat([]time.Duration{time.Duration(r) * time.Millisecond}, 10)})
		}
	}
}

func TestSpeed_TellsTheMedianOfTheTurnsRatiosAndTheTimesOfAll(t *testing.T) {
	t.Parallel()
	c := newComparison(nil, 3, time.Second)
	for _, f := range c.lines() {
		turns(f, 90, 40, 20)
	}
	c.gain, c.mint = []float64{7, 20, 30}, mintWait{beyond: 11 * time.Millisecond, write: 2 * time.Millisecond}
	found := c.markdown()
	require.Contains(t, found, "| warm reads | 64 × 500 | 100 | 50 | 40 | 0.40 | 0.80 | 100.0, 50.0, 40.0 | 100.0, 50.0, 90.0 |\n")
	require.Contains(t, found, "as long as 5.5 writes")
	require.Contains(t, found, "20 times as many tokens")
	require.Len(t, c.lines(), 9)
	require.Equal(t, ratio{"warm reads: 16 × 1, of the floor", 0.4}, c.ratios()[1])
	require.Equal(t, ratio{"warm reads: 64 × 500, of the floor with a write", 0.8}, c.ratios()[5])
}

func TestEach_DoesAllAndStopsAtTheFirstError(t *testing.T) {
	t.Parallel()
	var done atomic.Int64
	all, err := each(t.Context(), 4, 100, func(context.Context, int) error { done.Add(1); return nil })
	require.NoError(t, err)
	require.EqualValues(t, 100, done.Load())
	require.Len(t, all.times, 100)

	failed := errors.New("no")
	_, err = each(t.Context(), 1, 100, func(ctx context.Context, i int) error {
		if i == 3 {
			return failed
		}
		return ctx.Err()
	})
	require.ErrorIs(t, err, failed)
}
