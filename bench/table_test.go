//go:build unix

package main

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTable_HasAColumnForEachSizeAndTheFirstRowAsItsHeading(t *testing.T) {
	t.Parallel()
	var table table
	for _, size := range []int{10, 20} {
		table.begin()
		table.add("roles", count(size))
		table.add("calls", count(1))
		table.add("calls", count(size)) // the same words again are another row
		table.add("took", millis(time.Duration(size)*time.Millisecond/2))
	}
	require.Equal(t, `| roles | 10 | 20 |
|---|--:|--:|
| calls | 1 | 1 |
| calls | 10 | 20 |
| took | 5.0 ms | 10 ms |
`, table.markdown())
}

func TestEach_DoesAllAndStopsAtTheFirstError(t *testing.T) {
	t.Parallel()
	var done atomic.Int64
	_, err := each(t.Context(), 4, 100, func(context.Context, int) error { done.Add(1); return nil })
	require.NoError(t, err)
	require.EqualValues(t, 100, done.Load())

	failed := errors.New("no")
	_, err = each(t.Context(), 1, 100, func(ctx context.Context, i int) error {
		if i == 3 {
			return failed
		}
		return ctx.Err()
	})
	require.ErrorIs(t, err, failed)
}
