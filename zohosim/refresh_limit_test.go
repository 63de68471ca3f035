package zohosim_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"vault-plugin-secrets-zoho/zohosim"
)

// consents lets the world's user agree n times to a client.
func (w *world) consents(client *zohosim.Client, n int) {
	for range n {
		w.Consent(client, "eu", "user@example.com", crm())
	}
}

func TestRefreshTokens_AreCountedPerUserAndClientUnlessToldOtherwise(t *testing.T) {
	t.Parallel()
	for perUser, alive := range map[bool]bool{false: true, true: false} {
		w := newWorld(t, zohosim.Options{RefreshTokensPerUser: perUser})
		stranger := w.Consent(w.client, "eu", "other@example.com", crm())
		abroad := w.Consent(w.client, "us", "user@example.com", crm())
		w.consents(w.AddClient(zohosim.ClientSpec{}), 20)
		assert.Equal(t, alive, w.Alive(w.refresh))
		assert.True(t, w.Alive(stranger))
		assert.True(t, w.Alive(abroad))
	}
}

func TestRefreshTokens_TwentyFirstIsRefusedIfToldSo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{RefuseExcessRefreshTokens: true})
	w.consents(w.client, 19)
	code := w.Code(w.client, "eu", zohosim.CodeSpec{Scopes: crm()})
	out := w.exchange(w.client, code, "")
	assert.Equal(t, 400, out.status)
	assert.JSONEq(t, `{"error":"Access Denied","status":"failure"}`, out.raw)
	assert.True(t, w.Alive(w.refresh))
	assert.Empty(t, w.Evicted())
	assert.Equal(t, "invalid_code", w.exchange(w.client, code, "").text("error"), "the code is used up")
	assert.Panics(t, func() { w.consents(w.client, 1) })

	w.Kill(w.refresh)
	out = w.exchange(w.client, w.Code(w.client, "eu", zohosim.CodeSpec{Scopes: crm()}), "")
	assert.True(t, w.Alive(out.text("refresh_token")), out.raw)
}

func TestRefreshTokens_TwentyFirstOfAllClientsIsRefusedIfToldSo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{RefuseExcessRefreshTokens: true, RefreshTokensPerUser: true})
	w.consents(w.AddClient(zohosim.ClientSpec{}), 19)
	out := w.exchange(w.client, w.Code(w.client, "eu", zohosim.CodeSpec{Scopes: crm()}), "")
	assert.Equal(t, "Access Denied", out.text("error"))
}

func TestRefreshTokens_ListsThoseOfAUserOldestFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{})
	other := w.AddClient(zohosim.ClientSpec{})
	of := w.Consent(other, "eu", "user@example.com", crm())
	second := w.Consent(w.client, "eu", "user@example.com", crm())
	assert.Equal(t, []string{w.refresh, second}, w.RefreshTokens(w.client, "eu", "user@example.com"))
	assert.Equal(t, []string{w.refresh, of, second}, w.RefreshTokens(nil, "eu", "user@example.com"))
	assert.Empty(t, w.RefreshTokens(nil, "us", "user@example.com"))
	w.Kill(w.refresh)
	assert.Equal(t, []string{second}, w.RefreshTokens(w.client, "eu", "user@example.com"))
}

func TestEvicted_TellsWhatNewerTokensHavePushedOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{MaxLiveTokens: 1, MaxRefreshTokens: 1})
	access := w.mint()
	w.mint()
	w.Kill(w.mint())
	w.mint()
	w.consents(w.client, 1)
	evicted := w.Evicted()
	assert.Len(t, evicted, 3, "neither what was killed nor what died with its refresh token")
	assert.Equal(t, zohosim.Fingerprint(access), evicted[0].Fingerprint)
	assert.Equal(t, "access", evicted[0].Kind)
	assert.Equal(t, zohosim.Fingerprint(w.refresh), evicted[2].Fingerprint)
	assert.Equal(t, "refresh", evicted[2].Kind)
	assert.Equal(t, 1, evicted[2].LiveTokens)
}
