package test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/vault/api"
	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/zohosim"
)

const rolesPage = "docs/roles.md"

// newRolesReader is a reader of the page, on a mount as the README sets it up for
// a server-based client.
func newRolesReader(t *testing.T) pageReader {
	t.Helper()
	r := pageReader{newReader(t, zohosim.WebClient)}
	r.linkPages()
	r.follows("README.md", fromZero)
	r.types(`vault write zoho/config data_center=eu client_id=1000.ABC... client_secret=- redirect_uri=https://vault.example.com/v1/zoho/callback`)
	return r
}

// enrols lets people log in with a password, as they do before anybody thinks of this engine.
func (r pageReader) enrols(names ...string) {
	r.t.Helper()
	r.authMethod("userpass")
	for _, name := range names {
		_, err := r.root.Logical().WriteWithContext(r.t.Context(), "auth/userpass/users/"+name, map[string]any{"password": "of " + name})
		require.NoError(r.t, err)
	}
}

// logsInAs lets somebody else type what follows, who logs in with a command of the page.
func (r pageReader) logsInAs(name, login string) *api.Client {
	r.t.Helper()
	home := r.t.TempDir()
	r.others = append(r.others, "HOME="+home, "VAULT_TOKEN=", "ID=")
	r.runs(strings.ReplaceAll(login, "anna", name) + " password='of " + name + "'") // its prompt wants a terminal
	token, err := os.ReadFile(filepath.Join(home, ".vault-token"))
	require.NoError(r.t, err)
	keepSecret("Vault token", string(token))
	return r.server.Client(string(token))
}

func (r pageReader) logsOut() { r.others = nil }

func TestRolesPage_EachEnvironmentHasARole(t *testing.T) {
	t.Parallel()
	r := newRolesReader(t)
	self := r.sim.AddClient(zohosim.ClientSpec{})
	keepSecret("client secret", self.Secret("us"))
	r.write("config", map[string]any{"client_id": self.ID, "client_secret": self.Secret("us"), "redirect_uri": ""})
	r.client = self
	printed := ""
	for _, command := range section(t, rolesPage, "Sandboxes") {
		r.paste["code"] = r.code(zohosim.CodeSpec{}) // a new one for each environment
		printed = r.runs(command)
	}
	require.JSONEq(t, `{"environment": "sandbox"}`, printed)
	production, sandbox := r.read("crm-production"), r.read("crm-sandbox")
	require.NotEqual(t, production.token, sandbox.token)
	require.Equal(t, map[string]any{"environment": "production"}, production.Data["role_metadata"])
}

// The policy of the page is the one in policies/, with Vault's templates. The Vault knows
// how people log in, and has no entity.
func TestRolesPage_EachPersonAuthorizesAndReadsTheOwnRoleAlone(t *testing.T) {
	t.Parallel()
	r := newRolesReader(t)
	r.enrols("anna", "bob")
	operator := section(t, rolesPage, "What an operator does")
	r.requireChecked(operator)
	clients, entity := map[string]*api.Client{}, map[string]string{}
	for _, name := range []string{"anna", "bob"} {
		for _, command := range operator {
			r.runs(strings.ReplaceAll(command, "anna", name))
		}
		entity[name] = r.variable("ID")
	}
	require.NotEqual(t, entity["anna"], entity["bob"])
	r.write("roles/team", map[string]any{"scopes": scopes})

	anyPerson := section(t, rolesPage, "What each person does")
	r.requireChecked(anyPerson)
	for name, id := range entity {
		clients[name] = r.logsInAs(name, anyPerson[0])
		for _, command := range anyPerson[1:] {
			printed := r.runs(command)
			if address := r.addressIn(printed); address != "" {
				r.agree(address)
			} else {
				require.Contains(t, printed, id, command)
			}
		}
		r.logsOut()
	}
	anna, bob := clients["anna"], clients["bob"]

	paths := []string{"zoho/config", "zoho/roles/", "zoho/creds/", "zoho/tokens/", "zoho/info", "sys/leases/revoke-prefix/zoho/creds"}
	for _, id := range []string{entity["anna"], entity["bob"], "team"} {
		paths = append(paths, "zoho/roles/"+id, "zoho/roles/"+id+"/rotate", "zoho/creds/"+id+"x")
		paths = slices.AppendSeq(paths, maps.Keys(ofPerson(id)))
	}
	require.Equal(t, ofPerson(entity["anna"]), nonEmpty(r.capabilities(anna, paths...)))

	hers, err := r.readAs(t.Context(), anna, entity["anna"])
	require.NoError(t, err)
	his, err := r.readAs(t.Context(), bob, entity["bob"])
	require.NoError(t, err)
	require.NotEqual(t, hers.token, his.token)
	_, err = r.readAs(t.Context(), anna, entity["bob"])
	refused(t, err)
	for _, operation := range []string{"/authorize", "/deauthorize", "/rotate", ""} {
		_, err = anna.Logical().WriteWithContext(t.Context(), "zoho/roles/"+entity["bob"]+operation, nil)
		refused(t, err)
	}
	_, err = anna.Logical().WriteWithContext(t.Context(), "zoho/roles/"+entity["anna"], map[string]any{"scopes": "ZohoMail.accounts.ALL"})
	refused(t, err)
	refused(t, anna.Sys().RevokeWithContext(t.Context(), his.LeaseID))

	require.True(t, r.accepted(hers))
	require.True(t, r.accepted(his))
}

// A name that Vault does not know, such as a misspelled one: nothing is written.
func (r pageReader) requireChecked(commands []string) {
	r.t.Helper()
	r.others = append(r.others, "ID=", "ACCESSOR=")
	stored := r.entities()
	for _, command := range commands {
		if strings.Contains(command, ":?") {
			out, err := r.tries(command)
			require.Error(r.t, err, command)
			require.Regexp(r.t, "(ID|ACCESSOR): (no such|you have no)", out)
		}
	}
	require.Equal(r.t, stored, r.entities())
	_, err := r.tries(`ID=$(vault read -field=id identity/entity/name/nobody)`)
	require.Error(r.t, err)
	require.Empty(r.t, r.variable("ID"))
}

// ofPerson is what a person can do with the role of an ID, and with nothing else.
func ofPerson(id string) map[string][]string {
	update, read := []string{"update"}, []string{"read"}
	return map[string][]string{
		"zoho/roles/" + id + "/authorize": update, "zoho/roles/" + id + "/deauthorize": update, "zoho/roles/" + id + "/status": read,
		"zoho/creds/" + id: {"read", "update"}, "sys/leases/revoke/zoho/creds/" + id + "/abc": update, "sys/revoke/zoho/creds/" + id + "/abc": update,
	}
}

// entities are all that Vault knows.
func (m *mount) entities() []any {
	m.t.Helper()
	found, err := m.root.Logical().ListWithContext(m.t.Context(), "identity/entity/id")
	require.NoError(m.t, err)
	if found == nil {
		return nil
	}
	keys, ok := found.Data["keys"].([]any)
	require.True(m.t, ok)
	return keys
}

// entityOf is the ID by which Vault knows a person.
func (m *mount) entityOf(name string) string {
	m.t.Helper()
	found, err := m.root.Logical().ReadWithContext(m.t.Context(), "identity/entity/name/"+name)
	require.NoError(m.t, err)
	return text(m.t, found, "id")
}

func TestRolesPage_AnotherDataCentreHasASecretOfItsOwn(t *testing.T) {
	t.Parallel()
	r := newRolesReader(t)
	printed := ""
	for _, command := range section(t, rolesPage, "several data centres") {
		printed = r.runs(command)
	}
	require.True(t, strings.HasPrefix(r.addressIn(printed), "https://accounts.zoho.in/oauth/v2/auth?"), printed)
}

// Every command of the page is run by one of the tests here.
func TestRolesPage_HasNoOtherCommands(t *testing.T) {
	t.Parallel()
	run := 0
	for _, heading := range []string{"Sandboxes", "What an operator does", "What each person does", "several data centres"} {
		run += len(section(t, rolesPage, heading))
	}
	require.Len(t, commandsOf(t, rolesPage), run)
}
