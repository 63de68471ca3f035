package zohosim_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"vault-plugin-secrets-zoho/zohosim"
)

const callback = "https://vault.example/v1/zoho/callback"

func (w *world) webClient() *zohosim.Client {
	return w.AddClient(zohosim.ClientSpec{Kind: zohosim.WebClient, RedirectURIs: []string{callback}})
}

func (w *world) exchange(client *zohosim.Client, code, redirectURI string) reply {
	w.t.Helper()
	pairs := []string{"grant_type", "authorization_code", "code", code}
	if redirectURI != "" {
		pairs = append(pairs, "redirect_uri", redirectURI)
	}
	return w.asClient(client, pairs...)
}

func TestCode_OfASelfClientGivesARefreshTokenOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{})
	code := w.Code(w.client, "eu", zohosim.CodeSpec{Scopes: crm()})
	out := w.exchange(w.client, code, "")
	assert.True(t, w.Alive(out.text("access_token")), out.raw)
	assert.True(t, w.Alive(out.text("refresh_token")), out.raw)
	assert.Equal(t, 1, w.LiveTokens(out.text("refresh_token")), "the first access token counts against the cap")

	assert.Equal(t, "invalid_code", w.exchange(w.client, code, "").text("error"))
}

func TestCode_ExpiresAfterTwoMinutes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{})
	code := w.Code(w.client, "eu", zohosim.CodeSpec{Scopes: crm()})
	w.clock.Advance(2 * time.Minute)
	assert.Equal(t, "invalid_code", w.exchange(w.client, code, "").text("error"))
}

func TestCode_BelongsToItsClientAndItsDataCentre(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{})
	other := w.AddClient(zohosim.ClientSpec{})
	assert.Equal(t, "invalid_code", w.exchange(other, w.Code(w.client, "eu", zohosim.CodeSpec{Scopes: crm()}), "").text("error"))
	assert.Equal(t, "invalid_code", w.exchange(w.client, w.Code(w.client, "us", zohosim.CodeSpec{Scopes: crm()}), "").text("error"))
}

func TestCode_NeedsTheExactRedirectURIOfAWebClient(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{})
	client := w.webClient()
	for _, uri := range []string{"", callback + "/", "https://evil.example"} {
		code := w.Code(client, "eu", zohosim.CodeSpec{Scopes: crm()})
		out := w.exchange(client, code, uri)
		assert.Equal(t, 200, out.status)
		assert.Equal(t, "invalid_redirect_uri", out.text("error"), uri)
		assert.Equal(t, "invalid_code", w.exchange(client, code, callback).text("error"), "the code is used up")
	}
	assert.NotEmpty(t, w.exchange(client, w.Code(client, "eu", zohosim.CodeSpec{Scopes: crm(), PromptConsent: true}), callback).text("refresh_token"))
}

func TestCode_OfASelfClientTakesNoRedirectURI(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{})
	code := w.Code(w.client, "eu", zohosim.CodeSpec{Scopes: crm()})
	assert.Equal(t, "invalid_redirect_uri", w.exchange(w.client, code, callback).text("error"))
}

func TestCode_GivesARefreshTokenOnlyOfflineAndOnlyTheFirstTimeOrWhenPrompted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{})
	client := w.webClient()
	refreshFor := func(spec zohosim.CodeSpec) string {
		spec.Scopes = crm()
		out := w.exchange(client, w.Code(client, "eu", spec), callback)
		assert.True(t, w.Alive(out.text("access_token")), out.raw)
		return out.text("refresh_token")
	}
	assert.Empty(t, refreshFor(zohosim.CodeSpec{User: "a@example.com", Online: true}))
	assert.NotEmpty(t, refreshFor(zohosim.CodeSpec{User: "b@example.com"}), "first time")
	assert.Empty(t, refreshFor(zohosim.CodeSpec{User: "b@example.com"}), "second time")
	assert.NotEmpty(t, refreshFor(zohosim.CodeSpec{User: "b@example.com", PromptConsent: true}))
}

func TestClientCredentials_GiveATokenWithTheScopesOfTheRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{})
	out := w.asClient(w.client, "grant_type", "client_credentials", "scope", "ZohoCRM.modules.ALL,ZohoCRM.org.READ", "soid", "ZohoCRM.600123")
	assert.True(t, w.Alive(out.text("access_token")), out.raw)
	assert.Equal(t, "ZohoCRM.modules.ALL ZohoCRM.org.READ", out.text("scope"))
	assert.NotContains(t, out.json, "refresh_token")
}

func TestClientCredentials_RefuseWhatZohoRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, unthrottled())
	needsOrg := w.AddClient(zohosim.ClientSpec{RequireSOID: true})
	narrow := w.AddClient(zohosim.ClientSpec{Scopes: []string{"Desk.tickets.READ"}})
	cases := map[string]struct {
		client      *zohosim.Client
		scope, soid string
		want        string
	}{
		"no scope":                   {w.client, "", "", "invalid_scope"},
		"a scope that is none":       {w.client, "everything", "", "invalid_scope"},
		"scopes separated by spaces": {w.client, "ZohoCRM.modules.ALL ZohoCRM.org.READ", "", "invalid_scope"},
		"a space after the comma":    {w.client, "ZohoCRM.modules.ALL, ZohoCRM.org.READ", "", "invalid_scope"},
		"a scope it does not have":   {narrow, "ZohoCRM.modules.ALL", "", "invalid_scope"},
		"no organisation":            {needsOrg, "ZohoCRM.modules.ALL", "", "missing_org_info"},
		"a malformed organisation":   {w.client, "ZohoCRM.modules.ALL", "600123", "missing_org_info"},
		"a web client":               {w.webClient(), "ZohoCRM.modules.ALL", "", "invalid_client"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			out := w.asClient(tc.client, "grant_type", "client_credentials", "scope", tc.scope, "soid", tc.soid)
			assert.Equal(t, 200, out.status)
			assert.JSONEq(t, `{"error":"`+tc.want+`"}`, out.raw)
		})
	}
}
