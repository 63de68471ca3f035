package main

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// exchangeNew exchanges a new code, made with form fields.
func exchangeNew(t *testing.T, env map[string]string, fields url.Values) (int, string) {
	t.Helper()
	status, code := send(t, http.MethodPost, env["ACCOUNTS_URL"]+"/sim/code", fields)
	require.Equal(t, 200, status)
	return send(t, http.MethodPost, env["ACCOUNTS_URL"]+"/oauth/v2/token", url.Values{
		"grant_type": {"authorization_code"}, "code": {strings.TrimSpace(code)},
		"client_id": {env["ZOHO_CLIENT_ID"]}, "client_secret": {env["ZOHO_CLIENT_SECRET"]},
	})
}

func TestRun_LimitsCanBeMadeHarder(t *testing.T) {
	t.Parallel()
	for flags, served := range map[string]int{"-hardest": 4, "-codes-per-minute=2": 2, "-refresh-tokens-per-minute=3": 3} {
		env := start(t, flags, "-token-life", "10m")
		for range served {
			status, body := exchangeNew(t, env, nil)
			assert.Equal(t, 200, status)
			assert.Contains(t, body, `"expires_in":600`)
		}
		status, body := exchangeNew(t, env, nil)
		assert.Equal(t, 400, status, flags)
		assert.Contains(t, body, "Access Denied")
	}
}

func TestControl_RemovesAUserButNotWhatIsTheOrganisations(t *testing.T) {
	t.Parallel()
	env := start(t)
	base := env["ACCOUNTS_URL"] + "/sim/"
	exchangeNew(t, env, url.Values{"organisation": {"true"}, "soid": {"zohopay.42"}})
	status, said := send(t, http.MethodPost, base+"remove-user", url.Values{"user": {"user@example.com"}})
	assert.Equal(t, 200, status)
	assert.Equal(t, "user@example.com: 1 refresh tokens\n", said)
	_, tokens := send(t, http.MethodGet, base+"tokens", nil)
	assert.Contains(t, tokens, "zohopay.42")
	_, body := refresh(t, env)
	assert.Contains(t, body, "invalid_code")
	status, _ = send(t, http.MethodPost, base+"remove-user", nil)
	assert.Equal(t, 400, status)
}

func TestControl_ShowsWhatWasPushedOut(t *testing.T) {
	t.Parallel()
	env := start(t)
	for range 11 {
		exchangeNew(t, env, url.Values{"user": {"other@example.com"}})
		send(t, http.MethodPost, env["ACCOUNTS_URL"]+"/sim/advance?by=10m", nil)
		exchangeNew(t, env, url.Values{"user": {"other@example.com"}})
	}
	_, evicted := send(t, http.MethodGet, env["ACCOUNTS_URL"]+"/sim/evicted", nil)
	assert.Contains(t, evicted, "other@example.com")
}

func TestControl_ANewSecretEndsTheFormerOneAndTheRefreshTokens(t *testing.T) {
	t.Parallel()
	env := start(t)
	status, secret := send(t, http.MethodPost, env["ACCOUNTS_URL"]+"/sim/secret", nil)
	assert.Equal(t, 200, status)
	_, body := refresh(t, env)
	assert.Contains(t, body, "invalid_client_secret")
	env["ZOHO_CLIENT_SECRET"] = strings.TrimSpace(secret)
	_, body = refresh(t, env)
	assert.Contains(t, body, "invalid_code")
}
