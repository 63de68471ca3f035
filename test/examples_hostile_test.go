package test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"
)

// hostile is what somebody may write who wants a shell to run something: everything that a shell, systemd, a template or
// JSON gives a meaning.
func hostile(command string) string {
	return "$(" + command + ")`" + command + "`'; " + command + "; '\"; " + command + "; \"; $(" + strings.ReplaceAll(command, " ", "${IFS}") + ") & " + command +
		" | " + command + " > pwned \\ \\' \\\" %s {{ 1 }} ~ * \u2028 ‘ü’ \U0001f511 -rf #"
}

// hostileMetadata is for a role, in which Vault has nothing but what can be printed.
func hostileMetadata() map[string]string {
	value := strings.ReplaceAll(hostile("touch pwned"), "\u2028", " ")
	return map[string]string{"organization_id": value, "api_domain": value, "lease_id": value, "authorization": value, "token_id": value}
}

// requireUntouched checks that nothing of it was run.
func requireUntouched(t *testing.T, dir string) {
	t.Helper()
	require.NoFileExists(t, filepath.Join(dir, "pwned"))
}

// hostileVault answers every read as no Vault should: each field has something for a shell in it.
func hostileVault(t *testing.T, value string) *httptest.Server {
	t.Helper()
	fields := map[string]any{"role_metadata": map[string]string{"organization_id": value, "other": value}}
	for _, name := range []string{"access_token", "authorization", "api_domain", "zoho_domain", "data_center", "token_id", "token_type", "role", "expires_at"} {
		fields[name] = value
	}
	answer, err := json.Marshal(map[string]any{"lease_id": "zoho/creds/crm-sync/abc", "lease_duration": 3600, "renewable": false, "data": fields})
	require.NoError(t, err)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/creds/crm-sync") {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(answer)
	}))
	t.Cleanup(server.Close)
	return server
}

// shells are those of the machine.
func shells() (found []string) {
	for _, name := range []string{"sh", "bash", "dash", "busybox", "zsh"} {
		if _, err := exec.LookPath(name); err == nil {
			found = append(found, name)
		}
	}
	return found
}

func inShell(t *testing.T, shell, dir, script string) string {
	t.Helper()
	args := []string{"-c", script}
	if shell == "busybox" {
		args = append([]string{"sh"}, args...)
	}
	cmd := exec.CommandContext(t.Context(), shell, args...)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir}
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s: %s", shell, out)
	return string(out)
}

// Every template that is shipped, with the script that reads what it renders, in every shell of the machine.
func TestExamples_AShellThatReadsWhatATemplateRendersRunsNothingOfIt(t *testing.T) {
	t.Parallel()
	bin := tool(t, "consul-template")
	templates, err := filepath.Glob(filepath.Join(examplesDir, "*", "*.ctmpl"))
	require.NoError(t, err)
	require.Len(t, templates, 2)
	for name, value := range map[string]string{
		"in a line": hostile("touch pwned"), "in lines": "a\ntouch pwned\n'\ntouch pwned\n" + hostile("touch pwned") + "\n. ./evil", "plain": "60012345678",
	} {
		vault := hostileVault(t, value)
		for _, template := range templates {
			dir := t.TempDir()
			require.NoError(t, os.CopyFS(dir, os.DirFS(filepath.Dir(template))))
			cmd := exec.CommandContext(t.Context(), bin, "-once", "-vault-addr="+vault.URL, "-vault-token=a-token", "-vault-renew-token=false", "-template=zoho.env.ctmpl:zoho.env")
			cmd.Dir = dir
			cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir}
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, "%s: %s", template, out)
			for _, shell := range shells() {
				inShell(t, shell, dir, ". ./reload.sh")
				for _, variable := range []string{"ZOHO_AUTHORIZATION", "ZOHO_API_DOMAIN", "ZOHO_DOMAIN", "ZOHO_TOKEN_ID", "ZOHO_ORGANIZATION_ID"} {
					require.Equal(t, value+".", inShell(t, shell, dir, `. ./zoho.env; printf %s. "$`+variable+`"`), "%s, %s: %s %s", template, name, shell, variable)
				}
				requireUntouched(t, dir)
			}
		}
	}
}

// The scripts that programs of the examples stand for: what Vault answers is an argument or a header, and never an
// option, another header or a command.
func TestExamples_TheScriptsRunNothingOfWhatVaultAnswers(t *testing.T) {
	t.Parallel()
	installed(t, "curl")
	installed(t, "jq")
	for _, value := range []string{hostile("touch pwned"), "\"\noutput = \"pwned\"\n#", "-opwned", "--output=pwned", "--config=zoho.env", "x\noutput = pwned"} {
		vault := hostileVault(t, value)
		for _, example := range []string{"agent-exec/app.sh", "envconsul/app.sh", "curl/call-zoho.sh"} {
			dir := t.TempDir()
			require.NoError(t, os.CopyFS(dir, os.DirFS(filepath.Join(examplesDir, filepath.Dir(example)))))
			script := filepath.Base(example)
			if script == "app.sh" { // which goes on until it is told to end
				content, err := os.ReadFile(filepath.Join(dir, script))
				require.NoError(t, err)
				once, _, found := strings.Cut(string(content), "\nwhile ")
				require.True(t, found)
				require.NoError(t, os.WriteFile(filepath.Join(dir, script), []byte(once), 0o600))
			}
			for _, shell := range shells() {
				args := []string{script}
				if shell == "busybox" {
					args = []string{"sh", script}
				}
				cmd := exec.CommandContext(t.Context(), shell, args...)
				cmd.Dir = dir
				cmd.Env = []string{
					"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "VAULT_ADDR=" + vault.URL, "VAULT_TOKEN=a-token",
					"ZOHO_AUTHORIZATION=" + value, "ZOHO_API_DOMAIN=" + value, "ZOHO_TOKEN_ID=" + value,
				}
				out, _ := cmd.CombinedOutput() // what curl says of such an address does not matter
				requireUntouched(t, dir)
				require.NotContains(t, string(out), "syntax error", "%s with %s", example, shell)
			}
		}
	}
}

// Metadata can have a key of any name, also that of a field.
func TestExamples_MetadataThatIsCalledLikeAFieldIsNotTakenForIt(t *testing.T) {
	t.Parallel()
	for name, command := range programs() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, program := newProgram(t, name, command)
			asked := make(chan string, 10)
			evil := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked <- r.URL.Path }))
			t.Cleanup(evil.Close)
			e.write("roles/crm-sync", map[string]any{"metadata": map[string]string{
				"api_domain": evil.URL, "zoho_domain": evil.URL, "lease_id": "zoho/creds/crm-sync/made-up", "expires_at": "2001-01-01T00:00:00Z", "authorization": "Zoho-oauthtoken made-up",
			}})
			leases := e.leases()
			out, err := e.command(t.Context(), e.vaultToken(), program[0], program[1:]...).CombinedOutput()
			require.NoError(t, err, string(out))
			require.Contains(t, string(out), "Zylker")
			require.Empty(t, asked, "the token was sent to whom the metadata names")
			eventually(t, "the program's lease to be given back", func() bool { return e.leases() <= leases })
		})
	}
}

// Arguments of a program can be seen by every user of the machine; those of a shell's own commands cannot.
func TestDocumentation_NoCommandPutsASecretOnCurlsCommandLine(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob("../docs/*.md")
	require.NoError(t, err)
	scripts, err := filepath.Glob("../examples/*/*.sh")
	require.NoError(t, err)
	secret := regexp.MustCompile(`(?i)\bcurl\b[^|]*(authorization:|x-vault-token:|client_secret=|refresh_token=\$|[^_]token=\$|code=\$)`)
	for _, file := range append(append(pages, "../README.md"), scripts...) {
		if filepath.Base(file) == "reference.md" {
			continue // of which each request has the header, as in Vault's own reference
		}
		content, err := os.ReadFile(file)
		require.NoError(t, err)
		for line := range strings.Lines(strings.ReplaceAll(string(content), "\\\n", " ")) {
			require.NotRegexp(t, secret, line, file)
		}
	}
}

// Otherwise the injector mounts the Vault token into every container.
// Source: hashicorp/vault-k8s, AnnotationAgentInjectContainers.
func TestExamples_TheInjectorGivesTheVaultTokenToTheTokenServerAlone(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile(filepath.Join(examplesDir, "kubernetes", "token-server-sidecar.yaml"))
	require.NoError(t, err)
	var manifest struct {
		Metadata struct {
			Annotations map[string]string `yaml:"annotations"`
		} `yaml:"metadata"`
	}
	require.NoError(t, yaml.Unmarshal(content, &manifest))
	require.Equal(t, "zoho-token-server", manifest.Metadata.Annotations["vault.hashicorp.com/agent-inject-containers"])
	spec, ok := manifests(t, "token-server-sidecar.yaml")["Pod"].(*pod)
	require.True(t, ok)
	require.Equal(t, "zoho-token-server", spec.InitContainers[0].Name)
	for _, container := range spec.Containers {
		require.NotEqual(t, "zoho-token-server", container.Name)
	}
}

// exampleWithHostileMetadata is an example whose role was written by somebody with bad intentions.
func exampleWithHostileMetadata(t *testing.T, name string, life time.Duration) *example {
	t.Helper()
	e := newExample(t, name, life)
	e.write("roles/crm-sync", map[string]any{"metadata": hostileMetadata()})
	t.Cleanup(func() { requireUntouched(t, e.dir) })
	return e
}
