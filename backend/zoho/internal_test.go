package zoho

import (
	"bytes"
	"context"
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
		token, err := parseToken(call{"https://accounts.example", "a refresh", sent}, reply{status, body})
		if err != nil {
			require.Zero(t, token)
			requireClean(t, err, status)
			return
		}
		require.GreaterOrEqual(t, token.Life, time.Second)
		require.LessOrEqual(t, token.Life, time.Hour)
		require.NotEmpty(t, token.AccessToken.Reveal())
		require.Equal(t, -1, strings.IndexFunc(token.AccessToken.Reveal(), func(r rune) bool { return r <= ' ' || r > '~' }))
		require.Regexp(t, `^(https?://[^/?#@\s]+)?$`, token.APIDomain)
		require.Regexp(t, `^[A-Za-z-]*$`, token.TokenType)
		for _, scope := range token.Scopes {
			require.Regexp(t, `^[\w.-]+$`, scope)
		}
		require.False(t, token.Scopes != nil && len(token.Scopes) == 0)
		require.NotContains(t, strings.ToLower(token.APIDomain+token.TokenType+strings.Join(token.Scopes, " ")), strings.ToLower(canary))
	})
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
			require.True(t, newerStatus == 400 && olderStatus == 400 && calls == 2)
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
