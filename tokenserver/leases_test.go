package tokenserver

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestLeases_AThousandCallersAtOnceShareOneReading(t *testing.T) {
	inBubble(t, func(w *world) {
		hang := make(chan struct{})
		w.vault.set(func() { w.vault.hang = hang })
		var wg sync.WaitGroup
		tokens := make(chan string, 1000)
		for range 1000 {
			wg.Go(func() {
				l, err := w.leases.Token(w.t.Context(), "crm-sync", "")
				if err == nil {
					tokens <- l.Token.Reveal()
				}
			})
		}
		synctest.Wait()
		close(hang)
		wg.Wait()
		require.Len(t, tokens, 1000)
		require.Equal(t, 1, w.vault.readings())
	})
}

func TestLeases_ALeaseIsReadAgainByTimeAndTheFormerOneOnTheSameTokenIsGivenBack(t *testing.T) {
	inBubble(t, func(w *world) {
		first := w.takes()
		w.clock.advance(maxUntilRead)
		synctest.Wait()
		require.Equal(t, 2, w.vault.readings())
		require.Len(t, w.vault.living(), 1, "the former lease was given back")
		again := w.takes()
		require.Equal(t, first.Token, again.Token)
		require.NotEqual(t, first.ID, again.ID)
		require.Equal(t, 2, w.vault.readings(), "a caller finds the lease, and costs nothing")
	})
}

// A caller may use a token for as long as it was told.
func TestLeases_AReplacedTokenStaysAliveForThoseWhoHaveIt(t *testing.T) {
	inBubble(t, func(w *world) {
		first := w.takes()
		toldEnd := w.clock.Now().Add(time.Duration(first.expiresIn(w.clock.Now())) * time.Second)
		w.clock.advance(40 * time.Minute)
		synctest.Wait()
		require.NotEqual(t, first.Token, w.takes().Token, "the engine has minted another one")
		for w.clock.Now().Add(time.Minute).Before(toldEnd) {
			require.True(t, w.vault.isLeased(first.Token.Reveal()), "the former token was taken from its callers")
			w.clock.advance(time.Minute)
		}
		require.NoError(t, w.closes(true))
		require.Empty(t, w.vault.living(), "the end gives back former leases, too")
	})
}

// Invariant: whoever comes when its token is over finds one with most of its life.
func TestLeases_ACallerThatComesBackAtItsTokensEndNeverWaits(t *testing.T) {
	inBubble(t, func(w *world) {
		for range 10 {
			l := w.takes()
			w.clock.advance(time.Duration(l.expiresIn(w.clock.Now())) * time.Second)
			synctest.Wait()
			_, state := w.leases.roles["crm-sync"].look(w.clock.Now(), 0)
			require.Equal(t, stateFresh, state)
			require.Greater(t, w.takes().left(w.clock.Now()), 24*time.Minute)
		}
	})
}

func TestLeases_ARoleThatNobodyUsesAnyMoreIsNotReadAgain(t *testing.T) {
	inBubble(t, func(w *world) {
		w.takes()
		w.clock.advance(2 * time.Hour)
		synctest.Wait()
		before := w.vault.readings()
		w.clock.advance(24 * time.Hour)
		synctest.Wait()
		require.Equal(t, before, w.vault.readings())
		w.takes()
	})
}

func TestLeases_AnAnswerSaysTheSecondsThatAreLeftLessAMargin(t *testing.T) {
	inBubble(t, func(w *world) {
		l := w.takes()
		require.Equal(t, 3590, l.expiresIn(w.clock.Now()))
		w.clock.advance(90*time.Second + time.Millisecond)
		require.Equal(t, 3499, l.expiresIn(w.clock.Now()), "whole seconds, and not one too many")
		short := &Lease{duration: 20 * time.Second, readAt: w.clock.Now()}
		require.Equal(t, 19, short.expiresIn(w.clock.Now()))
	})
}

func TestLeases_ATokenThatIsStillGoodIsServedWhileVaultIsAway(t *testing.T) {
	inBubble(t, func(w *world) {
		first := w.takes()
		w.vault.set(func() { w.vault.down = true })
		for first.expiresIn(w.clock.Now()) >= 1 {
			require.Equal(t, first.Token, w.takes().Token)
			w.clock.advance(time.Second)
			if left := first.left(w.clock.Now()); left > time.Minute {
				w.clock.advance(50 * time.Second)
			}
		}
		w.fails(Unavailable)
		w.vault.set(func() { w.vault.down = false })
		require.NotEqual(t, first.Token, w.takes().Token, "it works again by itself")
	})
}

func TestLeases_AReadingThatFailedIsTriedAgainSoon(t *testing.T) {
	inBubble(t, func(w *world) {
		w.takes()
		w.vault.set(func() { w.vault.down = true })
		w.clock.advance(2 * maxUntilRead)
		w.vault.set(func() { w.vault.down = false })
		w.clock.advance(maxRetry)
		synctest.Wait()
		require.Equal(t, 2, w.vault.readings())
	})
}

// A Vault that takes packets and does not answer must not hold up callers for
// whom there is a token.
func TestLeases_ACallerDoesNotWaitLongForAHangingVaultWhileThereIsAToken(t *testing.T) {
	inBubble(t, func(w *world) {
		first := w.takes()
		hang := make(chan struct{})
		w.vault.set(func() { w.vault.down = true })
		w.clock.advance(58 * time.Minute)
		synctest.Wait()
		w.vault.set(func() { w.vault.down, w.vault.hang = false, hang })
		r := w.leases.roles["crm-sync"]
		r.next = w.clock.Now()
		got := make(chan *Lease, 1)
		go func() {
			l, err := w.leases.Token(w.t.Context(), "crm-sync", "")
			if err == nil {
				got <- l.Lease
			}
		}()
		synctest.Wait()
		require.Empty(t, got, "the token is short, so it waits for another one")
		w.clock.advance(patience)
		require.Equal(t, first, <-got)
		close(hang)
		synctest.Wait()
		require.NotEqual(t, first.Token, w.takes().Token)
	})
}

func TestLeases_ACallerThatLeavesDoesNotEndTheReadingForTheOthers(t *testing.T) {
	inBubble(t, func(w *world) {
		hang := make(chan struct{})
		w.vault.set(func() { w.vault.hang = hang })
		ctx, leave := context.WithCancel(w.t.Context())
		left := make(chan error, 1)
		go func() { _, err := w.leases.Token(ctx, "crm-sync", ""); left <- err }()
		stayed := make(chan error, 1)
		go func() { _, err := w.leases.Token(w.t.Context(), "crm-sync", ""); stayed <- err }()
		synctest.Wait()
		leave()
		require.ErrorIs(t, <-left, context.Canceled)
		close(hang)
		require.NoError(t, <-stayed)
		require.Equal(t, 1, w.vault.readings())
	})
}
