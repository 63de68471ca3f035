package test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/zohosim"
)

// A real Vault Agent logs in with AppRole and renders the token into a file.
// The token lives 20 seconds instead of an hour. Over several lives the file
// must never hold a dead one.
func TestAgent_TheRenderedTokenIsNeverDead(t *testing.T) {
	t.Parallel()
	const life, lives = 20 * time.Second, 4
	m := newMount(t, zohosim.Options{TokenLife: life})
	dir := t.TempDir()
	rendered := filepath.Join(dir, "token")
	config := m.agentConfig(dir, fmt.Sprintf(`
template {
  contents    = "{{ with secret \"%s/creds/crm-sync\" }}{{ .Data.access_token }}{{ end }}"
  destination = %q
}`, m.path, rendered))

	agent, err := m.server.StartCLI(t.Context(), "", m.path+"-agent.log", "agent", "-config="+config)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, agent.Stop())
		if t.Failed() {
			log, _ := os.ReadFile(agent.LogFile())
			t.Logf("the agent's log:\n%s", log)
		}
	})

	eventually(t, "the first rendering", func() bool { _, err := os.Stat(rendered); return err == nil })
	seen := make(map[string]bool)
	deadline := time.Now().Add((lives + 2) * life)
	for len(seen) <= lives {
		token, err := os.ReadFile(rendered)
		require.NoError(t, err)
		require.True(t, m.sim.Alive(string(token)), "the rendered token is dead, after %d others", len(seen))
		keepSecret("access token", string(token))
		seen[string(token)] = true
		require.True(t, time.Now().Before(deadline), "the agent has rendered only %d tokens", len(seen))
		time.Sleep(20 * time.Millisecond)
	}
}

// agentConfig writes a configuration for an agent that logs in with AppRole.
func (m *mount) agentConfig(dir, rest string) string {
	m.t.Helper()
	ctx := m.t.Context()
	auth := m.path + "-approle"
	policy := m.path + "-agent"
	_, err := m.root.Logical().WriteWithContext(ctx, "sys/auth/"+auth, map[string]any{"type": "approle"})
	require.NoError(m.t, err)
	require.NoError(m.t, m.root.Sys().PutPolicyWithContext(ctx, policy, fmt.Sprintf(`path "%s/creds/crm-sync" { capabilities = ["read"] }`, m.path)))
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
