package test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclparse"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"
)

// Except for External Secrets', which make test-kubernetes applies, and that of the CSI
// driver, these manifests are not applied. What is checked is that they parse, have no
// field that their kind does not have, and those that it needs.

// The kinds, with the fields that the examples use. A field that is not here is
// an error: look it up in the definition before you add it.
//
// Sources: hashicorp/vault-secrets-operator, config/crd/bases (v1beta1);
// external-secrets/external-secrets, config/crds/bases (v1, v1alpha1) and its
// page on the generator; kubernetes-sigs/secrets-store-csi-driver,
// config/crd/bases (v1), and the page on Vault's provider.
type (
	metadata struct {
		Name      string `yaml:"name"`
		Namespace string `yaml:"namespace"`

		Annotations map[string]string `yaml:"annotations"`
	}
	vaultConnection struct {
		Address string `yaml:"address"`
	}
	vaultAuth struct {
		VaultConnectionRef string `yaml:"vaultConnectionRef"`
		Method             string `yaml:"method"`
		Mount              string `yaml:"mount"`
		Kubernetes         struct {
			Role           string   `yaml:"role"`
			ServiceAccount string   `yaml:"serviceAccount"`
			Audiences      []string `yaml:"audiences"`
		} `yaml:"kubernetes"`
	}
	operatorSecret struct {
		VaultAuthRef   string `yaml:"vaultAuthRef"`
		Mount          string `yaml:"mount"`
		Path           string `yaml:"path"`
		RenewalPercent int    `yaml:"renewalPercent"`
		Revoke         bool   `yaml:"revoke"`
		Destination    struct {
			Name           string `yaml:"name"`
			Create         bool   `yaml:"create"`
			Transformation struct {
				ExcludeRaw bool     `yaml:"excludeRaw"`
				Includes   []string `yaml:"includes"`
			} `yaml:"transformation"`
		} `yaml:"destination"`
		RolloutRestartTargets []struct {
			Kind string `yaml:"kind"`
			Name string `yaml:"name"`
		} `yaml:"rolloutRestartTargets"`
	}
	generator struct {
		Path       string `yaml:"path"`
		Method     string `yaml:"method"`
		ResultType string `yaml:"resultType"`
		Provider   struct {
			Server string `yaml:"server"`
			Auth   struct {
				Kubernetes struct {
					MountPath         string `yaml:"mountPath"`
					Role              string `yaml:"role"`
					ServiceAccountRef struct {
						Name      string   `yaml:"name"`
						Audiences []string `yaml:"audiences"`
					} `yaml:"serviceAccountRef"`
				} `yaml:"kubernetes"`
			} `yaml:"auth"`
		} `yaml:"provider"`
	}
	externalSecret struct {
		RefreshInterval string `yaml:"refreshInterval"`
		Target          struct {
			Name           string `yaml:"name"`
			CreationPolicy string `yaml:"creationPolicy"`
			Template       struct {
				Data map[string]string `yaml:"data"`
			} `yaml:"template"`
		} `yaml:"target"`
		DataFrom []struct {
			SourceRef struct {
				GeneratorRef struct {
					APIVersion string `yaml:"apiVersion"`
					Kind       string `yaml:"kind"`
					Name       string `yaml:"name"`
				} `yaml:"generatorRef"`
			} `yaml:"sourceRef"`
		} `yaml:"dataFrom"`
	}
	secretProviderClass struct {
		Provider   string `yaml:"provider"`
		Parameters struct {
			RoleName string `yaml:"roleName"`
			Audience string `yaml:"audience"`
			Objects  string `yaml:"objects"`
		} `yaml:"parameters"`
	}
	csiObject struct {
		ObjectName string `yaml:"objectName"`
		SecretPath string `yaml:"secretPath"`
		SecretKey  string `yaml:"secretKey"`
	}
	pod struct {
		ServiceAccountName string      `yaml:"serviceAccountName"`
		InitContainers     []container `yaml:"initContainers"`
		Containers         []container `yaml:"containers"`
		SecurityContext    struct {
			RunAsNonRoot bool `yaml:"runAsNonRoot"`
			RunAsUser    int  `yaml:"runAsUser"`
			RunAsGroup   int  `yaml:"runAsGroup"`
			FSGroup      int  `yaml:"fsGroup"`
		} `yaml:"securityContext"`
		Volumes []struct {
			Name string `yaml:"name"`
			CSI  struct {
				Driver           string            `yaml:"driver"`
				ReadOnly         bool              `yaml:"readOnly"`
				VolumeAttributes map[string]string `yaml:"volumeAttributes"`
			} `yaml:"csi"`
			EmptyDir struct {
				Medium    string `yaml:"medium"`
				SizeLimit string `yaml:"sizeLimit"`
			} `yaml:"emptyDir"`
		} `yaml:"volumes"`
	}
	// Source: kubernetes/api, core/v1, type Container.
	container struct {
		Name          string   `yaml:"name"`
		Image         string   `yaml:"image"`
		Command       []string `yaml:"command"`
		Args          []string `yaml:"args"`
		RestartPolicy string   `yaml:"restartPolicy"`
		Env           []struct {
			Name  string `yaml:"name"`
			Value string `yaml:"value"`
		} `yaml:"env"`
		StartupProbe struct {
			Exec struct {
				Command []string `yaml:"command"`
			} `yaml:"exec"`
			PeriodSeconds int `yaml:"periodSeconds"`
		} `yaml:"startupProbe"`
		SecurityContext struct {
			AllowPrivilegeEscalation *bool `yaml:"allowPrivilegeEscalation"`
			ReadOnlyRootFilesystem   bool  `yaml:"readOnlyRootFilesystem"`
			Capabilities             struct {
				Drop []string `yaml:"drop"`
			} `yaml:"capabilities"`
			SeccompProfile struct {
				Type string `yaml:"type"`
			} `yaml:"seccompProfile"`
		} `yaml:"securityContext"`
		Resources struct {
			Requests map[string]string `yaml:"requests"`
			Limits   map[string]string `yaml:"limits"`
		} `yaml:"resources"`
		VolumeMounts []struct {
			Name      string `yaml:"name"`
			MountPath string `yaml:"mountPath"`
			ReadOnly  bool   `yaml:"readOnly"`
		} `yaml:"volumeMounts"`
	}
)

// vaultAudience is that of the auth method's role in using.md, for which the manifests ask Kubernetes for a token.
const vaultAudience = "vault"

func TestUsing_TheRoleOfTheKubernetesAuthMethodHasTheAudienceOfTheManifests(t *testing.T) {
	t.Parallel()
	require.Contains(t, strings.Join(section(t, using, "External Secrets"), "\n"), "audience="+vaultAudience+" ")
}

// manifests returns the specs of a file's documents, each in its kind's type.
func manifests(t *testing.T, name string) map[string]any {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(examplesDir, "kubernetes", name))
	require.NoError(t, err)
	kinds := map[string]func() any{
		"secrets.hashicorp.com/v1beta1 VaultConnection":              func() any { return &vaultConnection{} },
		"secrets.hashicorp.com/v1beta1 VaultAuth":                    func() any { return &vaultAuth{} },
		"secrets.hashicorp.com/v1beta1 VaultDynamicSecret":           func() any { return &operatorSecret{} },
		"generators.external-secrets.io/v1alpha1 VaultDynamicSecret": func() any { return &generator{} },
		"external-secrets.io/v1 ExternalSecret":                      func() any { return &externalSecret{} },
		"secrets-store.csi.x-k8s.io/v1 SecretProviderClass":          func() any { return &secretProviderClass{} },
		"v1 Pod": func() any { return &pod{} },
	}
	specs := make(map[string]any)
	for documents := yaml.NewDecoder(bytes.NewReader(content)); ; {
		var doc struct {
			APIVersion string    `yaml:"apiVersion"`
			Kind       string    `yaml:"kind"`
			Metadata   metadata  `yaml:"metadata"`
			Spec       yaml.Node `yaml:"spec"`
		}
		documents.KnownFields(true)
		err := documents.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return specs
		}
		require.NoError(t, err)
		require.NotEmpty(t, doc.Metadata.Name)
		require.Equal(t, "crm", doc.Metadata.Namespace)
		newSpec, known := kinds[doc.APIVersion+" "+doc.Kind]
		require.True(t, known, "%s %s", doc.APIVersion, doc.Kind)
		spec := newSpec()
		strictly(t, &doc.Spec, spec)
		specs[doc.Kind] = spec
	}
}

// strictly decodes a node that may have no other fields than into.
func strictly(t *testing.T, from *yaml.Node, into any) {
	t.Helper()
	encoded, err := yaml.Marshal(from)
	require.NoError(t, err)
	decoder := yaml.NewDecoder(bytes.NewReader(encoded))
	decoder.KnownFields(true)
	require.NoError(t, decoder.Decode(into))
}

func TestExamples_VaultSecretsOperatorsManifestIsWellFormed(t *testing.T) {
	t.Parallel()
	specs := manifests(t, "vault-secrets-operator.yaml")
	connection, ok := specs["VaultConnection"].(*vaultConnection)
	require.True(t, ok)
	require.NotEmpty(t, connection.Address)
	auth, ok := specs["VaultAuth"].(*vaultAuth)
	require.True(t, ok)
	require.Equal(t, "vault", auth.VaultConnectionRef, "the name of the VaultConnection")
	require.Equal(t, []string{vaultAudience}, auth.Kubernetes.Audiences)
	require.Equal(t, "kubernetes", auth.Method)
	require.NotEmpty(t, auth.Kubernetes.Role)
	require.NotEmpty(t, auth.Kubernetes.ServiceAccount)
	secret, ok := specs["VaultDynamicSecret"].(*operatorSecret)
	require.True(t, ok)
	require.Equal(t, "zoho", secret.Mount)
	require.Equal(t, "creds/crm-sync", secret.Path)
	require.NotEmpty(t, secret.Destination.Name)
	require.InDelta(t, 67, secret.RenewalPercent, 23, "the definition's maximum is 90")
	requireAnswered(t, secret.Destination.Transformation.Includes)
}

func TestExamples_ExternalSecretsManifestIsWellFormed(t *testing.T) {
	t.Parallel()
	specs := manifests(t, "external-secrets.yaml")
	from, ok := specs["VaultDynamicSecret"].(*generator)
	require.True(t, ok)
	require.Equal(t, "zoho/creds/crm-sync", from.Path)
	require.NotEmpty(t, from.Provider.Server)
	require.Equal(t, []string{vaultAudience}, from.Provider.Auth.Kubernetes.ServiceAccountRef.Audiences)
	require.NotEmpty(t, from.Provider.Auth.Kubernetes.MountPath)
	require.NotEmpty(t, from.Provider.Auth.Kubernetes.Role)
	secret, ok := specs["ExternalSecret"].(*externalSecret)
	require.True(t, ok)
	interval, err := time.ParseDuration(secret.RefreshInterval)
	require.NoError(t, err)
	require.Less(t, interval, time.Hour/6, "a token that is read has at least min_ttl left")
	require.Equal(t, "VaultDynamicSecret", secret.DataFrom[0].SourceRef.GeneratorRef.Kind)
	var fields []string
	for name, value := range secret.Target.Template.Data {
		require.Equal(t, "{{ ."+name+" }}", value)
		fields = append(fields, name)
	}
	requireAnswered(t, fields)
}

func TestExamples_SecretsStoreManifestIsWellFormed(t *testing.T) {
	t.Parallel()
	specs := manifests(t, "secrets-store-csi.yaml")
	class, ok := specs["SecretProviderClass"].(*secretProviderClass)
	require.True(t, ok)
	require.Equal(t, "vault", class.Provider)
	require.Equal(t, vaultAudience, class.Parameters.Audience)
	var objects []csiObject
	decoder := yaml.NewDecoder(strings.NewReader(class.Parameters.Objects))
	decoder.KnownFields(true)
	require.NoError(t, decoder.Decode(&objects))
	var fields []string
	for _, object := range objects {
		require.Equal(t, objects[0].SecretPath, object.SecretPath, "all files are of one read")
		require.Equal(t, "zoho/creds/crm-sync?min_ttl=30m", object.SecretPath)
		fields = append(fields, object.SecretKey)
	}
	requireAnswered(t, fields)
	user, ok := specs["Pod"].(*pod)
	require.True(t, ok)
	require.Equal(t, "secrets-store.csi.k8s.io", user.Volumes[0].CSI.Driver)
	require.Equal(t, "zoho", user.Volumes[0].CSI.VolumeAttributes["secretProviderClass"])
	require.Equal(t, user.Volumes[0].Name, user.Containers[0].VolumeMounts[0].Name)
}

// requireAnswered checks that a manifest picks fields which a read of creds has.
func requireAnswered(t *testing.T, fields []string) {
	t.Helper()
	require.NotEmpty(t, fields)
	for _, field := range fields {
		require.Contains(t, []string{"authorization", "api_domain", "token_id"}, strings.Trim(field, "^$"))
	}
}

// What the resources of Terraform's Vault provider take, as far as it is used.
// Source: hashicorp/terraform-provider-vault, docs of the resources.
func terraformResources() map[string][]string {
	return map[string][]string{
		"vault_plugin":           {"type", "name", "command", "version", "sha256"},
		"vault_mount":            {"path", "type", "plugin_version", "audit_non_hmac_response_keys"},
		"vault_generic_endpoint": {"path", "data_json", "ignore_absent_fields", "depends_on"},
		"vault_policy":           {"name", "policy"},
	}
}

func TestExamples_TerraformIsWellFormed(t *testing.T) {
	t.Parallel()
	name := filepath.Join(examplesDir, "terraform", "main.tf")
	file, diagnostics := hclparse.NewParser().ParseHCLFile(name)
	require.False(t, diagnostics.HasErrors(), diagnostics.Error())
	body, ok := file.Body.(*hclsyntax.Body)
	require.True(t, ok)
	declared := make(map[string]bool)
	for _, block := range body.Blocks {
		declared[strings.Join(block.Labels, ".")] = true
		if block.Type == "variable" {
			declared["var."+block.Labels[0]] = true
		}
	}
	for _, block := range body.Blocks {
		requireDeclared(t, block, declared)
		if block.Type != "resource" {
			continue
		}
		known := terraformResources()[block.Labels[0]]
		require.NotEmpty(t, known, block.Labels[0])
		for attribute := range block.Body.Attributes {
			require.Contains(t, known, attribute, block.Labels)
		}
		for _, nested := range block.Body.Blocks {
			require.Equal(t, "lifecycle", nested.Type, block.Labels)
		}
	}
	bin, err := exec.LookPath("terraform")
	if err != nil {
		t.Log("terraform is not installed, so its own parser has not seen the file")
		return
	}
	out, err := exec.CommandContext(t.Context(), bin, "fmt", "-check", "-diff", filepath.Dir(name)).CombinedOutput()
	require.NoError(t, err, string(out))
}

// requireDeclared checks that what a block refers to is there.
func requireDeclared(t *testing.T, block *hclsyntax.Block, declared map[string]bool) {
	t.Helper()
	for name, attribute := range block.Body.Attributes {
		if block.Type == "variable" && name == "type" {
			continue // a type, which looks like a reference
		}
		for _, reference := range attribute.Expr.Variables() {
			root := reference.RootName()
			if root == "path" {
				continue // of the module
			}
			if kind, ok := reference[1].(hcl.TraverseAttr); ok && root == "ephemeral" {
				root, reference = kind.Name, reference[1:]
			}
			second, ok := reference[1].(hcl.TraverseAttr)
			require.True(t, ok)
			require.True(t, declared[root+"."+second.Name], "%s.%s is not declared", root, second.Name)
		}
	}
}
