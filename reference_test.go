package zohosecrets

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/stretchr/testify/require"
)

const referenceFile = "docs/reference.md"

// TestReference_IsGeneratedFromTheSchemas fails when a path or field has changed
// and the page has not. `make docs` writes it anew.
func TestReference_IsGeneratedFromTheSchemas(t *testing.T) {
	page := reference(newMount(t).inner.Paths)
	if slices.Contains(flag.Args(), "write-reference") {
		require.NoError(t, os.WriteFile(referenceFile, page, 0o600))
	}
	stored, err := os.ReadFile(referenceFile)
	require.NoError(t, err)
	require.True(t, bytes.Equal(stored, page), "%s is out of date; run make docs", referenceFile)
}

// reference writes the page of all paths and fields.
func reference(paths []*framework.Path) []byte {
	var page bytes.Buffer
	page.WriteString("# Reference of paths and fields\n\nGenerated from the plugin's schemas by `make docs`. Paths are below the mount, `zoho/` by convention. Durations are read back in seconds.\n")
	for _, path := range paths {
		fmt.Fprintf(&page, "\n## `%s`\n\n%s\n\n", readablePattern(path.Pattern), path.HelpSynopsis)
		page.WriteString("| operation | what it does | HTTP |\n|---|---|---|\n")
		for _, op := range slices.Sorted(maps.Keys(path.Operations)) {
			props := path.Operations[op].Properties()
			fmt.Fprintf(&page, "| %s | %s | %s |\n", op, props.Summary, httpOf(op))
		}
		fieldTable(&page, "Fields", path.Fields)
		for _, op := range slices.Sorted(maps.Keys(path.Operations)) {
			for _, status := range slices.Sorted(maps.Keys(path.Operations[op].Properties().Responses)) {
				for _, response := range path.Operations[op].Properties().Responses[status] {
					fieldTable(&page, fmt.Sprintf("Answer to %s (HTTP %d)", op, status), response.Fields)
				}
			}
		}
		fmt.Fprintf(&page, "\n%s\n", strings.TrimSpace(path.HelpDescription))
	}
	return page.Bytes()
}

func fieldTable(page *bytes.Buffer, title string, fields map[string]*framework.FieldSchema) {
	if len(fields) == 0 {
		return
	}
	fmt.Fprintf(page, "\n%s:\n\n| field | type | default | |\n|---|---|---|---|\n", title)
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		f := fields[name]
		fallback := ""
		if f.Default != nil {
			fallback = fmt.Sprintf("`%v`", f.Default)
			if f.Type == framework.TypeDurationSecond {
				fallback = fmt.Sprintf("`%vs`", f.Default)
			}
		}
		fmt.Fprintf(page, "| `%s` | %s | %s | %s |\n", name, f.Type, fallback, strings.ReplaceAll(f.Description, "|", "\\|"))
	}
}

// readablePattern turns a path's regular expression into what one types.
func readablePattern(pattern string) string {
	pattern = strings.ReplaceAll(pattern, nameRegex, ":name")
	pattern = strings.ReplaceAll(pattern, "(?P<token_id>[^/]+)", ":token_id")
	return strings.TrimSuffix(pattern, "?$")
}

func httpOf(op logical.Operation) string {
	return map[logical.Operation]string{
		logical.CreateOperation: "POST", logical.UpdateOperation: "POST", logical.PatchOperation: "PATCH",
		logical.ReadOperation: "GET", logical.DeleteOperation: "DELETE", logical.ListOperation: "LIST",
	}[op]
}
