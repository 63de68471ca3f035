package test

import (
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

// A standby of OpenBao 2.5 and later tries a request itself, and writes its failure into the audit log, before it
// forwards the request. The audit log has no data of an answer that is wrapped.
func TestAuditingPage_TakesNoRequestThroughAStandbyAndNoWrappedReadForRefused(t *testing.T) {
	t.Parallel()
	installed(t, "jq")
	cluster := newCluster(t)
	m := newMountOn(t, cluster.Nodes[0], zohosim.Options{})
	m.servedBy(cluster)
	m.root = cluster.Nodes[2].Client(m.root.Token())

	id := text(t, m.read("crm-sync").Secret, "token_id")
	m.root.SetWrappingLookupFunc(func(string, string) string { return "5m" })
	wrapped, err := m.root.Logical().ReadWithContext(t.Context(), m.path+"/creds/crm-sync")
	require.NoError(t, err)
	keepSecret("wrapping token", wrapped.WrapInfo.Token)
	m.root.SetWrappingLookupFunc(nil)
	require.Contains(t, m.holdersOf(id), m.requestThatWasWrapped(cluster), "the page says that the engine knows it")
	_, err = m.root.Logical().ReadWithDataWithContext(t.Context(), m.path+"/creds/crm-sync", map[string][]string{"ttl": {"nonsense"}})
	require.Error(t, err)
	m.write("roles/books-export", map[string]any{"refresh_token": m.consent()})
	m.write("config", map[string]any{"redirect_uri": m.callback()})
	m.write("roles/web", map[string]any{"scopes": scopes})
	m.write("roles/web/authorize", nil)
	_, err = m.root.Logical().DeleteWithContext(t.Context(), m.path+"/tokens/"+id)
	require.NoError(t, err)

	const auditing, leaving = "auditing.md", "leaving.md"
	require.Equal(t, []string{id, "wrapped", "refused"}, m.finds(cluster, auditing, `"zoho/creds/crm-sync"`, ""))
	require.Len(t, m.finds(cluster, auditing, `"zoho/tokens/`, id), 1, "deletions of the token")
	require.Len(t, m.finds(cluster, auditing, `"zoho/roles/books-export"`, ""), 1, "writes of the role")
	require.Len(t, m.finds(cluster, auditing, `"zoho/config"`, ""), 2, "writes of the config")
	require.Len(t, m.finds(cluster, leaving, "/authorize$", ""), 1, "authorizations that somebody began")
	require.Len(t, m.finds(cluster, leaving, "refresh_token", ""), 2, "roles that got a refresh token")
}

// requestThatWasWrapped is the ID in the audit log of the request whose answer was wrapped.
func (m *mount) requestThatWasWrapped(cluster *bootstrap.Cluster) string {
	m.t.Helper()
	printed, _, err := shell(m.t, m.t.TempDir(), os.Environ(), `jq -r 'select(.response.wrap_info) | .request.id' `+cluster.Nodes[0].AuditLog(), "")
	require.NoError(m.t, err, printed)
	return strings.TrimSpace(printed)
}

// holdersOf are the IDs of the requests by which the leases on a token were read.
func (m *mount) holdersOf(tokenID string) (requests []string) {
	m.t.Helper()
	token, err := m.root.Logical().ReadWithContext(m.t.Context(), m.path+"/tokens/"+tokenID)
	require.NoError(m.t, err)
	holders, ok := token.Data["holders"].([]any)
	require.True(m.t, ok)
	for _, holder := range holders {
		named, ok := holder.(map[string]any)
		require.True(m.t, ok)
		requests = append(requests, fmt.Sprint(named["request_id"]))
	}
	return requests
}

// finds runs the command of a page that asks the audit log for a path, here about the token of this ID, and returns the
// last column of what it prints.
func (m *mount) finds(cluster *bootstrap.Cluster, name, asked, tokenID string) (last []string) {
	m.t.Helper()
	content, err := os.ReadFile(filepath.Join("..", "docs", name))
	require.NoError(m.t, err)
	for line := range strings.Lines(string(content)) {
		command, isCommand := strings.CutPrefix(line, "$ jq -r ")
		if !isCommand || !strings.Contains(command, asked) {
			continue
		}
		if _, rest, found := strings.Cut(command, "zoho/tokens/"); found {
			onPage, _, _ := strings.Cut(rest, `"`)
			command = strings.ReplaceAll(command, onPage, tokenID)
		}
		command = strings.NewReplacer("zoho/", m.path+"/", pageDay, time.Now().UTC().Format(time.DateOnly),
			"/var/log/vault/audit.log", cluster.Nodes[0].AuditLog()).Replace(command)
		printed, _, err := shell(m.t, m.t.TempDir(), os.Environ(), "jq -r "+command, "")
		require.NoError(m.t, err, printed)
		for line := range strings.Lines(printed) {
			fields := strings.Fields(line)
			last = append(last, fields[len(fields)-1])
		}
		return last
	}
	require.Fail(m.t, "no command asks the audit log for "+asked, name)
	return nil
}
