package zohosim_test

import (
	"bytes"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/zohosim"
)

func TestToken_RefreshAnswersLikeZohoAndWithoutARefreshToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{})
	out := w.refreshWith(w.refresh)

	assert.Equal(t, 200, out.status)
	assert.Equal(t, "application/json;charset=UTF-8", out.header.Get("Content-Type"))
	assert.Regexp(t, `^1000\.[0-9a-f]{32}\.[0-9a-f]{32}$`, out.text("access_token"))
	assert.Equal(t, "Bearer", out.text("token_type"))
	assert.Equal(t, w.url, out.text("api_domain"))
	assert.EqualValues(t, 3600, out.json["expires_in"])
	assert.Len(t, out.json, 4, out.raw)
	assert.Regexp(t, `^1000\.[A-Z0-9]{30}$`, w.client.ID)
}

func TestToken_ParametersMayComeAsQueryMultipartOrBasicHeader(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{})
	params := values("grant_type", "refresh_token", "refresh_token", w.refresh,
		"client_id", w.client.ID, "client_secret", w.client.Secret("eu"))

	assert.NotEmpty(t, w.do(w.request(http.MethodPost, w.url+"/oauth/v2/token?"+params.Encode(), "")).text("access_token"))

	var body bytes.Buffer
	parts := multipart.NewWriter(&body)
	for name := range params {
		require.NoError(t, parts.WriteField(name, params.Get(name)))
	}
	require.NoError(t, parts.Close())
	r := w.request(http.MethodPost, w.url+"/oauth/v2/token", body.String())
	r.Header.Set("Content-Type", parts.FormDataContentType())
	assert.NotEmpty(t, w.do(r).text("access_token"))

	r = w.form("/oauth/v2/token", "grant_type", "refresh_token", "refresh_token", w.refresh)
	r.SetBasicAuth(w.client.ID, w.client.Secret("eu"))
	assert.NotEmpty(t, w.do(r).text("access_token"))
}

func TestToken_AJSONBodyIsInvalidClient(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{})
	r := w.request(http.MethodPost, w.url+"/oauth/v2/token", `{"grant_type":"refresh_token"}`)
	r.Header.Set("Content-Type", "application/json")
	out := w.do(r)
	assert.Equal(t, 200, out.status)
	assert.JSONEq(t, `{"error":"invalid_client"}`, out.raw)
}

func TestToken_AnEmptyJSONObjectBesideParametersInTheQueryIsNoBody(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{})
	query := values("grant_type", "refresh_token", "refresh_token", w.refresh, "client_id", w.client.ID, "client_secret", w.client.Secret("eu"))
	for body, given := range map[string]bool{"{}": true, " { }\n": true, "": true, `{"a":1}`: false, "[]": false, "{": false} {
		r := w.request(http.MethodPost, w.url+"/oauth/v2/token?"+query.Encode(), body)
		r.Header.Set("Content-Type", "application/json")
		assert.Equal(t, given, w.do(r).text("access_token") != "", body)
	}
}

func TestToken_ABasicHeaderMayBePercentEncoded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{})
	encoded := strings.ReplaceAll(w.client.ID, ".", "%2E")
	for _, path := range []string{"/oauth/v2/token", "/oauth/v2/revoke/token"} {
		for secret, ok := range map[string]bool{w.client.Secret("eu"): true, "another": false} {
			r := w.form(path, "grant_type", "refresh_token", "refresh_token", w.refresh, "token", w.mint(), "token_type", "access_token")
			r.SetBasicAuth(encoded, secret)
			assert.Equal(t, ok, w.do(r).text("error") == "", path)
		}
	}
}

func TestToken_ABodyOfAnotherTypeIsNotRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{})
	for _, contentType := range []string{"text/plain", ""} {
		r := w.refreshForm()
		r.Header.Set("Content-Type", contentType)
		assert.Equal(t, 400, w.do(r).status)
	}
	assert.Zero(t, w.MintCount(w.refresh))
}

func TestHandler_GivesTheAddressByWhichItWasReached(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{})
	server := httptest.NewServer(w.Handler("eu"))
	defer server.Close()
	w.url = server.URL
	assert.Equal(t, server.URL, w.refreshWith(w.refresh).text("api_domain"))
}

func TestToken_GETIsABadRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{})
	out := w.do(w.request(http.MethodGet, w.url+"/oauth/v2/token?grant_type=refresh_token", ""))
	assert.Equal(t, 400, out.status)
	assert.Equal(t, "server error", out.raw)
}

func TestToken_AMissingGrantTypeIsABareBadRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{})
	out := w.asClient(w.client, "refresh_token", w.refresh)
	assert.Equal(t, 400, out.status)
	assert.Empty(t, out.raw)
}

func TestToken_ErrorsAreStatus200InZohosOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{})
	elsewhere := w.AddClient(zohosim.ClientSpec{DataCenters: []string{"us"}})
	other := w.AddClient(zohosim.ClientSpec{})
	american := w.Consent(w.client, "us", "user@example.com", crm())
	id, secret := w.client.ID, w.client.Secret("eu")

	cases := map[string]struct {
		want  string
		pairs []string
	}{
		"an unknown client, before its secret": {"invalid_client", []string{"client_id", "1000.NONE", "client_secret", "x"}},
		"no client":                            {"invalid_client", nil},
		"a client ID with a newline":           {"invalid_client", []string{"client_id", id + "\n", "client_secret", secret}},
		"a client of another data centre":      {"invalid_client", []string{"client_id", elsewhere.ID, "client_secret", elsewhere.Secret("us")}},
		"an unknown grant type":                {"invalid_client", []string{"client_id", id, "client_secret", secret, "grant_type", "password"}},
		"a wrong secret, before the token":     {"invalid_client_secret", []string{"client_id", id, "client_secret", "x", "refresh_token", "x"}},
		"no secret":                            {"invalid_client_secret", []string{"client_id", id}},
		"the secret of another data centre":    {"invalid_client_secret", []string{"client_id", id, "client_secret", w.client.Secret("us")}},
		"an unknown refresh token":             {"invalid_code", []string{"client_id", id, "client_secret", secret, "refresh_token", "x"}},
		"no refresh token":                     {"invalid_code", []string{"client_id", id, "client_secret", secret}},
		"another data centre's refresh token":  {"invalid_code", []string{"client_id", id, "client_secret", secret, "refresh_token", american}},
		"another client's refresh token":       {"invalid_code", []string{"client_id", other.ID, "client_secret", other.Secret("eu"), "refresh_token", w.refresh}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			out := w.token(append([]string{"grant_type", "refresh_token"}, tc.pairs...)...)
			assert.Equal(t, 200, out.status)
			assert.JSONEq(t, `{"error":"`+tc.want+`"}`, out.raw)
		})
	}
}

func TestToken_SecretsDifferPerDataCentreUnlessTheClientSharesThem(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{})
	assert.NotEqual(t, w.client.Secret("us"), w.client.Secret("eu"))
	shared := w.AddClient(zohosim.ClientSpec{SameSecret: true})
	assert.Equal(t, shared.Secret("us"), shared.Secret("eu"))
	assert.Empty(t, w.AddClient(zohosim.ClientSpec{DataCenters: []string{"us"}}).Secret("eu"))
}

func TestToken_ARegeneratedSecretEndsTheOldOneAndTheRefreshTokens(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{})
	access, american := w.mint(), w.Consent(w.client, "us", "user@example.com", crm())
	old := w.client.Secret("eu")
	assert.NotEqual(t, old, w.client.RegenerateSecret("eu"))
	out := w.token("grant_type", "refresh_token", "refresh_token", w.refresh, "client_id", w.client.ID, "client_secret", old)
	assert.Equal(t, "invalid_client_secret", out.text("error"))
	assert.Equal(t, "invalid_code", w.refreshWith(w.refresh).text("error"))
	assert.False(t, w.Alive(access))
	assert.True(t, w.Alive(american))
}

func TestToken_AnAccessTokenLivesForItsLifeAndNoLonger(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{TokenLife: 10 * time.Minute})
	token := w.mint()
	w.clock.Advance(10*time.Minute - time.Second)
	assert.True(t, w.Alive(token))
	w.clock.Advance(time.Second)
	assert.False(t, w.Alive(token))
	assert.Zero(t, w.LiveTokens(w.refresh))

	w.SetTokenLife(time.Minute)
	assert.EqualValues(t, 60, w.refreshWith(w.refresh).json["expires_in"])
}

func TestToken_ARefreshWithAScopeStillGivesAllScopes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{Answer: zohosim.Answer{WithScope: true}})
	out := w.asClient(w.client, "grant_type", "refresh_token", "refresh_token", w.refresh, "scope", "ZohoCRM.org.READ")
	assert.Equal(t, "ZohoCRM.modules.ALL ZohoCRM.org.READ", out.text("scope"))
}

func TestToken_AnswersComeInTheShapesThatZohoUses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, unthrottled())
	shape := func(answer zohosim.Answer) map[string]any {
		w.SetAnswer(answer)
		return w.refreshWith(w.refresh).json
	}
	millis := shape(zohosim.Answer{Expiry: zohosim.ExpiryMillisWithSec})
	assert.EqualValues(t, 3_600_000, millis["expires_in"])
	assert.EqualValues(t, 3600, millis["expires_in_sec"])

	bare := shape(zohosim.Answer{Expiry: zohosim.ExpiryMillis})
	assert.EqualValues(t, 3_600_000, bare["expires_in"])
	assert.NotContains(t, bare, "expires_in_sec")

	assert.Equal(t, "3600", shape(zohosim.Answer{Expiry: zohosim.ExpiryString})["expires_in"])
	assert.NotContains(t, shape(zohosim.Answer{Expiry: zohosim.ExpiryMissing}), "expires_in")
	assert.NotContains(t, shape(zohosim.Answer{NoAPIDomain: true}), "api_domain")
	assert.Equal(t, w.url+"/", shape(zohosim.Answer{APIDomainSlash: true})["api_domain"])
	assert.Equal(t, "https://evil.example", shape(zohosim.Answer{APIDomain: "https://evil.example"})["api_domain"])
}

func TestToken_RealDomainsGiveZohosAPIDomain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{RealDomains: true})
	assert.Equal(t, "https://www.zohoapis.eu", w.refreshWith(w.refresh).text("api_domain"))
}
