package test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/zohosim"
)

// terraform is somebody who applies examples/terraform, but for what they have to fill in.
type terraform struct {
	pageReader
	bin     string
	dir     string
	version string // of the plugin, without a v
}

const terraformUser = "anna@example.com" // who consents

// newTerraform takes Terraform, or OpenTofu, and its provider for Vault: a registry has that, which no test asks.
func newTerraform(t *testing.T, name, variable string) *terraform {
	t.Helper()
	const providerVariable = "TERRAFORM_PROVIDER_VAULT"
	bin := external(t, name, variable)
	provider := os.Getenv(providerVariable)
	var err error
	if provider == "" {
		err = errors.New(providerVariable + " names none")
	}
	wants(t, "Terraform's provider for Vault (TERRAFORM_PROVIDER_VAULT)", err)
	worksWith(t, map[string]string{"terraform": "Terraform", "tofu": "OpenTofu"}[name], bin, "version")
	version := regexp.MustCompile(`_v(\d+\.\d+\.\d+)`).FindStringSubmatch(filepath.Base(provider))
	require.NotNil(t, version, "the provider's file has its version in its name, as from a registry")
	t.Attr("with", "Terraform's provider for Vault "+version[1])

	r := pageReader{newReader(t, zohosim.WebClient)}
	r.linkPages()
	for _, version := range []string{"0.1.0", "0.2.0"} {
		r.release(version)
		r.runs(fmt.Sprintf("install -m 0755 vault-plugin-secrets-zoho_%[1]s_linux_amd64 /etc/vault/plugins/vault-plugin-secrets-zoho_%[1]s", version))
	}
	tf := &terraform{pageReader: r, bin: bin, dir: filepath.Join(r.dir, "copy", "terraform", "zoho"), version: "0.1.0"}
	require.NoError(t, os.MkdirAll(tf.dir, 0o700))
	require.NoError(t, os.Symlink(filepath.Join(r.dir, "policies"), filepath.Join(r.dir, "copy", "policies")))
	mine := "provider_installation {\n  dev_overrides {\n    \"hashicorp/vault\" = %q\n  }\n  direct {}\n}\n"
	require.NoError(t, os.WriteFile(filepath.Join(r.dir, "terraformrc"), []byte(fmt.Sprintf(mine, filepath.Dir(provider))), 0o600))
	example, err := os.ReadFile(filepath.Join(examplesDir, "terraform", "main.tf"))
	require.NoError(t, err)
	for placeholder, value := range map[string]string{
		`data_center   = "eu"`:                         fmt.Sprintf("data_center = \"us\"\naccounts_url = %q", r.accounts.URL),
		`"https://vault.example.com/v1/zoho/callback"`: fmt.Sprintf("%q", r.callback()),
	} {
		require.Equal(t, 1, strings.Count(string(example), placeholder), placeholder)
		example = []byte(strings.Replace(string(example), placeholder, value, 1))
	}
	tf.write("main.tf", string(example))
	return tf
}

func (tf *terraform) write(name, content string) {
	tf.t.Helper()
	require.NoError(tf.t, os.WriteFile(filepath.Join(tf.dir, name), []byte(content), 0o600))
}

// command is a command of Terraform's with the variables of the example.
func (tf *terraform) command(args ...string) *exec.Cmd {
	tf.t.Helper()
	cmd := exec.CommandContext(tf.t.Context(), tf.bin, args...)
	cmd.Dir = tf.dir
	binary := "vault-plugin-secrets-zoho_" + tf.version
	sums, err := os.ReadFile(filepath.Join(tf.pageReader.dir, binary+"_SHA256SUMS"))
	require.NoError(tf.t, err)
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + tf.pageReader.dir, "TF_CLI_CONFIG_FILE=" + filepath.Join(tf.pageReader.dir, "terraformrc"), "TF_IN_AUTOMATION=1", "CHECKPOINT_DISABLE=1",
		"VAULT_ADDR=" + tf.server.Addr(), "VAULT_TOKEN=" + tf.server.RootToken(),
		"TF_VAR_plugin_command=" + binary, "TF_VAR_plugin_version=v" + tf.version, "TF_VAR_plugin_sha256=" + strings.Fields(string(sums))[0],
		"TF_VAR_client_id=" + tf.client.ID, "TF_VAR_client_secret=" + tf.client.Secret("us"),
	}
	return cmd
}

func (tf *terraform) apply(args ...string) {
	tf.t.Helper()
	out, err := tf.command(append([]string{"apply", "-auto-approve", "-input=false", "-no-color"}, args...)...).CombinedOutput()
	require.NoError(tf.t, err, string(out))
}

// plans returns what a plan would change, and nothing if it would change nothing.
func (tf *terraform) plans() string {
	tf.t.Helper()
	out, err := tf.command("plan", "-detailed-exitcode", "-input=false", "-no-color").CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 2 {
		return string(out)
	}
	require.NoError(tf.t, err, string(out))
	return ""
}

func (tf *terraform) consents() {
	tf.t.Helper()
	tf.sim.SetUser(terraformUser, "us")
	tf.agree(tf.addressIn(tf.runs("vault write -f zoho/roles/crm-sync/authorize")))
	all := tf.sim.RefreshTokens(tf.client, "us", terraformUser)
	tf.refreshToken = all[len(all)-1]
	keepSecret("refresh token", tf.refreshToken)
}

func (tf *terraform) read() creds {
	tf.t.Helper()
	got, err := tf.readAs(tf.t.Context(), tf.root, "crm-sync")
	require.NoError(tf.t, err)
	require.True(tf.t, tf.accepted(got))
	return got
}

func (tf *terraform) state() string {
	tf.t.Helper()
	state, err := os.ReadFile(filepath.Join(tf.dir, "terraform.tfstate"))
	require.NoError(tf.t, err)
	return string(state)
}

func eachTerraform(t *testing.T, run func(t *testing.T, tf *terraform)) {
	t.Helper()
	for name, variable := range map[string]string{"terraform": "TERRAFORM_BIN", "tofu": "TOFU_BIN"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run(t, newTerraform(t, name, variable))
		})
	}
}

func TestTerraform_UpgradesThePluginWithoutAnOutage(t *testing.T) {
	t.Parallel()
	eachTerraform(t, func(t *testing.T, tf *terraform) {
		tf.apply()
		tf.consents()
		held := tf.read()
		require.Empty(t, tf.plans())

		tf.version = "0.2.0"
		tf.apply()
		require.Equal(t, held.token, tf.read().token)
		require.Empty(t, tf.plans())
		tf.runs("vault plugin reload -plugin=vault-plugin-secrets-zoho")
		require.Contains(t, tf.runs("vault read zoho/info"), "v0.2.0")
		require.Equal(t, held.token, tf.read().token)
		require.NotContains(t, tf.runs("vault plugin list -detailed secret"), "v0.1.0", "the former version is gone")

		require.NoError(t, tf.server.Restart(t.Context()))
		require.Equal(t, held.token, tf.read().token)
		tf.apply("-destroy")
		require.NotContains(t, tf.runs("vault secrets list"), "zoho/")
	})
}

func TestTerraform_SeesWhatChangedAndKeepsNoSecret(t *testing.T) {
	t.Parallel()
	eachTerraform(t, func(t *testing.T, tf *terraform) {
		tf.apply()
		tf.consents()
		require.Empty(t, tf.plans())
		require.NotContains(t, tf.state(), tf.client.Secret("us"))

		tf.runs("vault write zoho/roles/crm-sync scopes=ZohoCRM.modules.READ")
		require.Contains(t, tf.plans(), "vault_generic_endpoint.crm_sync will be updated")
		tf.apply()
		tf.runs("vault delete zoho/roles/crm-sync")
		eventually(t, "the end of the refresh token of a role that is deleted", func() bool { return !tf.sim.Alive(tf.refreshToken) })
		require.Contains(t, tf.plans(), "vault_generic_endpoint.crm_sync will be created")
		tf.apply()
		require.Empty(t, tf.plans())

		tf.consents()
		tf.runs("vault write -f zoho/roles/crm-sync/deauthorize")
		require.False(t, tf.sim.Alive(tf.refreshToken))
	})
}

// What docs/using.md says of a token that Terraform reads.
func TestTerraform_ReadsATokenThatEndsWithItsOwnLogin(t *testing.T) {
	t.Parallel()
	eachTerraform(t, func(t *testing.T, tf *terraform) {
		tf.apply()
		tf.consents()
		for kind, inState := range map[string]bool{"data": true, "ephemeral": false} {
			tf.write("creds.tf", kind+" \"vault_generic_secret\" \"crm_sync\" {\n  path = \"zoho/creds/crm-sync\"\n}\n")
			tf.apply()
			token := tf.read().token
			require.Equal(t, inState, strings.Contains(tf.state(), token), kind)
			require.NoError(t, os.Remove(filepath.Join(tf.dir, "creds.tf")))
		}
	})
}
