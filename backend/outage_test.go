package backend_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend"
	"vault-plugin-secrets-zoho/backend/zoho"
)

// What docs/troubleshooting.md says under "Zoho is down".

// inUse is a world in which a program reads the role each minute, for an hour and more.
func inUse(t tb, minutes int) (w *world, read func() (*backend.Issued, error)) {
	t.Helper()
	w = newWorld(t)
	read = func() (*backend.Issued, error) {
		w.clock.Advance(time.Minute)
		w.tick()
		issued, err := w.engine.Issue(t.Context(), "crm-sync", backend.Reader{})
		if err == nil { // the program reads again before its lease is over, and gives this one back
			w.leases = append(w.leases, issued)
		}
		for len(w.leases) > 1 {
			require.NoError(t, w.release(w.leases[0]))
			w.leases = w.leases[1:]
		}
		return issued, err
	}
	for range minutes {
		_, err := read()
		require.NoError(t, err)
	}
	return w, read
}

func TestOutage_ReadersHaveATokenForTwentyTwoMinutesAtLeast(t *testing.T) {
	t.Parallel()
	least, most := time.Hour, time.Duration(0)
	for minutes := 1; minutes <= 70; minutes += 2 {
		w, read := inUse(t, minutes)
		w.sim.SetDown(true)
		lasts, err := time.Duration(0), error(nil)
		for warned := false; ; lasts += time.Minute {
			var issued *backend.Issued
			if issued, err = read(); err != nil {
				break
			}
			require.True(t, w.alive(issued))
			require.False(t, warned && len(issued.Warnings) == 0)
			if warned = len(issued.Warnings) > 0; warned {
				require.Equal(t, backend.StateUnreachable, w.status("crm-sync").State)
				require.Less(t, issued.ExpiresAt.Sub(w.clock.Now()), 10*time.Minute)
			}
		}
		require.Contains(t, []zoho.Kind{zoho.Unreachable, zoho.Throttled}, grantError(t, err).Kind)
		least, most = min(least, lasts), max(most, lasts)

		w.sim.SetDown(false)
		w.clock.Advance(2 * time.Minute)
		issued, err := read()
		require.NoError(t, err, "two minutes later, no more")
		require.True(t, w.alive(issued))
		require.Equal(t, backend.StateReady, w.status("crm-sync").State)
	}
	require.GreaterOrEqual(t, least, 22*time.Minute)
	require.LessOrEqual(t, most, 58*time.Minute)
	t.Logf("a token for %s to %s", least, most)
}

func TestOutage_RevokingTheOnlyLeaseEndsTheOnlyToken(t *testing.T) {
	t.Parallel()
	w, _ := inUse(t, 3)
	other := w.read("crm-sync")
	w.sim.SetDown(true)
	require.NoError(t, w.release(other))
	require.Equal(t, other.TokenID, w.read("crm-sync").TokenID, "others still lease it")

	w, _ = inUse(t, 3)
	w.sim.SetDown(true)
	_ = w.release(w.leases[0])
	require.Equal(t, zoho.Unreachable, grantError(t, w.readError("crm-sync")).Kind)
}

func TestOutage_RotateRevokesNothingUnlessItIsForced(t *testing.T) {
	t.Parallel()
	w, _ := inUse(t, 3)
	w.sim.SetDown(true)
	_, err := w.rotate("crm-sync")
	require.Error(t, err)
	require.True(t, w.alive(w.leases[0]))
	require.Equal(t, w.leases[0].TokenID, w.read("crm-sync").TokenID)

	_, err = w.engine.Rotate(t.Context(), "crm-sync", true)
	require.Error(t, err)
	require.Equal(t, zoho.Unreachable, grantError(t, w.readError("crm-sync")).Kind)
	w.sim.SetDown(false)
	w.clock.Advance(5 * time.Minute)
	w.tick()
	require.False(t, w.alive(w.leases[0]), "it was decided, and is done when Zoho is there again")
}
