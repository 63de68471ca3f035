package tokenserver

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/vault/api"
	"github.com/stretchr/testify/require"
)

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
		require.Len(t, w.vault.living(), 1)
		require.NoError(t, w.closes(true))
		require.Empty(t, w.vault.living())
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
				w.vault.set(func() { w.vault.status, w.vault.message = status, "no\n\tnot crm-sync" })
				w.fails(kind)
				_, err := w.leases.Token(w.t.Context(), "crm-sync", "")
				require.NotContains(t, err.Error(), "crm-sync")
				require.NotContains(t, err.Error(), "\n")
			})
		})
	}
}

func TestLeases_WithoutAVaultTokenAnOlderVaultIsUnderstood(t *testing.T) {
	inBubble(t, func(w *world) {
		w.vault.set(func() { w.vault.status, w.vault.message = http.StatusBadRequest, "missing client token" })
		w.fails(NotLetIn)
	})
}

func TestLeases_AnAnswerThatIsNoLeasedTokenIsABadAnswer(t *testing.T) {
	inBubble(t, func(w *world) {
		w.vault.set(func() { w.vault.life = 0 }) // so that the lease has no duration
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
		w.vault.set(func() { w.vault.accepted = []string{"first"} })
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
		require.NotContains(t, w.vault.living(), inUse.ID, "the lease of the former Vault token is replaced")
		require.True(t, w.vault.isLeased(inUse.Token.Reveal()))
		w.clock.advance(10 * tokenCheck)
		synctest.Wait()
		require.Equal(t, 2, w.vault.readings(), "once")
		require.NoError(t, w.closes(true))
		require.NoError(t, os.Remove(file))
		require.Empty(t, w.clock.timers)
	})
}

// The cache of a Vault Agent answers with the same lease, and its first duration.
func TestLeases_ALeaseFromTheCacheOfAnAgentIsNotGivenBackAndCountsFromItsBeginning(t *testing.T) {
	inBubble(t, func(w *world) {
		w.vault.set(func() { w.vault.cached = "zoho/creds/crm-sync/cached" })
		first := w.takes()
		w.clock.advance(maxUntilRead)
		synctest.Wait()
		require.Equal(t, 2, w.vault.readings())
		require.Same(t, first, w.takes())
		require.Len(t, w.vault.living(), 1)
		require.NotContains(t, w.vault.requests(), "PUT /v1/sys/leases/revoke")
	})
}

func TestLeases_ALeaseThatACacheRepeatsAlthoughACallerHasRevokedItIsHandedOutToNobody(t *testing.T) {
	for name, away := range map[string]func(v *fakeVault, isAway bool){
		"while Vault was away":             func(v *fakeVault, isAway bool) { v.down = isAway },
		"and Vault could not give it back": func(v *fakeVault, isAway bool) { v.keeps = isAway },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				w.vault.set(func() { w.vault.cached = "zoho/creds/crm-sync/cached" })
				l := w.takes()
				w.vault.set(func() { away(w.vault, true) })
				_, err := w.leases.RevokeToken(w.t.Context(), l.Token)
				require.Error(t, err)
				w.fails(Unavailable)
				w.vault.set(func() { away(w.vault, false) })
				require.NotEqual(t, l.Token, w.takes().Token)
				require.NotContains(t, w.vault.living(), l.ID)
			})
		})
	}
}

// The role was refused for a while.
func TestLeases_ALeaseThatACacheRepeatsAfterARefusalIsNotGivenBack(t *testing.T) {
	inBubble(t, func(w *world) {
		w.vault.set(func() { w.vault.cached = "zoho/creds/crm-sync/cached" })
		l := w.takes()
		w.vault.set(func() { w.vault.status = http.StatusBadRequest })
		w.clock.advance(maxUntilRead)
		w.fails(Refused)
		w.vault.set(func() { w.vault.status = 0 })
		w.takes()
		synctest.Wait()
		require.Equal(t, l.ID, w.takes().ID)
		require.NoError(t, w.closes(true))
		require.Empty(t, w.vault.living())
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
			_, err := w.leases.Token(w.t.Context(), name, "")
			require.Error(t, err)
		}
		require.Empty(t, w.leases.roles)
	})
}

func TestLeases_ANameThatTwoCallersMakeUpAtOnceIsNotKept(t *testing.T) {
	inBubble(t, func(w *world) {
		leave := make(chan struct{})
		w.leases.flights.DoChan("a", func() (any, error) { // a reading that was refused, and is about to end
			r, _ := w.leases.role("a")
			w.leases.dropIfEmpty(r)
			<-leave
			return nil, &Error{Kind: Refused}
		})
		synctest.Wait()
		second := make(chan error, 1)
		go func() { _, err := w.leases.Token(w.t.Context(), "a", ""); second <- err }()
		synctest.Wait()
		close(leave)
		require.Error(t, <-second)
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
		_, err := w.leases.Token(w.t.Context(), "no-such-role", "")
		require.Error(t, err)
		require.Equal(t, "ok", w.leases.Health(), "that a role is refused says nothing about Vault")
	})
}
