package test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-cleanhttp"
	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/bootstrap"
	"vault-plugin-secrets-zoho/zohosim"
)

// buildTokenServer builds the program as a release does, once for all tests.
var buildTokenServer = sync.OnceValues(func() (string, error) {
	program := filepath.Join(filepath.Dir(env.plugin.Path), "..", "zoho-token-server")
	build := exec.Command("../scripts/build", program, "zoho-token-server")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("scripts/build: %w: %s", err, out)
	}
	return program, nil
})

// tokenServer is a running program beside an application.
type tokenServer struct {
	m       *mount
	process *bootstrap.Process
	url     string // with the path of the token endpoint
	id      string // what callers have to send
	secret  string
	log     string
}

// startTokenServer starts the program for the mount's role, with a Vault token of the
// policy for applications.
func (m *mount) startTokenServer(flags ...string) *tokenServer {
	m.t.Helper()
	m.policy(m.path+"-app", "application.hcl", "zoho/", m.path+"/")
	client := m.as(m.path + "-app")
	keepSecret("Vault token", client.Token())
	return m.startTokenServerWith([]string{"VAULT_ADDR=" + m.server.Addr(), "VAULT_TOKEN=" + client.Token()}, flags...)
}

func (m *mount) startTokenServerWith(environ []string, flags ...string) *tokenServer {
	m.t.Helper()
	program, err := buildTokenServer()
	require.NoError(m.t, err)
	dir := m.t.TempDir()
	s := &tokenServer{m: m, log: filepath.Join(dir, "log")}
	clientFile := filepath.Join(dir, "client.env")
	cmd := exec.CommandContext(context.WithoutCancel(m.t.Context()), program,
		append([]string{"-listen=127.0.0.1:0", "-mount=" + m.path, "-role=crm-sync", "-client-file=" + clientFile}, flags...)...)
	cmd.Env = environ
	s.process, err = bootstrap.StartProcess(cmd, s.log)
	require.NoError(m.t, err)
	m.t.Cleanup(func() {
		require.NoError(m.t, s.process.Stop())
		require.Empty(m.t, secretsIn(s.log))
		if m.t.Failed() {
			m.t.Logf("the token server says:\n%s", s.said())
		}
	})
	listens := regexp.MustCompile(`msg=listening address=(\S+)`)
	eventually(m.t, "the token server to listen", func() bool { return listens.MatchString(s.said()) })
	s.url = "http://" + listens.FindStringSubmatch(s.said())[1] + "/oauth/v2/token"
	content, err := os.ReadFile(clientFile)
	require.NoError(m.t, err)
	pair := regexp.MustCompile(`=(.+)\n.*=(.+)\n`).FindStringSubmatch(string(content))
	require.NotNil(m.t, pair, "the client file")
	s.id, s.secret = pair[1], pair[2]
	keepSecret("secret of the token server's callers", s.secret)
	return s
}

func (s *tokenServer) said() string {
	content, _ := os.ReadFile(s.log) // not there yet
	return string(content)
}

// ask refreshes as a caller does, and returns the token, if there is one.
func (s *tokenServer) ask() (status int, body, token string) {
	s.m.t.Helper()
	status, body = s.post(s.url, url.Values{
		"grant_type": {"refresh_token"}, "refresh_token": {"crm-sync"}, "client_id": {s.id}, "client_secret": {s.secret},
	})
	if found := regexp.MustCompile(`"access_token":"([^"]+)"`).FindStringSubmatch(body); found != nil {
		token = found[1]
		keepSecret("access token", token)
	}
	return status, body, token
}

func (s *tokenServer) post(address string, form url.Values) (status int, body string) {
	s.m.t.Helper()
	req, err := http.NewRequestWithContext(s.m.t.Context(), http.MethodPost, address, strings.NewReader(form.Encode()))
	require.NoError(s.m.t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := cleanhttp.DefaultClient().Do(req)
	require.NoError(s.m.t, err)
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	require.NoError(s.m.t, err)
	return resp.StatusCode, string(content)
}

// gets asks for a token, which has to be alive.
func (s *tokenServer) gets() string {
	s.m.t.Helper()
	_, body, token := s.ask()
	require.NotEmpty(s.m.t, token, body)
	require.True(s.m.t, s.m.sim.Alive(token), "the token is dead")
	return token
}

// ends stops the program: its leases are given back, and so its tokens die. (One that
// the engine has minted ahead, and that nobody has leased yet, may live.)
func (s *tokenServer) ends() {
	s.m.t.Helper()
	latest := s.gets()
	require.NoError(s.m.t, s.process.Stop())
	require.Contains(s.m.t, s.said(), "gave every lease back")
	require.Zero(s.m.t, s.m.leases())
	require.False(s.m.t, s.m.sim.Alive(latest), "a token outlives its last lease")
}

func TestTokenServer_IsSmallAndNotLinkedIntoThePlugin(t *testing.T) {
	t.Parallel()
	program, err := buildTokenServer()
	require.NoError(t, err)
	info, err := os.Stat(program)
	require.NoError(t, err)
	require.Less(t, info.Size(), int64(20_000_000))
	t.Logf("the token server has %.1f MB", float64(info.Size())/1e6)
	version, err := exec.CommandContext(t.Context(), program, "-version").Output()
	require.NoError(t, err)
	require.Equal(t, env.plugin.Version, strings.TrimSpace(string(version)))

	linked, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "../cmd/vault-plugin-secrets-zoho").Output()
	require.NoError(t, err)
	require.NotContains(t, string(linked), "github.com/hashicorp/vault/api")
	require.NotContains(t, string(linked), "tokenserver")
}

func TestTokenServer_GivesTheLeaseBackWhenACallerRevokesItAndAtItsEnd(t *testing.T) {
	t.Parallel()
	s := newMount(t, zohosim.Options{}).startTokenServer()
	first := s.gets()
	require.Equal(t, first, s.gets())
	require.Equal(t, 1, s.m.leases())
	status, body := s.post(s.url+"/revoke", url.Values{"token": {first}})
	require.Equal(t, http.StatusOK, status, body)
	require.False(t, s.m.sim.Alive(first))
	require.Zero(t, s.m.leases())

	require.NotEqual(t, first, s.gets())
	s.ends()
}

func TestTokenServer_AnswersTheEnginesErrorsInZohosWords(t *testing.T) {
	t.Parallel()
	m := newMount(t, zohosim.Options{})
	s := m.startTokenServer()
	m.write("roles/crm-sync", map[string]any{"refresh_token": "1000.0.0", "verify": false})
	status, body, _ := s.ask()
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, `{"error":"invalid_code"}`, body, "Zoho refuses the role's credentials")

	m.write("roles/crm-sync", map[string]any{"refresh_token": m.consent(), "verify": false})
	m.sim.Fault(zohosim.EndpointToken, zohosim.Fault{Kind: zohosim.FaultThrottled})
	status, body, _ = s.ask()
	require.Equal(t, http.StatusBadRequest, status)
	require.Contains(t, body, `"error":"Access Denied","status":"failure"`)
	require.Contains(t, body, "You have made too many requests continuously.")

	_, err := m.root.Logical().DeleteWithContext(t.Context(), m.path+"/roles/crm-sync")
	require.NoError(t, err)
	status, body, _ = s.ask()
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, `{"error":"invalid_code"}`, body, "the role is gone")
}

// A caller names a role that the policy does not allow: to it the role is unknown.
func TestTokenServer_ARoleOutOfThePolicyIsUnknown(t *testing.T) {
	t.Parallel()
	s := newMount(t, zohosim.Options{}).startTokenServer("-role=books")
	status, body := s.post(s.url, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"books"}, "client_id": {s.id}, "client_secret": {s.secret}})
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, `{"error":"invalid_code"}`, body)
}

func TestTokenServer_AThousandCallersAtOnceCostOneTokenRequest(t *testing.T) {
	t.Parallel()
	m := newMount(t, zohosim.Options{})
	s := m.startTokenServer()
	var wg sync.WaitGroup
	answers := make(chan string, 1000)
	for range cap(answers) {
		wg.Go(func() {
			_, body, _ := s.ask()
			answers <- body
		})
	}
	wg.Wait()
	close(answers)
	for body := range answers {
		require.Contains(t, body, `"access_token"`)
	}
	require.Equal(t, 1, m.mints())
	require.Equal(t, 1, m.leases())
	s.ends()
}

// The unit tests have the whole list; here it comes over a real connection.
func TestTokenServer_StandsBadInput(t *testing.T) {
	t.Parallel()
	s := newMount(t, zohosim.Options{}).startTokenServer()
	good := func(changes ...string) url.Values {
		form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"crm-sync"}, "client_id": {s.id}, "client_secret": {s.secret}}
		for i := 0; i+1 < len(changes); i += 2 {
			form.Set(changes[i], changes[i+1])
		}
		return form
	}
	status, body := s.post(s.url, good("scope", strings.Repeat("x", 1<<20)))
	require.Equal(t, http.StatusRequestEntityTooLarge, status)
	require.Contains(t, body, "larger than 64 KiB")
	for _, name := range []string{"../../sys/seal", "crm-sync/../books", "crm sync", "crm-sync\x00", "1000.0123456789abcdef.0123456789abcdef", strings.Repeat("x", 5000)} {
		status, body = s.post(s.url, good("refresh_token", name))
		require.Equal(t, http.StatusOK, status)
		require.Equal(t, `{"error":"invalid_code"}`, body)
	}
	status, body = s.post(s.url, good("client_secret", s.secret+"x"))
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, `{"error":"invalid_client"}`, body)
	status, _, body = s.m.get(s.url + "?" + good().Encode())
	require.Equal(t, http.StatusBadRequest, status)
	require.Contains(t, body, "Send this as a POST")
	require.Zero(t, s.m.leases())
	s.gets()
	status, _, body = s.m.get(strings.Replace(s.url, "/oauth/v2/token", "/healthz", 1))
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, body, `"vault":"ok"`)
	s.ends()
}

func TestTokenServer_SaysThatVaultIsSealedAndWorksAgainByItself(t *testing.T) {
	t.Parallel()
	m := newMountOn(t, ownServer(t), zohosim.Options{})
	s := m.startTokenServer()
	require.NoError(t, m.server.Seal(t.Context()))
	status, body, _ := s.ask()
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Contains(t, body, "Vault is sealed")
	require.NoError(t, m.server.Unseal(t.Context()))
	s.gets()
	require.NoError(t, m.server.Stop())
	s.gets() // served while Vault is away
	require.NoError(t, m.server.Restart(t.Context()))
	s.ends()
}

// Its Vault token is revoked, and with that every lease and so Zoho's token.
func TestTokenServer_TakesTheNextVaultTokenThatTheAgentWrites(t *testing.T) {
	t.Parallel()
	m := newMount(t, zohosim.Options{})
	file := filepath.Join(t.TempDir(), "vault-token")
	m.policy(m.path+"-app", "application.hcl", "zoho/", m.path+"/")
	keep := func() string {
		t.Helper()
		token := m.as(m.path + "-app").Token()
		keepSecret("Vault token", token)
		require.NoError(t, os.WriteFile(file, []byte(token), 0o600))
		return token
	}
	first := keep()
	s := m.startTokenServerWith([]string{"VAULT_ADDR=" + m.server.Addr()}, "-token-file="+file)
	former := s.gets()
	require.NoError(t, m.root.Auth().Token().RevokeTreeWithContext(t.Context(), first))
	eventually(t, "the end of the token at Zoho", func() bool { return !m.sim.Alive(former) })

	second := keep()
	require.NotEqual(t, former, s.gets())
	require.NoError(t, m.root.Auth().Token().RevokeTreeWithContext(t.Context(), second))
	require.NoError(t, os.WriteFile(file, []byte("hvs.nonsense"), 0o600))
	eventually(t, "a clear error", func() bool {
		status, body, _ := s.ask()
		return status == http.StatusServiceUnavailable && strings.Contains(body, "The token server is not let in: Vault answers HTTP 403")
	})
	keep()
	s.gets()
	s.ends()
}

// Vault Proxy, or Agent, adds the token of its own login: the program has none.
func TestTokenServer_ReachesVaultThroughAProxyThatAddsTheVaultToken(t *testing.T) {
	t.Parallel()
	m := newMount(t, zohosim.Options{})
	dir := t.TempDir()
	socket := filepath.Join(dir, "proxy")
	config := m.agentConfig(dir, fmt.Sprintf(`
api_proxy { use_auto_auth_token = true }
listener "unix" {
  address     = %q
  tls_disable = true
}`, socket))
	// Of the agent's configuration only the proxy has no templates.
	content, err := os.ReadFile(config)
	require.NoError(t, err)
	without := strings.Replace(string(content), "template_config { exit_on_retry_failure = true }", "", 1)
	require.NoError(t, os.WriteFile(config, []byte(without), 0o600))
	m.policy(m.path+"-agent", "application.hcl", "zoho/", m.path+"/")
	proxy, err := m.server.StartCLI(t.Context(), "", m.path+"-proxy.log", "proxy", "-config="+config)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, proxy.Stop()) })
	s := m.startTokenServerWith([]string{"VAULT_ADDR=unix://" + socket})
	eventually(t, "the proxy to log in", func() bool { _, _, token := s.ask(); return token != "" })
	s.gets()
	s.ends()
}

// A program under the token server, whose tokens live 40 seconds. Once the next token
// has been minted ahead, Zoho is away for more than half of that; then Vault is
// started again.
func TestTokenServer_AProgramNoticesNeitherAnOutageOfZohoNorARestartOfVault(t *testing.T) {
	t.Parallel()
	const life, outage = 40 * time.Second, 24 * time.Second
	m := newMountOn(t, ownServer(t), zohosim.Options{TokenLife: life})
	s := m.startTokenServer()
	program := s.goProgram()
	until := func(what string, enough func() bool) {
		watch(t, what, 2*life, func() bool {
			program.calls(t)
			return enough()
		})
	}
	until("a token to be minted ahead", func() bool { return m.mints() == 2 })
	m.sim.Fault(zohosim.EndpointToken, zohosim.Fault{Kind: zohosim.FaultClose})
	up := time.Now().Add(outage)
	until("the end of the outage", func() bool { return time.Now().After(up) })
	m.sim.ClearFaults()
	until("a token to be minted after the outage", func() bool { return m.mints() == 3 })

	restarted := make(chan error, 1)
	go func() { restarted <- m.server.Restart(context.WithoutCancel(t.Context())) }()
	until("the restart of Vault", func() bool { return len(restarted) == 1 })
	require.NoError(t, <-restarted)
	until("a token to be minted after the restart", func() bool { return m.mints() >= 4 })
	s.ends()
}
