package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

const (
	envProcess = "TOKEN_SERVER_PROCESS"
	goodForm   = "client_id=an-id&client_secret=0123456789abcdef&grant_type=refresh_token&refresh_token=crm-sync"
)

// TestMain is the program itself in the processes that the tests start.
func TestMain(m *testing.M) {
	if os.Getenv(envProcess) != "" {
		main()
		return
	}
	goleak.VerifyTestMain(m)
}

// output may be read while it is written.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// fakeVault leases one token, and notes what is given back.
type fakeVault struct {
	mu      sync.Mutex
	revoked []string
	headers http.Header // of the latest reading
}

func (v *fakeVault) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v.mu.Lock()
	defer v.mu.Unlock()
	var body any = map[string]any{}
	switch r.URL.Path {
	case "/v1/zoho-eu/creds/crm-sync":
		v.headers = r.Header.Clone()
		body = map[string]any{
			"lease_id": "zoho-eu/creds/crm-sync/1", "lease_duration": 3600,
			"data": map[string]any{"access_token": "1000.a.b", "token_id": "id-1", "token_type": "Bearer", "api_domain": "https://www.zohoapis.eu"},
		}
	case "/v1/auth/token/lookup-self":
	case "/v1/sys/leases/revoke":
		var sent map[string]any
		_ = json.NewDecoder(r.Body).Decode(&sent)
		v.revoked = append(v.revoked, fmt.Sprint(sent["lease_id"]))
	default:
		w.WriteHeader(http.StatusNotFound)
	}
	_ = json.NewEncoder(w).Encode(body)
}

// givenBack are the leases that were given back so far.
func (v *fakeVault) givenBack() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.revoked)
}

// header is one of the latest reading.
func (v *fakeVault) header(name string) string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.headers.Get(name)
}

// setPair puts the pair of goodForm into the environment.
func setPair(t *testing.T) {
	t.Helper()
	t.Setenv("ZOHO_CLIENT_ID", "an-id")
	t.Setenv("ZOHO_CLIENT_SECRET", "0123456789abcdef")
}

// start runs the program; stop ends it as SIGTERM does.
func start(t *testing.T, args ...string) (log *output, stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	log, ended := &output{}, make(chan error, 1)
	go func() { ended <- run(ctx, args, io.Discard, log) }()
	return log, func() error { cancel(); return <-ended }
}

// listening waits for the program, and returns its address.
func listening(t *testing.T, log *output) string {
	t.Helper()
	said := regexp.MustCompile(`msg=listening address=(\S+)`)
	require.Eventually(t, func() bool { return said.MatchString(log.String()) }, time.Minute, 10*time.Millisecond, "%s", log)
	return said.FindStringSubmatch(log.String())[1]
}

func startVault(t *testing.T) *fakeVault {
	t.Helper()
	vault := &fakeVault{}
	server := httptest.NewServer(vault)
	t.Cleanup(server.Close)
	t.Setenv("VAULT_ADDR", server.URL)
	return vault
}

// Its callers go on using what they have while it is started again.
func TestRun_ItsEndTakesNoTokenFromItsCallers(t *testing.T) {
	vault := startVault(t)
	socket := filepath.Join(t.TempDir(), "socket")
	log, stop := start(t, "-listen=unix:"+socket, "-mount=zoho-eu", "-role=crm-sync", "-max-age=20m", "-plain-api-domain")
	listening(t, log)
	client := overUnix(socket)
	defer client.CloseIdleConnections()
	answer := post(t, client, "http://zoho/oauth/v2/token", "grant_type=refresh_token&refresh_token=crm-sync")
	require.Contains(t, answer, `"expires_in":1200`)
	require.Contains(t, answer, `"api_domain":"https://www.zohoapis.eu"`)
	require.NoError(t, stop())
	require.Empty(t, vault.givenBack())
	require.Contains(t, log.String(), "promised_until=")
}

func overUnix(socket string) *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}}}
}

func TestRun_CheckReadyFailsWhereCallersWouldGetNoToken(t *testing.T) {
	vault := startVault(t)
	ask := func(role string, args ...string) error {
		t.Helper()
		socket := filepath.Join(t.TempDir(), "s")
		log, stop := start(t, "-listen=unix:"+socket, "-mount=zoho-eu", "-role="+role)
		defer func() { require.NoError(t, stop()) }()
		listening(t, log)
		require.Eventually(t, func() bool { return strings.Contains(log.String(), "a lease") }, time.Minute, 10*time.Millisecond, "it says how it began")
		return run(t.Context(), append(args, "-listen=unix:"+socket), io.Discard, io.Discard)
	}
	require.NoError(t, ask("crm-sync", "-check", "-ready"))
	require.NoError(t, ask("crm-snyc", "-check"), "it answers")
	require.ErrorContains(t, ask("crm-snyc", "-check", "-ready"), "role crm-snyc: Vault")
	require.Equal(t, []string{"zoho-eu/creds/crm-sync/1"}, vault.givenBack(), "nobody has asked for that token")
}

func TestRun_RevokesEveryLeaseAtItsEndIfItIsTold(t *testing.T) {
	vault := startVault(t)
	t.Setenv("VAULT_TOKEN", "the-vault-token")
	t.Setenv("VAULT_NAMESPACE", "team")
	file := filepath.Join(t.TempDir(), "client.env")
	log, stop := start(t, "-listen=127.0.0.1:0", "-mount=/zoho-eu/", "-role=crm-sync", "-client-file="+file, "-revoke-on-exit")
	url := "http://" + listening(t, log)

	content, err := os.ReadFile(file)
	require.NoError(t, err)
	form := strings.NewReplacer("ZOHO_CLIENT_ID", "client_id", "ZOHO_CLIENT_SECRET", "client_secret", "\n", "&").Replace(string(content)) +
		"grant_type=refresh_token&refresh_token=crm-sync"
	answer := post(t, http.DefaultClient, url+"/oauth/v2/token", form)
	require.Contains(t, answer, `"access_token":"1000.a.b"`)
	require.Equal(t, "the-vault-token", vault.header("X-Vault-Token"))
	require.Equal(t, "team", strings.Trim(vault.header("X-Vault-Namespace"), "/"))

	require.NoError(t, stop())
	require.Equal(t, []string{"zoho-eu/creds/crm-sync/1"}, vault.givenBack())
	require.NotContains(t, log.String(), "1000.a.b")
	require.NotContains(t, log.String(), "the-vault-token")
	_, id, _ := strings.Cut(string(content), "SECRET=")
	require.NotContains(t, log.String(), strings.TrimSpace(id))
}

func TestRun_OnAUnixSocketNeedsNoPairAndTellsSystemdWhenItListens(t *testing.T) {
	startVault(t)
	dir := t.TempDir()
	notified, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"})
	require.NoError(t, err)
	defer notified.Close()
	t.Setenv("NOTIFY_SOCKET", filepath.Join(dir, "notify"))
	socket := filepath.Join(dir, "socket")
	log, stop := start(t, "-listen=unix:"+socket, "-socket-mode=0660", "-mount=zoho-eu")
	ready := make([]byte, 64)
	n, err := notified.Read(ready)
	require.NoError(t, err)
	require.Equal(t, "READY=1", string(ready[:n]))

	client := overUnix(socket)
	defer client.CloseIdleConnections()
	require.Contains(t, post(t, client, "http://zoho/oauth/v2/token", "grant_type=refresh_token&refresh_token=crm-sync"), "access_token")
	require.Regexp(t, fmt.Sprintf(`caller="?(uid=%d pid=%d|unix)"? `, os.Getuid(), os.Getpid()), log.String())
	var answer bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"-check", "-listen=unix:" + socket}, &answer, io.Discard))
	require.JSONEq(t, fmt.Sprintf(`{"status":"ok","version":%q,"vault":"ok"}`, Version), answer.String())
	require.NoError(t, stop())
	require.NoFileExists(t, socket)
	require.ErrorContains(t, run(t.Context(), []string{"-check", "-listen=unix:" + socket}, &answer, io.Discard), "-check")
}

func TestRun_RefusesToStart(t *testing.T) {
	startVault(t)
	for says, args := range map[string][]string{
		"callers need a client ID and secret":                  {"-listen=127.0.0.1:0"},
		"neither a loopback address nor a Unix socket":         {"-listen=0.0.0.0:0", "-client-file=" + filepath.Join(t.TempDir(), "c")},
		`"../x" is not the name of a role`:                     {"-role=../x"},
		"there is no TCP listener":                             {"-listen=unix:" + filepath.Join(t.TempDir(), "s"), "-tls-cert=a", "-tls-key=b"},
		"-tls-cert and -tls-key go together":                   {"-tls-cert=a"},
		`unexpected argument "serve"`:                          {"serve"},
		"flag provided but not defined":                        {"-secret=x"},
		"-ready says what -check is to ask":                    {"-ready"},
		"-max-age 1ms is less than a second":                   {"-max-age=1ms"},
		"-mount is empty":                                      {"-mount=/", "-listen=unix:" + filepath.Join(t.TempDir(), "s")},
		"-client-file":                                         {"-client-file=" + filepath.Join(t.TempDir(), "no", "such", "dir")},
		`invalid value "9" for flag -socket-mode`:              {"-socket-mode=9"},
		"ZOHO_CLIENT_ID and ZOHO_CLIENT_SECRET have to be set": {"-listen=127.0.0.1:0", "env"},
	} {
		if args[len(args)-1] == "env" {
			t.Setenv("ZOHO_CLIENT_ID", "only-the-id")
			args = args[:len(args)-1]
		} else {
			t.Setenv("ZOHO_CLIENT_ID", "")
		}
		require.ErrorContains(t, run(t.Context(), args, io.Discard, io.Discard), says)
	}
}

func TestRun_SaysItsVersion(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"-version"}, &out, io.Discard))
	require.Equal(t, Version+"\n", out.String())
}

func TestRun_SaysWhatItCouldNotGiveBack(t *testing.T) {
	vault := &fakeVault{}
	server := httptest.NewServer(vault)
	t.Setenv("VAULT_ADDR", server.URL)
	t.Setenv("VAULT_MAX_RETRIES", "0")
	socket := filepath.Join(t.TempDir(), "socket")
	t.Setenv("ZOHO_CLIENT_ID", "an-id")
	t.Setenv("ZOHO_CLIENT_SECRET", "0123456789abcdef")
	log, stop := start(t, "-listen=127.0.0.1:0", "-mount=zoho-eu", "-token-file="+socket, "-revoke-on-exit")
	url := "http://" + listening(t, log) + "/oauth/v2/token"
	const form = "client_id=an-id&client_secret=0123456789abcdef&grant_type=refresh_token&refresh_token=crm-sync"
	require.Contains(t, post(t, http.DefaultClient, url, form), "There is no Vault token")
	require.NoError(t, os.WriteFile(socket, []byte("x"), 0o600))
	require.Contains(t, post(t, http.DefaultClient, url, form), "access_token")
	server.Close()
	require.ErrorContains(t, stop(), "not every lease could be given back")
}

func post(t *testing.T, client *http.Client, url, form string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(form))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := client.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	defer client.CloseIdleConnections()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return string(body)
}

// Off by default, and on an address of its own.
func TestRun_MetricsAreOnAnAddressOfTheirOwnAndOnlyIfOneIsGiven(t *testing.T) {
	startVault(t)
	dir := t.TempDir()
	socket, metrics := filepath.Join(dir, "socket"), filepath.Join(dir, "metrics")
	log, stop := start(t, "-listen=unix:"+socket, "-metrics=unix:"+metrics, "-mount=zoho-eu", "-role=crm-sync")
	listening(t, log)
	callers, prometheus := overUnix(socket), overUnix(metrics)
	defer callers.CloseIdleConnections()
	defer prometheus.CloseIdleConnections()
	require.Contains(t, post(t, callers, "http://zoho/oauth/v2/token", "grant_type=refresh_token&refresh_token=crm-sync"), "access_token")
	require.Contains(t, post(t, callers, "http://zoho/oauth/v2/token", "grant_type=refresh_token&refresh_token=a-pasted-secret"), "invalid_code")

	read := func(client *http.Client) (status int, body string) {
		resp, err := client.Get("http://zoho/metrics")
		require.NoError(t, err)
		defer resp.Body.Close()
		content, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return resp.StatusCode, string(content)
	}
	status, body := read(prometheus)
	require.Equal(t, http.StatusOK, status)
	for _, line := range []string{
		`zoho_token_server_answers_total{result="issued"} 1`, `zoho_token_server_answers_total{result="invalid_code"} 1`,
		`zoho_token_server_readings_total{result="leased"} 1`, `zoho_token_server_roles_left_out 0`,
	} {
		require.Contains(t, body, "\n"+line+"\n")
	}
	require.Regexp(t, `zoho_token_server_lease_expiry_timestamp_seconds\{role="crm-sync"\} 1`, body)
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(body))
	require.NoError(t, err)
	require.Len(t, families, 5)
	require.NotContains(t, body, "a-pasted-secret")
	require.NotContains(t, body, "1000.a.b")
	status, _ = read(callers)
	require.Equal(t, http.StatusNotFound, status, "callers have no metrics")
	require.Contains(t, post(t, prometheus, "http://zoho/oauth/v2/token", "grant_type=refresh_token&refresh_token=crm-sync"), "404")
	require.NoError(t, stop())
}

func TestRun_MetricsAreRefusedWhereOthersReachThem(t *testing.T) {
	startVault(t)
	socket := "unix:" + filepath.Join(t.TempDir(), "socket")
	for _, address := range []string{"0.0.0.0:9464", "systemd", socket} {
		err := run(t.Context(), []string{"-listen=" + socket, "-metrics=" + address}, io.Discard, io.Discard)
		require.ErrorContains(t, err, "-metrics", address)
	}
}
