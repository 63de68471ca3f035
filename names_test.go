package zohosecrets

import (
	"net/http"
	"strings"
	"testing"

	"github.com/hashicorp/vault/sdk/logical"
	"github.com/stretchr/testify/require"
)

// oddNames cannot be names of roles, but may arrive as such: Vault hands on
// what the client's URL says, decoded.
func oddNames() []string {
	return []string{
		" ", "  ", ".", "..", "...", "-", "-crm", "crm-", ".crm", "crm.", "a..b", "a b", "a\tb", "a\nb", "a\x00b",
		"crm\n", "a%2Fb", "%2e%2e", "a\\b", "büro", "名前", "a\u200bb", "\u202ecrm", "\xff", "a'b", `a"b`, "a$b", "a*", "+",
		"{{identity}}", "a:b", "a,b", "a@b", "~crm", "#", "?x=y", strings.Repeat("a", 129), strings.Repeat("a", 200), strings.Repeat("ä", 1<<12),
	}
}

func TestBadInput_AnOddRoleNameGetsA400ThatSaysWhatANameIs(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	m.write("config", goodConfig()).done(t)
	before := m.stored()
	const says = "use letters, digits and '_', with '-' and '.' only between them"
	for _, name := range oddNames() {
		for what, got := range map[string]answer{
			"write":  m.write("roles/"+name, goodRole()),
			"patch":  m.patch("roles/"+name, goodRole()),
			"read":   m.read("roles/" + name),
			"delete": m.delete("roles/" + name),
			"creds":  m.read("creds/" + name),

			"status":      m.read("roles/" + name + "/status"),
			"authorize":   m.write("roles/"+name+"/authorize", nil),
			"deauthorize": m.write("roles/"+name+"/deauthorize", nil),
			"rotate":      m.write("roles/"+name+"/rotate", nil),
		} {
			m.requireRefused(got, before, what+" "+name, says)
			require.Less(t, len(got.text), 500)
		}
	}
}

func TestBadInput_ANameWithASlashIsAnotherPath(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	m.write("config", goodConfig()).done(t)
	before := m.stored()
	for _, name := range []string{"a/b", "a/../b", "../config", "crm/", "a/b/c"} {
		for _, got := range []answer{
			m.write("roles/"+name, goodRole()), m.patch("roles/"+name, goodRole()), m.read("roles/" + name),
			m.delete("roles/" + name), m.read("creds/" + name),
		} {
			require.Equal(t, http.StatusNotFound, got.status, name)
		}
	}
	for _, op := range []logical.Operation{logical.CreateOperation, logical.UpdateOperation, logical.PatchOperation, logical.ReadOperation, logical.DeleteOperation} {
		for _, path := range []string{"roles/", "roles//", "roles///"} {
			require.Equal(t, http.StatusBadRequest, m.send(op, path, goodRole()).status)
		}
	}
	require.Equal(t, before, m.stored())
}

func TestNames_ThatVaultsOwnEnginesTakeAreTaken(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	m.write("config", goodConfig()).done(t)
	for _, name := range []string{"a", "crm-sync", "CRM_Sync.v2", "_", "1", "0-0", "a--b", strings.Repeat("a", 128)} {
		m.write("roles/"+name, goodRole().with(fields{"data_center": "us"})).done(t)
		require.Equal(t, name, m.read("roles/" + name).Data["name"])
	}
}

func TestBadInput_TheNameInThePathGoesBeforeTheNameInTheBody(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	m.write("roles/crm-sync", goodRole().with(fields{"name": "other", "data_center": "us"})).done(t)
	require.Nil(t, m.read("roles/other").Response)
	require.Equal(t, "crm-sync", m.read("roles/crm-sync").Data["name"])
}
