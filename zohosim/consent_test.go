package zohosim_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/zohosim"
)

// consentURL is a correct consent request, with changes.
func (w *world) consentURL(client *zohosim.Client, pairs ...string) string {
	query := values("response_type", "code", "client_id", client.ID, "redirect_uri", callback,
		"scope", strings.Join(crm(), ","), "state", "s&t", "access_type", "offline", "prompt", "consent")
	for name, value := range values(pairs...) {
		query[name] = value
	}
	return w.url + "/oauth/v2/auth?" + query.Encode()
}

// decide presses a button of the consent page, and returns where it leads.
func (w *world) decide(target, decision string) url.Values {
	w.t.Helper()
	r := w.request(http.MethodPost, target, "decision="+decision)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	out := w.do(r)
	require.Equal(w.t, 302, out.status, out.raw)
	location := out.header.Get("Location")
	require.True(w.t, strings.HasPrefix(location, callback+"?"), location)
	where, err := url.Parse(location)
	require.NoError(w.t, err)
	return where.Query()
}

func TestConsentPage_ShowsTheScopesAndTwoButtons(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{})
	out := w.do(w.request(http.MethodGet, w.consentURL(w.webClient()), ""))
	assert.Equal(t, 200, out.status)
	assert.Contains(t, out.header.Get("Content-Type"), "text/html")
	for _, part := range []string{"ZohoCRM.modules.ALL", `value="accept"`, `value="deny"`, `method="post"`} {
		assert.Contains(t, out.raw, part)
	}
}

func TestConsentPage_AcceptLeadsBackWithACodeThatWorks(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{})
	client := w.webClient()
	back := w.decide(w.consentURL(client), "accept")
	assert.Equal(t, "s&t", back.Get("state"))
	assert.Equal(t, "eu", back.Get("location"))
	assert.Equal(t, w.url, back.Get("accounts-server"))
	assert.True(t, w.Alive(w.exchange(client, back.Get("code"), callback).text("refresh_token")))
}

func TestConsentPage_DenyLeadsBackWithAccessDenied(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{})
	back := w.decide(w.consentURL(w.webClient()), "deny")
	assert.Equal(t, values("error", "access_denied", "state", "s&t"), back)
}

func TestConsentPage_IsOnlineUnlessAskedOtherwise(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{})
	client := w.webClient()
	back := w.decide(w.consentURL(client, "access_type", ""), "accept")
	out := w.exchange(client, back.Get("code"), callback)
	assert.NotEmpty(t, out.text("access_token"), out.raw)
	assert.Empty(t, out.text("refresh_token"))
}

func TestConsentPage_NeverRedirectsOnABadRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{})
	cases := map[string]struct{ name, value, want string }{
		"unknown client":     {"client_id", "1000.NONE", "Invalid Client"},
		"wrong type":         {"response_type", "token", "Invalid response type"},
		"redirect not exact": {"redirect_uri", callback + "/", "Invalid Redirect Uri"},
		"no redirect":        {"redirect_uri", "", "Invalid Redirect Uri"},
		"spaces in scope":    {"scope", "ZohoCRM.modules.ALL ZohoCRM.org.READ", "Invalid OAuth scope"},
		"no scope":           {"scope", "", "Invalid OAuth scope"},
		"unknown access":     {"access_type", "forever", "Invalid access type"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			out := w.do(w.request(http.MethodGet, w.consentURL(w.webClient(), tc.name, tc.value), ""))
			assert.Equal(t, 400, out.status)
			assert.Contains(t, out.raw, tc.want)
			assert.Empty(t, out.header.Get("Location"))
		})
	}
}

func TestConsentPage_SendsAUserOfAnotherDataCentreThere(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{})
	client := w.webClient()
	indian := listen(t, w.Sim, "in")
	w.SetUser("user@example.in", "in")
	back := w.decide(w.consentURL(client), "accept")
	assert.Equal(t, "in", back.Get("location"))
	assert.Equal(t, indian, back.Get("accounts-server"))
	assert.Equal(t, "invalid_code", w.exchange(client, back.Get("code"), callback).text("error"), "not at the page's data centre")

	w.url = indian
	out := w.token("grant_type", "authorization_code", "code", back.Get("code"), "redirect_uri", callback,
		"client_id", client.ID, "client_secret", client.Secret("in"))
	assert.True(t, w.Alive(out.text("refresh_token")), out.raw)
}

func TestConsentPage_EleventhCodeInTenMinutesIsDenied(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{})
	target := w.consentURL(w.webClient())
	for range 10 {
		assert.NotEmpty(t, w.decide(target, "accept").Get("code"))
	}
	assert.Equal(t, "access_denied", w.decide(target, "accept").Get("error"))
}
