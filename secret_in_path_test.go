package zohosecrets

import (
	"net/http"
	"strings"
	"testing"

	"github.com/hashicorp/vault/sdk/logical"
	"github.com/stretchr/testify/require"
)

// everyPathWith is each path of the engine with a value in the place of every ID and name.
func (m *mount) everyPathWith(value string) (paths []string) {
	for _, path := range m.inner.Paths {
		pattern := path.Pattern
		for _, name := range []string{nameRegex, `(?P<token_id>[^/]+)`} {
			pattern = strings.ReplaceAll(pattern, name, value)
		}
		if pattern != path.Pattern {
			paths = append(paths, pattern)
		}
	}
	require.GreaterOrEqual(m.t, len(paths), 6)
	for _, list := range []string{"roles/", "tokens/", "clients/", "no-such-path/"} {
		paths = append(paths, list+value, list+value+"/")
	}
	return paths
}

func TestSecretInAPath_IsNotRepeatedAndTheAnswerSaysThatTheAuditLogHasIt(t *testing.T) {
	t.Parallel()
	m, z := newWorld(t)
	leased := m.read("creds/crm-sync").done(t)
	dead := m.read("creds/crm-sync").done(t)
	m.write("roles/crm-sync/rotate", nil).done(t)
	living := m.read("creds/crm-sync").done(t)
	require.NotEqual(t, dead.token(), living.token())
	require.Equal(t, leased.token(), dead.token())
	id, _ := living.Data["token_id"].(string)
	deadID, _ := dead.Data["token_id"].(string)
	before := m.stored()
	for pasted, says := range map[string]string{
		living.token():        "Its token_id is " + id + ". End the token: vault delete zoho/tokens/" + id,
		dead.token():          "Its token_id is " + deadID,
		z.refreshToken:        "vault write -f zoho/roles/crm-sync/deauthorize",
		z.code():              "does not know it",
		z.client.Secret("us"): "regenerate the client secret",
		"1000." + strings.Repeat("0a", 16) + "." + strings.Repeat("b1", 16): "revoke it at Zoho",
	} {
		for _, path := range m.everyPathWith(pasted) {
			for _, op := range []logical.Operation{logical.ReadOperation, logical.ListOperation, logical.DeleteOperation, logical.UpdateOperation, logical.CreateOperation, logical.PatchOperation} {
				req := request(t, op, path, nil)
				req.MountPoint = "zoho/"
				_, exists, err := m.backend.HandleExistenceCheck(t.Context(), req)
				require.NoError(t, err, path)
				require.False(t, exists)
				resp, err := m.backend.HandleRequest(t.Context(), req)
				got := answered(req, resp, err)
				require.Equal(t, http.StatusBadRequest, got.status, "%s %s", op, path)
				require.Contains(t, got.text, "in clear in Vault's audit log now", "%s %s", op, path)
				require.Contains(t, got.text, says, "%s %s", op, path)
				require.NotContains(t, got.text, pasted)
			}
		}
		for path, field := range map[string]string{"creds/crm-sync": "reject", "tokens/" + id: "after"} {
			got := m.send(logical.ReadOperation, path, fields{field: pasted})
			require.Equal(t, http.StatusBadRequest, got.status, path)
			require.Contains(t, got.text, "in clear in Vault's audit log now", path)
			require.NotContains(t, got.text, pasted)
		}
	}
	require.Equal(t, before, m.stored())
	require.True(t, z.sim.Alive(living.token()))
}

// Nothing that the engine itself names has the form of a secret.
func TestSecretInAPath_NoIDOfTheEngineIsTakenForOne(t *testing.T) {
	t.Parallel()
	m, _ := newWorld(t)
	leased := m.read("creds/crm-sync").done(t)
	id, _ := leased.Data["token_id"].(string)
	m.read("tokens/" + id).done(t)
	m.read("roles/crm-sync/status").done(t)
	for _, name := range []string{"crm.2026.11", "7d5b7935-4fbb-13e6-6dd6-cb939a551560", strings.Repeat("ab", 16), "1000.eu.sync", "v1.2.3"} {
		m.write("roles/"+name, fields{"scopes": "ZohoCRM.modules.ALL"}).done(t)
		m.read("roles/" + name).done(t)
	}
	require.NoError(t, m.revoke("creds/crm-sync", leased))
}
