package backend_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"
	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend"
	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/zohosim"
)

// Two things at once, one of which is held back at a write or a look.

// Invariants 14 and 16: a role that is written while another with the same refresh
// token is deauthorized.
func TestDeauthorize_LooksAtTheOthersInTheTurnInWhichItDecides(t *testing.T) {
	for range 20 {
		w := newWorld(t)
		var failed [2]error
		atOnce(2, func(i int) error {
			if i == 0 {
				_, failed[0] = w.deauthorize("crm-sync", false)
			} else {
				_, failed[1] = w.write("books", settings.RoleChange{RefreshToken: &w.refreshToken, Verify: ptr(false)})
			}
			return nil
		})
		if failed[0] == nil {
			require.False(t, w.formerLives())
			continue
		}
		require.ErrorContains(t, failed[0], "books")
		require.NoError(t, failed[1])
		require.True(t, w.formerLives())
		w.read("books")
	}
}

// Invariant 16.
func TestRevocation_ADecisionIsNotUndoneByARoleThatLeaves(t *testing.T) {
	w := newWorld(t)
	w.writeRole("books", settings.RoleChange{RefreshToken: &w.refreshToken})
	w.read("books")
	code := w.code()
	w.sim.Fault(zohosim.EndpointRevoke, zohosim.Fault{Kind: zohosim.FaultHTML500})
	w.sim.Fault(zohosim.EndpointLegacyRevoke, zohosim.Fault{Kind: zohosim.FaultHTML500})
	finish, done := w.holdBack(func(key string) bool { return key == "roles/crm-sync" }, func() error { _, err := w.writeCode("crm-sync", code); return err })
	_, err := w.deauthorize("books", true)
	require.Error(t, err)
	finish(errDisk)
	require.Error(t, <-done)
	w.settle()
	_, err = w.engine.Issue(t.Context(), "crm-sync", backend.Reader{})
	require.Error(t, err, "its end is decided")
	w.sim.ClearFaults()
	w.clock.Advance(10 * time.Minute)
	w.tick()
	require.False(t, w.formerLives())
}

// Invariant 9: the refresh token is revoked, or somebody is told that it lives on.
func TestRevocation_IsNotForgottenWhenARoleThatSharesTheRefreshTokenIsDeleted(t *testing.T) {
	w := newWorld(t)
	w.writeRole("books", settings.RoleChange{RefreshToken: &w.refreshToken})
	code := w.code()
	finish, done := w.holdBack(func(key string) bool { return key == "roles/crm-sync" }, func() error {
		_, err := w.writeCode("crm-sync", code)
		return err
	})
	warnings := w.deleteRole("books")
	finish(nil)
	require.NoError(t, <-done)
	w.settle()
	for range 6 {
		w.clock.Advance(2 * time.Minute)
		w.tick()
	}
	require.True(t, len(warnings) > 0 || !w.formerLives())
	require.Empty(t, w.unknown())
}

// Invariant 8: the last lease on the former token ends while its successor is being
// stored.
func TestMint_TheEndOfTheFormerTokenDoesNotUnmakeTheNewCurrentOne(t *testing.T) {
	w := newWorld(t)
	former := w.read("crm-sync")
	w.clock.Advance(55 * time.Minute)
	var issued *backend.Issued
	mints := w.sim.MintCount(w.refreshToken)
	finish, done := w.holdBack(func(key string) bool { return below("refresh-tokens/")(key) && w.sim.MintCount(w.refreshToken) > mints }, func() (err error) {
		issued, err = w.engine.Issue(t.Context(), "crm-sync", backend.Reader{})
		return err
	})
	released := make(chan error, 1)
	go func() { released <- w.release(former) }()
	require.Eventually(t, func() bool { return w.engine.WaitingForRecords() == 2 }, 10*time.Second, time.Millisecond)
	finish(nil)
	require.NoError(t, <-done)
	require.NoError(t, <-released)
	w.settle()
	w.restart()
	require.Equal(t, issued.TokenID, w.read("crm-sync").TokenID)
}

// Invariant 16: the clock jumps while a role is being written.
func TestClock_ThatJumpsDuringAWriteRevokesNoRefreshTokenThatIsStored(t *testing.T) {
	for name, by := range map[string]time.Duration{"back": -10 * time.Second, "ahead": 4 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			finish, done := w.holdBack(func(key string) bool { return key == "roles/books" }, func() error {
				_, err := w.write("books", settings.RoleChange{RefreshToken: &w.refreshToken, Verify: ptr(false)})
				return err
			})
			w.setClockWrong(by)
			_, err := w.writeCode("crm-sync", w.code())
			require.NoError(t, err)
			w.look()
			finish(nil)
			require.NoError(t, <-done)
			w.settle()
			require.True(t, w.formerLives())
		})
	}
}

// Invariant 16: a role is being written with a refresh token just when the last other one
// gives it up.
func TestRevocation_ARoleThatIsBeingWrittenKeepsItsRefreshToken(t *testing.T) {
	w := newWorld(t)
	finish, done := w.holdBack(func(key string) bool { return key == "roles/books" }, func() error {
		_, err := w.write("books", settings.RoleChange{RefreshToken: &w.refreshToken, Verify: ptr(false)})
		return err
	})
	_, err := w.writeCode("crm-sync", w.code())
	require.NoError(t, err)
	for range 3 {
		w.setClockWrong(4 * time.Minute) // how long it takes says nothing
		w.look()
	}
	finish(nil)
	require.NoError(t, <-done)
	w.tick()
	require.True(t, w.formerLives())
	require.True(t, w.alive(w.read("books")))
}

func TestTick_OfWhichTwoOverlapDoesNoHarm(t *testing.T) {
	w := newWorld(t)
	w.read("crm-sync")
	for _, err := range atOnce(8, func(int) error { return w.engine.Tick(t.Context(), notTainted) }) {
		require.NoError(t, err)
	}
}

// lateStorage gives what it reads of a kind of key only when it is let go on.
type lateStorage struct {
	logical.Storage
	prefix        string
	reached, goOn chan struct{}
}

func (s *lateStorage) Get(ctx context.Context, key string) (*logical.StorageEntry, error) {
	entry, err := s.Storage.Get(ctx, key)
	if strings.HasPrefix(key, s.prefix) && s.reached != nil {
		close(s.reached)
		s.reached = nil
		<-s.goOn
	}
	return entry, err
}

// Invariant 12. A standby that answers reads itself, as OpenBao's do, is told of what the active node writes.
func TestInvalidate_WhatWasReadBeforeAnotherNodesWriteIsNotKept(t *testing.T) {
	for name, c := range map[string]struct {
		prefix string
		state  backend.GrantState
		fault  zohosim.Fault
	}{
		"a refusal": {"refresh-tokens/", backend.StateRefused, zohosim.Fault{Kind: zohosim.FaultAnswer, Body: `{"error":"invalid_code"}`, Count: 1}},
		"a silence": {"refresh-tokens/", backend.StateThrottled, zohosim.Fault{Kind: zohosim.FaultThrottled, Count: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			require.NoError(t, w.release(w.read("crm-sync")))
			late := &lateStorage{Storage: w.storage.Storage, prefix: c.prefix, reached: make(chan struct{}), goOn: make(chan struct{})}
			standby := backend.New(backend.Options{Storage: late, Now: w.now})
			t.Cleanup(standby.Close)
			require.NoError(t, standby.Open(t.Context()))
			state := func() backend.GrantState {
				overview, err := standby.RoleOverview(t.Context(), "crm-sync")
				require.NoError(t, err)
				return overview.State
			}
			reached, asked := late.reached, make(chan backend.GrantState, 1)
			go func() { asked <- state() }()
			<-reached

			w.storage.written()
			w.sim.Fault(zohosim.EndpointToken, c.fault)
			require.Error(t, w.readError("crm-sync"))
			w.settle()
			for _, key := range w.storage.written() {
				standby.Invalidate(key)
			}
			close(late.goOn)
			<-asked // either
			standby.Settle()
			require.Equal(t, c.state, state())
		})
	}
}
