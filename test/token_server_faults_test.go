package test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/zohosim"
)

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
	require.Contains(t, body, "larger than 16 KiB")
	for _, name := range []string{"../../sys/seal", "crm-sync/../books", "crm sync", "crm-sync\x00", "1000.0123456789abcdef.0123456789abcdef", strings.Repeat("x", 5000)} {
		status, body = s.post(s.url, good("refresh_token", name))
		require.Equal(t, http.StatusOK, status)
		require.Equal(t, `{"error":"invalid_code"}`, body)
	}
	status, body = s.post(s.url, good("client_secret", s.secret+"x"))
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, `{"error":"invalid_client_secret"}`, body)
	status, _, body = s.m.get(s.url + "?" + good().Encode())
	require.Equal(t, http.StatusBadRequest, status)
	require.Contains(t, body, "Send this as a POST")
	s.gets()
	require.Equal(t, 1, s.m.leases(), "bad input reads nothing")
	require.Equal(t, 1, s.m.mints())
	status, _, body = s.m.get(strings.Replace(s.url, "/oauth/v2/token", "/healthz", 1))
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, body, `"vault":"ok"`)
	s.ends()
}

func TestTokenServer_SaysThatVaultIsSealedAndWorksAgainByItself(t *testing.T) {
	t.Parallel()
	m := newMountOn(t, ownServer(t), zohosim.Options{})
	m.policy(m.path+"-app", "application.hcl", "zoho/", m.path+"/")
	client := m.as(m.path + "-app")
	keepSecret("Vault token", client.Token())
	require.NoError(t, m.server.Seal(t.Context()))
	s := m.startTokenServerWith([]string{"VAULT_ADDR=" + m.server.Addr(), "VAULT_TOKEN=" + client.Token()})
	eventually(t, "the start to say so", func() bool { return strings.Contains(s.said(), "Vault is sealed") })
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

func TestTokenServer_WithoutAVaultTokenSaysThatItIsNotLetIn(t *testing.T) {
	t.Parallel()
	m := newMount(t, zohosim.Options{})
	s := m.startTokenServerWith([]string{"VAULT_ADDR=" + m.server.Addr()})
	status, body, _ := s.ask()
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Contains(t, body, "The token server is not let in: Vault answers HTTP 403")
}

// Vault Proxy, or Agent, adds the token of its own login: the program has none.
func TestTokenServer_ReachesVaultThroughAProxyThatAddsTheVaultToken(t *testing.T) {
	t.Parallel()
	m := newMount(t, zohosim.Options{})
	if _, _, err := m.server.CLI(t.Context(), "", "proxy", "-h"); err != nil {
		t.Skip("the server has no proxy")
	}
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
