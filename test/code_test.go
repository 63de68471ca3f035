package test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/zohosim"
)

// file writes a secret into a file for the CLI's @.
func (m *mount) file(secret string) string {
	m.t.Helper()
	path := filepath.Join(m.t.TempDir(), "secret")
	require.NoError(m.t, os.WriteFile(path, []byte(secret), 0o600))
	return path
}

// warned runs Vault's CLI, and returns what it warned of.
func (m *mount) warned(args ...string) string {
	m.t.Helper()
	_, stderr, err := m.server.CLI(m.t.Context(), m.server.RootToken(), args...)
	require.NoError(m.t, err)
	return stderr
}

// refused runs Vault's CLI, which must fail, and returns what it said.
func (m *mount) refused(args ...string) string {
	m.t.Helper()
	_, _, err := m.server.CLI(m.t.Context(), m.server.RootToken(), args...)
	require.Error(m.t, err)
	return err.Error()
}

func (m *mount) code(spec zohosim.CodeSpec) string {
	m.t.Helper()
	spec.Scopes = scopes
	code := m.sim.Code(m.client, "us", spec)
	keepSecret("grant code", code)
	return code
}

func TestCode_OfASelfClientMakesARoleThatReads(t *testing.T) {
	t.Parallel()
	m := newMount(t, zohosim.Options{})
	m.cli("write", m.path+"/roles/app", "code=@"+m.file(m.code(zohosim.CodeSpec{})))
	calls := m.sim.Count(zohosim.EndpointToken)
	got := m.read("app")
	require.True(t, m.accepted(got))
	require.Equal(t, calls, m.sim.Count(zohosim.EndpointToken), "the access token that came with the refresh token is used")
	require.Equal(t, "true", m.cli("read", "-field=authorized", m.path+"/roles/app/status"))

	m.cli("write", "-f", m.path+"/roles/app/rotate")
	again := m.read("app")
	require.NotEqual(t, got.token, again.token)
	require.True(t, m.accepted(again), "the refresh token was kept")
}

func TestCode_OfAWebClientNeedsItsRedirectURI(t *testing.T) {
	t.Parallel()
	m := newMount(t, zohosim.Options{})
	m.useWebClient()
	spec := zohosim.CodeSpec{PromptConsent: true}
	m.cli("write", m.path+"/roles/app", "code=@"+m.file(m.code(spec)), "redirect_uri="+m.callback())
	require.True(t, m.accepted(m.read("app")))

	said := m.refused("write", m.path+"/roles/other", "code=@"+m.file(m.code(spec)), "redirect_uri=https://vault.example.com/v1/zoho/callback")
	require.Contains(t, said, "invalid_redirect_uri")
	require.Contains(t, said, "API console")
}

// What the API console's online access gives cannot be kept.
func TestCode_WithoutARefreshTokenIsRefusedAndLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	m := newMount(t, zohosim.Options{})
	m.useWebClient()
	tokens := len(m.sim.Tokens())
	said := m.refused("write", m.path+"/roles/app", "code=@"+m.file(m.code(zohosim.CodeSpec{Online: true})), "redirect_uri="+m.callback())
	require.Contains(t, said, "refresh token")
	require.Len(t, m.sim.Tokens(), tokens)
	require.Equal(t, "false", m.cli("read", "-field=authorized", m.path+"/roles/app/status"))
}

func TestCode_ThatWasUsedIsRefusedAndTheRoleStaysAsItWas(t *testing.T) {
	t.Parallel()
	m := newMount(t, zohosim.Options{})
	used := m.file(m.code(zohosim.CodeSpec{}))
	m.cli("write", m.path+"/roles/app", "code=@"+used)
	before := m.read("app")
	said := m.refused("write", m.path+"/roles/app", "code=@"+used)
	require.Contains(t, said, "invalid_code")
	require.Contains(t, said, "not written")
	require.Equal(t, before.token, m.read("app").token)
	require.True(t, m.accepted(before))
}

// A grant code again, because the scopes have changed: the former refresh token
// goes when its last lease does.
func TestCode_WrittenAgainEndsTheFormerRefreshTokenWhenItsLastLeaseEnds(t *testing.T) {
	t.Parallel()
	m := newMount(t, zohosim.Options{})
	m.cli("write", m.path+"/roles/app", "code=@"+m.file(m.code(zohosim.CodeSpec{})))
	first := m.read("app")
	m.cli("write", m.path+"/roles/app", "code=@"+m.file(m.code(zohosim.CodeSpec{})))
	require.True(t, m.accepted(first), "somebody holds it")
	require.Equal(t, 3, m.refreshTokens(), "crm-sync's and two of app's")
	m.revoke(first)
	withinTwoMinutes(t, "the former refresh token to be revoked", func() bool { return m.refreshTokens() == 2 })
	require.True(t, m.accepted(m.read("app")))
}
