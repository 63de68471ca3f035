package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestWaitForOtherParent_WaitsAsLongAsTheParentLives(t *testing.T) {
	t.Parallel()
	const parent, looks = 4711, 3
	look := make(chan time.Time, looks)
	for range looks {
		look <- time.Time{}
	}
	asked := 0
	waitForOtherParent(parent, func() int {
		if asked++; asked <= looks {
			return parent
		}
		return 1
	}, look)
	require.Equal(t, looks+1, asked)
	require.Empty(t, look)
}

func TestFinishWithin_WaitsForWhatEnds(t *testing.T) {
	t.Parallel()
	finished := false
	require.True(t, finishWithin(time.Minute, func() { finished = true }))
	require.True(t, finished)
}

func TestFinishWithin_DoesNotWaitForWhatHangs(t *testing.T) {
	t.Parallel()
	hang := make(chan struct{})
	defer close(hang)
	require.False(t, finishWithin(time.Millisecond, func() { <-hang }))
}
