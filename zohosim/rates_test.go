package zohosim_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"vault-plugin-secrets-zoho/zohosim"
)

// codeOf returns a code of the world's client for a user.
func (w *world) codeOf(client *zohosim.Client, user string) string {
	return w.Code(client, "eu", zohosim.CodeSpec{User: user, Scopes: crm(), PromptConsent: true})
}

func TestThrottle_CountsAllRequestsOfAClientIfToldSo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{Throttle: zohosim.Throttle{PerClient: true}})
	second := w.Consent(w.client, "eu", "other@example.com", crm())
	for range 5 {
		w.mint()
		assert.Equal(t, 200, w.refreshWith(second).status)
	}
	assert.Equal(t, accessDenied, w.refreshWith(second).raw)
	assert.Equal(t, accessDenied, w.refreshWith(w.refresh).raw)
	assert.Equal(t, accessDenied, w.exchange(w.client, w.codeOf(w.client, "a@example.com"), "").raw)

	neighbour := w.AddClient(zohosim.ClientSpec{})
	out := w.asClient(neighbour, "grant_type", "refresh_token", "refresh_token", w.Consent(neighbour, "eu", "user@example.com", crm()))
	assert.Equal(t, 200, out.status)
}

func TestRate_SixthRefreshTokenOfAUserInAMinuteIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{RefreshTokensPerMinute: 5})
	other := w.AddClient(zohosim.ClientSpec{})
	for range 5 {
		assert.Equal(t, 200, w.exchange(w.client, w.codeOf(w.client, "a@example.com"), "").status)
		w.clock.Advance(time.Second)
	}
	refused := w.codeOf(other, "a@example.com")
	out := w.exchange(other, refused, "")
	assert.Equal(t, 400, out.status)
	assert.Equal(t, accessDenied, out.raw)
	assert.Equal(t, "invalid_code", w.exchange(other, refused, "").text("error"), "the code is used up")
	assert.Equal(t, 200, w.exchange(w.client, w.codeOf(w.client, "b@example.com"), "").status, "another user")

	w.clock.Advance(55 * time.Second)
	assert.Equal(t, 200, w.exchange(other, w.codeOf(other, "a@example.com"), "").status, "a minute after the first")
	assert.Equal(t, 400, w.exchange(other, w.codeOf(other, "a@example.com"), "").status, "four of the last minute still count")
}

func TestRate_TwentyFirstRefreshTokenOfAClientInTenMinutesIsRefused(t *testing.T) {
	t.Parallel()
	opts := unthrottled()
	opts.RefreshTokensPerTenMinutes = 20
	w := newWorld(t, opts)
	for i := range 20 {
		assert.Equal(t, 200, w.exchange(w.client, w.codeOf(w.client, string(rune('a'+i))+"@example.com"), "").status)
	}
	assert.Equal(t, accessDenied, w.exchange(w.client, w.codeOf(w.client, "z@example.com"), "").raw)
	other := w.AddClient(zohosim.ClientSpec{})
	assert.Equal(t, 200, w.exchange(other, w.codeOf(other, "z@example.com"), "").status)
	w.clock.Advance(10 * time.Minute)
	assert.Equal(t, 200, w.exchange(w.client, w.codeOf(w.client, "z@example.com"), "").status)
}

func TestRate_CountsNoExchangeWithoutARefreshToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{RefreshTokensPerMinute: 1})
	for range 3 {
		code := w.Code(w.client, "eu", zohosim.CodeSpec{Scopes: crm(), Online: true})
		assert.Equal(t, 200, w.exchange(w.client, code, "").status)
	}
}

func TestCodesPerMinute_FifthOnTheConsentPageBlocksTheUserForTenMinutes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{CodesPerMinute: 4})
	target := w.consentURL(w.webClient())
	for range 4 {
		assert.NotEmpty(t, w.decide(target, "accept").Get("code"))
	}
	assert.Equal(t, "access_denied", w.decide(target, "accept").Get("error"))
	w.SetUser("other@example.com", "eu")
	assert.NotEmpty(t, w.decide(target, "accept").Get("code"), "the limit is per user and client")

	w.SetUser("user@example.com", "eu")
	w.clock.Advance(10*time.Minute - time.Second)
	assert.Equal(t, "access_denied", w.decide(target, "accept").Get("error"))
	w.clock.Advance(time.Second)
	assert.NotEmpty(t, w.decide(target, "accept").Get("code"))
}

func TestCodesPerMinute_FifthExchangeSilencesTheClientForTenMinutes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{CodesPerMinute: 4, CodeLife: time.Hour})
	for range 4 {
		assert.Equal(t, 200, w.exchange(w.client, w.codeOf(w.client, "a@example.com"), "").status)
	}
	code := w.codeOf(w.client, "b@example.com")
	assert.Equal(t, accessDenied, w.exchange(w.client, code, "").raw)
	w.mint() // refreshing goes on
	w.clock.Advance(5 * time.Minute)
	assert.Equal(t, accessDenied, w.exchange(w.client, code, "").raw, "which begins the block anew")
	w.clock.Advance(10*time.Minute - time.Second)
	assert.Equal(t, accessDenied, w.exchange(w.client, code, "").raw)
	w.clock.Advance(10 * time.Minute)
	assert.Equal(t, 200, w.exchange(w.client, code, "").status, "the code is still good")
}

func TestSetOptions_ChangesARunningSimulator(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{})
	w.SetOptions(func(o *zohosim.Options) { o.CodesPerMinute, o.TokenLife = 1, 0 })
	assert.Equal(t, 200, w.exchange(w.client, w.codeOf(w.client, "a@example.com"), "").status)
	assert.Equal(t, 400, w.exchange(w.client, w.codeOf(w.client, "a@example.com"), "").status)
	w.SetOptions(func(o *zohosim.Options) { *o = zohosim.Options{} })
	assert.InDelta(t, 3600, w.refreshWith(w.refresh).json["expires_in"], 0)
}

func TestHardest_KeepsEachOfTheHarderReadings(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Hardest())
	other := w.AddClient(zohosim.ClientSpec{})
	for range 4 {
		assert.Equal(t, 200, w.exchange(w.client, w.codeOf(w.client, "a@example.com"), "").status)
	}
	assert.Equal(t, accessDenied, w.exchange(w.client, w.codeOf(w.client, "a@example.com"), "").raw, "four codes a minute")
	assert.Equal(t, 200, w.exchange(other, w.codeOf(other, "a@example.com"), "").status)
	assert.Equal(t, accessDenied, w.exchange(other, w.codeOf(other, "a@example.com"), "").raw, "five refresh tokens a minute")
	w.clock.Advance(time.Minute)
	w.consents(other, 19)
	out := w.exchange(other, w.codeOf(other, "user@example.com"), "")
	assert.JSONEq(t, `{"error":"Access Denied","status":"failure"}`, out.raw, "twenty of a user")
}
