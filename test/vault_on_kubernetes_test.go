package test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2/hclparse"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"vault-plugin-secrets-zoho/bootstrap"
	"vault-plugin-secrets-zoho/zohosim"
)

const vaultOnKubernetesPage = "docs/vault-on-kubernetes.md"

// The chart's values, as far as the example uses them. Source: hashicorp/vault-helm,
// values.schema.json.
type helmValues struct {
	Server struct {
		Volumes []struct {
			Name     string         `yaml:"name"`
			EmptyDir map[string]any `yaml:"emptyDir"`
		} `yaml:"volumes"`
		VolumeMounts []struct {
			Name      string `yaml:"name"`
			MountPath string `yaml:"mountPath"`
			ReadOnly  bool   `yaml:"readOnly"`
		} `yaml:"volumeMounts"`
		ExtraInitContainers []container `yaml:"extraInitContainers"`
		HA                  struct {
			Enabled bool `yaml:"enabled"`
			Raft    struct {
				Enabled bool   `yaml:"enabled"`
				Config  string `yaml:"config"`
			} `yaml:"raft"`
		} `yaml:"ha"`
	} `yaml:"server"`
}

func TestExamples_HelmValuesPutThePluginWhereVaultLooksForIt(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile(filepath.Join(examplesDir, "vault-on-kubernetes", "values.yaml"))
	require.NoError(t, err)
	var values helmValues
	decoder := yaml.NewDecoder(strings.NewReader(string(content)))
	decoder.KnownFields(true)
	require.NoError(t, decoder.Decode(&values))

	config, diagnostics := hclparse.NewParser().ParseHCL([]byte(values.Server.HA.Raft.Config), "config")
	require.False(t, diagnostics.HasErrors(), diagnostics.Error())
	body, ok := config.Body.(*hclsyntax.Body)
	require.True(t, ok)
	require.Contains(t, body.Attributes, "plugin_directory")
	dir, diagnostics := body.Attributes["plugin_directory"].Expr.Value(nil)
	require.False(t, diagnostics.HasErrors(), diagnostics.Error())
	require.Equal(t, values.Server.VolumeMounts[0].MountPath, dir.AsString())

	initial := values.Server.ExtraInitContainers[0]
	require.Equal(t, values.Server.Volumes[0].Name, values.Server.VolumeMounts[0].Name)
	require.Equal(t, values.Server.Volumes[0].Name, initial.VolumeMounts[0].Name)
	copied := initial.Command[len(initial.Command)-1]
	require.Equal(t, filepath.Join(initial.VolumeMounts[0].MountPath, bootstrap.PluginName), copied)

	dockerfile, err := os.ReadFile(filepath.Join(examplesDir, "vault-on-kubernetes", "Dockerfile"))
	require.NoError(t, err)
	require.Contains(t, string(dockerfile), " "+values.Server.VolumeMounts[0].MountPath+"/"+bootstrap.PluginName+"\n")
}

// There is no cluster here that has pods, so kubectl is not run.
func TestVaultOnKubernetesPage_ItsOtherCommandsWork(t *testing.T) {
	t.Parallel()
	r := pageReader{newReader(t, zohosim.SelfClient)}
	require.NoError(t, r.server.InstallPlugin(env.plugin))
	commands := commandsOf(t, vaultOnKubernetesPage)
	require.Len(t, commands, 3)
	require.True(t, strings.HasPrefix(commands[0], "kubectl exec "))
	for _, command := range commands[1:] {
		r.runs(strings.ReplaceAll(command, "<sha256>", env.plugin.SHA256))
	}
	require.Contains(t, r.runs("vault read zoho/info"), env.plugin.Version)
}

// The injector runs Vault Agent with the template that the pod's annotation has.
func TestExamples_TheInjectorsTemplateRendersATokenThatIsAlive(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile(filepath.Join(examplesDir, "kubernetes", "injector.yaml"))
	require.NoError(t, err)
	_, ok := manifests(t, "injector.yaml")["Pod"].(*pod)
	require.True(t, ok)
	var manifest struct {
		Metadata metadata `yaml:"metadata"`
	}
	require.NoError(t, yaml.Unmarshal(content, &manifest))
	annotations := manifest.Metadata.Annotations
	require.Equal(t, "zoho/creds/crm-sync", annotations["vault.hashicorp.com/agent-inject-secret-zoho.env"])

	m := newMount(t, zohosim.Options{})
	dir := t.TempDir()
	template := filepath.Join(dir, "zoho.env.ctmpl")
	text := strings.ReplaceAll(annotations["vault.hashicorp.com/agent-inject-template-zoho.env"], "zoho/creds/", m.path+"/creds/")
	require.NoError(t, os.WriteFile(template, []byte(text), 0o600))
	config := m.agentConfig(dir, `
template {
  source      = "`+template+`"
  destination = "`+filepath.Join(dir, "zoho.env")+`"
  error_on_missing_key = true
}`)
	agent, err := m.server.StartCLI(t.Context(), "", m.path+"-agent.log", "agent", "-config="+config)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, agent.Stop()) })
	eventually(t, "the file", func() bool { _, err := os.Stat(filepath.Join(dir, "zoho.env")); return err == nil })
	header := inShell(t, "sh", dir, `. ./zoho.env; printf %s "$ZOHO_AUTHORIZATION"`)
	token, found := strings.CutPrefix(header, "Zoho-oauthtoken ")
	require.True(t, found)
	keepSecret("access token", token)
	require.True(t, m.sim.Alive(token))
}
