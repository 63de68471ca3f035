package main

import (
	"bytes"
	"context"
	"flag"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// start runs the program until the test ends, and returns its assignments.
func start(t *testing.T, args ...string) map[string]string {
	t.Helper()
	env := filepath.Join(t.TempDir(), "sim.env")
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, append(args, "-env", env), io.Discard, io.Discard) }()
	t.Cleanup(func() {
		stop()
		assert.NoError(t, <-ended)
	})
	var content []byte
	require.Eventually(t, func() bool {
		var err error
		content, err = os.ReadFile(env)
		return err == nil
	}, 10*time.Second, time.Millisecond)
	info, err := os.Stat(env)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	return parse(t, string(content))
}

func parse(t *testing.T, text string) map[string]string {
	t.Helper()
	assigned := map[string]string{}
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		require.True(t, ok, line)
		assigned[name] = value
	}
	return assigned
}

func send(t *testing.T, method, target string, form url.Values) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, target, strings.NewReader(form.Encode()))
	require.NoError(t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer, err := (&http.Client{Timeout: time.Minute}).Do(r)
	require.NoError(t, err)
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	return answer.StatusCode, string(body)
}

func refresh(t *testing.T, env map[string]string) (int, string) {
	t.Helper()
	return send(t, http.MethodPost, env["ACCOUNTS_URL"]+"/oauth/v2/token", url.Values{
		"grant_type": {"refresh_token"}, "refresh_token": {env["ZOHO_REFRESH_TOKEN"]},
		"client_id": {env["ZOHO_CLIENT_ID"]}, "client_secret": {env["ZOHO_CLIENT_SECRET"]},
	})
}

func TestRun_WritesAssignmentsThatWork(t *testing.T) {
	t.Parallel()
	env := start(t, "-data-center", "eu", "-token-life", "10m")
	assert.Len(t, env, 5)
	assert.Equal(t, env["ACCOUNTS_URL"], env["API_DOMAIN"])
	status, body := refresh(t, env)
	assert.Equal(t, 200, status)
	assert.Contains(t, body, `"expires_in":600`)
}

func TestRun_CanNameZohosRealHosts(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"-real-domains"}, {"-real-domains", "-hardest"}} {
		_, body := refresh(t, start(t, append(args, "-data-center", "eu")...))
		assert.Contains(t, body, `"api_domain":"https://www.zohoapis.eu"`)
	}
}

func TestRun_WithoutEnvPrintsTheAssignmentsAndEndsQuietly(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(context.Background())
	stop()
	var stdout, stderr bytes.Buffer
	require.NoError(t, run(ctx, nil, &stdout, &stderr))
	assert.NotEmpty(t, parse(t, stdout.String())["ZOHO_REFRESH_TOKEN"])
	assert.Contains(t, stderr.String(), "/sim/")
	assert.NotContains(t, stderr.String(), parse(t, stdout.String())["ZOHO_CLIENT_SECRET"])
}

func TestRun_RefusesAddressesThatOthersCanReach(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"0.0.0.0:0", ":0", "192.0.2.1:0", "[::]:0", "example.com:0", "8200"} {
		err := run(t.Context(), []string{"-listen", address}, io.Discard, io.Discard)
		assert.ErrorContains(t, err, address)
	}
}

func TestRun_RefusesFlagsThatMakeNoSense(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"-data-center", "mars"}, {"-token-life", "0s"}, {"-latency", "-1s"}, {"stray"}, {"-typo"},
		{"-codes-per-minute", "-1"}, {"-hardest", "-codes-per-minute", "4"}, {"-hardest", "-refuse-excess"}} {
		assert.Error(t, run(t.Context(), args, io.Discard, io.Discard), args)
	}
	var help bytes.Buffer
	assert.ErrorIs(t, run(t.Context(), []string{"-help"}, io.Discard, &help), flag.ErrHelp)
	assert.Contains(t, help.String(), "-token-life")
}

func TestRun_AnEnvFileThatCannotBeWrittenIsAnErrorAndLeavesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "taken"), 0o700))
	assert.ErrorContains(t, run(t.Context(), []string{"-env", filepath.Join(dir, "taken")}, io.Discard, io.Discard), "-env")
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Len(t, left, 1)
}

func TestControl_ShowsRequestsAndTokensWithoutSecrets(t *testing.T) {
	t.Parallel()
	env := start(t)
	refresh(t, env)
	base := env["ACCOUNTS_URL"] + "/sim/"
	_, help := send(t, http.MethodGet, base, nil)
	_, requests := send(t, http.MethodGet, base+"requests", nil)
	_, tokens := send(t, http.MethodGet, base+"tokens", nil)
	assert.Contains(t, help, "html-500")
	assert.Contains(t, requests, `"Endpoint": "token"`)
	assert.Contains(t, tokens, `"Kind": "access"`)
	for _, text := range []string{help, requests, tokens} {
		assert.NotContains(t, text, env["ZOHO_REFRESH_TOKEN"])
		assert.NotContains(t, text, env["ZOHO_CLIENT_SECRET"])
	}
}

func TestControl_FaultsCanBeSetAndCleared(t *testing.T) {
	t.Parallel()
	env := start(t)
	faults := env["ACCOUNTS_URL"] + "/sim/faults"
	status, _ := send(t, http.MethodPost, faults, url.Values{"endpoint": {"token"}, "kind": {"answer"}, "status": {"503"}, "body": {"busy"}})
	require.Equal(t, 200, status)
	status, body := refresh(t, env)
	assert.Equal(t, 503, status)
	assert.Equal(t, "busy", body)
	send(t, http.MethodDelete, faults, nil)
	status, _ = refresh(t, env)
	assert.Equal(t, 200, status)

	for _, bad := range []url.Values{
		{"endpoint": {"typo"}, "kind": {"hang"}}, {"endpoint": {"token"}, "kind": {"typo"}},
		{"endpoint": {"token"}, "kind": {"hang"}, "count": {"-1"}}, {"endpoint": {"token"}, "kind": {"answer"}, "status": {"99"}},
	} {
		status, _ := send(t, http.MethodPost, faults, bad)
		assert.Equal(t, 400, status, bad)
	}
}

func TestControl_MovesTheClockAndTakesZohoDownAndUp(t *testing.T) {
	t.Parallel()
	env := start(t, "-token-life", "1h")
	base := env["ACCOUNTS_URL"] + "/sim/"
	refresh(t, env)
	status, _ := send(t, http.MethodPost, base+"advance?by=61m", nil)
	assert.Equal(t, 200, status)
	_, tokens := send(t, http.MethodGet, base+"tokens", nil)
	assert.NotContains(t, tokens, `"Kind": "access"`)
	status, _ = send(t, http.MethodPost, base+"advance?by=-1m", nil)
	assert.Equal(t, 400, status)

	send(t, http.MethodPost, base+"down", nil)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, env["ACCOUNTS_URL"]+"/oauth/serverinfo", nil)
	require.NoError(t, err)
	answer, err := (&http.Client{Timeout: time.Minute}).Do(r)
	if !assert.Error(t, err) {
		_ = answer.Body.Close()
	}
	send(t, http.MethodPost, base+"up", nil)
	status, _ = refresh(t, env)
	assert.Equal(t, 200, status)
}

func TestControl_MakesGrantCodes(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{nil, {"-redirect-uri", "http://127.0.0.1:8200/v1/zoho/callback"}} {
		env := start(t, args...)
		status, code := send(t, http.MethodPost, env["ACCOUNTS_URL"]+"/sim/code", nil)
		assert.Equal(t, 200, status)
		form := url.Values{"grant_type": {"authorization_code"}, "code": {strings.TrimSpace(code)},
			"client_id": {env["ZOHO_CLIENT_ID"]}, "client_secret": {env["ZOHO_CLIENT_SECRET"]}}
		if len(args) > 0 {
			form.Set("redirect_uri", args[1])
		}
		_, body := send(t, http.MethodPost, env["ACCOUNTS_URL"]+"/oauth/v2/token", form)
		assert.Contains(t, body, "refresh_token")
		status, _ = send(t, http.MethodPost, env["ACCOUNTS_URL"]+"/sim/code", url.Values{"scope": {"a b"}})
		assert.Equal(t, 400, status)
	}
}
