package backend_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend"
	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/zohosim"
)

// What the writer or reader of one role could do to the others, found in reviews.

// junk is a refresh token that Zoho does not know.
func junk(i int) *string { return ptr(fmt.Sprintf("1000.%032x.%032x", i, i)) }

// Invariants 15 and 17.
func TestRevocation_RefreshTokensThatNeverWorkedDoNotGather(t *testing.T) {
	w := newWorld(t)
	for _, endpoint := range []zohosim.Endpoint{zohosim.EndpointRevoke, zohosim.EndpointLegacyRevoke} {
		w.sim.Fault(endpoint, zohosim.Fault{Kind: zohosim.FaultAnswer, Status: 401, Body: "{}"})
	}
	w.writeRole("evil", w.evilTwin(settings.RoleChange{RefreshToken: junk(0)}))
	for i := range 30 {
		w.writeRole("evil", settings.RoleChange{RefreshToken: junk(i)})
		_, err := w.deauthorize("evil", false)
		require.ErrorContains(t, err, "has never worked here")
	}
	for range 30 { // of those that look at one role at the same moment, one gets on
		w.tick()
	}
	require.Empty(t, w.unwanted())
	require.Empty(t, w.refreshTokenOf("evil"))
}

// Invariant 14: nobody has read a token of crm-sync yet.
func TestDeauthorize_AWrongSecretDoesNotEndARefreshTokenThatWasNotUsedYet(t *testing.T) {
	w := newWorld(t)
	w.writeRole("evil", w.evilTwin(settings.RoleChange{RefreshToken: &w.refreshToken}))
	_, err := w.deauthorize("evil", true)
	require.ErrorContains(t, err, "has never got an access token")
	require.True(t, w.formerLives())
	w.read("crm-sync")
}

// Invariant 15: whoever knows a client ID must not use up what others may try.
func TestBudget_RefusedCredentialsOfOneRoleKeepNoOtherFromItsOwn(t *testing.T) {
	w := newWorld(t)
	for i := range 12 {
		_, _ = w.write("evil", w.evilTwin(settings.RoleChange{RefreshToken: junk(i)}))
	}
	_, err := w.write("fresh", settings.RoleChange{RefreshToken: ptr(w.consent())})
	require.NoError(t, err)
	require.True(t, w.alive(w.read("fresh")))
}

// Invariant 17.
func TestBudget_EverNewClientsOfOneRoleHaveALimit(t *testing.T) {
	w := newWorld(t)
	for i := range 50 {
		_, _ = w.write("evil", settings.RoleChange{ClientID: ptr(fmt.Sprintf("1000.C%d", i)), ClientSecret: ptr(guess), RefreshToken: junk(i)})
		_, _ = w.write("evil", settings.RoleChange{ClientID: ptr(fmt.Sprintf("1000.D%d", i)), ClientSecret: ptr(guess), Code: ptr("1000.bogus.code")})
	}
	require.LessOrEqual(t, w.asked(), 10)
	require.LessOrEqual(t, len(w.keys("refresh-tokens/")), 30)
}

// Invariant 15: a role whose credentials never worked does not count among those
// that share the reserve.
func TestBudget_ARoleThatNeverWorkedHasNoPartOfTheReserve(t *testing.T) {
	w := newWorld(t)
	w.robot("robot", "ZohoCRM.modules.READ")
	require.NoError(t, w.release(w.read("robot")))
	for i := range 10 {
		change := w.evilTwin(settings.RoleChange{GrantType: clientCredentials, Scopes: &scopes, Verify: ptr(false)})
		change.ClientSecret = ptr(fmt.Sprintf("guess-%d", i))
		w.writeRole("evil", change)
		_ = w.readError("evil")
	}
	require.Equal(t, 1+3, w.asked(), "the role's share")
	for range 6 {
		require.NoError(t, w.release(w.read("robot")))
	}
}

// Invariant 15: a part of the live tokens is kept for readers who have none.
func TestBudget_ReadersWhoAskForMoreThanTheirRoleLeaveRoomForLiveTokens(t *testing.T) {
	w := newWorld(t)
	w.robot("robot", "ZohoCRM.modules.READ")
	w.robot("other", "ZohoCRM.settings.READ")
	for range 2 {
		for range 7 {
			w.clock.Advance(2 * time.Second)
			_, _ = w.engine.Issue(t.Context(), "other", backend.Reader{MinTTL: 3598 * time.Second})
		}
		w.clock.Advance(11 * time.Minute)
	}
	for range 3 {
		_, err := w.engine.Issue(t.Context(), "robot", backend.Reader{})
		require.NoError(t, err)
		w.clock.Advance(10 * time.Minute)
	}
}

// Invariant 15: one role does not decide whether the mount's new secret is right.
func TestVerify_OneRoleDoesNotKeepTheOperatorFromANewSecret(t *testing.T) {
	w := newWorld(t)
	web := w.sim.AddClient(zohosim.ClientSpec{Kind: zohosim.WebClient, RedirectURIs: []string{callbackURL}})
	w.configure(settings.ConfigChange{ClientID: &web.ID, ClientSecret: ptr("former-secret")})
	w.writeRole("prod", settings.RoleChange{RefreshToken: ptr(w.sim.Consent(web, "us", "user@example.com", scopes))})
	w.writeRole("aaa", settings.RoleChange{GrantType: clientCredentials, Scopes: &scopes})
	_, err := w.engine.WriteConfig(t.Context(), settings.ConfigChange{ClientSecret: ptr(web.Secret("us"))})
	require.NoError(t, err, "the secret is right")
	w.read("prod")
	_, err = w.engine.WriteConfig(t.Context(), settings.ConfigChange{ClientSecret: ptr(guess)})
	require.ErrorContains(t, err, "The config was not written")
}

// Invariant 15: whoever has the grant in common and rotates in a loop.
func TestRotate_InALoopKeepsNobodyFromAToken(t *testing.T) {
	w := newWorld(t)
	w.robot("robot", "ZohoCRM.modules.READ")
	w.robot("third", "ZohoCRM.settings.READ")
	w.read("robot")
	w.robot("evil", "ZohoCRM.modules.READ") // with the mount's client, whose secret its writer does not know
	var held *backend.Issued
	for range 20 {
		_, _ = w.rotate("evil")
		var err error
		held, err = w.engine.Issue(t.Context(), "robot", backend.Reader{})
		require.NoError(t, err)
	}
	_, _ = w.rotate("evil")
	require.True(t, w.alive(held), "there is no budget for a new one")
}

// Invariant 17.
func TestSweep_WhatSomebodyOnlyAskedAboutLeavesMemorySoon(t *testing.T) {
	w := newWorld(t)
	for i := range 2000 {
		w.writeRole("x", settings.RoleChange{RefreshToken: junk(i)})
		w.status("x")
	}
	w.settle() // what goes on after a write looks at the former refresh token
	w.clock.Advance(3 * time.Minute)
	w.tick()
	require.Less(t, w.engine.Remembered(), 10)
}

// A server that answers with the same token in its last second.
func TestIssue_OneReadSpendsOneRequestWhateverTheServerAnswers(t *testing.T) {
	w := newWorld(t)
	w.clock.Advance(900 * time.Millisecond)
	w.sim.Fault(zohosim.EndpointToken, zohosim.Fault{Kind: zohosim.FaultAnswer, Body: `{"access_token":"1000.aaaa.bbbb","expires_in":4}`})
	_, _ = w.engine.Issue(t.Context(), "crm-sync", backend.Reader{})
	before := w.asked()
	w.clock.Advance(2500 * time.Millisecond)
	_, _ = w.engine.Issue(t.Context(), "crm-sync", backend.Reader{})
	require.LessOrEqual(t, w.asked()-before, 1)
}

// Invariants 4, 5 and 6: a clock that is behind for a moment, as after a boot.
func TestClock_ThatWasBehindEvictsNoLeasedToken(t *testing.T) {
	w := newWorld(t)
	w.sim.SetThrottle(throttleOff)
	w.configure(settings.ConfigChange{RequestBudget: ptr(1000)})
	w.writeRole("own", settings.RoleChange{RefreshToken: &w.refreshToken, Exclusive: ptr(true)})
	var held []*backend.Issued
	read := func(n int) {
		for range n {
			if issued, err := w.engine.Issue(t.Context(), "own", backend.Reader{}); err == nil {
				held = append(held, issued)
			}
			w.clock.Advance(time.Second)
		}
	}
	read(8)
	w.setClockWrong(-2 * time.Hour)
	w.tick()
	w.status("own")
	read(1)
	w.restart()
	read(1)
	w.setClockWrong(0)
	w.clock.Advance(time.Minute)
	read(10)
	for i, lease := range held {
		require.True(t, w.alive(lease), "lease %d of %d", i, len(held))
	}
}

func TestClock_ThatWasBehindForgetsNoRequests(t *testing.T) {
	w := newWorld(t)
	w.sim.SetThrottle(throttleOff)
	spend := func() {
		for range 20 {
			if issued, err := w.engine.Issue(t.Context(), "crm-sync", backend.Reader{}); err == nil {
				require.NoError(t, w.release(issued))
			}
		}
	}
	spend()
	require.Equal(t, 10, w.asked())
	w.setClockWrong(-24 * time.Hour)
	require.Error(t, w.readError("crm-sync"))
	w.restart()
	require.Error(t, w.readError("crm-sync"))
	w.setClockWrong(0)
	spend()
	require.Equal(t, 10, w.asked())
}

func TestClock_ThatWasBehindLeavesTokensRevocable(t *testing.T) {
	for _, tick := range []bool{true, false} {
		w := newWorld(t)
		lease := w.read("crm-sync")
		w.clock.Advance(time.Minute)
		w.setClockWrong(-2 * time.Hour)
		w.tick()
		w.setClockWrong(0)
		if tick {
			w.tick()
		}
		require.NoError(t, w.release(lease))
		w.settle()
		require.False(t, w.alive(lease))
	}
}
