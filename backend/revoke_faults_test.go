package backend_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend"
	"vault-plugin-secrets-zoho/backend/settings"
)

// Vault asks six times to end a lease, the last time 310 seconds after the first
// or later, and then declares the lease irrevocable. Nothing that fails may let
// it come to that.

// vaultsLast is when Vault's sixth attempt comes, at the earliest.
const vaultsLast = 310 * time.Second

// Invariant 7.
func TestRevoke_AReleaseWhoseWriteKeepsFailingIsHandedToTheEngineBeforeVaultGivesUp(t *testing.T) {
	for what, theOnly := range map[string]func(*world) *backend.Issued{
		"of a named holder": func(w *world) *backend.Issued { return w.read("crm-sync") },
		"of a holder whose name a crash kept from being written": func(w *world) *backend.Issued {
			issued := w.hurry(5)
			w.die()
			for _, lease := range issued[:4] {
				require.NoError(t, w.release(lease))
			}
			w.requireHolders(issued[4], 0, 1)
			return issued[4]
		},
	} {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t)
			issued := theOnly(w)
			w.storage.failing(below("holders/"))
			require.ErrorIs(t, w.release(issued), errDisk)
			w.clock.Advance(4 * time.Minute)
			require.ErrorIs(t, w.release(issued), errDisk)
			w.clock.Advance(vaultsLast - 4*time.Minute)
			require.NoError(t, w.release(issued))
			require.True(t, w.alive(issued), "nothing is stored, so Zoho is not asked")
			w.tick()
			require.True(t, w.alive(issued))
			w.storage.failing(nil)
			w.tick()
			require.False(t, w.alive(issued))
			require.Empty(t, w.keys("tokens/"))
		})
	}
}

// Invariant 6: what the engine has taken over is the end of one lease.
func TestRevoke_OfALeaseThatTheEngineTookOverSparesWhoCameAfterwards(t *testing.T) {
	w := newWorld(t)
	issued := w.read("crm-sync")
	w.storage.failing(below("holders/"))
	require.Error(t, w.release(issued))
	w.clock.Advance(vaultsLast)
	require.NoError(t, w.release(issued))
	w.storage.failing(nil)
	late := w.read("crm-sync")
	require.Equal(t, issued.TokenID, late.TokenID)
	w.tick()
	w.restart()
	w.tick()
	require.True(t, w.alive(late))
	w.requireHolders(late, 1, 0)
	require.NoError(t, w.release(late))
	require.False(t, w.alive(late))
}

// Invariant 7.
func TestRevoke_OfATokenThatCannotBeLoadedIsHandedToTheEngineBeforeVaultGivesUp(t *testing.T) {
	w := newWorld(t)
	w.writeRole("crm-sync", settings.RoleChange{TTL: ptr(10 * time.Minute)})
	issued := w.read("crm-sync")
	w.restart()
	w.storage.unreadable(below("tokens/"))
	require.Error(t, w.release(issued))
	w.clock.Advance(vaultsLast)
	require.NoError(t, w.release(issued))

	w.storage.unreadable(nil)
	w.clock.Advance(15 * time.Minute)
	w.tick()
	require.False(t, w.alive(issued))
}

// Invariants 7 and 17: a clock that was ahead, for whoever has stored the decision
// and for whoever was asked first.
func TestRevoke_IsHandedToTheEngineAlsoAfterTheClockWasAhead(t *testing.T) {
	for what, after := range map[string]func(*world){
		"in the same process": func(*world) {},
		"before a restart":    (*world).restart,
	} {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t)
			issued := w.read("crm-sync")
			w.sim.SetDown(true)
			w.clock.Advance(30 * time.Minute)
			require.Error(t, w.release(issued))
			w.clock.Advance(-30 * time.Minute)
			after(w)
			require.Error(t, w.release(issued))
			w.clock.Advance(vaultsLast)
			require.NoError(t, w.release(issued))
			w.sim.SetDown(false)
			w.tick()
			require.False(t, w.alive(issued))
		})
	}
}

// The write of the decision is under way when Vault hears that all is well. If it
// fails then, the lease must not come back as a holder.
func TestRevoke_OfALeaseThatTheEngineTookOverIsNotUndoneByAWriteThatFailsLater(t *testing.T) {
	w := newWorld(t)
	issued := w.read("crm-sync")
	w.storage.failing(below("holders/"))
	require.Error(t, w.release(issued))
	w.storage.failing(nil)
	w.clock.Advance(vaultsLast)
	ctx, cancel := context.WithCancel(t.Context())
	finish, released := w.holdBack(below("holders/"), func() error {
		return w.engine.Release(ctx, leaseOf(issued), notTainted)
	})
	cancel()
	require.NoError(t, <-released)
	finish(errDisk)
	w.settle()
	require.Empty(t, w.engine.Holding(issued.TokenID))
	w.tick()
	require.False(t, w.alive(issued))
}

// Invariant 7.
func TestRevoke_OnAMountThatIsBeingDisabledDoesNotFailForItsStorageEither(t *testing.T) {
	w := newWorld(t)
	issued := w.read("crm-sync")
	w.storage.failing(below("holders/"))
	require.NoError(t, w.engine.Release(t.Context(), leaseOf(issued), tainted))
	w.storage.failing(nil)
	w.restart()
	w.storage.unreadable(below("tokens/"))
	require.NoError(t, w.engine.Release(t.Context(), leaseOf(issued), tainted))
}

// Invariant 17.
func TestRevoke_NothingIsRememberedForEverOfAReleaseThatFailed(t *testing.T) {
	for what, end := range map[string]func(w *world, release func(tainted func() bool) error) error{
		"it succeeds": func(w *world, release func(func() bool) error) error {
			w.storage.unreadable(nil)
			return release(notTainted)
		},
		"the engine takes it over": func(w *world, release func(func() bool) error) error {
			w.clock.Advance(vaultsLast)
			return release(notTainted)
		},
		"its token has expired": func(w *world, release func(func() bool) error) error {
			w.clock.Advance(time.Hour)
			return release(notTainted)
		},
		"the mount is disabled": func(_ *world, release func(func() bool) error) error { return release(tainted) },
	} {
		t.Run(what, func(t *testing.T) {
			w, release := newBrokenWorld(t)
			require.Error(t, release("first", notTainted))
			require.Equal(t, 1, w.engine.FailedReleases())
			require.NoError(t, end(w, func(tainted func() bool) error { return release("first", tainted) }))
			require.Zero(t, w.engine.FailedReleases())
		})
	}
	for what, d := range map[string]time.Duration{"time passes": time.Hour, "the clock was ahead": -time.Hour} {
		t.Run("Vault asks no more, and "+what, func(t *testing.T) {
			w, release := newBrokenWorld(t)
			require.Error(t, release("first", notTainted))
			w.clock.Advance(d)
			require.Error(t, release("second", notTainted))
			require.Equal(t, 1, w.engine.FailedReleases())
			require.Error(t, release("third", notTainted))
			require.Equal(t, 2, w.engine.FailedReleases())
		})
	}
}

// newBrokenWorld has a token that cannot be loaded. release ends a holder's lease
// on it; its leases end an hour after they were asked for first.
func newBrokenWorld(t *testing.T) (w *world, release func(holder string, tainted func() bool) error) {
	w = newWorld(t)
	w.storage.unreadable(below("tokens/"))
	ends := make(map[string]time.Time)
	return w, func(holder string, tainted func() bool) error {
		if ends[holder].IsZero() {
			ends[holder] = w.clock.Now().Add(time.Hour)
		}
		return w.engine.Release(t.Context(), backend.Lease{TokenID: "broken", HolderID: holder, ExpiresAt: ends[holder]}, tainted)
	}
}
