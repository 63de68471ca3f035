package secret_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend/secret"
)

func TestValue_IsRedactedByEveryVerbEncoderAndLogger(t *testing.T) {
	const plain = "1000.0123456789abcdef.fedcba9876543210"
	v := secret.New(plain)
	type holder struct{ Secret secret.Value }
	type hidden struct{ secret secret.Value }

	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t"} {
		fmt.Fprintf(&out, verb+verb+verb+verb, v, &v, holder{v}, hidden{v})
	}
	encoded, err := json.Marshal(map[string]any{"a": v, "b": &v, "c": holder{v}})
	require.NoError(t, err)
	out.Write(encoded)
	for _, asJSON := range []bool{true, false} {
		log := hclog.New(&hclog.LoggerOptions{Output: &out, Level: hclog.Trace, JSONFormat: asJSON})
		log.Info("entry", "secret", v, "holder", holder{v}, "pointer", &v)
	}

	require.NotContains(t, out.String(), plain)
	require.NotContains(t, out.String(), fmt.Sprintf("%x", plain))
	require.Equal(t, plain, v.Reveal())
}

func TestValue_CannotBeDecodedFromJSON(t *testing.T) {
	var v secret.Value
	require.Error(t, json.Unmarshal([]byte(`"plain"`), &v)) //nolint:staticcheck // SA9005: that nothing can be decoded is what is tested
}
