//go:build unix

package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestChaos_BreaksNoRuleInAMinute(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("three servers are broken for a minute")
	}
	totals, err := chaos(t.Context(), t.Output(), 7, 40*time.Second, "")
	require.NoError(t, err)
	// So that the test does not pass because nothing has happened.
	require.Positive(t, totals.get("snapshots restored"))
	require.Positive(t, totals.get("tokens handed out"))
	require.Positive(t, totals.get("leases given back"))
}
