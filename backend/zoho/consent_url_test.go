package zoho_test

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend/secret"
	"vault-plugin-secrets-zoho/backend/zoho"
	"vault-plugin-secrets-zoho/zohosim"
)

func TestConsentURL_IsTheAuthorizationPageOfItsServer(t *testing.T) {
	t.Parallel()
	// Source of the paths: facts on Zoho's OAuth, sections 5 and 7.
	pages := map[string]string{
		"https://accounts.zohoportal.com/clientoauth/v2/10012345": "https://accounts.zohoportal.com/clientoauth/v2/10012345/auth",
		"https://acme.zohoplatform.eu/clientoauth/v2/token":       "https://acme.zohoplatform.eu/clientoauth/v2/token/auth",
		"https://iam.example.com:8443/iam":                        "https://iam.example.com:8443/iam/oauth/v2/auth",
		"https://accounts.zohocloud.ca":                           "https://accounts.zohocloud.ca/oauth/v2/auth",
	}
	for _, dc := range zoho.DataCenters() {
		pages[dc.AccountsURL] = dc.AccountsURL + "/oauth/v2/auth"
	}
	for accounts, want := range pages {
		page, query, found := strings.Cut(zoho.ConsentURL(accounts, clientID, zoho.Consent{RedirectURI: callback, State: "s", Scopes: []string{modules}}), "?")
		require.True(t, found)
		require.Equal(t, want, page)
		require.NotContains(t, query, "?")
	}
}

func TestConsentURL_AsksForOfflineAccessAndConsentAnew(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"plain", awkward, "a&access_type=online", "line\r\nbreak", "1000.x#fragment", "%2F%", ""} {
		raw := zoho.ConsentURL("https://accounts.zoho.eu", "id "+text, zoho.Consent{
			RedirectURI: callback + "?next=" + text, State: "state " + text, Scopes: []string{modules, orgRead},
		})
		require.Regexp(t, `^[!-~]+$`, raw, "it can be put into a header or a line of text as it is")
		u, err := url.Parse(raw)
		require.NoError(t, err)
		require.Empty(t, u.Fragment)
		require.Equal(t, "accounts.zoho.eu", u.Host)
		got, err := url.ParseQuery(u.RawQuery)
		require.NoError(t, err)
		require.Equal(t, url.Values{
			"response_type": {"code"},
			"client_id":     {"id " + text},
			"redirect_uri":  {callback + "?next=" + text},
			"scope":         {modules + "," + orgRead},
			"state":         {"state " + text},
			"access_type":   {"offline"},
			"prompt":        {"consent"},
		}, got)
	}
}

func TestConsentURL_TheCodeThatTheSimulatorsPageGivesIsGoodForARefreshToken(t *testing.T) {
	t.Parallel()
	redirectURI := callback + "?mount=zoho&x=1"
	w := newWorldOf(t, zohosim.ClientSpec{Kind: zohosim.WebClient, RedirectURIs: []string{redirectURI}}, zohosim.Options{})
	target := zoho.ConsentURL(w.app.AccountsURL, w.app.ClientID, zoho.Consent{RedirectURI: redirectURI, State: awkward, Scopes: []string{modules, orgRead}})

	status, _, page := browse(t, http.MethodGet, target, "")
	require.Equal(t, 200, status, page)
	require.Contains(t, page, modules)
	require.Contains(t, page, orgRead)

	// The user has consented before, and consents twice more: each time there
	// is a refresh token.
	for range 2 {
		status, location, page := browse(t, http.MethodPost, target, "decision=accept")
		require.Equal(t, 302, status, page)
		require.True(t, strings.HasPrefix(location, redirectURI+"&"), location)
		back, err := url.Parse(location)
		require.NoError(t, err)
		require.Equal(t, awkward, back.Query().Get("state"))

		exchanged, err := w.client.Exchange(t.Context(), w.app, secret.New(back.Query().Get("code")), redirectURI)
		require.NoError(t, err)
		require.True(t, w.Alive(exchanged.RefreshToken.Reveal()))
		w.refresh = exchanged.RefreshToken
		w.mint()
	}
	for _, got := range w.Requests() {
		require.False(t, got.SecretInURL)
	}
}

// browse is a browser that shows where a redirect leads instead of following.
func browse(t *testing.T, method, target, form string) (status int, location, page string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, target, strings.NewReader(form))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := transport.RoundTrip(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, resp.Header.Get("Location"), string(body)
}
