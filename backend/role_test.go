package backend_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend"
	"vault-plugin-secrets-zoho/backend/settings"
)

// aheadUnheld leaves the grant of crm-sync with a current token that nobody
// holds, and returns the lease on the one before.
func (w *world) aheadUnheld() *backend.Issued {
	w.t.Helper()
	former := w.read("crm-sync")
	w.clock.Advance(40 * time.Minute)
	w.tick()
	require.Equal(w.t, 2, w.sim.LiveTokens(w.refreshToken))
	return former
}

func TestRole_DeletingItEndsATokenThatNobodyHoldsAndNoOther(t *testing.T) {
	w := newWorld(t)
	former := w.aheadUnheld()
	w.deleteRole("crm-sync")
	w.settle()
	require.Equal(t, 1, w.sim.LiveTokens(w.refreshToken))
	require.True(t, w.alive(former))
}

func TestRole_DeletingItLeavesTheTokenOfAnotherRoleOnTheSameGrant(t *testing.T) {
	w := newWorld(t)
	w.writeRole("books", settings.RoleChange{RefreshToken: &w.refreshToken})
	w.aheadUnheld()
	w.deleteRole("crm-sync")
	w.settle()
	w.tick()
	require.Equal(t, 2, w.sim.LiveTokens(w.refreshToken))
}

func TestRole_ReplacingItsRefreshTokenEndsTheFormerTokenThatNobodyHolds(t *testing.T) {
	w := newWorld(t)
	w.aheadUnheld()
	w.writeRole("crm-sync", settings.RoleChange{RefreshToken: ptr(w.sim.Consent(w.client, "us", "other@example.com", scopes))})
	w.settle()
	require.Equal(t, 1, w.sim.LiveTokens(w.refreshToken))
}

func TestRole_WhatACrashLeavesBehindIsTidiedUpByTick(t *testing.T) {
	w := newWorld(t)
	w.aheadUnheld()
	w.storage.failing(below("refresh-tokens/"))
	w.deleteRole("crm-sync")
	w.storage.failing(nil)
	w.restart()
	w.tick()
	require.Equal(t, 1, w.sim.LiveTokens(w.refreshToken))
}

// Invariant 9.
func TestRole_AWriteThatFailsLeavesTheFormerRole(t *testing.T) {
	for _, prefix := range []string{"roles/", "refresh-tokens/"} {
		w := newWorld(t)
		w.storage.failing(below(prefix))
		other := w.sim.Consent(w.client, "us", "other@example.com", scopes)
		_, err := w.engine.WriteRole(t.Context(), "crm-sync", settings.RoleChange{RefreshToken: &other, TTL: ptr(time.Minute)})
		require.ErrorIs(t, err, errDisk)
		w.storage.failing(nil)
		w.restart()
		require.Equal(t, time.Hour-time.Second, w.read("crm-sync").TTL)
		require.Equal(t, 1, w.sim.MintCount(w.refreshToken))
	}
}
