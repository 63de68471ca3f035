//go:build unix

package main

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// outcome is what came of doing one thing again and again.
type outcome struct {
	took  time.Duration
	times []time.Duration // of each
}

func (o outcome) perSecond() float64 { return float64(len(o.times)) / o.took.Seconds() }

// loop does something as long as more says so, so many at once. Both are told how often
// it was begun before.
func loop(ctx context.Context, atOnce int, more func(i int) bool, do func(ctx context.Context, i int) error) (outcome, error) {
	var begun atomic.Int64
	var mu sync.Mutex
	var times []time.Duration
	group, ctx := errgroup.WithContext(ctx)
	start := time.Now()
	for range atOnce {
		group.Go(func() error {
			var own []time.Duration
			for i := int(begun.Add(1)) - 1; more(i); i = int(begun.Add(1)) - 1 {
				began := time.Now()
				if err := do(ctx, i); err != nil {
					return err
				}
				own = append(own, time.Since(began))
			}
			mu.Lock()
			defer mu.Unlock()
			times = append(times, own...)
			return nil
		})
	}
	err := group.Wait()
	return outcome{time.Since(start), times}, err
}

// each does something n times, so many at once.
func each(ctx context.Context, atOnce, n int, do func(ctx context.Context, i int) error) (outcome, error) {
	return loop(ctx, atOnce, func(i int) bool { return i < n }, do)
}

// during does something until so much time is over.
func during(ctx context.Context, atOnce int, length time.Duration, do func(ctx context.Context, i int) error) (outcome, error) {
	start := time.Now()
	return loop(ctx, atOnce, func(int) bool { return time.Since(start) < length }, do)
}

// quantile is the value below which so many hundredths of the values are; 50 is the median.
func quantile[T float64 | time.Duration](values []T, hundredths int) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)*hundredths/100]
}
