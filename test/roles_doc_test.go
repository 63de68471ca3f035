package test

import (
	"maps"
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

// logsInAs lets somebody else type what follows.
func (r pageReader) logsInAs(client *api.Client) {
	r.others = []string{"VAULT_TOKEN=" + client.Token()}
}

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
	require.Contains(t, printed, "environment:sandbox")
	production, sandbox := r.read("crm-production"), r.read("crm-sandbox")
	require.NotEqual(t, production.token, sandbox.token)
	require.Equal(t, map[string]any{"environment": "production"}, production.Data["role_metadata"])
}

// The policy of the page is the one in policies/, with Vault's templates.
func TestRolesPage_EachPersonAuthorizesAndReadsTheOwnRoleAlone(t *testing.T) {
	t.Parallel()
	r := newRolesReader(t)
	anna, bob := r.person("anna"), r.person("bob")
	entity := map[*api.Client]string{anna: r.entityOf("anna"), bob: r.entityOf("bob")}
	_, err := anna.Logical().WriteWithContext(t.Context(), "zoho/roles/"+entity[anna]+"/authorize", nil)
	refused(t, err)
	for _, command := range section(t, rolesPage, "What an operator does") {
		r.runs(command)
	}
	// Bob is one more of them.
	r.types("vault write identity/group name=zoho-people policies=zoho-person member_entity_ids=" + entity[anna] + "," + entity[bob])
	r.write("roles/"+entity[bob], map[string]any{"scopes": scopes})
	r.write("roles/team", map[string]any{"scopes": scopes})

	anyPerson := section(t, rolesPage, "What each person does")
	for _, person := range []*api.Client{anna, bob} {
		r.logsInAs(person)
		r.agree(r.addressIn(r.types(anyPerson[0])))
		require.Contains(t, r.runs(anyPerson[1]), entity[person])
	}
	r.others = nil

	paths := []string{"zoho/config", "zoho/roles/", "zoho/creds/", "zoho/tokens/", "zoho/info", "sys/leases/revoke-prefix/zoho/creds"}
	for _, id := range []string{entity[anna], entity[bob], "team"} {
		paths = append(paths, "zoho/roles/"+id, "zoho/roles/"+id+"/rotate", "zoho/creds/"+id+"x")
		paths = slices.AppendSeq(paths, maps.Keys(ofPerson(id)))
	}
	require.Equal(t, ofPerson(entity[anna]), nonEmpty(r.capabilities(anna, paths...)))

	hers, err := r.readAs(t.Context(), anna, entity[anna])
	require.NoError(t, err)
	his, err := r.readAs(t.Context(), bob, entity[bob])
	require.NoError(t, err)
	require.NotEqual(t, hers.token, his.token)
	_, err = r.readAs(t.Context(), anna, entity[bob])
	refused(t, err)
	for _, operation := range []string{"/authorize", "/deauthorize", "/rotate", ""} {
		_, err = anna.Logical().WriteWithContext(t.Context(), "zoho/roles/"+entity[bob]+operation, nil)
		refused(t, err)
	}
	_, err = anna.Logical().WriteWithContext(t.Context(), "zoho/roles/"+entity[anna], map[string]any{"scopes": "ZohoMail.accounts.ALL"})
	refused(t, err)
	refused(t, anna.Sys().RevokeWithContext(t.Context(), his.LeaseID))

	for _, command := range section(t, rolesPage, "When a person leaves") {
		r.runs(command)
	}
	require.False(t, r.accepted(hers))
	require.True(t, r.accepted(his))
}

// ofPerson is what a person can do with the role of an ID, and with nothing else.
func ofPerson(id string) map[string][]string {
	update, read := []string{"update"}, []string{"read"}
	return map[string][]string{
		"zoho/roles/" + id + "/authorize": update, "zoho/roles/" + id + "/deauthorize": update, "zoho/roles/" + id + "/status": read,
		"zoho/creds/" + id: {"read", "update"}, "sys/leases/revoke/zoho/creds/" + id + "/abc": update, "sys/revoke/zoho/creds/" + id + "/abc": update,
	}
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
	for _, heading := range []string{"Sandboxes", "What an operator does", "What each person does", "When a person leaves", "several data centres"} {
		run += len(section(t, rolesPage, heading))
	}
	require.Len(t, commandsOf(t, rolesPage), run)
}
