package test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/bootstrap"
	"vault-plugin-secrets-zoho/zohosim"
)

// A real Vault Agent logs in with AppRole and renders the token into a file.
// The token lives 20 seconds instead of an hour. Over several lives the file
// must never hold a dead one.
func TestAgent_TheRenderedTokenIsNeverDead(t *testing.T) {
	t.Parallel()
	const life, lives = 20 * time.Second, 4
	m := newMount(t, zohosim.Options{TokenLife: life})
	_, rendered := m.startAgent("")
	seen := make(map[string]bool)
	watch(t, "the agent to render the next token", (lives+2)*life, func() bool {
		seen[m.aliveIn(rendered)] = true
		return len(seen) > lives
	})
}

// A template of Vault Agent can send parameters only by writing.
func TestAgent_RendersATokenForWhichItWritesParameters(t *testing.T) {
	t.Parallel()
	const life, lives = 20 * time.Second, 3
	m := newMount(t, zohosim.Options{TokenLife: life})
	_, rendered := m.startAgent(`"min_ttl=8s" "ttl=15s"`)
	seen := make(map[string]bool)
	watch(t, "the agent to render the next token", (lives+2)*life, func() bool {
		seen[m.aliveIn(rendered)] = true
		return len(seen) > lives
	})
	log, err := m.root.Logical().ListWithContext(t.Context(), "sys/leases/lookup/"+m.path+"/creds/crm-sync")
	require.NoError(t, err)
	keys, _ := log.Data["keys"].([]any)
	for _, key := range keys {
		lease, err := m.root.Logical().WriteWithContext(t.Context(), "sys/leases/lookup", map[string]any{"lease_id": m.path + "/creds/crm-sync/" + fmt.Sprint(key)})
		if err != nil {
			continue // it has just ended
		}
		number, ok := lease.Data["ttl"].(json.Number)
		require.True(t, ok)
		ttl, err := number.Int64()
		require.NoError(t, err)
		require.LessOrEqual(t, ttl, int64(15))
	}
}

// Invariant 2. The token lives 40 seconds. Once the next one has been minted
// ahead, Zoho is away for more than half of that.
func TestAgent_DoesNotNoticeThatZohoIsDownForMoreThanHalfATokensLife(t *testing.T) {
	t.Parallel()
	const life, outage = 40 * time.Second, 24 * time.Second
	m := newMount(t, zohosim.Options{TokenLife: life})
	agent, rendered := m.startAgent("")
	until := func(what string, enough func() bool) {
		watch(t, what, 2*life, func() bool {
			m.aliveIn(rendered)
			m.read("crm-sync") // another application
			return enough()
		})
	}
	until("a token to be minted ahead", func() bool { return m.mints() == 2 })
	m.sim.SetDown(true)
	up := time.Now().Add(outage)
	until("the end of the outage", func() bool { return time.Now().After(up) })
	m.sim.SetDown(false)
	until("a token to be minted after the outage", func() bool { return m.mints() == 3 })

	log, err := os.ReadFile(agent.LogFile())
	require.NoError(t, err)
	require.NotContains(t, string(log), "[ERROR]")
	require.NotContains(t, string(log), "[WARN]  agent.template")
}

// aliveIn returns the token in the file, which Zoho must accept.
func (m *mount) aliveIn(file string) string {
	m.t.Helper()
	token, err := os.ReadFile(file)
	require.NoError(m.t, err)
	require.True(m.t, m.sim.Alive(string(token)), "the rendered token is dead")
	keepSecret("access token", string(token))
	return string(token)
}

// startAgent starts an agent that renders the token of crm-sync into a file, with
// parameters that its template writes, if any, and waits for the first rendering.
func (m *mount) startAgent(parameters string) (agent *bootstrap.Process, rendered string) {
	m.t.Helper()
	dir := m.t.TempDir()
	rendered = filepath.Join(dir, "token")
	config := m.agentConfig(dir, fmt.Sprintf(`
template {
  contents    = "{{ with secret \"%s/creds/crm-sync\" %s }}{{ .Data.access_token }}{{ end }}"
  destination = %q
}`, m.path, strings.ReplaceAll(parameters, `"`, `\"`), rendered))
	m.t.Attr("with", "the server's Agent")
	agent, err := m.server.StartCLI(m.t.Context(), "", m.path+"-agent.log", "agent", "-config="+config)
	require.NoError(m.t, err)
	m.t.Cleanup(func() { require.NoError(m.t, agent.Stop()) })
	eventually(m.t, "the first rendering", func() bool { _, err := os.Stat(rendered); return err == nil })
	return agent, rendered
}

// agentConfig writes a configuration for an agent that logs in with AppRole.
func (m *mount) agentConfig(dir, rest string) string {
	m.t.Helper()
	ctx := m.t.Context()
	auth := m.path + "-approle"
	policy := m.path + "-agent"
	_, err := m.root.Logical().WriteWithContext(ctx, "sys/auth/"+auth, map[string]any{"type": "approle"})
	require.NoError(m.t, err)
	require.NoError(m.t, m.root.Sys().PutPolicyWithContext(ctx, policy, fmt.Sprintf(`path "%s/creds/crm-sync" { capabilities = ["read", "update"] }`, m.path)))
	_, err = m.root.Logical().WriteWithContext(ctx, "auth/"+auth+"/role/app", map[string]any{"token_policies": policy})
	require.NoError(m.t, err)
	roleID, err := m.root.Logical().ReadWithContext(ctx, "auth/"+auth+"/role/app/role-id")
	require.NoError(m.t, err)
	secretID, err := m.root.Logical().WriteWithContext(ctx, "auth/"+auth+"/role/app/secret-id", nil)
	require.NoError(m.t, err)

	file := func(name string, content any) string {
		path := filepath.Join(dir, name)
		require.NoError(m.t, os.WriteFile(path, fmt.Append(nil, content), 0o600))
		return path
	}
	return file("agent.hcl", fmt.Sprintf(`
vault { address = %q }
auto_auth {
  method "approle" {
    mount_path = "auth/%s"
    config = {
      role_id_file_path   = %q
      secret_id_file_path = %q
    }
  }
}
template_config { exit_on_retry_failure = true }
%s
`, m.server.Addr(), auth, file("role-id", roleID.Data["role_id"]), file("secret-id", secretID.Data["secret_id"]), rest))
}
