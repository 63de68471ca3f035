package test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/hashicorp/vault/api"
	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/zohosim"
)

// tenant is a client that may write, read and end one role, and nothing else.
func (m *mount) tenant(role string) *api.Client {
	m.t.Helper()
	name := m.path + "-" + role
	rules := fmt.Sprintf(`
path "%[1]s/roles/%[2]s" { capabilities = ["create", "read", "update", "patch", "delete"] }
path "%[1]s/roles/%[2]s/*" { capabilities = ["read", "update"] }
path "%[1]s/creds/%[2]s" { capabilities = ["read"] }
path "auth/token/create" { capabilities = ["update"] }`, m.path, role)
	require.NoError(m.t, m.root.Sys().PutPolicyWithContext(m.t.Context(), name, rules))
	return m.as(name)
}

// Invariant 14, with Vault's own policies.
func TestTenants_WhoMayWriteOneRoleGetsAndEndsNoTokenOfAnother(t *testing.T) {
	t.Parallel()
	m := newMount(t, zohosim.Options{})
	m.write("roles/robot", map[string]any{"grant_type": "client_credentials", "scopes": "ZohoCRM.modules.READ,ZohoCRM.org.READ", "verify": false})
	held := map[string]creds{"crm-sync": m.read("crm-sync"), "robot": m.read("robot")}
	evil := m.tenant("evil")
	for victim, twin := range map[string]map[string]any{
		"crm-sync": {"refresh_token": m.refreshToken},
		"robot":    {"grant_type": "client_credentials", "scopes": "ZohoCRM.modules.READ,ZohoCRM.org.READ"},
	} {
		twin["client_id"], twin["client_secret"], twin["verify"] = m.client.ID, "a-guess", false
		_, err := evil.Logical().WriteWithContext(t.Context(), m.path+"/roles/evil", twin)
		require.NoError(t, err)
		_, err = m.readAs(t.Context(), evil, "evil")
		require.Equal(t, http.StatusBadRequest, status(t, err))
		require.ErrorContains(t, err, "invalid_client_secret")
		_, err = m.readAs(t.Context(), evil, victim)
		require.Equal(t, http.StatusForbidden, status(t, err))
		for _, action := range []string{"rotate", "deauthorize"} {
			_, err = evil.Logical().WriteWithContext(t.Context(), m.path+"/roles/evil/"+action, map[string]any{"force": true})
			require.Equal(t, http.StatusBadRequest, status(t, err), action)
		}
		_, err = evil.Logical().DeleteWithContext(t.Context(), m.path+"/roles/evil")
		require.NoError(t, err)
		require.True(t, m.accepted(held[victim]))
		require.Equal(t, held[victim].token, m.read(victim).token)
	}
	m.revokePrefix("creds")
	require.False(t, m.accepted(held["crm-sync"]))
}

// Invariant 15: the display name of a token is chosen by whoever makes it.
func TestTenants_ReadersWithLongNamesStopNothing(t *testing.T) {
	t.Parallel()
	m := newMount(t, zohosim.Options{})
	reader := m.tenant("crm-sync")
	var held creds
	for range 4 {
		answer, err := reader.Auth().Token().CreateWithContext(t.Context(), &api.TokenCreateRequest{DisplayName: strings.Repeat("x", 500_000), TTL: "1h"})
		require.NoError(t, err)
		held, err = m.readAs(t.Context(), m.server.Client(answer.Auth.ClientToken), "crm-sync")
		require.NoError(t, err)
	}
	for range 20 {
		require.Equal(t, held.token, m.read("crm-sync").token)
	}
	all, _ := m.holders(held)
	require.Equal(t, 24, all)
	m.write("roles/crm-sync/rotate", nil)
	require.False(t, m.accepted(held))
	another := m.read("crm-sync")
	m.revokePrefix("creds")
	require.False(t, m.accepted(another))
}
