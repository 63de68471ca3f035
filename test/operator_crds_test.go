package test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"
)

// schema is what a definition of a Kubernetes resource says of a value.
type schema struct {
	Type       string            `yaml:"type"`
	Properties map[string]schema `yaml:"properties"`
	Additional any               `yaml:"additionalProperties"`
	Required   []string          `yaml:"required"`
	Items      *schema           `yaml:"items"`
	Enum       []any             `yaml:"enum"`
	Pattern    string            `yaml:"pattern"`
	Minimum    *float64          `yaml:"minimum"`
	Maximum    *float64          `yaml:"maximum"`
	MinLength  int               `yaml:"minLength"`
	Default    any               `yaml:"default"`
}

// The definitions are in the operator's repository, and not here. VAULT_SECRETS_OPERATOR_CRDS names the directory
// config/crd/bases of a release.
func TestExamples_TheManifestOfTheVaultSecretsOperatorKeepsToItsDefinitions(t *testing.T) {
	t.Parallel()
	const variable = "VAULT_SECRETS_OPERATOR_CRDS"
	dir := os.Getenv(variable)
	var err error
	if dir == "" {
		err = errors.New(variable + " names none")
	}
	wants(t, "the Vault Secrets Operator's definitions (VAULT_SECRETS_OPERATOR_CRDS)", err)
	definitions := definitionsIn(t, dir)
	content, err := os.ReadFile(filepath.Join(examplesDir, "kubernetes", "vault-secrets-operator.yaml"))
	require.NoError(t, err)
	for documents := yaml.NewDecoder(bytes.NewReader(content)); ; {
		var resource map[string]any
		err := documents.Decode(&resource)
		if errors.Is(err, io.EOF) {
			return
		}
		require.NoError(t, err)
		kind, ok := resource["kind"].(string)
		require.True(t, ok)
		version, ok := resource["apiVersion"].(string)
		require.True(t, ok)
		definition, found := definitions[version+" "+kind]
		require.True(t, found, "%s %s is not defined", version, kind)
		definition.Properties["metadata"] = schema{Type: "object", Additional: true}
		definition.fits(t, kind, resource)
	}
}

// definitionsIn are the schemas in a directory's files, by version and kind.
func definitionsIn(t *testing.T, dir string) map[string]schema {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	found := map[string]schema{}
	for _, file := range files {
		content, err := os.ReadFile(file)
		require.NoError(t, err)
		var definition struct {
			Spec struct {
				Group string `yaml:"group"`
				Names struct {
					Kind string `yaml:"kind"`
				} `yaml:"names"`
				Versions []struct {
					Name   string `yaml:"name"`
					Schema struct {
						V3 schema `yaml:"openAPIV3Schema"`
					} `yaml:"schema"`
				} `yaml:"versions"`
			} `yaml:"spec"`
		}
		require.NoError(t, yaml.Unmarshal(content, &definition))
		for _, version := range definition.Spec.Versions {
			found[definition.Spec.Group+"/"+version.Name+" "+definition.Spec.Names.Kind] = version.Schema.V3
		}
	}
	return found
}

// fits requires that a value is as its definition says, and has nothing that it does not say.
func (s schema) fits(t *testing.T, where string, value any) {
	t.Helper()
	if len(s.Enum) > 0 {
		require.True(t, slices.Contains(s.Enum, value), "%s may not be %v", where, value)
	}
	switch value := value.(type) {
	case map[string]any:
		require.Equal(t, "object", s.Type, where)
		for _, name := range s.Required {
			require.True(t, value[name] != nil || s.Properties[name].Default != nil, "%s has no field %s", where, name)
		}
		for name, field := range value {
			known, defined := s.Properties[name]
			require.True(t, defined || s.Additional != nil, "%s has no field %s", where, name)
			if defined {
				known.fits(t, where+"."+name, field)
			}
		}
	case []any:
		require.Equal(t, "array", s.Type, where)
		for _, item := range value {
			s.Items.fits(t, where, item)
		}
	case string:
		require.Equal(t, "string", s.Type, where)
		require.GreaterOrEqual(t, len(value), s.MinLength, where)
		require.Regexp(t, regexp.MustCompile(s.Pattern), value, where)
	case int:
		require.Equal(t, "integer", s.Type, where)
		require.True(t, s.Minimum == nil || float64(value) >= *s.Minimum, where)
		require.True(t, s.Maximum == nil || float64(value) <= *s.Maximum, where)
	case bool:
		require.Equal(t, "boolean", s.Type, where)
	default:
		require.Fail(t, "a value of another kind", "%s: %v", where, value)
	}
}
