package backend_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend"
	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/zohosim"
)

func (w *world) deauthorize(role string, force bool) (warnings []string, err error) {
	return w.engine.Deauthorize(w.t.Context(), role, force, settings.Requester{})
}

func TestDeauthorize_RevokesTheRefreshTokenAndAllItsAccessTokens(t *testing.T) {
	w := newWorld(t)
	leases := []*backend.Issued{w.aheadUnheld(), w.read("crm-sync")}
	w.restart()
	warnings, err := w.deauthorize("crm-sync", false)
	require.NoError(t, err)
	require.Empty(t, warnings)
	w.settle()
	require.Empty(t, w.living("refresh"))
	require.Empty(t, w.living("access"))
	require.Empty(t, w.keys("tokens/"))
	require.NotContains(t, w.stored("roles/")["roles/crm-sync"], w.refreshToken)

	revocations := w.revocations()
	for _, lease := range leases {
		require.NoError(t, w.release(lease), "its leases can be revoked")
	}
	w.tick()
	require.Equal(t, revocations, w.revocations(), "and there is nothing left to ask")
}

func TestDeauthorize_LeavesARoleThatCanBeAuthorizedAgain(t *testing.T) {
	w := newWorld(t)
	w.writeRole("crm-sync", settings.RoleChange{TTL: ptr(20 * time.Minute)})
	_, err := w.deauthorize("crm-sync", false)
	require.NoError(t, err)
	w.restart()
	var bad *settings.UserError
	require.ErrorAs(t, w.readError("crm-sync"), &bad)
	require.Contains(t, bad.Error(), "no refresh token any more: it was deauthorized at 20")
	_, err = w.write("crm-sync", settings.RoleChange{MinTTL: ptr(time.Minute)})
	require.NoError(t, err, "its rules can be written meanwhile")
	_, err = w.writeCode("crm-sync", w.code())
	require.NoError(t, err)
	lease := w.read("crm-sync")
	require.True(t, w.alive(lease))
	require.Equal(t, 20*time.Minute, lease.TTL)
}

func TestDeauthorize_ARefreshTokenThatOtherRolesHaveNeedsForce(t *testing.T) {
	w := newWorld(t)
	w.writeRole("books", settings.RoleChange{RefreshToken: &w.refreshToken})
	lease := w.read("books")
	_, err := w.deauthorize("crm-sync", false)
	var bad *settings.UserError
	require.ErrorAs(t, err, &bad)
	require.Contains(t, bad.Error(), "books")
	require.Contains(t, bad.Error(), "force=true")
	require.True(t, w.alive(lease))

	warnings, err := w.deauthorize("crm-sync", true)
	require.NoError(t, err)
	require.Contains(t, joined(warnings), "books")
	require.False(t, w.alive(lease))
	w.settle()
	require.Equal(t, backend.StateDeauthorized, w.status("books").State, "before anybody has read it")
	require.NotNil(t, w.status("books").Deauthorized)
	for range 3 {
		require.ErrorContains(t, w.readError("books"), "no refresh token any more", "never the dead token")
	}
	require.Equal(t, 1, w.asked(), "that costs no token request")
}

func TestDeauthorize_WhatCannotBeMeantAsksNothing(t *testing.T) {
	w := newWorld(t)
	w.writeRole("robot", settings.RoleChange{GrantType: ptr(settings.GrantTypeClientCredentials), Scopes: &scopes})
	w.writeRole("desk", settings.RoleChange{Scopes: &scopes})
	for role, says := range map[string]string{"nobody": "does not exist", "robot": "client_credentials", "desk": "nothing to revoke", "a/b": "not a role name"} {
		_, err := w.deauthorize(role, true)
		var bad *settings.UserError
		require.ErrorAs(t, err, &bad)
		require.Contains(t, err.Error(), says)
	}
	require.Empty(t, w.sim.Requests())
}

// Invariant 16: the decision stands, and is carried out when Zoho can be asked.
func TestDeauthorize_WhenZohoCannotBeAskedNobodyGetsATokenAndTickGoesOn(t *testing.T) {
	for _, kind := range []zohosim.FaultKind{zohosim.FaultHTML500, zohosim.FaultClose, zohosim.FaultThrottled} {
		for _, again := range []bool{false, true} {
			w := newWorld(t)
			lease := w.read("crm-sync")
			w.sim.Fault(zohosim.EndpointRevoke, zohosim.Fault{Kind: kind})
			w.sim.Fault(zohosim.EndpointLegacyRevoke, zohosim.Fault{Kind: kind})
			_, err := w.deauthorize("crm-sync", false)
			failed := grantError(t, err)
			require.False(t, failed.Kind.Definite())
			require.Contains(t, failed.Error(), "has not revoked the refresh token yet")
			w.restart()
			require.ErrorContains(t, w.readError("crm-sync"), "no refresh token any more")
			status, err := w.engine.Status(t.Context(), "crm-sync")
			require.NoError(t, err)
			require.Len(t, status.Pending, 1)
			require.NotEmpty(t, status.Pending[0].LastError)
			require.True(t, status.Pending[0].Decided)
			w.sim.ClearFaults()
			if again {
				_, err = w.deauthorize("crm-sync", false)
				require.NoError(t, err)
			} else {
				w.clock.Advance(time.Minute)
				w.tick()
			}
			require.False(t, w.formerLives())
			require.False(t, w.alive(lease))
			w.settle()
			require.Empty(t, w.unwanted())
		}
	}
}

func TestDeauthorize_OfARefreshTokenThatZohoDoesNotKnowWarns(t *testing.T) {
	w := newWorld(t)
	w.sim.Kill(w.refreshToken)
	warnings, err := w.deauthorize("crm-sync", false)
	require.NoError(t, err)
	require.Contains(t, joined(warnings), "does not know the refresh token")
	require.ErrorContains(t, w.readError("crm-sync"), "no refresh token any more")
}

// Invariant 16: whatever was stored of the decision, doing it again ends it well.
func TestDeauthorize_CanBeRepeatedWhicheverWriteFails(t *testing.T) {
	for k, hit := 0, true; hit; k++ {
		w := newWorld(t)
		lease := w.read("crm-sync")
		failed := w.failingFrom(k, false)
		_, err := w.deauthorize("crm-sync", false)
		w.settle()
		w.storage.failing(nil)
		hit = *failed
		w.restart()
		if err != nil && (w.refreshTokenOf("crm-sync") != "" || len(w.unwanted()) > 0) {
			_, err = w.deauthorize("crm-sync", false)
			require.NoError(t, err)
		}
		require.False(t, w.formerLives())
		require.ErrorContains(t, w.readError("crm-sync"), "no refresh token any more")
		require.NoError(t, w.release(lease))
		w.clock.Advance(3 * time.Minute) // what may be a mint under way is left alone until then
		w.tick()
		require.Empty(t, w.keys("tokens/"))
		require.Empty(t, w.keys("holders/"))
		require.Empty(t, w.unwanted())
	}
}

func TestDeauthorize_ACallerThatDisconnectsDoesNotCutItInHalf(t *testing.T) {
	w := newWorld(t)
	w.read("crm-sync")
	before := len(w.sim.Requests())
	release := w.holdAnswers()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { _, err := w.engine.Deauthorize(ctx, "crm-sync", false, settings.Requester{}); done <- err }()
	w.waitForRequests(before + 1)
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
	release()
	w.settle()
	require.ErrorContains(t, w.readError("crm-sync"), "no refresh token any more")
}

func TestDeauthorize_ReadersThatComeLaterNeverGetADeadToken(t *testing.T) {
	for range 20 {
		w := newWorld(t)
		w.read("crm-sync")
		var gone atomic.Bool
		errs := atOnce(5, func(i int) error {
			if i == 0 {
				_, err := w.deauthorize("crm-sync", false)
				gone.Store(true)
				return err
			}
			for range 20 {
				late := gone.Load()
				issued, err := w.engine.Issue(t.Context(), "crm-sync", backend.Reader{})
				if err == nil && late {
					t.Errorf("a token was handed out afterwards, alive: %t", w.alive(issued))
				}
			}
			return nil
		})
		for _, err := range errs {
			require.NoError(t, err)
		}
		require.Empty(t, w.living("access"))
	}
}

func TestDeauthorize_TwoAtOnceLeaveTheSame(t *testing.T) {
	w := newWorld(t)
	w.read("crm-sync")
	var bad *settings.UserError
	errs := atOnce(2, func(int) error { _, err := w.deauthorize("crm-sync", false); return err })
	for _, err := range errs {
		if err != nil {
			require.ErrorAs(t, err, &bad)
		}
	}
	require.False(t, errs[0] != nil && errs[1] != nil)
	require.Empty(t, w.living("refresh"))
}

func TestDeauthorize_ARefusedClientSecretIsNoReasonToKeepTheRefreshToken(t *testing.T) {
	w := newWorld(t)
	w.configure(settings.ConfigChange{ClientSecret: ptr("0123456789abcdef")})
	_, err := w.deauthorize("crm-sync", false)
	require.NoError(t, err, "the older endpoint wants no secret")
	require.False(t, w.formerLives())
}

// A refresh token that was replaced lives on as long as somebody leases its access
// tokens. Whoever deauthorizes the role wants it dead as well.
func TestDeauthorize_EndsTheRefreshTokensThatTheRoleHadBeforeToo(t *testing.T) {
	w := newWorld(t)
	_, err := w.writeCode("x", w.code())
	require.NoError(t, err)
	first := w.read("x")
	_, err = w.writeCode("x", w.code())
	require.NoError(t, err)
	second := w.read("x")
	require.True(t, w.alive(first), "it is leased")
	w.settle()
	require.Len(t, w.status("x").Pending, 1)
	_, err = w.deauthorize("x", false)
	require.NoError(t, err)
	require.False(t, w.alive(first))
	require.False(t, w.alive(second))
	w.settle()
	require.Empty(t, w.unwanted())
	require.Len(t, w.owned(), 1, "that of crm-sync")
}

func TestDeauthorize_OfARoleThatWasDeauthorizedEndsWhatIsLeft(t *testing.T) {
	w := newWorld(t)
	_, err := w.writeCode("x", w.code())
	require.NoError(t, err)
	first := w.read("x")
	_, err = w.writeCode("x", w.code())
	require.NoError(t, err)
	w.writeRole("also", settings.RoleChange{RefreshToken: ptr(w.owned()[1])})
	stays := w.read("also")
	w.writeRole("x", settings.RoleChange{GrantType: clientCredentials, Scopes: &scopes})
	w.writeRole("x", settings.RoleChange{GrantType: ptr(settings.GrantTypeRefreshToken)})
	w.settle()
	require.True(t, w.alive(first))
	_, err = w.deauthorize("x", false)
	require.ErrorContains(t, err, "nothing to revoke", "another role has it")
	require.True(t, w.alive(stays))
	w.deleteRole("also")
}
