package backend_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend"
	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/zohosim"
)

// Invariant 6.
func TestRevoke_OfOneOfTwoLeasesLeavesTheTokenAliveAndOfTheLastKillsIt(t *testing.T) {
	w := newWorld(t)
	first, second := w.read("crm-sync"), w.read("crm-sync")

	require.NoError(t, w.release(first))
	require.True(t, w.alive(second))
	require.Zero(t, w.revocations())

	require.NoError(t, w.release(second))
	require.False(t, w.alive(second))
	require.Equal(t, 1, w.revocations())
	require.Empty(t, w.keys("tokens/"))
	require.Empty(t, w.keys("holders/"))
	require.True(t, w.sim.Alive(w.refreshToken), "the refresh token lives on")
}

// Invariant 6.
func TestRevoke_OfAnOldLeaseNeverTouchesANewerToken(t *testing.T) {
	w := newWorld(t)
	old := w.read("crm-sync")
	w.clock.Advance(51 * time.Minute)
	newer := w.read("crm-sync")
	require.NotEqual(t, old.TokenID, newer.TokenID)

	require.NoError(t, w.release(old))
	w.settle()
	require.False(t, w.alive(old))
	require.True(t, w.alive(newer))
	require.Equal(t, newer.TokenID, w.read("crm-sync").TokenID)
}

// Invariant 6.
func TestRevoke_RepeatedForTheSameLeaseCountsOnce(t *testing.T) {
	w := newWorld(t)
	first, second := w.read("crm-sync"), w.read("crm-sync")
	for range 3 {
		require.NoError(t, w.release(first))
	}
	require.True(t, w.alive(second))
}

func TestRevoke_OfTenThousandLeasesOnOneTokenAtOnceMakesOneCall(t *testing.T) {
	w := newWorld(t)
	leases := make([]*backend.Issued, 10_000)
	for i := range leases {
		leases[i] = w.read("crm-sync")
	}
	var wg sync.WaitGroup
	for _, issued := range leases {
		wg.Go(func() {
			if err := w.release(issued); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	require.Equal(t, 1, w.revocations())
	require.False(t, w.alive(leases[0]))
}

// Invariant 7.
func TestRevoke_WorksAfterRoleAndConfigAreDeleted(t *testing.T) {
	w := newWorld(t)
	issued := w.read("crm-sync")
	w.deleteRole("crm-sync")
	w.deleteConfig()
	w.restart()
	require.NoError(t, w.release(issued))
	require.False(t, w.alive(issued))
}

// Invariant 7.
func TestRevoke_TreatsAnAlreadyInvalidTokenAsDone(t *testing.T) {
	w := newWorld(t)
	issued := w.read("crm-sync")
	require.True(t, w.sim.Kill(issued.AccessToken.Reveal()))
	require.NoError(t, w.release(issued))
	require.Empty(t, w.keys("tokens/"))
}

// Invariant 7.
func TestRevoke_LocallyExpiredTokenMakesNoCall(t *testing.T) {
	w := newWorld(t)
	issued := w.read("crm-sync")
	w.clock.Advance(time.Hour)
	require.NoError(t, w.release(issued))
	require.Zero(t, w.revocations())
	w.tick()
	require.Zero(t, w.revocations())
	require.Empty(t, w.keys("tokens/"))
	require.Empty(t, w.keys("holders/"))
}

// Invariant 7.
func TestRevoke_TransientFailureIsReturnedToVaultUntilTheEngineTakesOver(t *testing.T) {
	w := newWorld(t)
	issued := w.read("crm-sync")
	w.sim.SetDown(true)
	require.Error(t, w.release(issued))
	w.clock.Advance(4 * time.Minute)
	require.Error(t, w.release(issued))
	// Vault's sixth attempt comes 310 seconds after the first, or later.
	w.clock.Advance(310*time.Second - 4*time.Minute)
	require.NoError(t, w.release(issued))
	require.True(t, w.alive(issued))

	w.restart()
	w.tick()
	require.True(t, w.alive(issued), "Zoho is still down")
	w.sim.SetDown(false)
	w.clock.Advance(time.Minute)
	w.tick()
	require.False(t, w.alive(issued))
	require.Empty(t, w.keys("tokens/"))
}

// Invariant 7.
func TestRevoke_OnAMountThatIsBeingDisabledNeverFails(t *testing.T) {
	w := newWorld(t)
	issued := w.read("crm-sync")
	w.sim.SetDown(true)
	require.NoError(t, w.engine.Release(t.Context(), leaseOf(issued), tainted))
}

func TestRevoke_AReaderNeverGetsATokenWhoseEndIsDecided(t *testing.T) {
	w := newWorld(t)
	issued := w.read("crm-sync")
	w.sim.Fault(zohosim.EndpointRevoke, zohosim.Fault{Kind: zohosim.FaultHTML500})
	w.sim.Fault(zohosim.EndpointLegacyRevoke, zohosim.Fault{Kind: zohosim.FaultHTML500})
	require.Error(t, w.release(issued))

	require.NotEqual(t, issued.TokenID, w.read("crm-sync").TokenID)
	w.restart()
	require.NotEqual(t, issued.TokenID, w.read("crm-sync").TokenID)
}

func TestRevoke_ALostAnswerIsRepeatedAndThenKnownToBeDone(t *testing.T) {
	w := newWorld(t)
	issued := w.read("crm-sync")
	w.sim.Fault(zohosim.EndpointRevoke, zohosim.Fault{Kind: zohosim.FaultClose, Processed: true, Count: 1})
	require.Error(t, w.release(issued))
	require.False(t, w.alive(issued))
	require.NoError(t, w.release(issued))
	require.Empty(t, w.keys("tokens/"))
}

func TestRevoke_WhereOnlyTheOlderEndpointExists(t *testing.T) {
	w := newWorld(t)
	issued := w.read("crm-sync")
	w.sim.SetMissing(zohosim.EndpointRevoke)
	require.NoError(t, w.release(issued))
	require.False(t, w.alive(issued))
}

func TestRevoke_AStorageThatFailsLeavesTheLeaseRevocable(t *testing.T) {
	w := newWorld(t)
	issued := w.read("crm-sync")
	w.storage.failing(below("holders/"))
	require.ErrorIs(t, w.release(issued), errDisk)
	require.True(t, w.alive(issued), "the decision was not stored, so Zoho is not asked")
	require.Equal(t, issued.TokenID, w.currentToken())
	w.storage.failing(nil)
	require.NoError(t, w.release(issued))
}

func TestTick_EndsASupersededTokenThatNobodyHolds(t *testing.T) {
	w := newWorld(t)
	first := w.read("crm-sync")
	w.clock.Advance(51 * time.Minute)
	second := w.read("crm-sync")
	require.True(t, w.alive(first), "somebody holds it")
	require.NoError(t, w.release(first))
	w.settle()
	require.False(t, w.alive(first))
	require.True(t, w.alive(second))
}

func TestTick_EndsATokenThatNoGrantKnows(t *testing.T) {
	w := newWorld(t)
	// The crash between storing a token and making it current.
	w.storage.failing(func(key string) bool {
		return below("refresh-tokens/")(key) && w.sim.MintCount(w.refreshToken) > 0
	})
	w.sim.Fault(zohosim.EndpointRevoke, zohosim.Fault{Kind: zohosim.FaultClose, Count: 1})
	require.ErrorIs(t, w.readError("crm-sync"), errDisk)
	require.Equal(t, 1, w.sim.LiveTokens(w.refreshToken))
	w.storage.failing(nil)
	w.restart()

	w.tick()
	require.Zero(t, w.sim.LiveTokens(w.refreshToken))
	require.Empty(t, w.keys("tokens/"))
}

func TestTick_ForgetsAHolderWhoseLeaseWasLost(t *testing.T) {
	w := newWorld(t)
	w.writeRole("crm-sync", settings.RoleChange{TTL: ptr(5 * time.Minute)})
	issued := w.read("crm-sync")
	w.clock.Advance(14 * time.Minute)
	w.tick()
	require.True(t, w.alive(issued), "Vault may only be late")
	w.clock.Advance(2 * time.Minute)
	w.tick()
	require.False(t, w.alive(issued))
}

func TestTick_EndsATokenWhoseLastHolderLeftWhileAnotherCouldNotBeWritten(t *testing.T) {
	w := newWorld(t)
	first := w.read("crm-sync")
	w.allNamed(first.TokenID)
	second, done := w.holdBack(below("holders/"), func() error {
		_, err := w.engine.Issue(t.Context(), "crm-sync", backend.Reader{})
		return err
	})
	released := make(chan error, 1)
	go func() { released <- w.release(first) }()
	// What is left is the second, which is not written yet.
	require.Eventually(t, func() bool { return len(w.engine.Holding(first.TokenID)) == 1 }, 10*time.Second, time.Millisecond)
	second(errDisk)
	require.ErrorIs(t, <-done, errDisk)
	require.NoError(t, <-released)

	require.True(t, w.alive(first), "nobody has decided its end")
	w.tick()
	require.False(t, w.alive(first))
}

// Otherwise a crash, or a write that fails, would leave a token in force that is
// dead at Zoho.
func TestRevoke_ZohoIsNotAskedBeforeTheDecisionIsStoredWhoeverAsks(t *testing.T) {
	w := newWorld(t)
	issued := w.read("crm-sync")
	w.allNamed(issued.TokenID)
	finish, first := w.holdBack(below("holders/"), func() error { return w.release(issued) })
	asked := map[string]chan error{"the same lease again": make(chan error, 1), "tick": make(chan error, 1)}
	go func() { asked["the same lease again"] <- w.release(issued) }()
	go func() { asked["tick"] <- w.engine.Tick(context.Background(), notTainted) }()
	require.Eventually(t, func() bool { return w.engine.Deciding(issued.TokenID) == 3 }, 10*time.Second, time.Millisecond)
	require.Zero(t, w.revocations())

	finish(errDisk)
	require.ErrorIs(t, <-first, errDisk)
	require.ErrorIs(t, <-asked["the same lease again"], errDisk)
	require.NoError(t, <-asked["tick"], "it tries again at the next one")
	w.settle()
	require.Zero(t, w.revocations())
	require.True(t, w.alive(issued))

	require.NoError(t, w.release(issued))
	require.False(t, w.alive(issued))
}

func TestRevoke_WhileTheMountClosesIsAnErrorAndNotForgotten(t *testing.T) {
	w := newWorld(t)
	first, second := w.read("crm-sync"), w.read("crm-sync")
	require.NoError(t, w.release(first))
	w.engine.Close()
	require.Error(t, w.release(second))
	w.start()
	require.NoError(t, w.release(second))
	require.False(t, w.alive(second))
}
