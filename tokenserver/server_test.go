package tokenserver

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func (w *world) send(r *http.Request) *httptest.ResponseRecorder {
	w.t.Helper()
	got := httptest.NewRecorder()
	w.server.Handler().ServeHTTP(got, r)
	require.Equal(w.t, "no-store", got.Header().Get("Cache-Control"))
	require.True(w.t, json.Valid(got.Body.Bytes()), got.Body.String())
	return got
}

// refresh are the parameters of a good request, with changes: name, value, ...
func refresh(changes ...string) url.Values {
	v := url.Values{
		"grant_type": {"refresh_token"}, "refresh_token": {"crm-sync"}, "client_id": {pairID}, "client_secret": {pairSecret},
	}
	for change := range slices.Chunk(changes, 2) {
		if v.Set(change[0], change[1]); change[1] == "" {
			v.Del(change[0])
		}
	}
	return v
}

func form(path string, v url.Values) *http.Request {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(v.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

func multipartForm(t *testing.T, v url.Values) *http.Request {
	t.Helper()
	var body bytes.Buffer
	writer := multipart.NewWriter(&body)
	for name := range v {
		require.NoError(t, writer.WriteField(name, v.Get(name)))
	}
	require.NoError(t, writer.Close())
	r := httptest.NewRequest(http.MethodPost, "/oauth/v2/token", &body)
	r.Header.Set("Content-Type", writer.FormDataContentType())
	return r
}

// All of these are sent by real clients, and documented by Zoho.
func TestServer_TakesParametersInEachOfZohosWays(t *testing.T) {
	basic := form("/oauth/v2/token", refresh("client_id", "", "client_secret", ""))
	basic.SetBasicAuth(pairID, pairSecret)
	// RFC 6749, 2.3.1, as openid-client, oauth4webapi and @badgateway/oauth2-client have it
	encoded := form("/oauth/v2/token", refresh("client_id", "", "client_secret", ""))
	encoded.SetBasicAuth("1000%2ECALLER", "the%2Dsecret-of-the-pair")
	object := func(body string) *http.Request { // axios.post(url, {}, {params})
		r := httptest.NewRequest(http.MethodPost, "/oauth/v2/token?"+refresh().Encode(), strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		return r
	}
	for name, r := range map[string]*http.Request{
		"form body":         form("/oauth/v2/token", refresh()),
		"encoded Basic":     encoded,
		"query and {}":      object("{}"),
		"query and { }\n":   object("{ }\n"),
		"query and null":    object("null"),
		"query":             httptest.NewRequest(http.MethodPost, "/oauth/v2/token?"+refresh().Encode(), nil),
		"multipart form":    multipartForm(t, refresh()),
		"Basic header":      basic,
		"query before body": form("/oauth/v2/token?refresh_token=crm-sync", refresh("refresh_token", "another")),
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				got := w.send(r)
				require.Equal(t, http.StatusOK, got.Code)
				require.JSONEq(t, `{"access_token":"1000.token1.secret","api_domain":"https://www.zohoapis.eu:443","token_type":"Bearer","expires_in":3590}`, got.Body.String())
				require.Equal(t, "application/json;charset=UTF-8", got.Header().Get("Content-Type"))
				require.Contains(t, w.log.String(), `msg="answered with an access token" role=crm-sync token_id=id-1 caller=192.0.2.1:1234 expires_in=3590`)
			})
		})
	}
}

func TestServer_RefusesInZohosWordsAndAsksVaultNothing(t *testing.T) {
	const invalidClient, invalidCode = `{"error":"invalid_client"}`, `{"error":"invalid_code"}`
	json := form("/oauth/v2/token", nil)
	json = httptest.NewRequest(http.MethodPost, json.URL.Path, strings.NewReader(`{"grant_type":"refresh_token"}`))
	json.Header.Set("Content-Type", "application/json")
	object := func(body string) *http.Request {
		r := httptest.NewRequest(http.MethodPost, "/oauth/v2/token?"+refresh().Encode(), strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		return r
	}
	encoded := form("/oauth/v2/token", refresh("client_id", "", "client_secret", ""))
	encoded.SetBasicAuth("1000%2ECALLER", "the%2secret")
	large := form("/oauth/v2/token", refresh("scope", strings.Repeat("x", 1<<20)))
	halfMultipart := multipartForm(t, refresh())
	halfMultipart.Header.Set("Content-Type", "multipart/form-data; boundary=another")
	cases := map[string]struct {
		r      *http.Request
		status int
		body   string // "" where the text is for people
	}{
		"another secret":          {form("/oauth/v2/token", refresh("client_secret", "x")), 200, `{"error":"invalid_client_secret"}`},
		"another ID":              {form("/oauth/v2/token", refresh("client_id", "x")), 200, invalidClient},
		"no pair":                 {form("/oauth/v2/token", refresh("client_id", "", "client_secret", "")), 200, invalidClient},
		"another grant type":      {form("/oauth/v2/token", refresh("grant_type", "authorization_code")), 200, invalidClient},
		"a JSON body":             {json, 200, invalidClient},
		"an empty JSON array":     {object("[]"), 200, invalidClient},
		"half a JSON object":      {object("{"), 200, invalidClient},
		"an encoded wrong secret": {encoded, 200, `{"error":"invalid_client_secret"}`},
		"no secret":               {form("/oauth/v2/token", refresh("client_secret", "")), 200, `{"error":"invalid_client_secret"}`},
		"the secret as the ID":    {form("/oauth/v2/token", refresh("client_id", pairSecret)), 200, invalidClient},
		"a role out of -role":     {form("/oauth/v2/token", refresh("refresh_token", "books")), 200, invalidCode},
		"no role":                 {form("/oauth/v2/token", refresh("refresh_token", "")), 200, invalidCode},
		"no grant type":           {form("/oauth/v2/token", refresh("grant_type", "")), 400, ""},
		"a GET":                   {httptest.NewRequest(http.MethodGet, "/oauth/v2/token?"+refresh().Encode(), nil), 400, ""},
		"a PUT":                   {httptest.NewRequest(http.MethodPut, "/oauth/v2/token?"+refresh().Encode(), nil), 400, ""},
		"a GET of revoke":         {httptest.NewRequest(http.MethodGet, "/oauth/v2/token/revoke?token=crm-sync", nil), 400, ""},
		"a body of 1 MB":          {large, 413, ""},
		"a query with half a %":   {httptest.NewRequest(http.MethodPost, "/oauth/v2/token?grant_type=%2", nil), 400, ""},
		"a multipart of no parts": {halfMultipart, 400, ""},
		"another path":            {form("/oauth/v2/other", refresh()), 404, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				w.server.Roles = []string{"crm-sync"}
				got := w.send(c.r)
				require.Equal(t, c.status, got.Code, got.Body.String())
				if c.body != "" {
					require.Equal(t, c.body, got.Body.String())
				}
				require.Empty(t, w.vault.requests())
			})
		})
	}
}

// What is sent in the place of a role may be anything, a real refresh token among it.
func TestServer_OddRoleNamesReachNeitherVaultNorTheLog(t *testing.T) {
	const realToken = "1000.0123456789abcdef0123456789abcdef.0123456789abcdef0123456789abcdef"
	for i, name := range []string{
		realToken, "..", "../sys/seal", "a/b", "a%2fb", "a b", "a?x=y", "a#b", "-a", "a-", ".a", "ä", "\x00", "a\nb", "\xff",
		"{{role}}", strings.Repeat("a", maxRoleName+1),
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			inBubble(t, func(w *world) {
				got := w.send(form("/oauth/v2/token", refresh("refresh_token", name)))
				require.Equal(t, http.StatusOK, got.Code)
				require.Equal(t, `{"error":"invalid_code"}`, got.Body.String())
				require.Empty(t, w.vault.requests())
				require.NotContains(t, w.log.String(), realToken)
			})
		})
	}
	for _, name := range []string{"crm-sync", "a", "_", "A.b-c_9", "1000.a.b"} {
		require.True(t, IsRoleName(name), name)
	}
}

// It has the form of a role's name, and nobody can tell that it is a secret.
func TestServer_ASecretInThePlaceOfARoleIsNotLogged(t *testing.T) {
	inBubble(t, func(w *world) {
		const secret = "0123456789abcdef0123456789abcdef01234567"
		got := w.send(form("/oauth/v2/token", refresh("refresh_token", secret)))
		require.Equal(t, `{"error":"invalid_code"}`, got.Body.String())
		require.NotContains(t, w.log.String(), secret)
	})
}

func TestServer_SaysInZohosWordsWhyThereIsNoToken(t *testing.T) {
	for name, c := range map[string]struct {
		vault      int // its status; 0 for a Vault that is away
		status     int
		body       string
		retryAfter string
	}{
		"unknown role":  {400, 200, `{"error":"invalid_code"}`, ""},
		"throttled":     {429, 400, `{"error_description":"You have made too many requests continuously. Please try again after some time.","error":"Access Denied","status":"failure"}`, "30"},
		"Zoho nonsense": {502, 502, `{"error_description":"Vault answers HTTP 502: no","error":"general_error"}`, ""},
		"sealed":        {503, 503, `{"error_description":"Vault answers HTTP 503: no","error":"general_error"}`, "5"},
		"away":          {0, 503, `{"error_description":"Vault cannot be reached: connection refused","error":"general_error"}`, "5"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				w.vault.set(func() { w.vault.status, w.vault.message, w.vault.down = c.vault, "no", c.vault == 0 })
				got := w.send(form("/oauth/v2/token", refresh()))
				require.Equal(t, c.status, got.Code)
				require.Equal(t, c.body, got.Body.String())
				require.Equal(t, c.retryAfter, got.Header().Get("Retry-After"))
				w.vault.set(func() { w.vault.status, w.vault.down = 0, false })
				require.Contains(t, w.send(form("/oauth/v2/token", refresh())).Body.String(), "access_token")
			})
		})
	}
}

func TestServer_SaysThatVaultDoesNotLetItIn(t *testing.T) {
	inBubble(t, func(w *world) {
		w.vault.set(func() { w.vault.accepted = []string{"another"} })
		got := w.send(form("/oauth/v2/token", refresh()))
		require.Equal(t, http.StatusServiceUnavailable, got.Code)
		require.Contains(t, got.Body.String(), "The token server is not let in")
	})
}

func TestServer_SaysWhenVaultExpectsTheNextAttempt(t *testing.T) {
	inBubble(t, func(w *world) {
		w.vault.set(func() {
			w.vault.status, w.vault.message = http.StatusTooManyRequests, "The budget is used up. The next attempt makes sense at 2030-01-01T12:05:00Z."
		})
		w.clock.advance(500 * time.Millisecond)
		got := w.send(form("/oauth/v2/token", refresh()))
		require.Equal(t, "300", got.Header().Get("Retry-After"))
	})
}

func TestServer_AnAPIDomainLeadsNoSDKToZohosOwnServer(t *testing.T) {
	answers := func(w *world) string { return w.send(form("/oauth/v2/token", refresh())).Body.String() }
	inBubble(t, func(w *world) {
		require.Contains(t, answers(w), `"api_domain":"https://www.zohoapis.eu:443"`)
		w.server.PlainAPIDomain = true
		require.Contains(t, answers(w), `"api_domain":"https://www.zohoapis.eu"`)
	})
	inBubbleOf(t, "an empty one is left out", func(w *world) {
		w.vault.noDomain = true
		require.Regexp(t, `^{"access_token":"[^"]+","token_type":"Bearer","expires_in":3590}$`, answers(w))
	})
	for plain, answered := range map[string]string{
		"https://www.zohoapis.com/": "https://www.zohoapis.com:443/", "https://api.example.com:8443": "https://api.example.com:8443",
		"http://127.0.0.1:1234": "http://127.0.0.1:1234", "http://localhost": "http://localhost", "zohoapis.eu": "zohoapis.eu", "": "", "::": "::",
		"https://[::1]": "https://[::1]:443",
	} {
		require.Equal(t, answered, withPort(plain))
	}
}

func TestServer_WithoutAPairEverybodyWhoCanConnectIsLetIn(t *testing.T) {
	inBubble(t, func(w *world) {
		w.server.Pair = nil
		got := w.send(form("/oauth/v2/token", refresh("client_id", "", "client_secret", "")))
		require.Contains(t, got.Body.String(), "access_token")
	})
}

func TestServer_RevokeTakesTheTokenItselfOrTheRoleWithThePair(t *testing.T) {
	const path = "/oauth/v2/token/revoke"
	inBubble(t, func(w *world) {
		refused := func(v url.Values) {
			t.Helper()
			got := w.send(form(path, v))
			require.Equal(t, http.StatusBadRequest, got.Code)
			require.Equal(t, `{"error":"invalid_token"}`, got.Body.String())
		}
		done := func(v url.Values) {
			t.Helper()
			got := w.send(form(path, v))
			require.Equal(t, http.StatusOK, got.Code)
			require.Equal(t, `{"status":"success"}`, got.Body.String())
			require.Empty(t, w.vault.living())
		}
		refused(url.Values{"token": {"crm-sync"}, "client_id": {pairID}, "client_secret": {pairSecret}})
		l := w.takes()
		refused(url.Values{})
		refused(url.Values{"token": {"crm-sync"}}) // anybody on this machine may know the name
		require.Len(t, w.vault.living(), 1)
		done(url.Values{"token": {l.Token.Reveal()}})
		refused(url.Values{"token": {l.Token.Reveal()}})
		w.takes()
		done(url.Values{"token": {"crm-sync"}, "client_id": {pairID}, "client_secret": {pairSecret}})

		l = w.takes()
		w.vault.set(func() { w.vault.down = true })
		require.Equal(t, http.StatusServiceUnavailable, w.send(form(path, url.Values{"token": {l.Token.Reveal()}})).Code)
	})
}

// Zoho is away: Vault keeps the lease, and says 400.
func TestServer_ARevocationThatFailedIsNotTakenForDone(t *testing.T) {
	for path, v := range map[string]url.Values{
		"/oauth/v2/token/revoke": refresh("token", "1000.token1.secret"),
		"/oauth/v2/revoke/token": refresh("token", "1000.token1.secret", "token_type", "access_token"),
	} {
		t.Run(path, func(t *testing.T) {
			inBubble(t, func(w *world) {
				w.takes()
				w.vault.set(func() { w.vault.keeps = true })
				got := w.send(form(path, v))
				require.Equal(t, http.StatusServiceUnavailable, got.Code)
				require.Equal(t, `{"error_description":"The token was not revoked yet: Vault answers HTTP 400: failed to revoke entry","error":"general_error"}`, got.Body.String())
				require.Equal(t, "5", got.Header().Get("Retry-After"))
				w.vault.set(func() { w.vault.keeps = false })
				require.Equal(t, http.StatusOK, w.send(form(path, v)).Code, "it can be sent again")
				require.Empty(t, w.vault.living())
			})
		})
	}
}

func TestServer_TheNewerRevokeWantsThePairAndTheTokensType(t *testing.T) {
	inBubble(t, func(w *world) {
		ask := func(id, value string, v url.Values) (int, string) {
			r := form("/oauth/v2/revoke/token", v)
			r.SetBasicAuth(id, value)
			got := w.send(r)
			return got.Code, got.Body.String()
		}
		const noSuch, done = `{"error":"invalid_token"}`, `{"status":"success"}`
		l := w.takes()
		token := l.Token.Reveal()
		for _, c := range []struct {
			id, secret string
			v          url.Values
			status     int
			body       string
		}{
			{"", "", url.Values{"token": {token}, "token_type": {"access_token"}}, 400, `{"error":"invalid_client"}`},
			{pairID, "x", url.Values{"token": {token}, "token_type": {"access_token"}}, 400, `{"error":"invalid_client"}`},
			{pairID, pairSecret, url.Values{"token": {token}}, 400, noSuch}, // refresh_token is meant
			{pairID, pairSecret, url.Values{"token": {token}, "token_type": {"refresh_token"}}, 400, noSuch},
			{pairID, pairSecret, url.Values{"token": {crmSync}, "token_type": {"access_token"}}, 400, noSuch},
			{pairID, pairSecret, url.Values{"token": {token}, "token_type": {"another"}}, 400, noSuch},
			{pairID, pairSecret, url.Values{"token": {"../x"}}, 400, noSuch},
			{pairID, pairSecret, url.Values{"token": {token}, "token_type": {"access_token"}}, 200, done},
		} {
			require.Len(t, w.vault.living(), 1)
			status, body := ask(c.id, c.secret, c.v)
			require.Equal(t, c.status, status)
			require.Equal(t, c.body, body)
		}
		require.Empty(t, w.vault.living())
		w.takes()
		status, body := ask("1000%2ECALLER", pairSecret, url.Values{"token": {crmSync}})
		require.Equal(t, http.StatusOK, status, body)
		require.Empty(t, w.vault.living())
	})
}

func TestServer_HealthNeedsNoPairAndDoesNotAskVault(t *testing.T) {
	inBubble(t, func(w *world) {
		w.vault.set(func() { w.vault.down = true })
		got := w.send(httptest.NewRequest(http.MethodGet, "/healthz", nil))
		require.Equal(t, http.StatusOK, got.Code)
		require.JSONEq(t, `{"status":"ok","version":"v1.2.3","vault":"not asked yet"}`, got.Body.String())
		require.Equal(t, http.StatusMethodNotAllowed, w.send(form("/healthz", nil)).Code)
		require.Empty(t, w.vault.requests())
	})
}

// What a caller is told is never more than what is left.
func TestServer_ExpiresInShrinksWithTheLease(t *testing.T) {
	inBubble(t, func(w *world) {
		w.send(form("/oauth/v2/token", refresh()))
		w.vault.set(func() { w.vault.down = true })
		w.clock.advance(50 * time.Minute)
		require.Contains(t, w.send(form("/oauth/v2/token", refresh())).Body.String(), `"expires_in":590}`)
	})
}

func probe(path string) *http.Request { return httptest.NewRequest(http.MethodGet, path, nil) }
