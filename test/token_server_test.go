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

	clientFile string
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
	flags = append([]string{"-revoke-on-exit"}, flags...) // for ends
	s := &tokenServer{m: m, log: filepath.Join(dir, "log"), clientFile: filepath.Join(dir, "client.env")}
	cmd := exec.CommandContext(context.WithoutCancel(m.t.Context()), program,
		append([]string{"-listen=127.0.0.1:0", "-mount=" + m.path, "-role=crm-sync", "-client-file=" + s.clientFile}, flags...)...)
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
	content, err := os.ReadFile(s.clientFile)
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

// refresh is the form with which a caller refreshes.
func (s *tokenServer) refresh() url.Values {
	return url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"crm-sync"}, "client_id": {s.id}, "client_secret": {s.secret}}
}

// ask refreshes as a caller does, and returns the token, if there is one.
func (s *tokenServer) ask() (status int, body, token string) {
	s.m.t.Helper()
	status, body = s.post(s.url, s.refresh())
	if found := regexp.MustCompile(`"access_token":"([^"]+)"`).FindStringSubmatch(body); found != nil {
		token = found[1]
		keepSecret("access token", token)
	}
	return status, body, token
}

func (s *tokenServer) post(address string, form url.Values) (status int, body string) {
	s.m.t.Helper()
	status, body, err := s.send(address, form)
	require.NoError(s.m.t, err)
	return status, body
}

// send is post for a goroutine that is not the test's.
func (s *tokenServer) send(address string, form url.Values) (status int, body string, err error) {
	req, err := http.NewRequestWithContext(s.m.t.Context(), http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := cleanhttp.DefaultClient().Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(content), err
}

// gets asks for a token, which has to be alive.
func (s *tokenServer) gets() string {
	s.m.t.Helper()
	_, body, token := s.ask()
	require.NotEmpty(s.m.t, token, body)
	require.True(s.m.t, s.m.sim.Alive(token), "the token is dead")
	return token
}

// ends stops the program, which has -revoke-on-exit: its leases are given back, and so its tokens die. (One that
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

// Zoho has dropped the token, and Vault does not know. The program's call gets 401, it
// refreshes, and again, as long as its calls get 401.
func TestTokenServer_AProgramWhoseTokenIsDeadGetsAnother(t *testing.T) {
	t.Parallel()
	s := newMount(t, zohosim.Options{}).startTokenServer()
	dead := s.gets()
	require.True(t, s.m.sim.Kill(dead))
	eventually(t, "another token", func() bool { _, _, token := s.ask(); return s.m.sim.Alive(token) })
	require.Equal(t, 2, s.m.mints())
	require.Contains(t, s.said(), "may be dead, and another one was read")
	s.ends()
}

// Whoever consented was removed at Zoho: there is no other token, and what was handed out
// may be dead. The program gets what there is, and whoever monitors is told.
func TestTokenServer_SaysThatZohoHasRefusedTheGrantOfATokenThatItHandsOut(t *testing.T) {
	t.Parallel()
	s := newMount(t, zohosim.Options{}).startTokenServer()
	handedOut := s.gets()
	s.m.sim.RemoveUser("user@example.com")
	health := func() string {
		_, _, body := s.m.get(strings.Replace(s.url, "/oauth/v2/token", "/healthz", 1))
		return body
	}
	eventually(t, "a program to come back", func() bool {
		_, body, token := s.ask()
		require.Equal(t, handedOut, token, body)
		return strings.Contains(health(), `"warnings":["this access token may be dead: Zoho has refused`)
	})
	require.Equal(t, 1, strings.Count(s.said(), "Vault warns of the access token"))
	require.NotContains(t, health(), "crm-sync", "whoever can connect can see it")
}

// A program has a token in memory, and the token server is started again.
func TestTokenServer_ItsEndTakesNoTokenFromItsCallers(t *testing.T) {
	t.Parallel()
	m := newMount(t, zohosim.Options{})
	s := m.startTokenServer("-revoke-on-exit=false")
	handedOut := s.gets()
	require.NoError(t, s.process.Stop())
	require.Contains(t, s.said(), "promised_until=")
	require.True(t, m.sim.Alive(handedOut))
	require.Equal(t, 1, m.leases(), "Vault ends it with its token")
	again := m.startTokenServer()
	require.Equal(t, handedOut, again.gets())
	require.Equal(t, 1, m.mints())
}

func TestTokenServer_IsReadyWhenCallersWouldGetAToken(t *testing.T) {
	t.Parallel()
	m := newMount(t, zohosim.Options{})
	program, err := buildTokenServer()
	require.NoError(t, err)
	ready := func(s *tokenServer) (string, error) {
		address := strings.TrimSuffix(strings.TrimPrefix(s.url, "http://"), "/oauth/v2/token")
		out, err := exec.CommandContext(t.Context(), program, "-check", "-ready", "-listen="+address, "-client-file="+s.clientFile).CombinedOutput()
		return string(out), err
	}
	good, misspelled := m.startTokenServer(), m.startTokenServer("-role=crm-snyc")
	eventually(t, "the token server to be ready", func() bool { _, err := ready(good); return err == nil })
	eventually(t, "the start to say what is wrong", func() bool { return strings.Contains(misspelled.said(), "role=crm-snyc") })
	out, err := ready(misspelled)
	require.Error(t, err)
	require.Contains(t, out, "role crm-snyc: Vault answers HTTP 403", "the policy does not name it")

	refused := m.startTokenServerWith([]string{"VAULT_ADDR=" + m.server.Addr(), "VAULT_TOKEN=hvs.nonsense"})
	out, err = ready(refused)
	require.Error(t, err)
	require.Contains(t, out, "Vault answers HTTP 403")
	status, _, body := m.get(strings.Replace(refused.url, "/oauth/v2/token", "/healthz", 1))
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, body, `"vault":"Vault token refused"`)
}

func TestTokenServer_AnswersTheEnginesErrorsInZohosWords(t *testing.T) {
	t.Parallel()
	m := newMount(t, zohosim.Options{})
	m.write("roles/crm-sync", map[string]any{"refresh_token": "1000.0.0", "verify": false})
	s := m.startTokenServer()
	status, body, _ := s.ask()
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, `{"error":"invalid_code"}`, body, "Zoho refuses the role's credentials")

	granted := m.consent()
	m.sim.Fault(zohosim.EndpointToken, zohosim.Fault{Kind: zohosim.FaultThrottled})
	m.write("roles/crm-sync", map[string]any{"refresh_token": granted, "verify": false})
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
			_, body, err := s.send(s.url, s.refresh())
			if err != nil {
				body = err.Error()
			}
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
