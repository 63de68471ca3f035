package backend_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend"
	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/backend/zoho"
	"vault-plugin-secrets-zoho/zohosim"
)

func grantError(t *testing.T, err error) *backend.GrantError {
	t.Helper()
	var failed *backend.GrantError
	require.ErrorAs(t, err, &failed)
	return failed
}

// Invariant 2.
func TestMint_WhenZohoIsDownAComfortableTokenIsServedWithAWarning(t *testing.T) {
	w := newWorld(t)
	first := w.read("crm-sync")
	w.sim.SetDown(true)
	w.clock.Advance(55 * time.Minute)
	second := w.read("crm-sync")
	require.Equal(t, first.TokenID, second.TokenID)
	require.Contains(t, second.Warnings[0], "could not be had")

	w.clock.Advance(4 * time.Minute)
	require.Equal(t, zoho.Unreachable, grantError(t, w.readError("crm-sync")).Kind)
}

// Invariant 4.
func TestMint_BudgetIsNeverExceededCountingFailuresAndRestarts(t *testing.T) {
	w := newWorld(t)
	w.sim.Fault(zohosim.EndpointToken, zohosim.Fault{Kind: zohosim.FaultHTML500})
	start := w.clock.Now()
	for w.clock.Now().Sub(start) < time.Hour {
		require.Error(t, w.readError("crm-sync"))
		w.clock.Advance(3 * time.Second)
		if w.clock.Now().Second() == 30 {
			w.restart()
		}
	}
	var at []time.Time
	for _, r := range w.sim.Requests() {
		if r.Endpoint == zohosim.EndpointToken {
			at = append(at, r.Time)
		}
	}
	require.Greater(t, len(at), 30, "the engine goes on trying")
	for i := 10; i < len(at); i++ {
		require.GreaterOrEqual(t, at[i].Sub(at[i-10]), 10*time.Minute)
	}
}

// Invariant 4.
func TestMint_BudgetUsedUpTellsWhenToComeBack(t *testing.T) {
	w := newWorld(t)
	for range 10 {
		require.NoError(t, w.release(w.read("crm-sync")))
	}
	failed := grantError(t, w.readError("crm-sync"))
	require.Equal(t, zoho.Throttled, failed.Kind)
	require.Equal(t, 10, w.sim.Count(zohosim.EndpointToken))

	w.clock.Advance(failed.RetryAt.Sub(w.clock.Now()))
	w.read("crm-sync")
}

// Invariant 4.
func TestMint_AfterAThrottleAnswerTheEngineStaysSilentForTheCoolDown(t *testing.T) {
	w := newWorld(t)
	w.sim.Fault(zohosim.EndpointToken, zohosim.Fault{Kind: zohosim.FaultThrottled, Count: 1})
	failed := grantError(t, w.readError("crm-sync"))
	require.Equal(t, zoho.Throttled, failed.Kind)
	require.Equal(t, w.clock.Now().Add(10*time.Minute), failed.RetryAt)
	for range 9 {
		w.clock.Advance(time.Minute)
		w.restart()
		require.Error(t, w.readError("crm-sync"))
	}
	require.Equal(t, 1, w.sim.Count(zohosim.EndpointToken))
	w.clock.Advance(time.Minute)
	w.read("crm-sync")
}

// Invariant 5.
func TestMint_NeverMakesZohoEvictATokenOnWhichALeaseLives(t *testing.T) {
	w := newWorld(t)
	w.configure(settings.ConfigChange{RequestBudget: ptr(100), MaxLiveTokens: ptr(3), RefreshAhead: ptr(false)})
	w.sim.SetMaxLiveTokens(3)
	var held []*backend.Issued
	read := func() error {
		issued, err := w.engine.Issue(t.Context(), "crm-sync", backend.Reader{MinTTL: 59*time.Minute + 55*time.Second})
		if err == nil {
			held = append(held, issued)
		}
		w.clock.Advance(time.Minute)
		return err
	}
	for range 3 {
		require.NoError(t, read())
	}
	issued, err := w.engine.Issue(t.Context(), "crm-sync", backend.Reader{MinTTL: 59*time.Minute + 55*time.Second})
	require.NoError(t, err, "the newest is comfortable, and better than an error")
	require.Contains(t, issued.Warnings[0], "kills the oldest")
	for _, h := range held {
		require.True(t, w.alive(h))
	}

	require.NoError(t, w.release(held[0]), "which makes room")
	require.NoError(t, read())
	require.True(t, w.alive(held[1]))
}

func TestMint_ARefusalIsRememberedUntilTheCredentialIsWritten(t *testing.T) {
	for name, mend := range map[string]func(*world){
		"a new refresh token": func(w *world) {
			w.writeRole("crm-sync", settings.RoleChange{RefreshToken: ptr(w.sim.Consent(w.client, "us", "user@example.com", scopes))})
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.sim.Kill(w.refreshToken)
			for range 20 {
				failed := grantError(t, w.readError("crm-sync"))
				require.Equal(t, zoho.Refused, failed.Kind)
				require.Equal(t, "invalid_code", failed.Code)
				w.restart()
			}
			require.Equal(t, 1, w.sim.Count(zohosim.EndpointToken))
			mend(w)
			w.read("crm-sync")
		})
	}
}

func TestMint_ARefusedClientSecretIsTriedAgainWhenItChanges(t *testing.T) {
	w := newWorld(t)
	good := w.client.Secret("us")
	w.configure(settings.ConfigChange{ClientSecret: ptr("0123456789abcdef")})
	for range 3 {
		require.Equal(t, "invalid_client_secret", grantError(t, w.readError("crm-sync")).Code)
	}
	require.Equal(t, 1, w.sim.Count(zohosim.EndpointToken))
	w.configure(settings.ConfigChange{ClientSecret: &good})
	w.read("crm-sync")
}

func TestMint_WritingTheSameRefreshTokenAgainIsAnotherTry(t *testing.T) {
	w := newWorld(t)
	w.sim.Fault(zohosim.EndpointToken, zohosim.Fault{Kind: zohosim.FaultAnswer, Body: `{"error":"invalid_code"}`, Count: 1})
	require.Error(t, w.readError("crm-sync"))
	w.writeRole("crm-sync", settings.RoleChange{RefreshToken: &w.refreshToken})
	w.read("crm-sync")
}

func TestMint_AheadAtHalfLifeSoThatAShortOutageIsNotNoticed(t *testing.T) {
	w := newWorld(t)
	first := w.read("crm-sync")
	w.clock.Advance(20 * time.Minute)
	w.tick()
	require.Equal(t, 1, w.sim.MintCount(w.refreshToken), "still fresh")
	w.clock.Advance(20 * time.Minute)
	w.tick()
	require.Equal(t, 2, w.sim.MintCount(w.refreshToken))
	require.True(t, w.alive(first), "somebody holds it")

	w.sim.SetDown(true)
	for range 8 {
		w.clock.Advance(5 * time.Minute)
		require.Empty(t, w.read("crm-sync").Warnings)
		w.settle()
	}
}

func TestMint_AheadIsNotDoneForAGrantThatNobodyReads(t *testing.T) {
	w := newWorld(t)
	w.read("crm-sync")
	for range 10 {
		w.clock.Advance(20 * time.Minute)
		w.tick()
	}
	require.LessOrEqual(t, w.sim.MintCount(w.refreshToken), 3)
	require.Zero(t, w.sim.LiveTokens(w.refreshToken))
}

func TestMint_AheadLeavesTheReserveToReaders(t *testing.T) {
	w := newWorld(t)
	for range 7 {
		require.NoError(t, w.release(w.read("crm-sync")))
	}
	w.sim.SetTokenLife(2 * time.Minute)
	w.read("crm-sync") // the eighth
	w.clock.Advance(75 * time.Second)
	w.read("crm-sync") // stale: served
	w.settle()
	require.Equal(t, 8, w.sim.MintCount(w.refreshToken))
	w.clock.Advance(40 * time.Second)
	w.read("crm-sync") // invalid: the reserve is for this
	require.Equal(t, 9, w.sim.MintCount(w.refreshToken))
}

// Invariant 9.
func TestMint_ATokenThatCannotBeStoredIsRevoked(t *testing.T) {
	for _, prefix := range []string{"tokens/", "refresh-tokens/"} {
		t.Run(prefix, func(t *testing.T) {
			w := newWorld(t)
			w.read("crm-sync") // the grant and the salt are there
			w.clock.Advance(51 * time.Minute)
			mints := w.sim.MintCount(w.refreshToken)
			once := true
			w.storage.failing(func(key string) bool {
				fails := once && below(prefix)(key) && w.sim.MintCount(w.refreshToken) > mints
				once = once && !fails
				return fails
			})
			w.read("crm-sync") // the former one, with a warning
			w.settle()
			require.Equal(t, 2, w.sim.MintCount(w.refreshToken))
			require.Equal(t, 1, w.sim.LiveTokens(w.refreshToken))
		})
	}
}

// Invariant 8.
func TestRestart_TheCachedTokenIsReusedAndHoldersStayCounted(t *testing.T) {
	w := newWorld(t)
	first, second := w.read("crm-sync"), w.read("crm-sync")
	w.restart()
	third := w.read("crm-sync")
	require.Equal(t, first.TokenID, third.TokenID)
	require.Equal(t, 1, w.sim.MintCount(w.refreshToken))
	for _, issued := range []*backend.Issued{first, third} {
		w.restart()
		require.NoError(t, w.release(issued))
		require.True(t, w.alive(second))
	}
	w.restart()
	require.NoError(t, w.release(second))
	require.False(t, w.alive(second))
}

func TestMint_AnswersInMillisecondsAndWithoutADomain(t *testing.T) {
	w := newWorld(t)
	w.sim.SetAnswer(zohosim.Answer{Expiry: zohosim.ExpiryMillisWithSec, WithScope: true})
	require.Equal(t, scopes, w.read("crm-sync").Scopes)
	w.sim.SetAnswer(zohosim.Answer{Expiry: zohosim.ExpiryMissing, NoAPIDomain: true})
	w.clock.Advance(51 * time.Minute)
	issued := w.read("crm-sync")
	require.Equal(t, w.accounts.URL, issued.APIDomain, "remembered from the refresh before")
	require.Equal(t, scopes, issued.Scopes)
	require.Greater(t, issued.TTL, 59*time.Minute)
}

// What a reader waits for, besides Zoho. The same that make bench tells in writes.
func TestIssue_WaitsForThreeWritesIfItMintsAndForOneIfNot(t *testing.T) {
	w := newWorld(t)
	require.NoError(t, w.release(w.read("crm-sync")))
	w.settle()
	kinds := func() (kinds []string) {
		for _, key := range w.storage.written() {
			kind, _, _ := strings.Cut(key, "/")
			kinds = append(kinds, kind)
		}
		return kinds
	}
	kinds()
	finish, done := w.holdBack(below("holders/"), func() error { _, err := w.engine.Issue(t.Context(), "crm-sync", backend.Reader{}); return err })
	require.NoError(t, <-done, "its holder is in the token's entry")
	require.Equal(t, []string{"refresh-tokens", "tokens", "refresh-tokens", "holders"}, kinds(), "the request, the token with its first reader, that it is the current one; and nobody waits for the reader's name")
	finish(nil)
	w.settle()
	kinds()
	w.read("crm-sync")
	require.Equal(t, []string{"holders"}, kinds())
}

// The reserve was refused to those who waited when it was decided. A reader who came to wait
// after that, and is entitled, is decided for as well.
func TestMint_AReaderWhoJoinsAMintThatWasDecidedWithoutHimAsksOnceMore(t *testing.T) {
	for range 20 {
		w := newWorld(t)
		w.writeRole("loop", settings.RoleChange{RefreshToken: &w.refreshToken})
		for range 30 {
			if issued, err := w.engine.Issue(t.Context(), "loop", backend.Reader{}); err == nil {
				require.NoError(t, w.release(issued))
			}
		}
		require.Equal(t, 8, w.asked(), "seven of ten, and one request of the reserve for role loop")
		var joined *backend.Issued
		failed := atOnce(3, func(i int) (err error) {
			if i < 2 { // it may get the token of the other, or none
				_, _ = w.engine.Issue(t.Context(), "loop", backend.Reader{})
				return nil
			}
			joined, err = w.engine.Issue(t.Context(), "crm-sync", backend.Reader{})
			return err
		})
		require.NoError(t, errors.Join(failed...))
		require.True(t, w.alive(joined))
		require.Equal(t, 9, w.asked())
	}
}
