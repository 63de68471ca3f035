package test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"testing"
	"time"

	"github.com/hashicorp/go-cleanhttp"
	"github.com/hashicorp/vault/api"
	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/bootstrap"
	"vault-plugin-secrets-zoho/zohosim"
)

var scopes = []string{"ZohoCRM.modules.ALL", "ZohoCRM.org.READ"}

// mount is a mount of the plugin with a Zoho of its own, and a role crm-sync.
type mount struct {
	t            *testing.T
	server       *bootstrap.Vault
	root         *api.Client
	path         string // without a slash at the end
	sim          *zohosim.Sim
	accounts     *zohosim.Accounts
	client       *zohosim.Client
	refreshToken string
}

// newMount mounts the plugin on the shared server.
func newMount(t *testing.T, options zohosim.Options) *mount {
	t.Helper()
	return newMountOn(t, env.server, options)
}

func newMountOn(t *testing.T, server *bootstrap.Vault, options zohosim.Options) *mount {
	t.Helper()
	env.mu.Lock()
	env.mounts++
	path := fmt.Sprintf("zoho-%d", env.mounts)
	env.mu.Unlock()

	m := &mount{t: t, server: server, root: server.Client(server.RootToken()), path: path, sim: zohosim.New(options)}
	t.Cleanup(m.sim.Close)
	var err error
	m.accounts, err = m.sim.Listen("us")
	require.NoError(t, err)
	m.client = m.sim.AddClient(zohosim.ClientSpec{})
	keepSecret("client secret", m.client.Secret("us"))
	m.refreshToken = m.consent()

	require.NoError(t, server.Mount(t.Context(), path))
	m.write("config", map[string]any{"data_center": "us", "accounts_url": m.accounts.URL, "client_id": m.client.ID, "client_secret": m.client.Secret("us")})
	// Not tried, so that it is a read that mints the first token.
	m.write("roles/crm-sync", map[string]any{"refresh_token": m.refreshToken, "verify": false})
	return m
}

func (m *mount) consent() string {
	refreshToken := m.sim.Consent(m.client, "us", "user@example.com", scopes)
	keepSecret("refresh token", refreshToken)
	return refreshToken
}

func (m *mount) write(path string, data map[string]any) *api.Secret {
	m.t.Helper()
	answer, err := m.root.Logical().WriteWithContext(m.t.Context(), m.path+"/"+path, data)
	require.NoError(m.t, err)
	return answer
}

// creds is what a reader gets.
type creds struct {
	*api.Secret
	token string
}

// read reads creds/<role>.
func (m *mount) read(role string) creds {
	m.t.Helper()
	got, err := m.readAs(m.t.Context(), m.root, role)
	require.NoError(m.t, err)
	return got
}

func (m *mount) readAs(ctx context.Context, client *api.Client, role string) (creds, error) {
	answer, err := client.Logical().ReadWithContext(ctx, m.path+"/creds/"+role)
	if err != nil {
		return creds{}, err
	}
	if answer == nil {
		return creds{}, fmt.Errorf("nothing is at %s/creds/%s", m.path, role)
	}
	token, ok := answer.Data["access_token"].(string)
	if !ok || token == "" {
		return creds{}, fmt.Errorf("no access_token in the answer")
	}
	keepSecret("access token", token)
	return creds{Secret: answer, token: token}, nil
}

// accepted asks Zoho's API whether the token is good.
func (m *mount) accepted(c creds) bool {
	m.t.Helper()
	switch status, body := m.call(c); status {
	case http.StatusOK:
		return true
	case http.StatusUnauthorized:
		require.Contains(m.t, body, "INVALID_TOKEN")
		return false
	default:
		m.t.Fatalf("the resource API answered with HTTP %d", status)
		return false
	}
}

// call calls Zoho's API with the token.
func (m *mount) call(c creds) (status int, body string) {
	m.t.Helper()
	authorization, ok := c.Data["authorization"].(string)
	require.True(m.t, ok)
	status, _, body = m.get(m.accounts.URL+"/crm/v8/org", "Authorization", authorization)
	return status, body
}

// get sends a request without a Vault token.
func (m *mount) get(url string, headers ...string) (status int, header http.Header, body string) {
	m.t.Helper()
	req, err := http.NewRequestWithContext(m.t.Context(), http.MethodGet, url, nil)
	require.NoError(m.t, err)
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := cleanhttp.DefaultClient().Do(req)
	require.NoError(m.t, err)
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	require.NoError(m.t, err)
	return resp.StatusCode, resp.Header, string(content)
}

// revoke revokes a lease and waits for it.
func (m *mount) revoke(c creds) {
	m.t.Helper()
	m.revokeSync("sys/leases/revoke", map[string]any{"lease_id": c.LeaseID})
}

func (m *mount) revokePrefix(prefix string) {
	m.t.Helper()
	m.revokeSync("sys/leases/revoke-prefix/"+m.path+"/"+prefix, nil)
}

func (m *mount) revokeSync(path string, data map[string]any) {
	m.t.Helper()
	body := map[string]any{"sync": true}
	for k, v := range data {
		body[k] = v
	}
	_, err := m.root.Logical().WriteWithContext(m.t.Context(), path, body)
	require.NoError(m.t, err)
}

// disable takes the mount away.
func (m *mount) disable() {
	m.t.Helper()
	require.NoError(m.t, m.root.Sys().UnmountWithContext(m.t.Context(), m.path))
}

// leases counts the leases that Vault has on the mount.
func (m *mount) leases() int {
	m.t.Helper()
	answer, err := m.root.Logical().ListWithContext(m.t.Context(), "sys/leases/lookup/"+m.path+"/creds/crm-sync")
	require.NoError(m.t, err)
	if answer == nil {
		return 0
	}
	keys, _ := answer.Data["keys"].([]any)
	return len(keys)
}

func (m *mount) mints() int { return m.sim.MintCount(m.refreshToken) }

func (m *mount) revocations() int {
	return m.sim.Count(zohosim.EndpointRevoke) + m.sim.Count(zohosim.EndpointLegacyRevoke)
}

// tokenFor makes a Vault token that may read the mount's creds.
func (m *mount) tokenFor(what string) string {
	m.t.Helper()
	policy := m.path + "-" + what
	require.NoError(m.t, m.root.Sys().PutPolicyWithContext(m.t.Context(), policy, fmt.Sprintf(`path "%s/creds/*" { capabilities = ["read"] }`, m.path)))
	answer, err := m.root.Auth().Token().CreateWithContext(m.t.Context(), &api.TokenCreateRequest{Policies: []string{policy}, TTL: "1h"})
	require.NoError(m.t, err)
	return answer.Auth.ClientToken
}

// cli runs Vault's CLI with the root token.
func (m *mount) cli(args ...string) string {
	m.t.Helper()
	stdout, _, err := m.server.CLI(m.t.Context(), m.server.RootToken(), args...)
	require.NoError(m.t, err)
	return stdout
}

// worksWith says, for the table of docs/works-with.md, that the test has worked with a program, in the version that a command of it
// tells.
func worksWith(t *testing.T, program, command string, args ...string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), command, args...).Output()
	require.NoError(t, err)
	version := regexp.MustCompile(`\d+(\.\d+)+`).FindString(string(out))
	require.NotEmpty(t, version, "%s %s says no version: %s", command, args, out)
	t.Attr("with", program+" "+version)
}

// eventually waits for another process to get somewhere.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	require.Eventually(t, condition, time.Minute, 20*time.Millisecond, what)
}

// watch calls look again and again until it has seen enough. Unlike in
// eventually, look may require things: it runs in the test's own goroutine.
func watch(t *testing.T, what string, limit time.Duration, look func() (enough bool)) {
	t.Helper()
	over, again := time.After(limit), time.NewTicker(50*time.Millisecond)
	defer again.Stop()
	for !look() {
		select {
		case <-again.C:
		case <-over:
			require.Fail(t, "waited in vain for "+what, "for %s", limit)
		}
	}
}

// ownServer starts a server for tests that stop, seal or kill it.
func ownServer(t *testing.T, environment ...string) *bootstrap.Vault {
	t.Helper()
	dir, err := os.MkdirTemp("", "zoho")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return ownServerWith(t, bootstrap.VaultOptions{Dir: dir, Env: environment})
}

func ownServerWith(t *testing.T, options bootstrap.VaultOptions) *bootstrap.Vault {
	t.Helper()
	server, err := startServerWith(t.Context(), options)
	require.NoError(t, err)
	t.Cleanup(func() {
		server.Kill()
		require.Empty(t, secretsInLogs(server))
	})
	return server
}
