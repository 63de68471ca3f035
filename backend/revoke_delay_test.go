package backend_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend"
	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/zohosim"
)

const delay = 5 * time.Minute

// newDelayWorld has a role crm-sync whose token is kept for the next reader.
func newDelayWorld(t tb) *world {
	t.Helper()
	w := newWorld(t)
	w.keepFor("crm-sync", delay)
	return w
}

func (w *world) keepFor(role string, delay time.Duration) {
	w.t.Helper()
	w.writeRole(role, settings.RoleChange{RevokeDelay: &delay})
}

// kept is a token that nobody leases any more, and that is kept.
func (w *world) kept(role string) *backend.Issued {
	w.t.Helper()
	issued := w.read(role)
	require.NoError(w.t, w.release(issued))
	require.True(w.t, w.alive(issued))
	return issued
}

func TestRevokeDelay_JobsThatGiveBackTheirLeaseShareOneToken(t *testing.T) {
	w := newDelayWorld(t)
	first := w.kept("crm-sync")
	for range 40 {
		w.clock.Advance(30 * time.Second)
		w.tick()
		require.Equal(t, first.TokenID, w.kept("crm-sync").TokenID)
	}
	require.Equal(t, 1, w.asked(), "forty jobs in twenty minutes")
	require.Zero(t, w.revocations())
}

func TestRevokeDelay_AfterItWithNobodyLeasingTheTokenIsDead(t *testing.T) {
	w := newDelayWorld(t)
	issued := w.kept("crm-sync")
	w.clock.Advance(delay - time.Second)
	w.tick()
	require.True(t, w.alive(issued))
	w.clock.Advance(time.Second)
	w.tick()
	require.False(t, w.alive(issued))
	require.Empty(t, w.keys("tokens/"))
	require.Empty(t, w.keys("holders/"))
	require.NotEqual(t, issued.TokenID, w.read("crm-sync").TokenID)
}

func TestRevokeDelay_CountsFromTheLatestLeaseThatEnded(t *testing.T) {
	w := newDelayWorld(t)
	issued := w.kept("crm-sync")
	w.clock.Advance(delay - time.Second)
	held := w.read("crm-sync")
	w.clock.Advance(delay)
	w.tick()
	require.True(t, w.alive(issued), "it is leased")
	require.NoError(t, w.release(held))
	w.clock.Advance(delay - time.Second)
	w.tick()
	require.True(t, w.alive(issued))
	w.clock.Advance(time.Second)
	w.tick()
	require.False(t, w.alive(issued))
}

func TestRevokeDelay_WithoutItTheLastLeaseEndsTheToken(t *testing.T) {
	w := newWorld(t)
	issued := w.read("crm-sync")
	require.NoError(t, w.release(issued))
	require.False(t, w.alive(issued))
}

func TestRevokeDelay_WhatEndsATokenEndsAKeptOneAtOnce(t *testing.T) {
	for what, end := range map[string]func(w *world, kept *backend.Issued){
		"rotate":                func(w *world, _ *backend.Issued) { _, err := w.rotate("crm-sync"); require.NoError(t, err) },
		"deauthorize":           func(w *world, _ *backend.Issued) { _, err := w.deauthorize("crm-sync", true); require.NoError(t, err) },
		"deletion of the token": func(w *world, kept *backend.Issued) { w.kill(kept.TokenID) },
		"deletion of the role":  func(w *world, _ *backend.Issued) { w.deleteRole("crm-sync") },
		"no delay any more":     func(w *world, _ *backend.Issued) { w.keepFor("crm-sync", 0) },
		"another refresh token": func(w *world, _ *backend.Issued) {
			w.writeRole("crm-sync", settings.RoleChange{RefreshToken: ptr(w.consent())})
		},
		"a newer token": func(w *world, _ *backend.Issued) {
			w.clock.Advance(10 * time.Second)
			_, err := w.engine.Issue(t.Context(), "crm-sync", backend.Reader{MinTTL: 59*time.Minute + 55*time.Second})
			require.NoError(t, err)
		},
		"a mount being disabled": func(w *world, _ *backend.Issued) { require.NoError(t, w.engine.Tick(t.Context(), tainted)) },
	} {
		for _, shared := range []bool{false, true} {
			t.Run(what, func(t *testing.T) {
				w := newDelayWorld(t)
				if shared { // by a role that wants nothing kept
					w.writeRole("also", settings.RoleChange{RefreshToken: &w.refreshToken})
					w.kept("crm-sync")
					require.NoError(t, w.release(w.read("also")))
				}
				kept := w.kept("crm-sync")
				end(w, kept)
				w.settle()
				require.False(t, w.alive(kept))
			})
		}
	}
}

func TestRevokeDelay_OnAMountThatIsBeingDisabledKeepsNothing(t *testing.T) {
	w := newDelayWorld(t)
	issued := w.read("crm-sync")
	require.NoError(t, w.engine.Release(t.Context(), leaseOf(issued), tainted))
	require.False(t, w.alive(issued))
}

// As if each lease of a role with a delay were that much longer.
func TestRevokeDelay_OfSeveralRolesWithOneTokenTheLongestCountsWhoeverLeavesLast(t *testing.T) {
	for _, order := range [][]string{{"crm-sync", "also", "books"}, {"books", "also", "crm-sync"}, {"also", "crm-sync", "books"}} {
		w := newDelayWorld(t)
		w.writeRole("also", settings.RoleChange{RefreshToken: &w.refreshToken, RevokeDelay: ptr(2 * time.Minute)})
		w.writeRole("books", settings.RoleChange{RefreshToken: &w.refreshToken})
		held := map[string]*backend.Issued{}
		for _, role := range order {
			held[role] = w.read(role)
		}
		for _, role := range order {
			require.NoError(t, w.release(held[role]))
		}
		w.clock.Advance(delay - time.Second)
		w.tick()
		require.True(t, w.alive(held["books"]), order)
		w.clock.Advance(time.Second)
		w.tick()
		require.False(t, w.alive(held["books"]), order)
	}
}

func TestRevokeDelay_IsThatOfTheRolesThatHaveHadTheToken(t *testing.T) {
	w := newDelayWorld(t)
	w.writeRole("also", settings.RoleChange{RefreshToken: &w.refreshToken})
	issued := w.read("also")
	require.NoError(t, w.release(issued))
	require.False(t, w.alive(issued), "nobody of crm-sync has leased it")
}

// Invariant 8.
func TestRevokeDelay_ARestartDoesNotLengthenIt(t *testing.T) {
	w := newDelayWorld(t)
	issued := w.kept("crm-sync")
	for range 4 {
		w.clock.Advance(delay/4 - time.Second)
		w.restart()
		w.tick()
		require.True(t, w.alive(issued))
	}
	require.Equal(t, issued.TokenID, w.read("crm-sync").TokenID, "and a reader gets it")
	w.restart()
	require.NoError(t, w.release(issued))
	require.True(t, w.alive(issued), "one lease is left")
}

func TestRevokeDelay_ARestartAfterItEndsTheToken(t *testing.T) {
	w := newDelayWorld(t)
	issued := w.kept("crm-sync")
	w.clock.Advance(delay)
	w.restart()
	w.tick()
	require.False(t, w.alive(issued))
}

// Invariant 8: a release that is not in storage has not succeeded, and Vault asks again.
func TestRevokeDelay_AReleaseThatCouldNotBeStoredIsAnError(t *testing.T) {
	w := newDelayWorld(t)
	issued := w.read("crm-sync")
	w.storage.failing(below("holders/"))
	require.ErrorIs(t, w.release(issued), errDisk)
	w.storage.failing(nil)
	w.clock.Advance(delay)
	w.tick()
	require.True(t, w.alive(issued), "it is leased")
	require.NoError(t, w.release(issued))
	w.clock.Advance(delay)
	w.tick()
	require.False(t, w.alive(issued))
}

// Invariant 5: a token that is only kept gives way to one that somebody needs.
func TestRevokeDelay_KeepsNoPlaceFromATokenThatSomebodyNeeds(t *testing.T) {
	w := newWorldWith(t, zohosim.Options{Throttle: throttleOff})
	w.configure(settings.ConfigChange{MaxLiveTokens: ptr(4)})
	w.sim.SetMaxLiveTokens(4)
	var kept []*backend.Issued
	for _, scope := range []string{"a", "b", "c", "d"} {
		w.robot("robot-"+scope, "ZohoCRM."+scope+".READ")
		w.keepFor("robot-"+scope, 10*time.Minute)
		kept = append(kept, w.kept("robot-"+scope))
		w.clock.Advance(time.Second)
	}
	w.robot("needs-one", "ZohoCRM.e.READ")
	require.True(t, w.alive(w.read("needs-one")))
	require.False(t, w.alive(kept[0]))
	require.True(t, w.alive(kept[3]))
}

// Invariant 17.
func TestRevokeDelay_AWrongClockDoesNotKeepAToken(t *testing.T) {
	w := newDelayWorld(t)
	issued := w.read("crm-sync")
	w.setClockWrong(20 * time.Minute)
	require.NoError(t, w.release(issued))
	w.setClockWrong(0)
	w.tick()
	require.False(t, w.alive(issued))
}

func TestRevokeDelay_ATokenThatIsOnlyKeptIsNotMintedAhead(t *testing.T) {
	w := newDelayWorld(t)
	held := w.read("crm-sync")
	w.clock.Advance(28 * time.Minute) // a tenth before half of its life, at the least
	require.NoError(t, w.release(held))
	w.clock.Advance(delay - time.Second)
	w.tick()
	require.Equal(t, 1, w.asked())
	w.clock.Advance(time.Second)
	w.tick()
	require.Zero(t, w.sim.LiveTokens(w.refreshToken))
}

func TestRevokeDelay_IsRefusedWhereItMakesNoSense(t *testing.T) {
	w := newDelayWorld(t)
	for _, change := range []settings.RoleChange{
		{Exclusive: ptr(true)},
		{RevokeDelay: ptr(-time.Second)},
		{RevokeDelay: ptr(10*time.Minute + time.Second)},
	} {
		_, err := w.write("crm-sync", change)
		require.ErrorContains(t, err, "revoke_delay")
	}
	w.writeRole("crm-sync", settings.RoleChange{Exclusive: ptr(true), RevokeDelay: ptr(time.Duration(0))})
}

// Invariant 14: whoever does not know the client's secret has another grant, and his delay
// keeps no token of others.
func TestTenants_ARevokeDelayKeepsNoTokenOfAnotherGrant(t *testing.T) {
	w := newWorld(t)
	issued := w.read("crm-sync")
	evil := w.evilTwin(settings.RoleChange{RefreshToken: &w.refreshToken, RevokeDelay: ptr(10 * time.Minute), Verify: ptr(false)})
	w.writeRole("evil", evil)
	require.Error(t, w.readError("evil"))
	require.NoError(t, w.release(issued))
	require.False(t, w.alive(issued))
}

func TestRevokeDelay_ATokenThatNoReaderWouldGetIsNotKept(t *testing.T) {
	w := newDelayWorld(t)
	superseded := w.read("crm-sync")
	w.clock.Advance(55 * time.Minute)
	w.read("crm-sync")
	require.NoError(t, w.release(superseded))
	require.False(t, w.alive(superseded))
}
