package test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"
	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/bootstrap"
	"vault-plugin-secrets-zoho/zohosim"
)

// mountAsDocumented mounts the plugin at zoho, which is what the policies and
// the documentation say, on a server of its own.
func mountAsDocumented(t *testing.T) *mount {
	t.Helper()
	server := ownServer(t)
	m := &mount{t: t, server: server, root: server.Client(server.RootToken()), path: "zoho", sim: zohosim.New(zohosim.Options{})}
	t.Cleanup(m.sim.Close)
	var err error
	m.accounts, err = m.sim.Listen("us")
	require.NoError(t, err)
	m.client = m.sim.AddClient(zohosim.ClientSpec{})
	keepSecret("client secret", m.client.Secret("us"))
	m.refreshToken = m.consent()
	require.NoError(t, server.Mount(t.Context(), m.path))
	m.write("config", map[string]any{"accounts_url": m.accounts.URL, "client_id": m.client.ID, "client_secret": m.client.Secret("us")})
	m.write("roles/crm-sync", map[string]any{"refresh_token": m.refreshToken})
	return m
}

// policy loads one of the ready policies under a name, with replacements as its
// comment tells to make them.
func (m *mount) policy(name, file string, replacements ...string) {
	m.t.Helper()
	rules, err := os.ReadFile(filepath.Join("..", "policies", file))
	require.NoError(m.t, err)
	adapted := strings.NewReplacer(replacements...).Replace(string(rules))
	require.NoError(m.t, m.root.Sys().PutPolicyWithContext(m.t.Context(), name, adapted))
}

// as is a client with a token that has one policy and the default one.
func (m *mount) as(policy string) *api.Client {
	m.t.Helper()
	answer, err := m.root.Auth().Token().CreateWithContext(m.t.Context(), &api.TokenCreateRequest{Policies: []string{policy}, TTL: "1h"})
	require.NoError(m.t, err)
	return m.server.Client(answer.Auth.ClientToken)
}

// login makes an entity of that name, which logs in with an AppRole and has the
// policies. It returns its client and the entity's ID.
func (m *mount) login(name string, policies ...string) (client *api.Client, entityID string) {
	m.t.Helper()
	write := func(path string, data map[string]any) *api.Secret {
		m.t.Helper()
		answer, err := m.root.Logical().WriteWithContext(m.t.Context(), path, data)
		require.NoError(m.t, err)
		return answer
	}
	text := func(answer *api.Secret, field string) string {
		m.t.Helper()
		value, ok := answer.Data[field].(string)
		require.True(m.t, ok, field)
		return value
	}
	methods, err := m.root.Sys().ListAuthWithContext(m.t.Context())
	require.NoError(m.t, err)
	if methods["approle/"] == nil {
		require.NoError(m.t, m.root.Sys().EnableAuthWithOptionsWithContext(m.t.Context(), "approle", &api.EnableAuthOptions{Type: "approle"}))
		methods, err = m.root.Sys().ListAuthWithContext(m.t.Context())
		require.NoError(m.t, err)
	}
	role := "auth/approle/role/" + name
	write(role, map[string]any{"token_policies": policies, "token_ttl": "1h"})
	got, err := m.root.Logical().ReadWithContext(m.t.Context(), role+"/role-id")
	require.NoError(m.t, err)
	roleID := text(got, "role_id")
	entityID = text(write("identity/entity", map[string]any{"name": name}), "id")
	write("identity/entity-alias", map[string]any{"name": roleID, "canonical_id": entityID, "mount_accessor": methods["approle/"].Accessor})
	answer := write("auth/approle/login", map[string]any{"role_id": roleID, "secret_id": text(write(role+"/secret-id", nil), "secret_id")})
	require.Equal(m.t, entityID, answer.Auth.EntityID)
	keepSecret("Vault token", answer.Auth.ClientToken)
	return m.server.Client(answer.Auth.ClientToken), entityID
}

func TestScratch(t *testing.T) {
	m := mountAsDocumented(t)
	require.NoError(t, m.root.Sys().PutPolicyWithContext(t.Context(), "all", `path "zoho/*" { capabilities = ["create","read","update","list","delete"] }`))
	a, id := m.login("crm-app", "all")
	fmt.Println(id)
	c, err := m.readAs(t.Context(), a, "crm-sync")
	require.NoError(t, err)
	m.write("roles/broken", map[string]any{"refresh_token": m.consent()})
	_, _ = m.root.Logical().List("zoho/tokens")
	fmt.Println(m.cli("list", "-detailed", "zoho/tokens"))
	fmt.Println(m.cli("list", "-detailed", "zoho/roles"))
	tid := c.Data["token_id"].(string)
	fmt.Println(m.cli("read", "zoho/tokens/"+tid))
	fmt.Println(m.cli("write", "zoho/tokens/lookup", "token="+c.token))
	fmt.Println(m.cli("write", "sys/audit-hash/file", "input="+c.token))
	fmt.Println(m.cli("lease", "revoke", c.LeaseID))
	start := time.Now()
	fmt.Println(m.cli("delete", "zoho/tokens/"+tid))
	fmt.Println(time.Since(start), m.accepted(c))
	fmt.Println(m.cli("read", "zoho/roles/crm-sync/status"))
	b, _ := os.ReadFile(m.server.AuditLog())
	os.WriteFile("/tmp/audit.log", b, 0600)
	b, _ = os.ReadFile(m.server.LogFile())
	os.WriteFile("/tmp/vault.log", b, 0600)
	_ = regexp.MustCompile
	_ = http.StatusOK
	_ = bootstrap.AuditKeys
}
