package backend_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend"
	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/backend/zoho"
	"vault-plugin-secrets-zoho/zohosim"
)

func (w *world) rotate(role string) (*backend.Rotated, error) {
	return w.engine.Rotate(w.t.Context(), role, false)
}

func TestRotate_KillsTheCurrentTokenAndTheNextReaderGetsTheNewOne(t *testing.T) {
	w := newWorld(t)
	former := w.read("crm-sync")
	w.clock.Advance(10 * time.Minute)
	rotated, err := w.rotate("crm-sync")
	require.NoError(t, err)
	require.Equal(t, []string{former.TokenID}, rotated.Ended)
	require.False(t, w.alive(former))
	w.restart()
	next := w.read("crm-sync")
	require.Equal(t, rotated.TokenID, next.TokenID)
	require.Equal(t, rotated.ExpiresAt, next.ExpiresAt)
	require.True(t, w.alive(next))
	require.Equal(t, 2, w.asked())

	revocations := w.revocations()
	require.NoError(t, w.release(former))
	require.Equal(t, revocations, w.revocations())
	require.True(t, w.alive(next), "invariant 6: never a newer one")
}

func TestRotate_ANewRoleMintsItsFirstToken(t *testing.T) {
	w := newWorld(t)
	rotated, err := w.rotate("crm-sync")
	require.NoError(t, err)
	require.Empty(t, rotated.Ended)
	require.Equal(t, rotated.TokenID, w.read("crm-sync").TokenID)
	require.Equal(t, 1, w.asked())
}

func TestRotate_IsForAllRolesOfTheGrantAndNoOther(t *testing.T) {
	w := newWorld(t)
	w.writeRole("books", settings.RoleChange{RefreshToken: &w.refreshToken})
	w.writeRole("own", settings.RoleChange{RefreshToken: &w.refreshToken, Exclusive: ptr(true)})
	w.writeRole("desk", settings.RoleChange{RefreshToken: ptr(w.consent())})
	books, own, desk := w.read("books"), w.read("own"), w.read("desk")
	rotated, err := w.rotate("crm-sync")
	require.NoError(t, err)
	require.False(t, w.alive(books))
	require.False(t, w.alive(own), "of the grant, all")
	require.ElementsMatch(t, []string{books.TokenID, own.TokenID}, rotated.Ended)
	require.True(t, w.alive(desk))
	require.Equal(t, rotated.TokenID, w.read("books").TokenID)
}

func TestRotate_WhatCannotBeMeantAsksNothing(t *testing.T) {
	w := newWorld(t)
	w.writeRole("own", settings.RoleChange{RefreshToken: &w.refreshToken, Exclusive: ptr(true)})
	w.writeRole("desk", settings.RoleChange{Scopes: &scopes})
	for role, says := range map[string]string{"nobody": "does not exist", "own": "exclusive", "desk": "no refresh token yet"} {
		_, err := w.rotate(role)
		var bad *settings.UserError
		require.ErrorAs(t, err, &bad)
		require.Contains(t, err.Error(), says)
	}
	require.Empty(t, w.sim.Requests())
}

// Invariant 15: whoever has the grant in common must not lose the token for nothing.
func TestRotate_IfNothingCanBeMintedNothingIsRevoked(t *testing.T) {
	for name, arrange := range map[string]func(*world){
		"Zoho is down": func(w *world) { w.sim.SetDown(true) },
		"Zoho throttles": func(w *world) {
			w.sim.Fault(zohosim.EndpointToken, zohosim.Fault{Kind: zohosim.FaultThrottled, Count: 1})
		},
		"the budget is out": func(w *world) { w.configure(settings.ConfigChange{RequestBudget: ptr(1)}) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			former := w.read("crm-sync")
			arrange(w)
			_, err := w.rotate("crm-sync")
			require.Contains(t, grantError(t, err).Error(), "so none was revoked")
			require.True(t, w.alive(former))
			require.Equal(t, former.TokenID, w.read("crm-sync").TokenID)

			_, err = w.engine.Rotate(t.Context(), "crm-sync", true)
			require.Contains(t, grantError(t, err).Error(), "No new access token")
			require.Contains(t, err.Error(), former.TokenID, "it says which it ended")
			w.sim.SetDown(false)
			w.clock.Advance(15 * time.Minute)
			w.tick()
			require.False(t, w.alive(former))
			require.NotEqual(t, former.TokenID, w.read("crm-sync").TokenID)
		})
	}
}

func TestRotate_EndsEveryTokenOfTheGrantBesideTheNewOne(t *testing.T) {
	w := newWorld(t)
	first := w.read("crm-sync")
	w.clock.Advance(10 * time.Second)
	second, err := w.engine.Issue(t.Context(), "crm-sync", backend.Reader{MinTTL: time.Hour - 5*time.Second})
	require.NoError(t, err)
	require.NotEqual(t, first.TokenID, second.TokenID)
	rotated, err := w.rotate("crm-sync")
	require.NoError(t, err)
	require.False(t, w.alive(first), "it was superseded, and leased")
	require.False(t, w.alive(second))
	require.Equal(t, rotated.TokenID, w.read("crm-sync").TokenID)
}

// The new token is there; the former one is handed out no more, and ends later.
func TestRotate_IfTheFormerTokenCannotBeRevokedTickGoesOn(t *testing.T) {
	w := newWorld(t)
	former := w.read("crm-sync")
	w.sim.Fault(zohosim.EndpointRevoke, zohosim.Fault{Kind: zohosim.FaultHTML500})
	w.sim.Fault(zohosim.EndpointLegacyRevoke, zohosim.Fault{Kind: zohosim.FaultHTML500})
	_, err := w.rotate("crm-sync")
	failed := grantError(t, err)
	require.Contains(t, failed.Error(), former.TokenID)
	require.Contains(t, failed.Error(), "tried again every few minutes")
	require.NotEqual(t, former.TokenID, w.read("crm-sync").TokenID)
	w.sim.ClearFaults()
	w.clock.Advance(time.Minute)
	w.tick()
	require.False(t, w.alive(former))
}

func TestRotate_KeepsToTheBudget(t *testing.T) {
	w := newWorld(t)
	for range 7 {
		_, err := w.rotate("crm-sync")
		require.NoError(t, err)
	}
	for range 3 {
		_, err := w.rotate("crm-sync")
		require.Equal(t, zoho.Throttled, grantError(t, err).Kind)
	}
	require.Equal(t, 7, w.asked())
	w.read("crm-sync") // the rest is kept for readers
}

func TestRotate_IsTheRetryAfterARefusal(t *testing.T) {
	w := newWorld(t)
	w.sim.Fault(zohosim.EndpointToken, zohosim.Fault{Kind: zohosim.FaultAnswer, Body: `{"error":"invalid_client"}`, Count: 1})
	for range 3 {
		require.Equal(t, "invalid_client", grantError(t, w.readError("crm-sync")).Code)
	}
	require.Equal(t, 1, w.asked())
	rotated, err := w.rotate("crm-sync")
	require.NoError(t, err)
	require.Equal(t, rotated.TokenID, w.read("crm-sync").TokenID)
}

func TestRotate_ManyAtOnceNeverLeaveMoreThanOneTokenAndNoErrorButTheBudgets(t *testing.T) {
	w := newWorld(t)
	w.read("crm-sync")
	for _, err := range atOnce(20, func(int) error { _, err := w.rotate("crm-sync"); return err }) {
		if err != nil && err.Error() != "the new access token was revoked as soon as it was there; try again" {
			require.Equal(t, zoho.Throttled, grantError(t, err).Kind)
		}
	}
	w.settle()
	require.LessOrEqual(t, w.asked(), 10)
	require.LessOrEqual(t, w.sim.LiveTokens(w.refreshToken), 1)
}

func TestRotate_ACallerThatDisconnectsDoesNotCutItInHalf(t *testing.T) {
	w := newWorld(t)
	former := w.read("crm-sync")
	before := len(w.sim.Requests())
	release := w.holdAnswers()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { _, err := w.engine.Rotate(ctx, "crm-sync", false); done <- err }()
	w.waitForRequests(before + 1)
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
	release()
	w.settle()
	require.False(t, w.alive(former))
	require.True(t, w.alive(w.read("crm-sync")))
	require.Equal(t, 2, w.asked())
}

func TestRotate_StorageThatFailsNeverHandsOutADeadToken(t *testing.T) {
	for k, hit := 0, true; hit; k++ {
		w := newWorld(t)
		former := w.read("crm-sync")
		failed := w.failingFrom(k, false)
		_, err := w.rotate("crm-sync")
		w.settle()
		w.storage.failing(nil)
		hit = *failed
		require.True(t, hit == (err != nil), "%d: %v", k, err)
		w.restart()
		next := w.read("crm-sync")
		require.True(t, w.alive(next))
		w.leases = []*backend.Issued{former, next}
		w.endsClean("rotate")
	}
}

// A role that was authorized again has another grant. What it handed out before is no
// less leaked.
func TestRotate_EndsWhatTheRoleHasHandedOutWithFormerCredentials(t *testing.T) {
	w := newWorld(t)
	_, err := w.writeCode("x", w.code())
	require.NoError(t, err)
	former := w.read("x")
	_, err = w.writeCode("x", w.code())
	require.NoError(t, err)
	w.settle()
	info, err := w.engine.Token(t.Context(), former.TokenID)
	require.NoError(t, err)
	require.Equal(t, backend.TokenSuperseded, info.State, "no role hands it out")
	others := w.read("crm-sync")
	rotated, err := w.rotate("x")
	require.NoError(t, err)
	require.Contains(t, rotated.Ended, former.TokenID)
	require.False(t, w.alive(former))
	require.True(t, w.alive(others))
	require.Empty(t, rotated.Warnings)
}

func TestRotate_WarnsOfWhatAnotherRoleHandsOutAsWell(t *testing.T) {
	w := newWorld(t)
	w.writeRole("x", settings.RoleChange{RefreshToken: &w.refreshToken})
	shared := w.read("x")
	w.writeRole("x", settings.RoleChange{RefreshToken: ptr(w.consent())})
	rotated, err := w.rotate("x")
	require.NoError(t, err)
	require.True(t, w.alive(shared), "it is crm-sync's as well")
	require.Len(t, rotated.Warnings, 1)
	require.Contains(t, rotated.Warnings[0], shared.TokenID)
	require.Contains(t, rotated.Warnings[0], "crm-sync")
}

func TestRotate_WithForceAnswersWhatMattersMost(t *testing.T) {
	w := newWorld(t)
	w.configure(settings.ConfigChange{RequestBudget: ptr(1)})
	w.read("crm-sync")
	w.sim.SetDown(true)
	_, err := w.engine.Rotate(t.Context(), "crm-sync", true)
	failed := grantError(t, err)
	require.Equal(t, zoho.Unreachable, failed.Kind, "the revocation failed, and not only the mint")
	require.Contains(t, failed.Error(), "budget")
}

// Both roles have gone on to other credentials. The readers of the one are no business of
// whoever may rotate the other.
func TestRotate_LeavesATokenOfFormerCredentialsThatReadersOfAnotherRoleHave(t *testing.T) {
	w := newWorld(t)
	w.writeRole("x", settings.RoleChange{RefreshToken: &w.refreshToken})
	mine, theirs := w.read("x"), w.read("crm-sync")
	require.Equal(t, mine.TokenID, theirs.TokenID)
	for _, role := range []string{"x", "crm-sync"} {
		w.writeRole(role, settings.RoleChange{RefreshToken: ptr(w.consent())})
	}
	rotated, err := w.rotate("x")
	require.NoError(t, err)
	require.True(t, w.alive(theirs))
	require.Contains(t, joined(rotated.Warnings), "crm-sync")
}

// crowded is a mount with n leased tokens of a grant; Zoho allows ten.
func crowded(t *testing.T, n int) (w *world, held []*backend.Issued) {
	t.Helper()
	w = newWorldWith(t, zohosim.Options{Throttle: throttleOff})
	w.configure(settings.ConfigChange{RequestBudget: ptr(100)})
	w.writeRole("own", settings.RoleChange{RefreshToken: &w.refreshToken, Exclusive: ptr(true)})
	held = append(held, w.read("crm-sync"))
	for len(held) < n {
		held = append(held, w.read("own"))
	}
	return w, held
}

// Zoho has ten places, and three are kept for readers who have no token. A rotation needs
// one of them for a moment only.
func TestRotate_MayUseThePlacesThatAreKeptForReaders(t *testing.T) {
	for _, n := range []int{7, 9} {
		w, held := crowded(t, n)
		_, err := w.reject("crm-sync", held[0].TokenID)
		require.ErrorContains(t, err, "The other 3 of max_live_tokens (10) are kept for readers who have no token")
		require.NotContains(t, err.Error(), "Zoho kills")
		rotated, err := w.rotate("crm-sync")
		require.NoError(t, err)
		require.Len(t, rotated.Ended, n)
		require.Equal(t, rotated.TokenID, w.read("crm-sync").TokenID)
		require.Equal(t, 1, w.sim.LiveTokens(w.refreshToken))
	}
}

func TestRotate_WithAllPlacesTakenEndsNothingUnlessForcedAndThenBringsAToken(t *testing.T) {
	w, held := crowded(t, 10)
	_, err := w.rotate("crm-sync")
	require.Contains(t, grantError(t, err).Error(), "beyond max_live_tokens (10)")
	for _, lease := range held {
		require.True(t, w.alive(lease))
	}
	rotated, err := w.engine.Rotate(t.Context(), "crm-sync", true)
	require.NoError(t, err)
	require.Len(t, rotated.Ended, 10)
	require.Equal(t, rotated.TokenID, w.read("crm-sync").TokenID)
	require.Equal(t, 1, w.sim.LiveTokens(w.refreshToken))
}

// Invariant 15: other grants have the same places. Who rotates one takes one place at a time,
// and ends nobody else's token.
func TestRotate_InALoopLeavesThePlacesOfOtherGrants(t *testing.T) {
	w := newWorldWith(t, zohosim.Options{Throttle: throttleOff})
	w.configure(settings.ConfigChange{RequestBudget: ptr(100)})
	w.robot("robot", "ZohoCRM.modules.READ")
	w.robot("evil", "ZohoCRM.modules.ALL")
	others := []*backend.Issued{w.read("robot")}
	for range 20 {
		_, err := w.rotate("evil")
		require.NoError(t, err)
		w.read("evil")
	}
	for _, lease := range others {
		require.True(t, w.alive(lease))
	}
	w.kill(others[0].TokenID)
	require.True(t, w.alive(w.read("robot")))
	status := w.status("robot")
	require.Equal(t, 2, status.LiveTokens)
}
