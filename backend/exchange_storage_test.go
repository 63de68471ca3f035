package backend_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/zohosim"
)

// failingFrom fails the writes from number k on, counted from 0; only that one
// if once. It reports whether it came to that.
func (w *world) failingFrom(k int, once bool) (failed *bool) {
	failed = new(bool)
	n := 0
	w.storage.failing(func(string) bool {
		n++
		fails := n == k+1 || (n > k && !once)
		*failed = *failed || fails
		return fails
	})
	return failed
}

// Invariant 9: whatever write of a code exchange fails, the refresh token is
// stored or revoked, and the former role is there and works.
func TestExchange_StorageFailingAtEachWriteLosesNoRefreshToken(t *testing.T) {
	for _, once := range []bool{true, false} {
		for _, former := range []bool{true, false} {
			t.Run(fmt.Sprintf("once=%t former role=%t", once, former), func(t *testing.T) {
				for k, failed := 0, true; failed; k++ {
					require.Less(t, k, 30)
					failed = exchangeFailingAt(t, k, once, former)
				}
			})
		}
	}
}

func exchangeFailingAt(t *testing.T, k int, once, former bool) (failed bool) {
	what := fmt.Sprintf("write %d fails", k)
	w := newWorld(t)
	w.deleteRole("crm-sync")
	if former {
		_, err := w.writeCode("crm-sync", w.code())
		require.NoError(t, err)
	} else {
		w.sim.Kill(w.refreshToken)
	}
	w.sim.Kill(w.refreshToken)
	before, err := w.engine.Role(t.Context(), "crm-sync")
	require.NoError(t, err)
	exchanges := w.asked()

	hit := w.failingFrom(k, once)
	_, err = w.writeCode("crm-sync", w.code())
	w.settle()
	w.storage.failing(nil)
	after, readErr := w.engine.Role(t.Context(), "crm-sync")
	require.NoError(t, readErr)
	if err == nil {
		require.NotEqual(t, before, after, what)
	} else {
		require.ErrorIs(t, err, errDisk, what)
		require.Equal(t, before, after, what)
		told := strings.Contains(err.Error(), "has been revoked") || strings.Contains(err.Error(), "is revoked by itself") || strings.Contains(err.Error(), "could not be revoked yet")
		require.Equal(t, w.asked() > exchanges, told, "%s: %v", what, err)
	}
	w.restart()
	if after != nil {
		require.True(t, w.alive(w.read("crm-sync")), what)
		require.True(t, w.sim.Alive(after.RefreshToken.Reveal()))
	}
	for range 4 { // what could not be tidied up at once is the work of a Tick
		w.clock.Advance(2 * time.Minute)
		w.tick()
	}
	if after == nil {
		require.Empty(t, w.living("refresh"), what)
	} else {
		require.Len(t, w.living("refresh"), 1, what)
		require.True(t, w.sim.Alive(after.RefreshToken.Reveal()), what)
	}
	return *hit
}

// Invariant 9: what can be neither stored nor revoked is told.
func TestExchange_WhatCanBeNeitherStoredNorRevokedIsSaid(t *testing.T) {
	w := newWorld(t)
	for _, endpoint := range []zohosim.Endpoint{zohosim.EndpointRevoke, zohosim.EndpointLegacyRevoke} {
		w.sim.Fault(endpoint, zohosim.Fault{Kind: zohosim.FaultHTML500})
	}
	code := w.code()
	finish, done := w.holdBack(below("clients/"), func() error { _, err := w.writeCode("crm-sync", code); return err })
	w.storage.failing(func(string) bool { return true })
	finish(nil) // the request is counted; after it the disk is gone
	err := <-done
	w.storage.failing(nil)
	require.ErrorIs(t, err, errDisk)
	require.Contains(t, err.Error(), "lives on at Zoho")
	require.Contains(t, err.Error(), "Connected Apps")
	require.NotContains(t, err.Error(), code)
	require.Equal(t, w.refreshToken, w.refreshTokenOf("crm-sync"))
	require.True(t, w.alive(w.read("crm-sync")))
}

// Invariant 9.
func TestExchange_WhatIsNotStoredAndCannotBeRevokedYetIsRevokedByTick(t *testing.T) {
	w := newWorld(t)
	code := w.code()
	w.storage.failing(below("roles/"))
	for _, endpoint := range []zohosim.Endpoint{zohosim.EndpointRevoke, zohosim.EndpointLegacyRevoke} {
		w.sim.Fault(endpoint, zohosim.Fault{Kind: zohosim.FaultHTML500})
	}
	_, err := w.writeCode("crm-sync", code)
	require.ErrorIs(t, err, errDisk)
	require.Contains(t, err.Error(), "is revoked by itself in a few minutes")
	w.storage.failing(nil)
	w.restart()
	require.Len(t, w.living("refresh"), 2)
	w.tick() // Zoho cannot be asked
	require.Len(t, w.living("refresh"), 2)
	w.sim.ClearFaults()
	w.clock.Advance(3 * time.Minute)
	w.tick()
	require.Len(t, w.living("refresh"), 1)
	require.True(t, w.formerLives())
	require.Empty(t, w.unwanted())
}

// exchangeUnstored writes a code, and keeps the write back when Zoho has given a
// refresh token that has a record, and is not yet the role's.
func (w *world) exchangeUnstored() (finish func(error), done chan error) {
	w.t.Helper()
	code := w.code()
	return w.holdBack(below("roles/"), func() error { _, err := w.writeCode("crm-sync", code); return err })
}

// Invariant 9: what is not stored yet is not taken for what could not be stored.
func TestExchange_ATickMeanwhileDoesNotRevokeWhatIsAboutToBeStored(t *testing.T) {
	w := newWorld(t)
	finish, done := w.exchangeUnstored()
	w.look()
	finish(nil)
	require.NoError(t, <-done)
	w.tick()
	require.True(t, w.sim.Alive(w.refreshTokenOf("crm-sync")))
	require.True(t, w.alive(w.read("crm-sync")))
}

// Invariant 9: a clock that is set forward in the middle of the write takes nothing for a
// leftover.
func TestExchange_ALeapOfTheClockTakesNothingForALeftover(t *testing.T) {
	w := newWorld(t)
	finish, done := w.exchangeUnstored()
	w.clock.Advance(time.Hour)
	w.look()
	finish(nil)
	require.NoError(t, <-done)
	require.NotEqual(t, w.refreshToken, w.refreshTokenOf("crm-sync"))
	w.tick()
	require.True(t, w.alive(w.read("crm-sync")))
	require.Empty(t, w.unknown())
}

// The answer of an exchange may get lost. Its refresh token is then at Zoho and
// nobody can know it; the former role is as it was, and nothing is repeated.
func TestExchange_ALostAnswerLeavesTheFormerRole(t *testing.T) {
	for _, kind := range []zohosim.FaultKind{zohosim.FaultClose, zohosim.FaultCut, zohosim.FaultTruncated, zohosim.FaultEmpty200} {
		w := newWorld(t)
		w.sim.Fault(zohosim.EndpointToken, zohosim.Fault{Kind: kind, Processed: true, Count: 1})
		_, err := w.writeCode("crm-sync", w.code())
		require.False(t, grantError(t, err).Kind.Definite())
		require.Equal(t, 1, w.asked())
		require.Len(t, w.unknown(), 1)
		require.Equal(t, w.refreshToken, w.refreshTokenOf("crm-sync"))
		require.True(t, w.alive(w.read("crm-sync")))
	}
}
