package clock_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend/clock"
)

var now = time.Date(2026, 12, 1, 9, 0, 0, 0, time.UTC)

func TestIsFuture_BeginsBeyondTheTolerance(t *testing.T) {
	t.Parallel()
	require.False(t, clock.IsFuture(now, now.Add(-time.Hour)))
	require.False(t, clock.IsFuture(now, now.Add(clock.Tolerance)))
	require.True(t, clock.IsFuture(now, now.Add(clock.Tolerance+1)))
}

// Invariant 17: what a wrong clock wrote is long ago, so nothing waits for it.
func TestElapsed_SinceATimeInTheFutureIsForEver(t *testing.T) {
	t.Parallel()
	require.Equal(t, time.Minute, clock.Elapsed(now, now.Add(-time.Minute)))
	require.Equal(t, -clock.Tolerance, clock.Elapsed(now, now.Add(clock.Tolerance)))
	require.Greater(t, clock.Elapsed(now, now.Add(time.Hour)), 1000*time.Hour)
}

func TestIsWithin_BelievesNoTimeThatIsFurtherAwayThanTheThingCanLast(t *testing.T) {
	t.Parallel()
	for until, want := range map[time.Duration]bool{-1: false, 0: false, 1: true, time.Hour: true, time.Hour + clock.Tolerance: true, time.Hour + clock.Tolerance + 1: false} {
		require.Equal(t, want, clock.IsWithin(now, now.Add(until), time.Hour), until)
	}
}
