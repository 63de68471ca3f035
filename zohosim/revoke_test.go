package zohosim_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"vault-plugin-secrets-zoho/zohosim"
)

func (w *world) legacyRevoke(token string) reply {
	w.t.Helper()
	return w.do(w.form("/oauth/v2/token/revoke", "token", token))
}

func (w *world) revoke(client *zohosim.Client, pairs ...string) reply {
	w.t.Helper()
	r := w.form("/oauth/v2/revoke/token", pairs...)
	r.SetBasicAuth(client.ID, client.Secret("eu"))
	return w.do(r)
}

func TestLegacyRevoke_KillsThatAccessTokenOnlyAndOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{})
	first, second := w.mint(), w.mint()
	out := w.legacyRevoke(first)
	assert.Equal(t, 200, out.status)
	assert.JSONEq(t, `{"status":"success"}`, out.raw)
	assert.False(t, w.Alive(first))
	assert.True(t, w.Alive(second))
	assert.True(t, w.Alive(w.refresh))
	assert.Equal(t, 400, w.legacyRevoke(first).status)
}

func TestLegacyRevoke_OfARefreshTokenKillsItsAccessTokens(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{})
	access := w.mint()
	out := w.do(w.request(http.MethodPost, w.url+"/oauth/v2/token/revoke?token="+w.refresh, ""))
	assert.Equal(t, 200, out.status)
	assert.False(t, w.Alive(access))
	assert.False(t, w.Alive(w.refresh))
	assert.Equal(t, "invalid_code", w.refreshWith(w.refresh).text("error"))
	assert.Equal(t, 400, w.legacyRevoke(w.refresh).status)
}

func TestLegacyRevoke_MayRefuseAccessTokens(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{LegacyRevokeRefusesAccessTokens: true})
	access := w.mint()
	assert.Equal(t, 400, w.legacyRevoke(access).status)
	assert.True(t, w.Alive(access))
	assert.Equal(t, 200, w.legacyRevoke(w.refresh).status)
}

func TestRevoke_KillsAnAccessTokenOnlyUnderItsTypeAndOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{})
	access := w.mint()
	assert.Equal(t, 400, w.revoke(w.client, "token", access).status, "the type defaults to refresh_token")
	assert.Equal(t, 400, w.revoke(w.client, "token", access, "token_type", "refresh_token").status)
	assert.True(t, w.Alive(access))
	assert.Equal(t, 200, w.revoke(w.client, "token", access, "token_type", "access_token").status)
	assert.False(t, w.Alive(access))
	assert.True(t, w.Alive(w.refresh))
	assert.Equal(t, 400, w.revoke(w.client, "token", access, "token_type", "access_token").status)
}

func TestRevoke_OfARefreshTokenKillsItsAccessTokens(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{})
	access := w.mint()
	assert.Equal(t, 400, w.revoke(w.client, "token", w.refresh, "token_type", "access_token").status)
	assert.Equal(t, 200, w.revoke(w.client, "token", w.refresh).status)
	assert.False(t, w.Alive(access))
	assert.Equal(t, 400, w.revoke(w.client, "token", w.refresh).status)
}

func TestRevoke_NeedsTheTokensOwnClientInABasicHeader(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{})
	access := w.mint()
	inForm := w.form("/oauth/v2/revoke/token", "token", access, "token_type", "access_token",
		"client_id", w.client.ID, "client_secret", w.client.Secret("eu"))
	assert.Equal(t, 400, w.do(inForm).status)
	wrongSecret := w.form("/oauth/v2/revoke/token", "token", access, "token_type", "access_token")
	wrongSecret.SetBasicAuth(w.client.ID, w.client.Secret("us"))
	assert.Equal(t, 400, w.do(wrongSecret).status)
	assert.Equal(t, 400, w.revoke(w.AddClient(zohosim.ClientSpec{}), "token", access, "token_type", "access_token").status)
	assert.True(t, w.Alive(access))
}

func TestRevoke_RefusesAnExpiredTokenAndAnotherDataCentres(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{})
	access, american := w.mint(), w.Consent(w.client, "us", "user@example.com", crm())
	assert.Equal(t, 400, w.revoke(w.client, "token", american).status)
	assert.Equal(t, 400, w.legacyRevoke(american).status)
	w.clock.Advance(time.Hour)
	assert.Equal(t, 400, w.revoke(w.client, "token", access, "token_type", "access_token").status)
	assert.Equal(t, 400, w.legacyRevoke(access).status)
}

func TestRevoke_EitherEndpointMayBeMissing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{Missing: []zohosim.Endpoint{zohosim.EndpointRevoke}})
	access := w.mint()
	assert.Equal(t, 404, w.revoke(w.client, "token", access, "token_type", "access_token").status)
	assert.Equal(t, 200, w.legacyRevoke(access).status)
	w.SetMissing(zohosim.EndpointLegacyRevoke)
	assert.Equal(t, 404, w.legacyRevoke(w.refresh).status)
	assert.Equal(t, 200, w.revoke(w.client, "token", w.refresh).status)
}

func TestKill_IsARevocationByAStranger(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{})
	access := w.mint()
	assert.True(t, w.Kill(w.refresh))
	assert.False(t, w.Alive(access))
	assert.False(t, w.Kill(w.refresh))
	assert.Zero(t, w.Count(zohosim.EndpointLegacyRevoke))
}
