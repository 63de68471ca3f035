package backend_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/zohosim"
)

// A server's clock was wrong for a while. Zoho's never is.

func TestClock_AFailureWhileItWasAheadBlocksNobodyLater(t *testing.T) {
	for _, kind := range []zohosim.FaultKind{zohosim.FaultHTML500, zohosim.FaultThrottled} {
		for _, restart := range []bool{false, true} {
			w := newWorld(t)
			w.setClockWrong(365 * 24 * time.Hour)
			w.sim.Fault(zohosim.EndpointToken, zohosim.Fault{Kind: kind, Count: 1})
			require.Error(t, w.readError("crm-sync"))
			w.setClockWrong(0)
			if restart {
				w.restart()
			}
			if kind == zohosim.FaultThrottled {
				require.Error(t, w.readError("crm-sync"), "it may have been a moment ago, and Zoho wants silence")
			}
			w.clock.Advance(10*time.Minute + time.Second)
			require.True(t, w.alive(w.read("crm-sync")))
		}
	}
}

func TestClock_RequestsWhileItWasAheadCountForOneWindow(t *testing.T) {
	for _, restart := range []bool{false, true} {
		w := newWorld(t)
		w.setClockWrong(24 * time.Hour)
		for range 10 {
			require.NoError(t, w.release(w.read("crm-sync")))
		}
		w.setClockWrong(0)
		if restart {
			w.restart()
		}
		require.Error(t, w.readError("crm-sync"), "they may have been a moment ago")
		w.clock.Advance(11 * time.Minute)
		w.read("crm-sync")
		w.writeRole("also", settings.RoleChange{RefreshToken: &w.refreshToken})
		w.read("also")
	}
}

func TestClock_ATokenOfAWrongClockIsNotHandedOut(t *testing.T) {
	for name, wrong := range map[string]time.Duration{"a day": 24 * time.Hour, "a year": 365 * 24 * time.Hour, "some minutes": 7 * time.Minute} {
		for _, restart := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				w := newWorld(t)
				w.setClockWrong(wrong)
				ahead := w.read("crm-sync")
				w.setClockWrong(0)
				if restart {
					w.restart()
				}
				for range 4 {
					issued := w.read("crm-sync")
					require.NotEqual(t, ahead.TokenID, issued.TokenID)
					require.True(t, w.alive(issued))
					require.LessOrEqual(t, issued.TTL, time.Hour)
					w.clock.Advance(20 * time.Minute)
					w.tick()
				}
				w.clock.Advance(2 * time.Hour)
				w.tick()
				require.NotContains(t, w.keys("tokens/"), "tokens/"+ahead.TokenID, "it is not kept for as long as its times say")
				require.NoError(t, w.release(ahead), "its lease can still be revoked")
			})
		}
	}
}

func TestClock_ATokenOfAWrongClockIsRevokedWithItsLastLease(t *testing.T) {
	w := newWorld(t)
	w.setClockWrong(24 * time.Hour)
	first, second := w.read("crm-sync"), w.read("crm-sync")
	w.setClockWrong(0)
	w.tick()
	require.NoError(t, w.release(first))
	require.True(t, w.alive(second))
	require.NoError(t, w.release(second))
	require.False(t, w.alive(second))
}

// The new leader's clock may be a moment behind the former one's.
func TestClock_AMomentBetweenTwoNodesChangesNothing(t *testing.T) {
	w := newWorld(t)
	w.setClockWrong(3 * time.Second)
	issued := w.read("crm-sync")
	w.setClockWrong(0)
	w.restart()
	require.Equal(t, issued.TokenID, w.read("crm-sync").TokenID)
	w.tick()
	require.Equal(t, issued.TokenID, w.read("crm-sync").TokenID)
}

func TestClock_ConsentsBegunWhileItWasAheadEnd(t *testing.T) {
	w := newConsentWorld(t)
	w.setClockWrong(24 * time.Hour)
	callback := w.agreed()
	w.setClockWrong(0)
	w.refused(callback, "not valid")
	w.tick()
	require.Empty(t, w.keys("consents/"))
}

func TestClock_ARevocationThatFailedWhileItWasAheadGoesOn(t *testing.T) {
	w := newWorld(t)
	w.read("crm-sync")
	w.setClockWrong(365 * 24 * time.Hour)
	w.sim.SetDown(true)
	_, err := w.deauthorize("crm-sync", false)
	require.Error(t, err)
	w.sim.SetDown(false)
	w.setClockWrong(0)
	w.tick()
	require.False(t, w.formerLives())
}

func TestClock_WhatIsKeptOfDeadTokensWhileItWasAheadEnds(t *testing.T) {
	w := newWorld(t)
	w.setClockWrong(365 * 24 * time.Hour)
	require.NoError(t, w.release(w.read("crm-sync")))
	require.Len(t, w.keys("ended/"), 1)
	w.setClockWrong(0)
	w.tick()
	require.Empty(t, w.keys("ended/"))
}
