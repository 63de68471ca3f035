package test

import (
	"errors"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/vault/api"
	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/bootstrap"
	"vault-plugin-secrets-zoho/zohosim"
)

// mountAsDocumented mounts the plugin at zoho, which is what the policies and
// the documentation say, on a server of its own.
func mountAsDocumented(t *testing.T) *mount {
	t.Helper()
	return mountAsDocumentedOn(t, ownServer(t), zohosim.Options{})
}

func mountAsDocumentedOn(t *testing.T, server *bootstrap.Vault, options zohosim.Options) *mount {
	t.Helper()
	m := &mount{t: t, server: server, root: server.Client(server.RootToken()), path: "zoho", sim: zohosim.New(options)}
	t.Cleanup(m.sim.Close)
	var err error
	m.accounts, err = m.sim.Listen("us")
	require.NoError(t, err)
	m.client = m.sim.AddClient(zohosim.ClientSpec{})
	keepSecret("client secret", m.client.Secret("us"))
	m.refreshToken = m.consent()
	require.NoError(t, server.Mount(t.Context(), m.path))
	m.write("config", map[string]any{"data_center": "us", "accounts_url": m.accounts.URL, "client_id": m.client.ID, "client_secret": m.client.Secret("us")})
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

// capabilities are what Vault would let a client do, by path.
func (m *mount) capabilities(client *api.Client, paths ...string) map[string][]string {
	m.t.Helper()
	answer, err := m.root.Logical().WriteWithContext(m.t.Context(), "sys/capabilities", map[string]any{"token": client.Token(), "paths": paths})
	require.NoError(m.t, err)
	found := map[string][]string{}
	for _, path := range paths {
		list, ok := answer.Data[path].([]any)
		require.True(m.t, ok, path)
		for _, capability := range list {
			if text, ok := capability.(string); ok && text != "deny" {
				found[path] = append(found[path], text)
			}
		}
		slices.Sort(found[path])
	}
	return found
}

func nonEmpty(found map[string][]string) map[string][]string {
	maps.DeleteFunc(found, func(_ string, list []string) bool { return len(list) == 0 })
	return found
}

func refused(t *testing.T, err error) {
	t.Helper()
	var answer *api.ResponseError
	require.True(t, errors.As(err, &answer), "%v", err)
	require.Equal(t, http.StatusForbidden, answer.StatusCode, "%v", err)
}

func TestPolicies_OfApplicationOperatorAndAuditorWork(t *testing.T) {
	t.Parallel()
	m := mountAsDocumented(t)
	for _, policy := range []string{"application", "operator", "auditor"} {
		m.policy(policy, policy+".hcl")
	}
	ctx := t.Context()
	application, operator, auditor := m.as("application"), m.as("operator"), m.as("auditor")

	_, err := operator.Logical().WriteWithContext(ctx, "zoho/roles/other", map[string]any{"refresh_token": m.consent()})
	require.NoError(t, err)
	_, err = operator.Logical().WriteWithContext(ctx, "zoho/roles/crm-sync/rotate", nil)
	require.NoError(t, err)
	_, err = operator.Logical().ReadWithContext(ctx, "zoho/roles/crm-sync/status")
	require.NoError(t, err)
	_, err = m.readAs(ctx, operator, "crm-sync")
	refused(t, err)

	leased, err := m.readAs(ctx, application, "crm-sync")
	require.NoError(t, err)
	_, err = m.readAs(ctx, application, "other")
	refused(t, err)
	_, err = application.Logical().ListWithContext(ctx, "zoho/tokens")
	refused(t, err)
	_, err = application.Logical().ReadWithContext(ctx, "zoho/roles/crm-sync")
	refused(t, err)
	_, err = application.Logical().WriteWithContext(ctx, "zoho/tokens/lookup", map[string]any{"token": leased.token})
	refused(t, err)
	others := m.read("other")
	refused(t, application.Sys().RevokeWithContext(ctx, others.LeaseID))
	require.NoError(t, application.Sys().RevokeWithOptionsWithContext(ctx, &api.RevokeOptions{LeaseID: leased.LeaseID, Sync: true}))
	require.False(t, m.accepted(leased))

	leased, err = m.readAs(ctx, application, "crm-sync")
	require.NoError(t, err)
	_, err = auditor.Logical().ListWithContext(ctx, "zoho/tokens")
	require.NoError(t, err)
	found, err := auditor.Logical().WriteWithContext(ctx, "zoho/tokens/lookup", map[string]any{"token": leased.token})
	require.NoError(t, err)
	_, err = auditor.Logical().DeleteWithContext(ctx, "zoho/tokens/"+text(t, found, "token_id"))
	require.NoError(t, err)
	require.False(t, m.accepted(leased))
	_, err = m.readAs(ctx, auditor, "crm-sync")
	refused(t, err)
	_, err = auditor.Logical().WriteWithContext(ctx, "zoho/roles/crm-sync", map[string]any{"ttl": "1m"})
	refused(t, err)
	_, err = auditor.Logical().WriteWithContext(ctx, "zoho/roles/crm-sync/rotate", nil)
	refused(t, err)
}

func TestPolicies_AreAdaptedAsTheirCommentsSay(t *testing.T) {
	t.Parallel()
	m := newMount(t, zohosim.Options{})
	name := m.path + "-books"
	m.policy(name, "application.hcl", "zoho/", m.path+"/", "crm-sync", "books-export")
	m.write("roles/books-export", map[string]any{"refresh_token": m.consent()})
	application := m.as(name)
	leased, err := m.readAs(t.Context(), application, "books-export")
	require.NoError(t, err)
	require.NoError(t, application.Sys().RevokeWithContext(t.Context(), leased.LeaseID))
	_, err = m.readAs(t.Context(), application, "crm-sync")
	refused(t, err)
}

// text is a field of an answer.
func text(t *testing.T, answer *api.Secret, field string) string {
	t.Helper()
	require.NotNil(t, answer)
	value, ok := answer.Data[field].(string)
	require.True(t, ok, field)
	return value
}
