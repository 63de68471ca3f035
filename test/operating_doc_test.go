package test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/zohosim"
)

// Every command of the operators' pages, from the first to the last, as it stands.
func TestOperating_EveryCommandWorks(t *testing.T) {
	t.Parallel()
	r := newPageReader(t)
	r.release("0.1.0")
	r.release("0.2.0")
	seen := map[string]string{}
	for _, command := range slices.Concat(commandsOf(t, install), commandsOf(t, settings), commandsOf(t, troubleshooting), commandsOf(t, operating)) {
		if r.lacksToolOf(command) {
			continue
		}
		if strings.Contains(command, " sys/quotas/lease-count/") && !strings.Contains(r.server.Product(), "+ent") {
			require.Regexp(t, "enterprise-only feature|unsupported path", r.refused(strings.Fields(command)[1:]...), "the page says who has no such quotas")
			continue
		}
		r.prepare(command)
		seen[command] = r.runs(command)
		r.goOn(command, seen[command])
	}
	require.Contains(t, seen["sha256sum --check --ignore-missing vault-plugin-secrets-zoho_0.1.0_SHA256SUMS"], "OK")
	require.Contains(t, seen["vault read zoho/info"], "v0.2.0")
	require.Contains(t, seen["vault list -detailed zoho/roles"], "crm-sync")
	require.Contains(t, seen["vault list -detailed zoho/tokens"], "current")
	require.Contains(t, seen[`vault write zoho/tokens/lookup token=-`], "crm-sync")
	if list := seen[listOfMounts(t)]; list != "" {
		require.Equal(t, "zoho-eu/ v0.1.0\nzoho/ v0.1.0\n", list)
	}
	r.runs("vault plugin deregister -version=v0.1.0 secret vault-plugin-secrets-zoho") // troubleshooting.md has registered it once more
	require.NotContains(t, r.types(listPlugins), "zoho")
}

// listOfMounts is the command that finds them.
func listOfMounts(t *testing.T) string {
	t.Helper()
	for _, command := range section(t, install, "Upgrade") {
		if strings.HasPrefix(command, "vault secrets list") {
			return command
		}
	}
	t.Fatal("the page does not say how mounts are found")
	return ""
}

// prepare does what happens outside of Vault before a command of the page.
func (r pageReader) prepare(command string) {
	r.t.Helper()
	switch {
	case command == "vault write zoho/config client_secret=-":
		r.paste["client_secret"] = r.newClientSecret()
	case strings.HasSuffix(command, "client_secret=@client-secret code=-"):
		r.useSecondClient()
	case strings.HasSuffix(command, " code=-"):
		r.paste["code"] = r.code(zohosim.CodeSpec{})
	case strings.HasPrefix(command, "vault secrets list -format=json"):
		r.runs("vault secrets enable -path=zoho-eu -plugin-version=v0.1.0 vault-plugin-secrets-zoho")
	}
}

// goOn does what the page takes for granted after one of its commands.
func (r pageReader) goOn(command, printed string) {
	r.t.Helper()
	switch {
	case strings.Contains(command, "/deauthorize"):
		require.False(r.t, r.sim.Alive(r.refreshToken))
		// The page goes on with a role that was authorized again.
		r.refreshToken = r.consent()
		r.paste["refresh_token"] = r.refreshToken
		r.runs(`vault write zoho/roles/crm-sync refresh_token=-`)
	case strings.Contains(command, " consent=org "):
		r.useOrgClient("payments")
	case strings.HasSuffix(command, "/payments/authorize"):
		r.agree(r.addressIn(printed))
		token := r.types("vault read -field=access_token zoho/creds/payments")
		keepSecret("access token", token)
		require.True(r.t, strings.HasPrefix(token, "1005."), "it is an organisation's")
	case command == "vault operator raft snapshot restore vault.snap":
		require.NoError(r.t, r.server.Unseal(r.t.Context())) // waits until it is active again
		r.runs("vault read zoho/creds/crm-sync")
	case strings.HasPrefix(command, "vault plugin deregister -version=v0.1.0"):
		for _, mount := range []string{"zoho", "zoho-eu"} {
			require.Contains(r.t, r.runs("vault read "+mount+"/info"), "v0.2.0", "the page leaves no mount behind")
		}
	}
}

// newClientSecret is what Zoho's API console does to the client.
func (r pageReader) newClientSecret() string {
	secret := r.client.RegenerateSecret("us")
	keepSecret("client secret", secret)
	return secret
}

// useSecondClient registers another client, whose secret is in a file then, and
// a code of which can be pasted.
func (r pageReader) useSecondClient() {
	r.t.Helper()
	r.client = r.sim.AddClient(zohosim.ClientSpec{})
	keepSecret("client secret", r.client.Secret("us"))
	require.NoError(r.t, os.WriteFile(filepath.Join(r.dir, "client-secret"), []byte(r.client.Secret("us")), 0o600))
	r.paste["code"] = r.code(zohosim.CodeSpec{})
}

// What the page says dies with a new client secret dies, and what it says goes
// on goes on.
func TestOperating_ANewClientSecretEndsRefreshTokensAndLeavesClientCredentialsAlone(t *testing.T) {
	t.Parallel()
	m := newMountAt(t, "zoho", zohosim.Options{})
	m.write("roles/reports", map[string]any{"grant_type": "client_credentials", "scopes": "ZohoCRM.modules.READ,ZohoCRM.org.READ"})
	m.write("roles/own", map[string]any{"client_id": m.client.ID, "client_secret": m.client.Secret("us"), "refresh_token": m.consent()})
	person, organisation := m.read("crm-sync"), m.read("reports")

	secret := m.client.RegenerateSecret("us")
	keepSecret("client secret", secret)
	require.False(t, m.accepted(person))
	require.True(t, m.accepted(organisation))

	require.Contains(t, m.refused("write", "zoho/config", "client_secret=0123456789abcdef"), "the former client secret stays in force")
	m.cli("write", "zoho/config", "client_secret=@"+m.file(secret))
	require.True(t, m.accepted(organisation), "its lease stays")
	next := m.read("reports")
	require.NotEqual(t, organisation.token, next.token)
	m.revoke(organisation)
	require.False(t, m.accepted(organisation), "it can be revoked")
	require.True(t, m.accepted(next))

	require.Contains(t, m.refused("read", "zoho/creds/crm-sync"), "invalid_code")
	require.Contains(t, m.cli("list", "-detailed", "zoho/roles"), "refused")
	m.cli("write", "zoho/roles/crm-sync", "code=@"+m.file(m.code(zohosim.CodeSpec{})))
	require.True(t, m.accepted(m.read("crm-sync")))

	require.Contains(t, m.refused("write", "zoho/roles/own", "client_secret=@"+m.file(secret)), "invalid_code")
	m.cli("write", "zoho/roles/own", "client_secret=@"+m.file(secret), "code=@"+m.file(m.code(zohosim.CodeSpec{})))
	require.True(t, m.accepted(m.read("own")))
}

// If only dead refresh tokens can be asked, nothing proves the secret.
func TestOperating_ANewClientSecretIsWrittenWithAWarningWhenAllRefreshTokensAreDead(t *testing.T) {
	t.Parallel()
	m := newMount(t, zohosim.Options{})
	m.read("crm-sync")
	secret := m.client.RegenerateSecret("us")
	keepSecret("client secret", secret)
	require.Contains(t, m.warned("write", m.path+"/config", "client_secret=@"+m.file(secret)), "could not be tried")
	m.cli("write", m.path+"/roles/crm-sync", "code=@"+m.file(m.code(zohosim.CodeSpec{})))
	require.True(t, m.accepted(m.read("crm-sync")))
}

func TestOperating_ASecondClientTakesOverWithoutAnInterruption(t *testing.T) {
	t.Parallel()
	m := newMount(t, zohosim.Options{})
	m.cli("write", m.path+"/roles/app", "code=@"+m.file(m.code(zohosim.CodeSpec{})))
	held, refreshTokens := m.read("app"), m.refreshTokens()
	former := m.client
	m.client = m.sim.AddClient(zohosim.ClientSpec{})
	keepSecret("client secret", m.client.Secret("us"))
	m.cli("write", m.path+"/roles/app", "client_id="+m.client.ID, "client_secret=@"+m.file(m.client.Secret("us")), "code=@"+m.file(m.code(zohosim.CodeSpec{})))
	require.True(t, m.accepted(held))
	require.True(t, m.accepted(m.read("app")))
	require.Equal(t, refreshTokens+1, m.refreshTokens())

	m.revoke(held)
	withinTwoMinutes(t, "the former refresh token to be revoked", func() bool { return m.refreshTokens() == refreshTokens })
	m.cli("delete", m.path+"/roles/crm-sync") // the last one with the former client
	eventually(t, "the former client to be gone from the list", func() bool {
		return !strings.Contains(m.cli("list", "-detailed", m.path+"/clients"), former.ID)
	})
}

// Vault does not keep anybody from it, so the page warns.
func TestOperating_AMountWhoseVersionIsDeregisteredStopsAtTheNextReloadUntilItIsTuned(t *testing.T) {
	t.Parallel()
	r := newPageReader(t)
	r.release("0.1.0")
	r.release("0.2.0")
	for _, command := range append(section(t, install, "Install"), section(t, install, "Upgrade")[:2]...) {
		r.runs(command)
	}
	r.runs("vault secrets enable -path=zoho-eu -plugin-version=v0.2.0 vault-plugin-secrets-zoho")
	r.runs("vault plugin deregister -version=v0.1.0 secret vault-plugin-secrets-zoho")
	require.Contains(t, r.runs("vault read zoho/info"), "v0.1.0", "it goes on")
	reload := []string{"plugin", "reload", "-plugin=vault-plugin-secrets-zoho"}
	require.Contains(t, r.refused(reload...), "plugin not found in the catalog")
	require.Contains(t, r.refused("read", "zoho/info"), "plugin not found in the catalog")
	r.runs("vault secrets tune -plugin-version=v0.2.0 zoho")
	r.cli(reload...)
	require.Contains(t, r.runs("vault read zoho/info"), "v0.2.0")
}

// A page says that a restored snapshot hands out dead tokens, and that rotating
// helps.
func TestOperating_ARestoredSnapshotHandsOutADeadTokenUntilItsRoleIsRotated(t *testing.T) {
	t.Parallel()
	m := newMountAt(t, "zoho", zohosim.Options{})
	snapshot := filepath.Join(t.TempDir(), "vault.snap")
	former := m.read("crm-sync")
	m.cli("operator", "raft", "snapshot", "save", snapshot)
	m.write("roles/crm-sync/rotate", nil)
	require.False(t, m.accepted(former))

	m.cli("operator", "raft", "snapshot", "restore", snapshot)
	require.NoError(t, m.server.Unseal(t.Context()))
	again := m.read("crm-sync")
	require.Equal(t, former.token, again.token)
	require.False(t, m.accepted(again))
	m.write("roles/crm-sync/rotate", nil)
	require.True(t, m.accepted(m.read("crm-sync")))
}
