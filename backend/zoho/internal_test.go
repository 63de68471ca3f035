package zoho

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend/secret"
)

// No server can tell when its caller has read the header and not yet the body,
// so this one is a transport.
func TestPost_ADeadlineWhileTheBodyIsReadIsUnreachable(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	client := &Client{http: &http.Client{Transport: transport(func(r *http.Request) *http.Response {
		return &http.Response{StatusCode: http.StatusOK, Request: r, Body: io.NopCloser(reader(func([]byte) (int, error) {
			cancel()
			return 0, ctx.Err()
		}))}
	})}}
	_, err := client.Refresh(ctx, App{AccountsURL: "https://accounts.example"}, secret.New(canary))
	var failed *Error
	require.True(t, errors.As(err, &failed))
	require.Equal(t, Unreachable, failed.Kind)
	require.Contains(t, failed.Error(), "cancelled")
	require.False(t, failed.NoToken())
}

// canary stands for every secret that a server could repeat.
const canary = "1000.CanaryCanary.dddd3333"

func tokenSeeds() []string {
	return []string{
		`{"access_token":"` + canary + `","api_domain":"https://www.zohoapis.eu/","token_type":"Bearer","expires_in":3600,"scope":"a.b.c, d.e.f"}`,
		`{"access_token":"` + canary + `","expires_in":3600000,"expires_in_sec":3600}`,
		`{"access_token":"` + canary + `","expires_in":"3600000"}`,
		`{"access_token":"` + canary + `","expires_in":"NaN","expires_in_sec":"-Inf"}`,
		`{"access_token":"` + canary + `","expires_in":0}`,
		`{"access_token":"` + canary + `","expires_in":-1e308,"expires_in_sec":1e-308}`,
		`{"access_token":"` + canary + `","expires_in":0x1p4}`,
		`{"access_token":"` + canary + `\n"}`,
		`{"access_token":{"a":"` + canary + `"}}`,
		`{"access_token":12}`,
		`{"access_token":"1000.$(touch${IFS}pwned)","refresh_token":"1000.b.c"}`,
		`{"access_token":"1000.a.b","refresh_token":"1000.$(id)"}`,
		`{"access_token":"1000.a.b","api_domain":"https://$(id).zohoapis.eu"}`,
		`{"access_token":"1000.a.b","api_domain":"https://[::1]:99999"}`,
		"\ufeff" + `{"access_token":"1000.a.b"}`,
		`{"access_token":"a","api_domain":"https://` + canary + `","token_type":"` + canary + `","scope":"a.` + canary + `"}`,
		`{"error":"invalid_code"}`,
		`{"error":"` + canary + `"}`,
		`{"error":"` + canary + `","error_description":"` + canary + `","status":"failure"}`,
		`{"error_description":"您已连续提出过多请求，请稍后再试。","error":"拒绝访问","status":"failure"}`,
		`{"error":"Enter a valid scope ` + canary + `"}`,
		`{"status":"success"}`, `{"status":"failure"}`, `[]`, `null`, `"` + canary + `"`, `{`, "", " \n", "\ufeff<html>" + canary, "<html>" + canary,
		"The token is successfully revoked",
	}
}

func statuses() []int { return []int{200, 302, 400, 401, 404, 429, 500} }

func FuzzParseToken(f *testing.F) {
	for _, body := range tokenSeeds() {
		for _, status := range statuses() {
			f.Add(status, []byte(body))
		}
	}
	sent := url.Values{"client_secret": {canary}}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		token, _, err := parseToken(call{"https://accounts.example", "a refresh", sent}, reply{status, body})
		if err != nil {
			require.Equal(t, Token{AccessToken: token.AccessToken}, token)
			require.NotContains(t, strings.ToLower(token.AccessToken.Reveal()), strings.ToLower(canary))
			requireClean(t, err, status)
			return
		}
		requireGood(t, token)
	})
}

// requireGood checks what every token promises.
func requireGood(t *testing.T, token Token) {
	t.Helper()
	require.GreaterOrEqual(t, token.Life, time.Second)
	require.LessOrEqual(t, token.Life, time.Hour)
	require.NotEmpty(t, token.AccessToken.Reveal())
	require.Regexp(t, `^[A-Za-z0-9][A-Za-z0-9._~+/=-]*$`, token.AccessToken.Reveal())
	require.Regexp(t, `^(https?://([\w.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?)?$`, token.APIDomain)
	require.Regexp(t, `^[A-Za-z-]*$`, token.TokenType)
	require.LessOrEqual(t, len(token.Scopes), MaxScopes)
	for _, scope := range token.Scopes {
		require.Regexp(t, `^[\w.-]+$`, scope)
		require.LessOrEqual(t, len(scope), MaxScopeLength)
	}
	require.LessOrEqual(t, len(token.AccessToken.Reveal()), 2048)
	require.LessOrEqual(t, len(token.APIDomain), 255)
	require.LessOrEqual(t, len(token.TokenType), 32)
	require.False(t, token.Scopes != nil && len(token.Scopes) == 0)
	require.NotContains(t, strings.ToLower(token.APIDomain+token.TokenType+strings.Join(token.Scopes, " ")), strings.ToLower(canary))
}

// FuzzExchangeAnswers has one of Zoho's own servers answer, so that its API
// domain must be one of Zoho's, too.
func FuzzExchangeAnswers(f *testing.F) {
	const code = "1000.CodeCode.eeee4444"
	for _, body := range append(tokenSeeds(),
		`{"access_token":"1000.a.b","refresh_token":"1000.c.d","api_domain":"https://www.zohoapis.eu"}`,
		`{"access_token":"1000.a.b","refresh_token":"`+code+`"}`,
		`{"access_token":"1000.a.b","refresh_token":"x`+strings.ToLower(canary)+`"}`,
		`{"access_token":"1000.a.b","refresh_token":"1000.c\r\nd"}`,
		`{"access_token":"1000.a.b","refresh_token":["1000.c.d"],"refresh_token":"é"}`,
		`{"access_token":"1000.a.b","api_domain":"https://evil.example／.zohoapis.eu"}`,
		`{"access_token":"1000.a.b","api_domain":"http://www.zohoapis.eu","scope":"`+code+`"}`,
		`{"refresh_token":"`+canary+`","error":"`+code+`"}`,
		`{"access_token":"`+code+`","refresh_token":"1000.c.d"}`,
	) {
		for _, status := range statuses() {
			f.Add(status, []byte(body))
		}
	}
	app := App{AccountsURL: "https://accounts.zoho.eu", ClientID: "1000.A", ClientSecret: secret.New(canary)}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		client := &Client{http: &http.Client{
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			Transport: transport(func(r *http.Request) *http.Response {
				return &http.Response{StatusCode: status, Body: io.NopCloser(bytes.NewReader(body)), Request: r}
			}),
		}}
		got, err := client.Exchange(t.Context(), app, secret.New(code), "")
		if err != nil {
			require.Equal(t, Token{AccessToken: got.AccessToken}, got.Token)
			requireClean(t, err, status)
			require.NotContains(t, strings.ToLower(err.Error()), strings.ToLower(code))
			return
		}
		requireGood(t, got.Token)
		require.Regexp(t, `(?i)^(https://([\w-]+\.)*zoho(apis|cloud)?\.[a-z.]+(:\d*)?)?$`, got.APIDomain)
		require.False(t, got.ForeignDomain && got.APIDomain != "")
		refresh := got.RefreshToken.Reveal()
		require.Regexp(t, `^([A-Za-z0-9][A-Za-z0-9._~+/=-]*)?$`, refresh)
		require.LessOrEqual(t, len(refresh), 2048)
		shown := strings.ToLower(got.APIDomain + got.TokenType + strings.Join(got.Scopes, " "))
		for _, sent := range []string{canary, code} {
			require.NotContains(t, strings.ToLower(refresh), strings.ToLower(sent))
			require.NotContains(t, strings.ToLower(got.AccessToken.Reveal()), strings.ToLower(sent))
			require.NotContains(t, shown, strings.ToLower(sent))
		}
	})
}

// answeredDomain is what becomes of an api_domain in the answer of a server.
func answeredDomain(t *testing.T, accounts, domain string) (string, bool) {
	t.Helper()
	token, err := answerWith(t, accounts, domain)
	require.NoError(t, err, "the token itself is good")
	require.Equal(t, "1000.a.b", token.AccessToken.Reveal())
	return token.APIDomain, token.ForeignDomain
}

func answerWith(t *testing.T, accounts, domain string) (Token, error) {
	t.Helper()
	body, err := json.Marshal(map[string]string{"access_token": "1000.a.b", "api_domain": domain})
	require.NoError(t, err)
	form := url.Values{"client_secret": {canary}}
	token, _, err := parseToken(call{accounts, "a refresh", form}, reply{http.StatusOK, body})
	return token, err
}

// ours are servers of Zoho, theirs are not: a portal's is at a name that the
// customer chooses.
func ours() []string {
	var all []string
	for _, dc := range DataCenters() {
		all = append(all, dc.AccountsURL)
	}
	return all
}

func theirs() []string {
	return []string{
		"http://127.0.0.1:8080", "https://iam.example.com:8443/iam", "https://accounts.zohoportal.com/clientoauth/v2/10012345",
		"https://accounts.zoho.eu.example.com", "https://accounts.zoho.eu:8443",
	}
}

func TestAPIDomain_ZohosServersMayNameAnyOfZohosDomains(t *testing.T) {
	t.Parallel()
	// Sources: facts on Zoho's OAuth, sections 2.2, 2.7 and 5.
	domains := []string{
		"https://api.zoho.com", "https://writer.zoho.com", "https://writer.zoho.eu", "https://desk.zoho.com.au", "https://mail.zoho.com.cn", "https://crm.zohocloud.ca",
		"https://zohoapis.com", "https://WWW.ZohoAPIs.EU", "https://www.zohoapis.eu:443", "https://a.b.c.zohoapis.in",
	}
	for _, dc := range DataCenters() {
		domains = append(domains, dc.APIDomain, strings.Replace(dc.APIDomain, "www", "sandbox", 1), strings.Replace(dc.APIDomain, "www", "developer", 1))
	}
	for _, accounts := range append(ours(), theirs()...) {
		for _, domain := range domains {
			for _, end := range []string{"", "/"} {
				got, foreign := answeredDomain(t, accounts, domain+end)
				require.Equal(t, domain, got, accounts)
				require.False(t, foreign, "%s at %s", domain, accounts)
			}
		}
	}
}

// Applications send their access token to this domain.
func TestAPIDomain_OnlyAServerThatIsNotZohosMayNameAForeignOne(t *testing.T) {
	t.Parallel()
	domains := []string{
		"https://evil.example", "https://evilzohoapis.com", "https://zohoapis.com.evil.example", "https://www.zohoapis.com.evil.example", "https://www-zohoapis.com",
		"https://zohoapis.evil.example", "https://wwwzohoapis.com", "https://evilzoho.com", "https://zoho.com.evil.example", "https://zohoapis.co", "https://zohoapis.comm",
		"https://www.zohoapis.example", "https://com", "https://zohocloud.com", "https://zohoapis", "https://127.0.0.1", "https://[::1]:8443", "https://127.0.0.1:8443",
		"https://evil.example:443", "http://127.0.0.1:8080", "http://localhost", "http://[::1]:8080", "https://zoho_sim:8443",
	}
	for _, domain := range domains {
		for _, accounts := range ours() {
			got, foreign := answeredDomain(t, accounts, domain)
			require.Empty(t, got, accounts)
			require.True(t, foreign, "%s at %s: it is said", domain, accounts)
		}
		for _, accounts := range theirs() {
			got, foreign := answeredDomain(t, accounts, domain)
			require.Equal(t, domain, got, accounts)
			require.False(t, foreign, accounts)
		}
	}
}

func TestAPIDomain_WhatIsNoHostAndPortMakesABadAnswerAtEveryServer(t *testing.T) {
	t.Parallel()
	for _, accounts := range append(ours(), theirs()...) {
		for _, domain := range []string{
			"www.zohoapis.eu", "//www.zohoapis.eu", "ftp://www.zohoapis.eu", "https://", "https://www.zohoapis.eu/crm", "https://www.zohoapis.eu?a=b", "https://www.zohoapis.eu#a",
			"https://www.zohoapis.eu@evil.example", "https://evil.example\\.zohoapis.eu", "https://evil.example%2f.zohoapis.eu", "https://evil.example/.zohoapis.eu", "HTTPS://www.zohoapis.eu",
			"javascript:alert(1)", "https://www.zohoapis.eu?", "https://www.zohoapis.eu#", "https://a b", "https://www.zohoapis.eu\nX: y", "/", " https://www.zohoapis.eu",
			// Invisible: a zero-width space, a change of direction, a tag, a
			// no-break space, a line separator.
			"https://www.zoho\u200bapis.eu", "https://\u202eue.sipaohoz.www", "https://www.zohoapis.eu\U000e0041", "https://www.zoho\u00a0apis.eu", "https://www.zohoapis.eu\u2028",
			// A shell would run these.
			"https://$(id).zohoapis.eu", "https://www.zohoapis.eu$(id)", "https://`id`.zohoapis.eu", "https://${HOME}.zohoapis.eu", "https://a;id", "https://a&id", "https://a'b", "https://a(b)", "https://*",
			// Tokens would travel in clear.
			"http://www.zohoapis.com", "http://api.zoho.com", "http://evil.example", "http://10.0.0.1:8080", "http://127.0.0.1.evil.example",
			"https://www.zohoapis.eu:", "https://www.zohoapis.eu:0", "https://www.zohoapis.eu:65536", "https://www.zohoapis.eu:port", "https://www.zohoapis.eu:1:2", "https://:443",
			"https://[::1", "https://[127.0.0.1]", "https://[::1]a", "https://[fe80::1%25eth0]", "https://::1", "https://www.zohoapis.eu.", "https://www.zohoapis.eu.:443",
			// Clients that normalise hosts, as UTS 46 wants it, find a slash or a
			// question mark in these.
			"https://evil.example／.zohoapis.eu", "https://evil.example℀.zohoapis.eu", "https://evil.example？.zoho.com",
			"https://www.ſohoapis.eu", "https://evil.example;.zohoapis.eu", "https://<b>.zohoapis.eu", "https://.zohoapis.eu", "https://evil..zohoapis.eu",
			"https://" + strings.Repeat("a", 300), "https://" + canary + ".example", "https://" + strings.ToLower(canary) + ".zohoapis.eu",
		} {
			given, err := answerWith(t, accounts, domain)
			require.Equal(t, Token{AccessToken: secret.New("1000.a.b")}, given, "%s at %s: it comes to be revoked", domain, accounts)
			requireClean(t, err, http.StatusOK)
			require.ErrorContains(t, err, "an api_domain that is not the address of a server")
		}
		got, foreign := answeredDomain(t, accounts, "")
		require.Empty(t, got)
		require.False(t, foreign)
	}
}

func TestAPIDomain_AForeignDomainIsFlaggedForEveryGrant(t *testing.T) {
	t.Parallel()
	client := &Client{http: &http.Client{Transport: transport(func(r *http.Request) *http.Response {
		body := `{"access_token":"1000.a.b","refresh_token":"1000.c.d","api_domain":"https://evilzohoapis.com"}`
		return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(body)), Request: r}
	})}}
	app := App{AccountsURL: "https://accounts.zoho.eu"}
	refreshed, err := client.Refresh(t.Context(), app, secret.New(canary))
	require.NoError(t, err)
	exchanged, err := client.Exchange(t.Context(), app, secret.New(canary), "")
	require.NoError(t, err)
	minted, err := client.ClientCredentials(t.Context(), app, "", []string{"ZohoCRM.org.READ"})
	require.NoError(t, err)
	for _, token := range []Token{refreshed, exchanged.Token, minted} {
		require.True(t, token.ForeignDomain)
		require.Empty(t, token.APIDomain)
	}
	require.Equal(t, "1000.c.d", exchanged.RefreshToken.Reveal())
}

func FuzzRevokeAnswers(f *testing.F) {
	for _, body := range tokenSeeds() {
		for _, status := range statuses() {
			f.Add(status, []byte(body), 400, []byte(`{"error":"invalid_token"}`))
			f.Add(400, []byte{}, status, []byte(body))
		}
	}
	app := App{AccountsURL: "https://accounts.example", ClientID: "1000.A", ClientSecret: secret.New(canary)}
	f.Fuzz(func(t *testing.T, newerStatus int, newer []byte, olderStatus int, older []byte) {
		calls := 0
		client := &Client{http: &http.Client{
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			Transport: transport(func(r *http.Request) *http.Response {
				calls++
				if strings.HasSuffix(r.URL.Path, "/revoke/token") {
					return &http.Response{StatusCode: newerStatus, Body: io.NopCloser(bytes.NewReader(newer)), Request: r}
				}
				return &http.Response{StatusCode: olderStatus, Body: io.NopCloser(bytes.NewReader(older)), Request: r}
			}),
		}}
		how, err := client.RevokeAccessToken(t.Context(), app, secret.New(canary))
		switch how {
		case Revoked:
			require.NoError(t, err)
			require.True(t, (calls == 1 && newerStatus == 200) || (calls == 2 && olderStatus == 200))
		case AlreadyGone:
			require.NoError(t, err)
			named := func(status int, body []byte) bool {
				lower := strings.ToLower(string(body))
				return status == 400 || status == 200 && (strings.Contains(lower, "token") || strings.Contains(lower, "invalid_"))
			}
			require.True(t, named(newerStatus, newer) && named(olderStatus, older) && calls == 2)
		default:
			require.Zero(t, how)
			requireClean(t, err, newerStatus, olderStatus)
		}
	})
}

// requireClean checks what every error promises.
func requireClean(t *testing.T, err error, statuses ...int) {
	t.Helper()
	var failed *Error
	require.True(t, errors.As(err, &failed), "%T", err)
	require.NotContains(t, strings.ToLower(failed.Error()+failed.Code), strings.ToLower(canary))
	require.Equal(t, -1, strings.IndexFunc(failed.Error(), func(r rune) bool { return r < ' ' || r > '~' }), failed.Error())
	require.NotEqual(t, "unknown", failed.Kind.String())
	require.Contains(t, statuses, failed.Status)
	if failed.Kind.Definite() {
		require.True(t, failed.NoToken())
	}
}

type reader func([]byte) (int, error)

func (f reader) Read(p []byte) (int, error) { return f(p) }

type transport func(*http.Request) *http.Response

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r), nil }
