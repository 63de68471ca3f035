package test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/bootstrap"
	"vault-plugin-secrets-zoho/zohosim"
)

// exchangesFile has a request and its answer for each path and method. The
// test of docs/reference.md copies them into the page, and fails for a path that
// has none here: then it is to be added to [recorder.all].
const exchangesFile = "../testdata/exchanges.md"

// What docs/reference.md shows is what a real Vault answers to the curl commands
// that it shows. `make docs` records it anew.
func TestReference_SamplesAreWhatARealVaultAnswers(t *testing.T) {
	t.Parallel()
	installed(t, "curl")
	r := newRecorder(t)
	r.all()
	recorded := r.page.String()
	if os.Getenv("UPDATE_DOCS") != "" {
		require.NoError(t, os.WriteFile(exchangesFile, []byte(recorded), 0o600))
	}
	stored, err := os.ReadFile(exchangesFile)
	require.NoError(t, err)
	// Of what is around an answer, this is what not every server says.
	ofAll := func(page string) []string {
		return strings.SplitAfter(strings.ReplaceAll(page, ",\n  \"mount_type\": \""+bootstrap.PluginName+"\"", ""), "\n## ")
	}
	before, now := ofAll(string(stored)), ofAll(recorded)
	for i := range min(len(before), len(now)) { // each by itself, or the difference is a page long
		require.Equal(t, before[i], now[i], "%s is out of date; run make docs", exchangesFile)
	}
	require.Len(t, before, len(now), "%s is out of date; run make docs", exchangesFile)
}

// recorder runs curl commands, and writes them down with their answers.
type recorder struct {
	*mount
	page  bytes.Buffer
	names *placeholders
	dir   string // where curl runs, with payload.json
	token string // a Vault token
	web   *zohosim.Client
}

// newRecorder makes a mount at zoho/ that is as a user's in the data centre eu:
// it talks to the simulator, and takes it for Zoho's own Accounts server.
func newRecorder(t *testing.T) *recorder {
	t.Helper()
	sim := zohosim.New(zohosim.Options{RealDomains: true})
	t.Cleanup(sim.Close)
	server := ownServer(t, impersonate(t, &url.URL{Scheme: "https", Host: "accounts.zoho.eu"}, sim.Handler("eu"))...)
	m := &mount{t: t, server: server, root: server.Client(server.RootToken()), path: "zoho", sim: sim}
	m.client = m.sim.AddClient(zohosim.ClientSpec{})
	require.NoError(t, server.Mount(t.Context(), m.path))
	r := &recorder{mount: m, names: newPlaceholders(m), dir: t.TempDir()}
	r.web = m.sim.AddClient(zohosim.ClientSpec{Kind: zohosim.WebClient, RedirectURIs: []string{m.callback()}})
	r.secret("client secret", m.client.Secret("eu"), "client-secret...")
	r.secret("client secret", r.web.Secret("eu"), "client-secret-of-the-role...")
	r.names.add(m.client.ID, "1000.ABC...")
	r.names.add(r.web.ID, "1000.DEF...")
	// A program with an identity of its own, and not root, reads the tokens.
	require.NoError(t, m.root.Sys().PutPolicyWithContext(t.Context(), "all", `path "zoho/*" { capabilities = ["create", "read", "update", "patch", "delete", "list"] }`))
	client, _ := m.login("crm-app", "all")
	r.token = client.Token()
	require.NoError(t, os.WriteFile(filepath.Join(r.dir, ".curlrc"), []byte("silent\nshow-error\nwrite-out = \"\\n%{http_code}\"\n"), 0o600))
	return r
}

// secret registers a secret, and what stands for it on the page.
func (r *recorder) secret(what, value, placeholder string) {
	keepSecret(what, value)
	r.names.add(value, placeholder)
}

// all makes the exchanges, each path and method once.
func (r *recorder) all() {
	r.t.Helper()
	scopes := []string{"ZohoCRM.modules.ALL", "ZohoCRM.org.READ"}
	code := r.sim.Code(r.client, "eu", zohosim.CodeSpec{Scopes: scopes})
	r.secret("grant code", code, "1000.grant-code...")

	r.exchange("POST", "config", fields{"data_center": "eu", "client_id": r.client.ID, "client_secret": r.client.Secret("eu"), "redirect_uri": r.callback()})
	r.exchange("PATCH", "config", fields{"min_ttl": "15m"})
	r.exchange("GET", "config", nil)
	r.exchange("POST", "roles/crm-sync", fields{"code": code, "scopes": scopes, "metadata": fields{"organization_id": "60012345678"}})
	r.exchange("PATCH", "roles/crm-sync", fields{"min_ttl": "20m"})
	r.exchange("GET", "roles/crm-sync", nil)
	r.exchange("LIST", "roles", nil)

	leased := r.exchange("GET", "creds/crm-sync", nil)
	r.exchange("POST", "creds/crm-sync", fields{"min_ttl": "30m", "ttl": "20m"}) // no second token: a list has them in the order of random IDs
	r.exchange("GET", "roles/crm-sync/status", nil)
	r.exchange("LIST", "clients", nil)
	r.metrics()
	r.exchange("LIST", "tokens", nil)
	r.exchange("GET", "tokens/"+leased["token_id"], nil)
	r.exchange("POST", "tokens/lookup", fields{"token": leased["access_token"]})
	rotated := r.exchange("POST", "roles/crm-sync/rotate", nil)
	r.exchange("DELETE", "tokens/"+rotated["token_id"], nil)

	r.write("roles/person", fields{"client_id": r.web.ID, "client_secret": r.web.Secret("eu"), "scopes": scopes})
	r.callbackOf(r.exchange("POST", "roles/person/authorize", nil)["authorization_url"])
	r.exchange("POST", "roles/crm-sync/deauthorize", nil)
	r.exchange("DELETE", "roles/crm-sync", nil)
	r.exchange("GET", "info", nil)
	r.exchange("DELETE", "config", nil)
}

// metrics is what Prometheus reads, as far as it is of the role.
func (r *recorder) metrics() {
	r.t.Helper()
	r.heading("GET", "metrics")
	status, body := r.curl("curl \\\n    --header \"Authorization: Bearer $VAULT_TOKEN\" \\\n    $VAULT_ADDR/v1/zoho/metrics")
	var shown []string
	for line := range strings.Lines(body) {
		if strings.Contains(line, `role="crm-sync"`) {
			shown = append(shown, regexp.MustCompile(`1\.\d+e\+09`).ReplaceAllString(strings.TrimSpace(line), "1.764582e+09"))
		}
	}
	require.Len(r.t, shown, 8)
	r.block("HTTP "+status+", with all metrics, among them those of the role", "text", strings.Join(shown, "\n"))
}

// callbackOf is what a browser does that comes back from the consent page.
func (r *recorder) callbackOf(authorization string) {
	r.t.Helper()
	agreed := httptest.NewRequestWithContext(r.t.Context(), http.MethodPost, authorization, strings.NewReader("decision=accept"))
	agreed.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer := httptest.NewRecorder()
	r.sim.Handler("eu").ServeHTTP(answer, agreed)
	back, err := url.Parse(answer.Header().Get("Location"))
	require.NoError(r.t, err)
	r.names.add(back.Query().Get("code"), "1000.grant-code...")
	r.heading("GET", "callback")
	status, page := r.curl("curl \\\n    \"$VAULT_ADDR/v1/zoho/callback?" + back.RawQuery + "\"")
	require.Contains(r.t, page, "You gave consent")
	_, body, _ := strings.Cut(page, "<body>\n")
	body, _, _ = strings.Cut(body, "\n</body>")
	r.block("HTTP "+status+", a page for the browser with", "html", body)
}

type fields = map[string]any

// exchange sends a request with curl, writes down both, and returns what texts
// the answer has in its data.
func (r *recorder) exchange(method, path string, payload fields) (texts map[string]string) {
	r.t.Helper()
	command := []string{"curl", `    --header "X-Vault-Token: $VAULT_TOKEN"`}
	if method == "PATCH" {
		command = append(command, `    --header "Content-Type: application/merge-patch+json"`)
	}
	if method != http.MethodGet {
		command = append(command, "    --request "+method)
	}
	if payload != nil {
		encoded, err := json.MarshalIndent(payload, "", "  ")
		require.NoError(r.t, err)
		require.NoError(r.t, os.WriteFile(filepath.Join(r.dir, "payload.json"), encoded, 0o600))
		command = append(command, "    --data @payload.json")
	}
	r.heading(method, path)
	if payload != nil {
		content, err := os.ReadFile(filepath.Join(r.dir, "payload.json"))
		require.NoError(r.t, err)
		r.block("payload.json", "json", string(content))
	}
	status, body := r.curl(strings.Join(append(command, "    $VAULT_ADDR/v1/zoho/"+path), " \\\n"))
	if body == "" {
		fmt.Fprintf(&r.page, "\nHTTP %s, without a body.\n", status)
		return nil
	}
	return r.answered(status, body)
}

// answered writes a JSON answer down, and returns what texts are in its data.
func (r *recorder) answered(status, body string) (texts map[string]string) {
	r.t.Helper()
	var answer struct {
		Data map[string]any `json:"data"`
	}
	require.NoError(r.t, json.Unmarshal([]byte(body), &answer), body)
	texts = map[string]string{}
	for field, value := range answer.Data {
		if text, ok := value.(string); ok {
			texts[field] = text
		}
	}
	if token := texts["access_token"]; token != "" {
		r.secret("access token", token, "1000.access-token...")
	}
	if address, err := url.Parse(texts["authorization_url"]); err == nil && address.Query().Has("state") {
		r.names.add(address.Query().Get("state"), "state...") // no secret of the log: the callback's address is in it
	}
	var indented bytes.Buffer
	require.NoError(r.t, json.Indent(&indented, []byte(body), "", "  "))
	r.block("HTTP "+status, "json", indented.String())
	return texts
}

func (r *recorder) heading(method, path string) {
	if r.page.Len() > 0 {
		r.page.WriteString("\n")
	}
	r.names.begin(method + " " + r.names.in(path))
	fmt.Fprintf(&r.page, "## %s %s\n", method, r.names.in(path))
}

// block writes a block of code, with placeholders for what differs each time.
func (r *recorder) block(title, language, content string) {
	if title != "" {
		fmt.Fprintf(&r.page, "\n%s:\n", title)
	}
	fmt.Fprintf(&r.page, "\n```%s\n%s\n```\n", language, r.names.in(content))
}

// curl runs the command as it stands.
func (r *recorder) curl(command string) (status, body string) {
	r.t.Helper()
	cmd := exec.CommandContext(r.t.Context(), "sh", "-c", command)
	cmd.Dir = r.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + r.dir, "VAULT_ADDR=" + r.server.Addr(), "VAULT_TOKEN=" + r.token}
	out, err := cmd.CombinedOutput()
	require.NoError(r.t, err, string(out))
	r.block("", "shell-session", "$ "+command)
	end := bytes.LastIndexByte(out, '\n')
	require.GreaterOrEqual(r.t, end, 0, string(out))
	status = string(out[end+1:])
	require.Regexp(r.t, "^20[04]$", status, "%s\n%s", command, out)
	return status, strings.TrimSpace(string(out[:end]))
}
