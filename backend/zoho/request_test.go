package zoho_test

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend/secret"
	"vault-plugin-secrets-zoho/backend/zoho"
)

// awkward is text that a form, a URL or a header would mangle if it were not
// encoded.
const awkward = "p%41ss:w/rd +&=é?#\"\\@"

func TestRefresh_SendsEverythingInAFormAndNothingInTheURL(t *testing.T) {
	t.Parallel()
	server := serve(t, answer(200, tokenJSON(nil)))
	app := zoho.App{AccountsURL: server.URL, ClientID: "id " + awkward, ClientSecret: secret.New("secret " + awkward)}
	_, err := newClient(t, "").Refresh(t.Context(), app, secret.New("token "+awkward))
	require.NoError(t, err)

	requireForm(t, server, url.Values{
		"grant_type":    {"refresh_token"},
		"refresh_token": {"token " + awkward},
		"client_id":     {"id " + awkward},
		"client_secret": {"secret " + awkward},
	})
}

func TestExchange_SendsEverythingInAFormAndNothingInTheURL(t *testing.T) {
	t.Parallel()
	for name, redirectURI := range map[string]string{"a web client": "https://vault.example/?" + awkward, "a Self Client": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := serve(t, answer(200, tokenJSON(nil)))
			app := zoho.App{AccountsURL: server.URL, ClientID: "id " + awkward, ClientSecret: secret.New("secret " + awkward)}
			_, err := newClient(t, "").Exchange(t.Context(), app, secret.New("code "+awkward), redirectURI)
			require.NoError(t, err)

			want := url.Values{
				"grant_type":    {"authorization_code"},
				"code":          {"code " + awkward},
				"client_id":     {"id " + awkward},
				"client_secret": {"secret " + awkward},
			}
			if redirectURI != "" {
				want.Set("redirect_uri", redirectURI)
			}
			requireForm(t, server, want)
		})
	}
}

func TestClientCredentials_SendsEverythingInAFormAndNothingInTheURL(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		soid   string
		scopes []string
		scope  string
	}{
		"an organisation and two scopes": {"soid " + awkward, []string{modules, orgRead}, modules + "," + orgRead},
		"no organisation, one scope":     {"", []string{modules}, modules},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := serve(t, answer(200, tokenJSON(nil)))
			app := zoho.App{AccountsURL: server.URL, ClientID: "id " + awkward, ClientSecret: secret.New("secret " + awkward)}
			_, err := newClient(t, "").ClientCredentials(t.Context(), app, tc.soid, tc.scopes)
			require.NoError(t, err)

			want := url.Values{
				"grant_type":    {"client_credentials"},
				"scope":         {tc.scope},
				"client_id":     {"id " + awkward},
				"client_secret": {"secret " + awkward},
			}
			if tc.soid != "" {
				want.Set("soid", tc.soid)
			}
			requireForm(t, server, want)
		})
	}
}

// requireForm wants one request to the token endpoint, with this form in its
// body and nothing beside it.
func requireForm(t *testing.T, server *accountsServer, want url.Values) {
	t.Helper()
	require.Len(t, server.arrivals(), 1)
	got := server.arrivals()[0]
	require.Equal(t, http.MethodPost, got.method)
	require.Equal(t, tokenPath, got.path)
	require.Empty(t, got.query)
	require.Equal(t, want, got.form)
	require.Empty(t, got.header.Values("Authorization"))
}

func TestJoinScopes_PutsCommasBetween(t *testing.T) {
	t.Parallel()
	require.Equal(t, "a.b.C,d.e.F,g.h.I", zoho.JoinScopes([]string{"a.b.C", "d.e.F", "g.h.I"}))
	require.Equal(t, modules, zoho.JoinScopes([]string{modules}))
	require.Empty(t, zoho.JoinScopes(nil))
}

func TestRevoke_AsksTheNewerEndpointAsTheClientAndThenTheOlderAsNobody(t *testing.T) {
	t.Parallel()
	for kind, revoke := range revocations() {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			requireBothAsked(t, kind, revoke)
		})
	}
}

func requireBothAsked(t *testing.T, kind string, revoke revocation) {
	t.Helper()
	server := serve(t, answer(400, `{"error":"invalid_token"}`))
	app := zoho.App{AccountsURL: server.URL, ClientID: "id " + awkward, ClientSecret: secret.New("secret " + awkward)}
	_, err := revoke(newClient(t, ""), t.Context(), app, secret.New("token "+awkward))
	require.NoError(t, err)

	require.Len(t, server.arrivals(), 2)
	newer, older := server.arrivals()[0], server.arrivals()[1]
	require.Equal(t, newerRevokePath, newer.path)
	require.Equal(t, url.Values{"token": {"token " + awkward}, "token_type": {kind}}, newer.form)
	// RFC 6749, 2.3.1: encoded as in a form, joined by a colon, then base64.
	scheme, encoded, _ := strings.Cut(newer.header.Get("Authorization"), " ")
	require.Equal(t, "Basic", scheme)
	pair, err := base64.StdEncoding.DecodeString(encoded)
	require.NoError(t, err)
	require.Equal(t, 1, strings.Count(string(pair), ":"), "a colon in a secret must not split it")
	id, password, _ := strings.Cut(string(pair), ":")
	require.Equal(t, "id+p%2541ss%3Aw%2Frd+%2B%26%3D%C3%A9%3F%23%22%5C%40", id)
	require.Equal(t, strings.Replace(id, "id", "secret", 1), password)

	require.Equal(t, olderRevokePath, older.path)
	require.Equal(t, url.Values{"token": {"token " + awkward}}, older.form)
	require.Empty(t, older.header.Values("Authorization"))

	for _, got := range server.arrivals() {
		require.Equal(t, http.MethodPost, got.method)
		require.Empty(t, got.query)
	}
}

func TestRevoke_SendsZohosOwnCredentialsUnchanged(t *testing.T) {
	t.Parallel()
	server := serve(t, answer(200, ""))
	_, err := newClient(t, "").RevokeAccessToken(t.Context(), server.app(), secret.New(accessToken))
	require.NoError(t, err)
	got := (&http.Request{Header: server.arrivals()[0].header})
	id, password, ok := got.BasicAuth()
	require.True(t, ok)
	require.Equal(t, clientID, id)
	require.Equal(t, clientSecret, password)
	require.Equal(t, accessToken, server.arrivals()[0].form.Get("token"))
}

func TestClient_TellsWhoItIsAndWhatItReads(t *testing.T) {
	t.Parallel()
	server := serve(t, answer(400, `{"error":"invalid_code"}`))
	client := newClient(t, "")
	for name, call := range tokenCalls() {
		_, err := call(t.Context(), client, server.app())
		require.Error(t, err, name)
	}
	for name, revoke := range revocations() {
		_, err := revoke(client, t.Context(), server.app(), secret.New(accessToken))
		require.NoError(t, err, name)
	}

	require.Len(t, server.arrivals(), 7)
	for _, got := range server.arrivals() {
		require.Equal(t, []string{"application/x-www-form-urlencoded"}, got.header.Values("Content-Type"))
		require.Equal(t, []string{"application/json"}, got.header.Values("Accept"))
		require.Equal(t, []string{"en"}, got.header.Values("Accept-Language"))
		require.Equal(t, []string{"vault-plugin-secrets-zoho/v0.0.0-test"}, got.header.Values("User-Agent"))
		require.Empty(t, got.header.Values("Referer"))
	}
}

func TestClient_KeepsNoCookies(t *testing.T) {
	t.Parallel()
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Set-Cookie", "iamcsr=1;path=/")
		answer(200, tokenJSON(nil))(w, r)
	})
	client := newClient(t, "")
	for range 2 {
		_, err := client.Refresh(t.Context(), server.app(), secret.New(refreshToken))
		require.NoError(t, err)
	}
	require.Empty(t, server.arrivals()[1].header.Values("Cookie"))
}

func TestClient_ReachesPortalsAndOnPremisesServers(t *testing.T) {
	t.Parallel()
	type paths struct{ token, newer, older string }
	// Source of the paths: facts on Zoho's OAuth, section 5.
	cases := map[string]paths{
		"":     {"/oauth/v2/token", "/oauth/v2/revoke/token", "/oauth/v2/token/revoke"},
		"/iam": {"/iam/oauth/v2/token", "/iam/oauth/v2/revoke/token", "/iam/oauth/v2/token/revoke"},
		"/clientoauth/v2/10012345": {
			"/clientoauth/v2/10012345/token", "/clientoauth/v2/10012345/revoke/token", "/clientoauth/v2/10012345/token/revoke",
		},
	}
	for base, want := range cases {
		t.Run("accounts at "+base, func(t *testing.T) {
			t.Parallel()
			server := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == want.token {
					answer(200, tokenJSON(nil))(w, r)
					return
				}
				answer(400, "")(w, r)
			})
			accounts, err := zoho.ParseAccountsURL(server.URL + base + "/")
			require.NoError(t, err)
			client := newClient(t, "")
			_, err = client.Refresh(t.Context(), appAt(accounts), secret.New(refreshToken))
			require.NoError(t, err)
			_, err = client.Exchange(t.Context(), appAt(accounts), secret.New(grantCode), callback)
			require.NoError(t, err)
			_, err = client.ClientCredentials(t.Context(), appAt(accounts), soid, []string{modules})
			require.NoError(t, err)
			how, err := client.RevokeAccessToken(t.Context(), appAt(accounts), secret.New(accessToken))
			require.NoError(t, err)
			require.Equal(t, zoho.AlreadyGone, how)

			var got []string
			for _, arrived := range server.arrivals() {
				got = append(got, arrived.path)
			}
			require.Equal(t, []string{want.token, want.token, want.token, want.newer, want.older}, got)
		})
	}
}
