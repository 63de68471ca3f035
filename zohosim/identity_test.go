package zohosim_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/zohosim"
)

func (w *world) userInfo(authorization string) reply {
	w.t.Helper()
	r := w.request(http.MethodGet, w.url+"/oauth/user/info", "")
	r.Header.Set("Authorization", authorization)
	return w.do(r)
}

// accessOf returns the answer of an exchange by a user who agreed to scopes.
func (w *world) accessOf(user string, scopes ...string) reply {
	w.t.Helper()
	return w.exchange(w.client, w.Code(w.client, "eu", zohosim.CodeSpec{User: user, Scopes: scopes}), "")
}

func TestUserInfo_TellsWhoAgreed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{})
	for _, scope := range []string{"AaaServer.profile.READ", "AaaServer.profile.Read", "aaaserver.profile.READ"} {
		token := w.accessOf("ada.lovelace@example.com", "ZohoCRM.org.READ", scope).text("access_token")
		for _, scheme := range []string{"Zoho-oauthtoken ", "Bearer "} {
			out := w.userInfo(scheme + token)
			require.Equal(t, 200, out.status, out.raw)
			assert.Equal(t, "ada.lovelace@example.com", out.text("Email"))
			assert.Equal(t, "Ada", out.text("First_Name"))
			assert.Equal(t, "Lovelace", out.text("Last_Name"))
			assert.Equal(t, "Ada Lovelace", out.text("Display_Name"))
			assert.Positive(t, out.json["ZUID"])
		}
	}
	assert.Equal(t, 6, w.Count(zohosim.EndpointUserInfo))
	requests := w.Requests()
	assert.NotEmpty(t, requests[len(requests)-1].Token, "the journal knows which token asked")
}

func TestUserInfo_RefusesWhatHasNoUserOrNotTheScope(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{})
	profile := "AaaServer.profile.READ"
	organisation := w.exchange(w.client, w.Code(w.client, "eu", zohosim.CodeSpec{Scopes: []string{profile}, Organisation: true}), "")
	assert.NotEmpty(t, organisation.text("access_token"), organisation.raw)
	machine := w.asClient(w.client, "grant_type", "client_credentials", "scope", profile)
	cases := map[string]struct{ token, want string }{
		"another scope":         {w.mint(), "INVALID_OAUTHSCOPE"},
		"email is not enough":   {w.accessOf("a@example.com", "email").text("access_token"), "INVALID_OAUTHSCOPE"},
		"of an organisation":    {organisation.text("access_token"), "INVALID_OAUTHSCOPE"},
		"of client_credentials": {machine.text("access_token"), "INVALID_OAUTHSCOPE"},
		"unknown":               {"1000.aa.bb", "INVALID_OAUTHTOKEN"},
		"none":                  {"", "INVALID_OAUTHTOKEN"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			out := w.userInfo("Zoho-oauthtoken " + tc.token)
			assert.Equal(t, 401, out.status)
			assert.JSONEq(t, `{"cause":"`+tc.want+`","status":"error"}`, out.raw)
		})
	}
	token := w.accessOf("a@example.com", profile).text("access_token")
	american := listen(t, w.Sim, "us")
	w.url = american
	assert.Equal(t, 401, w.userInfo("Zoho-oauthtoken "+token).status, "another data centre")
}

func TestIDToken_ComesWithAScopeOfOpenIDConnect(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{})
	out := w.accessOf("ada@example.com", "ZohoCRM.org.READ", "email", "AaaServer.profile.READ")
	claims := claimsOf(t, out.text("id_token"))
	assert.Equal(t, "ada@example.com", claims["email"])
	assert.Equal(t, w.url, claims["iss"])
	assert.Equal(t, w.client.ID, claims["aud"])
	assert.InDelta(t, w.clock.Now().Unix()+3600, claims["exp"], 0)
	zuid, ok := w.userInfo("Bearer " + out.text("access_token")).json["ZUID"].(float64)
	require.True(t, ok)
	assert.Equal(t, strconv.FormatInt(int64(zuid), 10), claims["sub"])

	assert.NotContains(t, w.asClient(w.client, "grant_type", "refresh_token", "refresh_token", out.text("refresh_token")).json, "id_token")
	assert.NotContains(t, claimsOf(t, w.accessOf("ada@example.com", "openid").text("id_token")), "email")
	assert.NotContains(t, w.accessOf("ada@example.com", "profile").json, "id_token")
	assert.NotContains(t, w.accessOf("ada@example.com", crm()...).json, "id_token")
	code := w.Code(w.client, "eu", zohosim.CodeSpec{Scopes: []string{"email"}, Organisation: true})
	assert.NotContains(t, w.exchange(w.client, code, "").json, "id_token")
}

func claimsOf(t *testing.T, token string) map[string]any {
	t.Helper()
	parts := strings.Split(token, ".")
	require.Len(t, parts, 3, token)
	encoded, err := base64.RawURLEncoding.DecodeString(parts[1])
	require.NoError(t, err)
	var claims map[string]any
	require.NoError(t, json.Unmarshal(encoded, &claims))
	return claims
}

func TestIDToken_TellsWhetherTheAddressIsVerifiedAndTheNameThatTheUserHasChosen(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{})
	claims := func(scopes ...string) map[string]any {
		parts := strings.Split(w.accessOf("ada@example.com", scopes...).text("id_token"), ".")
		require.Len(t, parts, 3)
		decoded, err := base64.RawURLEncoding.DecodeString(parts[1])
		require.NoError(t, err)
		var out map[string]any
		require.NoError(t, json.Unmarshal(decoded, &out))
		return out
	}
	assert.Equal(t, true, claims("email")["email_verified"])
	assert.NotContains(t, claims("email"), "name")
	w.SetProfile("ada@example.com", zohosim.Profile{DisplayName: "ceo@example.com", EmailUnverified: true})
	got := claims("email", "profile")
	assert.Equal(t, "ada@example.com", got["email"])
	assert.Equal(t, false, got["email_verified"])
	assert.Equal(t, "ceo@example.com", got["name"])
	w.SetProfile("ada@example.com", zohosim.Profile{NoEmail: true})
	assert.NotContains(t, claims("email"), "email")
	out := w.userInfo("Bearer " + w.accessOf("ada@example.com", "AaaServer.profile.READ").text("access_token"))
	assert.Empty(t, out.text("Email"))
	assert.Equal(t, "Ada", out.text("Display_Name"))
}
