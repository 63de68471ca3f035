package zoho

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend/secret"
)

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
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		token, err := parseToken(call{"https://accounts.example", "a refresh", nil}, reply{status, body})
		if err != nil {
			require.Zero(t, token)
			requireClean(t, err, status)
			return
		}
		require.GreaterOrEqual(t, token.Life, time.Second)
		require.LessOrEqual(t, token.Life, time.Hour)
		require.NotEmpty(t, token.AccessToken.Reveal())
		require.Equal(t, -1, strings.IndexFunc(token.AccessToken.Reveal(), func(r rune) bool { return r <= ' ' || r > '~' }))
		require.False(t, strings.HasSuffix(token.APIDomain, "/"))
		for _, scope := range token.Scopes {
			require.NotEmpty(t, scope)
		}
		require.False(t, token.Scopes != nil && len(token.Scopes) == 0)
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

type transport func(*http.Request) *http.Response

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r), nil }
