package zohosecrets

import (
	"net/http"
	"testing"

	"github.com/hashicorp/vault/sdk/logical"
	"github.com/stretchr/testify/require"
)

// What Vault 1.21 sends to a plugin of a path with an empty part. The command line and
// Vault's HTTP server make one slash of two, and the command line takes one away at the end;
// a slash that is written as %2F arrives.
func TestEmptyName_IsSaidWhereverAPathHasOne(t *testing.T) {
	t.Parallel()
	m, _ := newWorld(t)
	before := m.stored()
	const variable = "if it is in a variable, that is empty"
	for path, c := range map[string]struct {
		operations []logical.Operation
		says       string
	}{
		"roles":              {[]logical.Operation{logical.ReadOperation, logical.UpdateOperation, logical.PatchOperation, logical.DeleteOperation}, "the name of the role is missing at the end of the path"},
		"roles/":             {[]logical.Operation{logical.ReadOperation, logical.DeleteOperation}, "the name of the role is missing at the end of the path"},
		"creds":              {[]logical.Operation{logical.ReadOperation, logical.UpdateOperation}, "the name of the role is missing at the end of the path"},
		"creds/":             {[]logical.Operation{logical.ReadOperation}, "the name of the role is missing at the end of the path"},
		"tokens":             {[]logical.Operation{logical.ReadOperation, logical.DeleteOperation}, "the token_id is missing at the end of the path"},
		"tokens/":            {[]logical.Operation{logical.ReadOperation, logical.DeleteOperation}, "the token_id is missing at the end of the path"},
		"roles//deauthorize": {[]logical.Operation{logical.UpdateOperation}, "a part of the path is missing"},
		"roles//":            {[]logical.Operation{logical.ReadOperation, logical.DeleteOperation}, "a part of the path is missing"},
		"creds//":            {[]logical.Operation{logical.ReadOperation}, "a part of the path is missing"},
		"tokens//lookup":     {[]logical.Operation{logical.UpdateOperation}, "a part of the path is missing"},
		"roles/deauthorize":  {[]logical.Operation{logical.CreateOperation, logical.PatchOperation}, `the name of the role is missing before deauthorize: <mount>/roles/<name>/deauthorize`},
		"roles/authorize":    {[]logical.Operation{logical.CreateOperation}, "<mount>/roles/<name>/authorize"},
		"roles/rotate":       {[]logical.Operation{logical.CreateOperation}, "<mount>/roles/<name>/rotate"},
		"roles/status":       {[]logical.Operation{logical.ReadOperation}, "<mount>/roles/<name>/status"},
	} {
		for _, op := range c.operations {
			got := m.send(op, path, nil)
			m.requireRefused(got, before, path, c.says, variable)
		}
	}
	require.Equal(t, []string{"crm-sync"}, m.list("roles/").done(t).Data["keys"])
	require.Equal(t, []string{"crm-sync"}, m.list("roles").done(t).Data["keys"])
}

func TestEmptyName_ARoleMayHaveTheNameOfAnAction(t *testing.T) {
	t.Parallel()
	m, z := newWorld(t)
	m.write("roles/status", z.role()).done(t)
	require.Equal(t, "status", m.read("roles/status").done(t).Data["name"])
	m.read("creds/status").done(t)
	got := m.write("roles/status", fields{"min_ttl": "2h"})
	require.Equal(t, http.StatusBadRequest, got.status)
	require.NotContains(t, got.text, "is missing before")
	require.Empty(t, m.read("roles/nobody").text, "no such role is no error")
}
