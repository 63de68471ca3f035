package tokenserver

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/vault/api"
	"github.com/stretchr/testify/require"
)

func TestLeases_AThousandCallersAtOnceShareOneReading(t *testing.T) {
	inBubble(t, func(w *world) {
		hang := make(chan struct{})
		w.vault.hang = hang
		var wg sync.WaitGroup
		tokens := make(chan string, 1000)
		for range 1000 {
			wg.Go(func() {
				l, err := w.leases.Token(w.t.Context(), "crm-sync")
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
		require.Len(t, w.vault.leases, 1, "the former lease was given back")
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
		require.NoError(t, w.leases.Close(w.t.Context()))
		require.Empty(t, w.vault.leases, "the end gives back former leases, too")
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
			l, err := w.leases.Token(w.t.Context(), "crm-sync")
			if err == nil {
				got <- l
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
		w.vault.hang = hang
		ctx, leave := context.WithCancel(w.t.Context())
		left := make(chan error, 1)
		go func() { _, err := w.leases.Token(ctx, "crm-sync"); left <- err }()
		stayed := make(chan error, 1)
		go func() { _, err := w.leases.Token(w.t.Context(), "crm-sync"); stayed <- err }()
		synctest.Wait()
		leave()
		require.ErrorIs(t, <-left, context.Canceled)
		close(hang)
		require.NoError(t, <-stayed)
		require.Equal(t, 1, w.vault.readings())
	})
}

// The role was deleted, or Zoho refuses its credentials: callers have to hear of
// it, although the token may live.
func TestLeases_ARefusedRoleIsNotServedAndItsLeaseIsGivenBackAtTheEnd(t *testing.T) {
	inBubble(t, func(w *world) {
		w.takes()
		w.vault.set(func() { w.vault.status, w.vault.message = http.StatusBadRequest, "there is no role crm-sync" })
		w.clock.advance(maxUntilRead)
		synctest.Wait()
		w.fails(Refused)
		w.vault.set(func() { w.vault.status = 0 })
		require.Len(t, w.vault.leases, 1)
		require.NoError(t, w.leases.Close(w.t.Context()))
		require.Empty(t, w.vault.leases)
	})
}

func TestLeases_WhatVaultAnswersHasAKind(t *testing.T) {
	for status, kind := range map[int]Kind{
		http.StatusBadRequest:          Refused,
		http.StatusForbidden:           Refused, // Vault knows the Vault token, so it is the policy
		http.StatusNotFound:            BadAnswer,
		http.StatusTooManyRequests:     Throttled,
		http.StatusInternalServerError: Unavailable,
		http.StatusBadGateway:          BadAnswer,
		http.StatusServiceUnavailable:  Unavailable,
	} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			inBubble(t, func(w *world) {
				w.vault.status, w.vault.message = status, "no\n\tnot crm-sync"
				w.fails(kind)
				_, err := w.leases.Token(w.t.Context(), "crm-sync")
				require.NotContains(t, err.Error(), "crm-sync")
				require.NotContains(t, err.Error(), "\n")
			})
		})
	}
}

func TestLeases_AnAnswerThatIsNoLeasedTokenIsABadAnswer(t *testing.T) {
	inBubble(t, func(w *world) {
		w.vault.life = 0 // so that the lease has no duration
		w.fails(BadAnswer)
	})
}

// Its Vault token was revoked, and Vault Agent has written another one.
func TestLeases_AnotherVaultTokenInTheFileIsTakenAtOnce(t *testing.T) {
	inBubble(t, func(w *world) {
		file := filepath.Join(t.TempDir(), "token")
		w.leases.vault.token.file = file
		w.fails(NotLetIn) // the Agent has not logged in yet
		keep := func(token string, at time.Time) {
			require.NoError(t, os.WriteFile(file, []byte(token+"\n"), 0o600))
			require.NoError(t, os.Chtimes(file, at, at))
		}
		keep("first", w.clock.Now())
		w.vault.accepted = []string{"first"}
		former := w.takes()

		w.vault.set(func() { w.vault.accepted, w.vault.leases = []string{"second"}, map[string]string{} })
		keep("second", w.clock.Now().Add(time.Second))
		require.NotEqual(t, former.Token, w.takes().Token, "the former token went with its Vault token")

		require.NoError(t, os.Remove(file))
		w.takes() // the latest one counts while the file is being replaced
		w.clock.advance(maxUntilRead)
		w.takes()

		w.vault.set(func() { w.vault.accepted = []string{"third"} })
		w.clock.advance(2 * time.Hour)
		w.fails(NotLetIn)
		keep("third", w.clock.Now())
		w.takes()
	})
}

// Vault Agent has logged in again, shortly before its former Vault token ends. Nobody
// asks for a token meanwhile, but callers use theirs.
func TestLeases_ATokenOutlivesTheVaultTokenThatItWasReadWith(t *testing.T) {
	inBubble(t, func(w *world) {
		file := filepath.Join(t.TempDir(), "token")
		keep := func(token string, at time.Time) {
			require.NoError(t, os.WriteFile(file, []byte(token), 0o600))
			require.NoError(t, os.Chtimes(file, at, at))
		}
		keep("first", w.clock.Now())
		vault := *w.leases.vault
		vault.token = &vaultToken{file: file}
		w.leases = NewLeases(&vault, w.clock, w.leases.log)
		inUse := w.takes()
		keep("second", w.clock.Now().Add(time.Second))
		w.clock.advance(tokenCheck)
		synctest.Wait()
		require.NotContains(t, w.vault.leases, inUse.ID, "the lease of the former Vault token is replaced")
		require.True(t, w.vault.isLeased(inUse.Token.Reveal()))
		w.clock.advance(10 * tokenCheck)
		synctest.Wait()
		require.Equal(t, 2, w.vault.readings(), "once")
		require.NoError(t, w.leases.Close(w.t.Context()))
		require.NoError(t, os.Remove(file))
		require.Empty(t, w.clock.timers)
	})
}

// The cache of a Vault Agent answers with the same lease, and its first duration.
func TestLeases_ALeaseFromTheCacheOfAnAgentIsNotGivenBackAndCountsFromItsBeginning(t *testing.T) {
	inBubble(t, func(w *world) {
		w.vault.cached = "zoho/creds/crm-sync/cached"
		first := w.takes()
		w.clock.advance(maxUntilRead)
		synctest.Wait()
		require.Equal(t, 2, w.vault.readings())
		require.Same(t, first, w.takes())
		require.Len(t, w.vault.leases, 1)
		require.NotContains(t, w.vault.requests(), "PUT /v1/sys/leases/revoke")
	})
}

func TestLeases_TheTokensEndBoundsALeaseWhoseDurationACacheRepeats(t *testing.T) {
	t.Parallel()
	now := time.Now()
	lasts := func(expires time.Time) time.Duration {
		t.Helper()
		l, err := leaseOf(&api.Secret{LeaseID: "x", LeaseDuration: 3600, Data: map[string]any{
			"access_token": "x", "expires_at": expires.Format(time.RFC3339Nano),
		}}, "crm-sync", now)
		require.NoError(t, err)
		return l.duration
	}
	require.Equal(t, 10*time.Minute, lasts(now.Add(10*time.Minute)))
	require.Equal(t, time.Hour, lasts(now.Add(2*time.Hour)), "the role has a ttl")
	require.Equal(t, time.Hour, lasts(now.Add(-time.Hour)), "this machine's clock is far off")
}

func TestLeases_NamesThatACallerMakesUpDoNotPileUp(t *testing.T) {
	inBubble(t, func(w *world) {
		for _, name := range []string{"a", "b", "c"} {
			_, err := w.leases.Token(w.t.Context(), name)
			require.Error(t, err)
		}
		require.Empty(t, w.leases.roles)
	})
}

func TestHealth_SaysHowTheLatestReadingWent(t *testing.T) {
	inBubble(t, func(w *world) {
		require.Equal(t, "not asked yet", w.leases.Health())
		w.takes()
		require.Equal(t, "ok", w.leases.Health())
		w.vault.set(func() { w.vault.down = true })
		w.clock.advance(2 * maxUntilRead)
		synctest.Wait()
		require.Equal(t, "unavailable", w.leases.Health())
		w.vault.set(func() { w.vault.down = false })
		_, err := w.leases.Token(w.t.Context(), "no-such-role")
		require.Error(t, err)
		require.Equal(t, "ok", w.leases.Health(), "that a role is refused says nothing about Vault")
	})
}
