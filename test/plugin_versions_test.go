package test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// pluginReload starts the plugin anew, as every page says it.
const pluginReload = "vault plugin reload -plugin=vault-plugin-secrets-zoho"

// What operators do with a plugin, and what they see, is a table of install.md. The mount gets through all of it.
func TestInstall_AMountSurvivesWhatOperatorsDoWithThePlugin(t *testing.T) {
	t.Parallel()
	r := newPageReader(t)
	for _, version := range []string{"0.1.0", "0.2.0"} {
		r.release(version)
		r.registers(version, r.checksum(version))
	}
	r.runs("vault secrets enable -path=zoho -plugin-version=v0.1.0 vault-plugin-secrets-zoho")
	r.write("config", map[string]any{"data_center": "us", "accounts_url": r.accounts.URL, "client_id": r.client.ID, "client_secret": r.client.Secret("us")})
	r.write("roles/crm-sync", map[string]any{"refresh_token": r.refreshToken})
	held := r.read("crm-sync")
	serves := func(version, when string) {
		t.Helper()
		require.Contains(t, r.runs("vault read zoho/info"), version, when)
		require.Equal(t, held.token, r.read("crm-sync").token, when)
	}

	r.runs("vault secrets tune -plugin-version=v0.2.0 zoho")
	serves("v0.1.0", "before the reload")
	r.runs(pluginReload)
	serves("v0.2.0", "after an upgrade")
	r.runs("vault secrets tune -plugin-version=v0.1.0 zoho")
	r.runs(pluginReload)
	serves("v0.1.0", "after going back")

	wrong := strings.Repeat("0", 64)
	r.registers("0.1.0", wrong)
	serves("v0.1.0", "with a wrong checksum, which nothing compares yet")
	r.fails("checksums did not match", pluginReload, "vault read zoho/creds/crm-sync")
	r.registers("0.1.0", r.checksum("0.1.0"))
	r.runs(pluginReload)
	serves("v0.1.0", "with the right checksum")

	binary := filepath.Join(r.server.PluginDir(), "vault-plugin-secrets-zoho_0.1.0")
	replaced := func(with string) {
		t.Helper()
		content, err := os.ReadFile(filepath.Join(r.dir, "vault-plugin-secrets-zoho_"+with+"_linux_amd64"))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(binary+".next", content, 0o700))
		require.NoError(t, os.Rename(binary+".next", binary))
	}
	replaced("0.2.0")
	serves("v0.1.0", "with another binary in its place")
	r.fails("checksums did not match", pluginReload, "vault read zoho/creds/crm-sync")
	replaced("0.1.0")
	r.runs(pluginReload)
	serves("v0.1.0", "with the former binary")

	r.runs("vault plugin deregister -version=v0.1.0 secret vault-plugin-secrets-zoho")
	serves("v0.1.0", "without its version in the catalog")
	r.fails("plugin not found in the catalog", pluginReload, "vault read zoho/creds/crm-sync")
	require.NoError(t, r.server.Restart(t.Context()))
	_, err := r.tries("vault read zoho/creds/crm-sync")
	require.Error(t, err)
	r.runs("vault secrets tune -plugin-version=v0.2.0 zoho")
	require.NoError(t, r.server.Restart(t.Context()))
	serves("v0.2.0", "after the repair")
	require.Equal(t, 1, r.mints())
	r.revoke(held)
}

// fails requires that commands are refused in these words, which troubleshooting.md has.
func (r pageReader) fails(words string, commands ...string) {
	r.t.Helper()
	require.Contains(r.t, page(r.t, troubleshooting), words)
	for _, command := range commands {
		out, err := r.tries(command)
		require.Error(r.t, err, command)
		require.Contains(r.t, out, words, command)
	}
}

// registers installs a version, and registers it with a checksum.
func (r pageReader) registers(version, sum string) {
	r.t.Helper()
	name := "vault-plugin-secrets-zoho_" + version
	r.runs("install -m 0755 " + name + "_linux_amd64 /etc/vault/plugins/" + name)
	r.runs(fmt.Sprintf("vault plugin register -sha256=%s -command=%s -version=v%s secret vault-plugin-secrets-zoho", sum, name, version))
}

// checksum is that of a release.
func (r pageReader) checksum(version string) string {
	r.t.Helper()
	sums, err := os.ReadFile(filepath.Join(r.dir, "vault-plugin-secrets-zoho_"+version+"_SHA256SUMS"))
	require.NoError(r.t, err)
	return strings.Fields(string(sums))[0]
}
