package tokenserver

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// Clients hold tokens in memory or in a file, and go on using them.
func TestClose_LeavesWhatCallersWerePromised(t *testing.T) {
	inBubble(t, func(w *world) {
		former := w.takes()
		w.clock.advance(40 * time.Minute)
		present := w.takes()
		require.NotEqual(t, former.TokenID, present.TokenID)
		promised, err := w.leases.Close(w.t.Context(), false)
		require.NoError(t, err)
		require.True(t, w.vault.isLeased(former.Token.Reveal()))
		require.True(t, w.vault.isLeased(present.Token.Reveal()))
		require.WithinDuration(t, present.end(), promised, 2*maxMargin)
		require.Empty(t, w.clock.timers)
	})
}

func TestClose_GivesBackWhatNobodyWasPromisedAnyLonger(t *testing.T) {
	inBubble(t, func(w *world) {
		w.vault.set(func() { w.vault.roles = []string{"crm-sync", "books"} })
		w.leases.MaxAge = time.Minute
		w.leases.Start([]string{"books"})
		present := w.takes()
		synctest.Wait()
		require.Len(t, w.vault.living(), 2)
		w.clock.advance(30 * time.Second)
		require.NoError(t, w.closes(false))
		require.Len(t, w.vault.living(), 1, "nobody has asked for the token of books")
		require.Contains(t, w.vault.living(), present.ID)
	})
	inBubbleOf(t, "and what is over", func(w *world) {
		w.leases.MaxAge = time.Minute
		w.takes()
		w.clock.advance(time.Minute)
		require.NoError(t, w.closes(false))
		require.Empty(w.t, w.vault.living())
	})
}

// The operator has given the role a ttl meanwhile.
func TestLeases_ALeaseOnTheSameTokenThatIsShorterThanThePromiseReplacesNothing(t *testing.T) {
	inBubble(t, func(w *world) {
		first := w.takes()
		w.vault.set(func() { w.vault.ttl = 10 * time.Minute })
		w.clock.advance(maxUntilRead)
		require.Equal(t, 2, w.vault.readings())
		require.Contains(t, w.vault.living(), first.ID, "its callers were told that its token is good for an hour")
		require.Equal(t, first.TokenID, w.takes().TokenID)
		require.NoError(t, w.closes(false))
		require.Contains(t, w.vault.living(), first.ID)
	})
}

// A caller is told of a token at the moment at which another lease takes the place of its.
func TestClose_KnowsThePromisesOfALeaseThatWasReplaced(t *testing.T) {
	inBubble(t, func(w *world) {
		w.takes()
		w.clock.advance(maxUntilRead)
		require.Equal(t, 2, w.vault.readings())
		require.Len(t, w.vault.living(), 1)
		require.NoError(t, w.closes(false))
		require.Len(t, w.vault.living(), 1, "nobody has got the present lease, but its token")
	})
}

func TestMaxAge_CapsWhatACallerIsTold(t *testing.T) {
	inBubble(t, func(w *world) {
		w.leases.MaxAge = 10 * time.Minute
		require.Equal(t, 600, w.answers(oneOnly, crmSync).ExpiresIn)
		for range 100 { // it comes back when it has to, which is no retry
			w.clock.advance(10*time.Minute - 5*time.Second)
			require.LessOrEqual(t, w.answers(oneOnly, crmSync).ExpiresIn, 600)
		}
		require.Empty(t, w.vault.rejections())
		w.vault.set(func() { w.vault.down = true })
		w.clock.advance(time.Minute)
		present := w.answers("uid=1 pid=1", crmSync)
		w.clock.advance(time.Duration(present.expiresIn(w.clock.Now())-60) * time.Second)
		require.Equal(t, 60, w.answers("uid=1 pid=2", crmSync).ExpiresIn, "and makes nothing longer")
	})
}
