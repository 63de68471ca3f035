package tokenserver

import (
	"context"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend/secret"
)

func TestRevoke_OfATokenGivesItsLeasesBackAndTheNextCallerGetsAnotherToken(t *testing.T) {
	inBubble(t, func(w *world) {
		l := w.takes()
		found, err := w.leases.RevokeToken(w.t.Context(), secret.New("another"))
		require.NoError(t, err)
		require.False(t, found)
		require.True(t, w.vault.isLeased(l.Token.Reveal()))

		found, err = w.leases.RevokeToken(w.t.Context(), l.Token)
		require.NoError(t, err)
		require.True(t, found)
		require.False(t, w.vault.isLeased(l.Token.Reveal()))
		require.NotEqual(t, l.Token, w.takes().Token)
	})
}

func TestRevoke_OfATokenThatTwoRolesShareGivesTheLeasesOfBothBack(t *testing.T) {
	inBubble(t, func(w *world) {
		w.vault.set(func() { w.vault.roles = []string{"crm-sync", "books"} })
		l := w.takes()
		require.Equal(t, l.Token, w.takesFrom("books").Token)
		found, err := w.leases.RevokeToken(w.t.Context(), l.Token)
		require.NoError(t, err)
		require.True(t, found)
		require.Empty(t, w.vault.living())
	})
}

func TestRevoke_OfAFormerTokenLeavesThePresentOne(t *testing.T) {
	inBubble(t, func(w *world) {
		former := w.takes()
		w.clock.advance(40 * time.Minute)
		present := w.takes()
		require.NotEqual(t, former.Token, present.Token)
		found, err := w.leases.RevokeToken(w.t.Context(), former.Token)
		require.NoError(t, err)
		require.True(t, found)
		require.False(t, w.vault.isLeased(former.Token.Reveal()))
		require.Equal(t, present.Token, w.takes().Token)
	})
}

func TestRevoke_OfARoleGivesAllItsLeasesBack(t *testing.T) {
	inBubble(t, func(w *world) {
		w.takes()
		w.clock.advance(40 * time.Minute)
		w.takes()
		require.Len(t, w.vault.living(), 2)
		found, err := w.leases.RevokeRole(w.t.Context(), "crm-sync")
		require.NoError(t, err)
		require.True(t, found)
		require.Empty(t, w.vault.living())
		found, err = w.leases.RevokeRole(w.t.Context(), "no-such-role")
		require.NoError(t, err)
		require.False(t, found)
	})
}

// A program that gives its token back as it ends leaves none alive.
func TestRevoke_IsNotFollowedByAReadingThatNobodyAsksFor(t *testing.T) {
	inBubble(t, func(w *world) {
		w.takes()
		_, err := w.leases.RevokeRole(w.t.Context(), "crm-sync")
		require.NoError(t, err)
		w.clock.advance(time.Hour)
		require.Equal(t, 1, w.vault.readings())
		require.Empty(t, w.vault.living())
		require.Empty(t, w.clock.timers)
	})
}

func TestRevoke_ThatVaultDoesNotTakeIsTriedAgainUntilItDoesOrTheLeaseIsOver(t *testing.T) {
	inBubble(t, func(w *world) {
		revoke := func() {
			t.Helper()
			w.takes()
			w.vault.set(func() { w.vault.down = true })
			_, err := w.leases.RevokeRole(w.t.Context(), "crm-sync")
			require.Error(t, err)
			w.clock.advance(10 * time.Minute)
			require.Len(t, w.vault.living(), 1)
		}
		revoke()
		w.vault.set(func() { w.vault.down = false })
		w.clock.advance(maxRetry)
		require.Empty(t, w.vault.living())
		require.Equal(t, 1, w.vault.readings(), "nobody has asked for a token")
		require.Empty(t, w.clock.timers)

		revoke()
		w.clock.advance(time.Hour)
		require.Empty(t, w.clock.timers)
	})
}

func TestRevoke_ThatVaultDoesNotTakeIsTriedAgainAfterTheNextReading(t *testing.T) {
	inBubble(t, func(w *world) {
		l := w.takes()
		w.vault.set(func() { w.vault.down = true })
		_, err := w.leases.RevokeToken(w.t.Context(), l.Token)
		require.Error(t, err)
		w.fails(Unavailable) // it is handed out to nobody any more
		w.vault.set(func() { w.vault.down = false })
		w.takes()
		synctest.Wait()
		require.NotContains(t, w.vault.living(), l.ID)
	})
}

func TestClose_GivesBackALeaseThatIsBeingReadAndLetsNobodyIn(t *testing.T) {
	inBubble(t, func(w *world) {
		hang := make(chan struct{})
		w.vault.set(func() { w.vault.hang = hang })
		got := make(chan error, 1)
		go func() { _, err := w.leases.Token(w.t.Context(), "crm-sync", ""); got <- err }()
		synctest.Wait()
		closed := make(chan error, 1)
		go func() { closed <- w.closes(true) }()
		synctest.Wait()
		w.fails(Unavailable)
		close(hang)
		require.NoError(t, <-closed)
		if err := <-got; err != nil {
			require.ErrorContains(t, err, "ending")
		}
		require.Equal(t, 1, w.vault.readings())
		require.Empty(t, w.vault.living())
		w.clock.advance(time.Hour)
		synctest.Wait()
		require.Equal(t, 1, w.vault.readings(), "no timer is left")
	})
}

func TestClose_GivesTheLeasesOfOtherRolesBackWhileAReadingHangs(t *testing.T) {
	inBubble(t, func(w *world) {
		w.vault.set(func() { w.vault.roles = []string{"crm-sync", "a", "b", "c", "d", "e", "f", "g"} })
		for _, role := range w.vault.roles {
			w.takesFrom(role)
		}
		hang := make(chan struct{})
		defer close(hang)
		w.vault.set(func() { w.vault.hang, w.vault.hangs = hang, "/v1/zoho/creds/crm-sync" })
		w.clock.advance(maxUntilRead)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(w.t.Context(), 15*time.Second)
		defer cancel()
		_, err := w.leases.Close(ctx, true)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, []string{"zoho/creds/crm-sync/1"}, slices.Collect(maps.Keys(w.vault.living())))
	})
}

func TestClose_GivesALeaseBackWhoseRoleHangsInAReading(t *testing.T) {
	inBubble(t, func(w *world) {
		w.takes()
		hang := make(chan struct{})
		defer close(hang)
		w.vault.set(func() { w.vault.hang, w.vault.hangs = hang, "/v1/zoho/creds/crm-sync" })
		w.clock.advance(maxUntilRead)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(w.t.Context(), 15*time.Second)
		defer cancel()
		closed := make(chan error, 1)
		go func() { _, err := w.leases.Close(ctx, true); closed <- err }()
		synctest.Wait()
		w.clock.advance(patience)
		require.NoError(t, <-closed)
		require.Empty(t, w.vault.living())
	})
}

func TestClose_SaysWhatCouldNotBeGivenBack(t *testing.T) {
	inBubble(t, func(w *world) {
		w.takes()
		w.vault.set(func() { w.vault.down = true })
		require.ErrorContains(t, w.closes(true), "Vault cannot be reached")
		require.Empty(t, w.clock.timers, "nothing is tried after the end")
	})
}
