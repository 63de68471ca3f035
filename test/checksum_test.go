package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/bootstrap"
	"vault-plugin-secrets-zoho/zohosim"
)

// What Vault says when the checksum of the binary is wrong, in the order in which one
// meets it, is in docs/troubleshooting.md, with the ways out. The words are Vault's own, of
// the version that the tests are run with first.

type checksums struct {
	*mount
	page   string
	binary string
}

func newChecksums(t *testing.T) *checksums {
	t.Helper()
	server := ownServer(t)
	if server.OpenBao() || server.Before("1.21.0") {
		t.Skip("the page has the words of Vault 1.21")
	}
	page, err := os.ReadFile("../docs/troubleshooting.md")
	require.NoError(t, err)
	return &checksums{newMountOn(t, server, zohosim.Options{}), string(page), filepath.Join(server.PluginDir(), bootstrap.PluginName)}
}

// says requires that Vault refuses a command with words that are on the page.
func (c *checksums) says(words string, args ...string) {
	c.t.Helper()
	require.Contains(c.t, c.refused(args...), words)
	require.Contains(c.t, c.page, words)
}

// overwrite replaces the binary, as an upgrade by hand does. It returns the former one.
func (c *checksums) overwrite() (former []byte) {
	c.t.Helper()
	former, err := os.ReadFile(c.binary)
	require.NoError(c.t, err)
	c.put(append(slices.Clone(former), 'x'))
	return former
}

func (c *checksums) put(content []byte) {
	c.t.Helper()
	next := c.binary + ".next" // a new file: the former one is a link to what other servers run
	require.NoError(c.t, os.WriteFile(next, content, 0o755))
	require.NoError(c.t, os.Rename(next, c.binary))
}

func (c *checksums) register(name, sum string) {
	c.t.Helper()
	c.cli("plugin", "register", "-sha256="+sum, "-command="+bootstrap.PluginName, "secret", name)
}

func (c *checksums) sum() string {
	c.t.Helper()
	sum, err := bootstrap.Checksum(c.binary)
	require.NoError(c.t, err)
	return sum
}

func TestChecksum_OfABinaryThatWasOverwritten(t *testing.T) {
	t.Parallel()
	c := newChecksums(t)
	lease := c.read("crm-sync")
	c.overwrite()
	require.Equal(t, lease.token, c.read("crm-sync").token, "what runs goes on")

	c.says("checksums did not match", "plugin", "reload", "-plugin="+bootstrap.PluginName)
	c.says("checksums did not match", "read", c.path+"/creds/crm-sync")

	require.NoError(t, c.server.Restart(t.Context()))
	c.says("No value found at", "read", c.path+"/creds/crm-sync")
	c.says("route entry found, but backend is nil", "write", c.path+"/config", "min_ttl=5m")

	c.register(bootstrap.PluginName, c.sum())
	c.cli("plugin", "reload", "-plugin="+bootstrap.PluginName)
	c.cli("read", c.path+"/config")
	c.says("cannot write to storage during setup", "write", c.path+"/config", "min_ttl=5m")

	require.NoError(t, c.server.Restart(t.Context()))
	c.cli("write", c.path+"/config", "min_ttl=5m")
	require.Equal(t, lease.token, c.read("crm-sync").token, "nothing is lost")
	c.revoke(lease)
}

// Whoever has the former binary needs nothing else, and no restart.
func TestChecksum_TheFormerBinaryThatIsPutBackIsEnough(t *testing.T) {
	t.Parallel()
	c := newChecksums(t)
	lease := c.read("crm-sync")
	former := c.overwrite()
	c.says("checksums did not match", "plugin", "reload", "-plugin="+bootstrap.PluginName)
	c.put(former)
	c.cli("plugin", "reload", "-plugin="+bootstrap.PluginName)
	require.Equal(t, lease.token, c.read("crm-sync").token)
	c.revoke(lease)
}

// README has a cp, which somebody may run once more.
func TestChecksum_CpOverABinaryThatRunsIsRefusedByLinux(t *testing.T) {
	t.Parallel()
	c := newChecksums(t)
	c.put(c.overwrite()) // a file of its own, and what was there before
	c.cli("plugin", "reload", "-plugin="+bootstrap.PluginName)
	other := filepath.Join(t.TempDir(), "plugin")
	require.NoError(t, os.WriteFile(other, []byte("#!/bin/sh"), 0o700))
	out, err := exec.CommandContext(t.Context(), "cp", other, c.binary).CombinedOutput()
	if runtime.GOOS == "linux" { // as the page says
		require.Error(t, err)
		require.Contains(t, string(out), "Text file busy")
	}
	require.Contains(t, c.page, "`Text file busy`")
}

// A wrong mount or path, and what was never written.
func TestNoValueFound_MeansWhatThePageSays(t *testing.T) {
	t.Parallel()
	c := newChecksums(t)
	c.cli("secrets", "enable", "-path=zoho", bootstrap.PluginName)
	for path, words := range map[string]string{
		"zohoo/creds/crm-sync": "No value found at", "zoho/cred/crm-sync": "No value found at",
		"zoho/roles": "No value found at", "zoho/config": "No value found at", "zoho/roles/crm-sync": "No value found at",
		"zoho/creds/crm-sync": `role "crm-sync" does not exist`,
	} {
		verb := "read"
		if path == "zoho/roles" {
			verb = "list"
		}
		c.says(words, verb, path)
	}
	c.says(`no handler for route "zohoo/config". route entry not found.`, "write", "zohoo/config", "min_ttl=5m")
	c.says("unsupported path", "write", "zoho/cred/crm-sync", "ttl=5m")
	stranger := c.server.Client(c.tokenFor("stranger"))
	for _, path := range []string{"zohoo/config", "zoho/config", "zoho/cred/crm-sync"} {
		_, err := stranger.Logical().ReadWithContext(t.Context(), path)
		require.ErrorContains(t, err, "permission denied", path)
	}
}

// Vault asks a binary for its version when it is registered, and one that it cannot run it
// files without a version, where the next registration does not go.
func TestChecksum_OfARegistrationThatWasWrongFromTheBeginning(t *testing.T) {
	t.Parallel()
	c := newChecksums(t)
	const name = "registered-wrongly"
	c.register(name, strings.Repeat("0", 64))
	c.says("checksums did not match", "secrets", "enable", "-path=zoho", name)
	c.register(name, c.sum())
	c.says("checksums did not match", "secrets", "enable", "-path=zoho", name)
	require.Contains(t, c.page, "vault plugin deregister secret vault-plugin-secrets-zoho\n")
	c.cli("plugin", "deregister", "secret", name)
	c.register(name, c.sum())
	c.cli("secrets", "enable", "-path=zoho", name)
	c.cli("read", "zoho/info")
}
