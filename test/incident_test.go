package test

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/vault/api"
	"github.com/stretchr/testify/require"
)

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
	accessor := m.authMethod("approle")
	role := "auth/approle/role/" + name
	write(role, map[string]any{"token_policies": policies, "token_ttl": "1h"})
	got, err := m.root.Logical().ReadWithContext(m.t.Context(), role+"/role-id")
	require.NoError(m.t, err)
	roleID := text(m.t, got, "role_id")
	entityID = text(m.t, write("identity/entity", map[string]any{"name": name}), "id")
	write("identity/entity-alias", map[string]any{"name": roleID, "canonical_id": entityID, "mount_accessor": accessor})
	answer := write("auth/approle/login", map[string]any{"role_id": roleID, "secret_id": text(m.t, write(role+"/secret-id", nil), "secret_id")})
	require.Equal(m.t, entityID, answer.Auth.EntityID)
	keepSecret("Vault token", answer.Auth.ClientToken)
	return m.server.Client(answer.Auth.ClientToken), entityID
}

// authMethod enables an auth method, unless it is, and returns its accessor.
func (m *mount) authMethod(kind string) string {
	m.t.Helper()
	for {
		methods, err := m.root.Sys().ListAuthWithContext(m.t.Context())
		require.NoError(m.t, err)
		if method := methods[kind+"/"]; method != nil {
			return method.Accessor
		}
		require.NoError(m.t, m.root.Sys().EnableAuthWithOptionsWithContext(m.t.Context(), kind, &api.EnableAuthOptions{Type: kind}))
	}
}

// An access token of the role crm-sync is found in a repository. Who had it,
// how is it killed, and can all that be told afterwards?
func TestIncident_ALeakedTokenIsFoundKilledReplacedAndExplained(t *testing.T) {
	t.Parallel()
	m := mountAsDocumented(t)
	m.write("roles/books-export", map[string]any{"refresh_token": m.consent()})
	m.policy("crm", "application.hcl")
	m.policy("books", "application.hcl", "crm-sync", "books-export")
	m.policy("auditor", "auditor.hcl")
	crm, crmID := m.login("crm-app", "crm")
	reports, reportsID := m.login("reports", "crm", "books")
	billing, billingID := m.login("billing", "books")
	auditor, auditorID := m.login("auditor", "auditor")
	read := func(client *api.Client, role string) creds {
		t.Helper()
		got, err := m.readAs(t.Context(), client, role)
		require.NoError(t, err)
		require.True(t, m.accepted(got))
		return got
	}
	leaked := read(crm, "crm-sync")
	require.Equal(t, leaked.token, read(reports, "crm-sync").token)
	books := read(billing, "books-export")
	require.Equal(t, books.token, read(reports, "books-export").token)

	// The auditor has nothing but the token.
	found, err := auditor.Logical().WriteWithContext(t.Context(), "zoho/tokens/lookup", map[string]any{"token": leaked.token})
	require.NoError(t, err)
	id := text(t, found, "token_id")
	require.Equal(t, leaked.Data["token_id"], id)
	require.Equal(t, []any{"crm-sync"}, found.Data["roles"])
	require.ElementsMatch(t, []string{crmID, reportsID}, eachOf(t, found.Data["readers"], "entity_id"))
	require.NotContains(t, eachOf(t, found.Data["readers"], "entity_id"), billingID)
	entity, err := auditor.Logical().ReadWithContext(t.Context(), "identity/entity/id/"+crmID)
	require.NoError(t, err)
	require.Equal(t, "crm-app", text(t, entity, "name"))
	shown, err := auditor.Logical().ReadWithContext(t.Context(), "zoho/tokens/"+id)
	require.NoError(t, err)
	requests := eachOf(t, shown.Data["holders"], "request_id")
	require.Len(t, requests, 2)

	_, err = auditor.Logical().DeleteWithContext(t.Context(), "zoho/tokens/"+id)
	require.NoError(t, err)
	require.False(t, m.accepted(leaked))
	require.True(t, m.accepted(books), "nobody else's token")

	// The applications notice nothing but a new token at their next read.
	replaced := read(crm, "crm-sync")
	require.NotEqual(t, leaked.token, replaced.token)
	require.Equal(t, replaced.token, read(reports, "crm-sync").token)
	require.Equal(t, books.token, read(billing, "books-export").token)

	m.explain(id, map[string]string{crmID: "crm-app", reportsID: "reports"}, auditorID, requests)
}

// explain tells the story of a token that is dead from what is left: tokens/,
// the plugin's log, and the audit log.
func (m *mount) explain(id string, readers map[string]string, auditorID string, requests []string) {
	m.t.Helper()
	shown, err := m.root.Logical().ReadWithContext(m.t.Context(), "zoho/tokens/"+id)
	require.NoError(m.t, err)
	require.Equal(m.t, "ended", text(m.t, shown, "state"))
	require.Equal(m.t, "it was revoked", text(m.t, shown, "ended_by"))
	require.ElementsMatch(m.t, slices.Collect(maps.Keys(readers)), eachOf(m.t, shown.Data["readers"], "entity_id"))

	log := m.logLines(id)
	require.Regexp(m.t, `\[INFO\] .*: minted an access token: `, log[0])
	for _, field := range []string{"mount=zoho/", "roles=[crm-sync"} { // Vault writes them in any order
		require.Contains(m.t, log[0], field)
	}
	require.Contains(m.t, log[len(log)-1], "revoked an access token")
	for _, line := range log {
		require.Contains(m.t, line, "grant="+text(m.t, shown, "grant"))
	}

	var given, killed []string
	for _, entry := range m.audited() {
		switch {
		case entry.Response.Data["token_id"] == id && entry.Request.Path == "zoho/creds/crm-sync":
			require.Equal(m.t, "crm-sync", entry.Response.Data["role"])
			require.NotEmpty(m.t, entry.Request.RemoteAddress)
			require.Contains(m.t, requests, entry.Request.ID, "the holder names the request")
			given = append(given, entry.Auth.EntityID)
		case entry.Request.Path == "zoho/tokens/"+id && entry.Request.Operation == "delete":
			killed = append(killed, entry.Auth.EntityID)
		}
	}
	require.ElementsMatch(m.t, slices.Collect(maps.Keys(readers)), given)
	require.Equal(m.t, []string{auditorID}, killed)
}

// eachOf takes one field of each entry of a list.
func eachOf(t *testing.T, list any, field string) (values []string) {
	t.Helper()
	entries, ok := list.([]any)
	require.True(t, ok)
	for _, entry := range entries {
		fields, ok := entry.(map[string]any)
		require.True(t, ok)
		value, ok := fields[field].(string)
		require.True(t, ok, field)
		values = append(values, value)
	}
	return values
}

// logLines are the lines of the server's log with that text, without its trace.
func (m *mount) logLines(text string) (lines []string) {
	m.t.Helper()
	log, err := os.ReadFile(m.server.LogFile())
	require.NoError(m.t, err)
	for line := range strings.Lines(string(log)) {
		if strings.Contains(line, text) && !strings.Contains(line, "[TRACE]") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}
