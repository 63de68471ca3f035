package zohosecrets

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/helper/testhelpers/schema"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/stretchr/testify/require"
)

func TestDocumentation_EveryPathAndOperationIsComplete(t *testing.T) {
	t.Parallel()
	b := newMount(t).inner
	require.NotEmpty(t, b.Help)
	for _, path := range b.Paths {
		require.NotEmpty(t, path.HelpSynopsis, path.Pattern)
		require.NotEmpty(t, strings.TrimSpace(path.HelpDescription), path.Pattern)
		require.NotNil(t, path.DisplayAttrs, path.Pattern)
		require.Equal(t, "zoho", path.DisplayAttrs.OperationPrefix, path.Pattern)
		require.NotEmpty(t, path.Operations, path.Pattern)
		requireDescribed(t, path.Pattern, path.Fields)
		for op, handler := range path.Operations {
			about, what := handler.Properties(), path.Pattern+" "+string(op)
			require.NotEmpty(t, about.Summary, what)
			require.NotNil(t, about.DisplayAttrs, what)
			require.NotEmpty(t, about.DisplayAttrs.OperationVerb, what)
			require.NotEmpty(t, about.DisplayAttrs.OperationSuffix, what)
			require.NotEmpty(t, about.Responses, what)
			for status, responses := range about.Responses {
				require.Contains(t, []int{http.StatusOK, http.StatusNoContent}, status, what)
				for _, response := range responses {
					require.NotEmpty(t, response.Description, what)
					isPage := response.MediaType == "text/html"
					require.Equal(t, status == http.StatusOK, response.MediaType != "" || len(response.Fields) > 0, "%s: a 200 has fields and a 204 has none", what)
					require.Equal(t, urlOf(path, "x") == "callback", isPage, "%s: only a browser gets a page", what)
					isText := response.MediaType == "text/plain"
					require.Equal(t, urlOf(path, "x") == "metrics", isText, "%s: only Prometheus gets text", what)
					requireDescribed(t, what, response.Fields)
				}
			}
		}
	}
}

func requireDescribed(t *testing.T, what string, fields map[string]*framework.FieldSchema) {
	t.Helper()
	for name, field := range fields {
		require.NotEqual(t, framework.TypeInvalid, field.Type, "%s: %s", what, name)
		require.Regexp(t, `^[A-Z].*\.$`, field.Description, "%s: %s is described in sentences", what, name)
	}
}

func TestDocumentation_SecretFieldsAreMarkedAsSuch(t *testing.T) {
	t.Parallel()
	for _, path := range newMount(t).inner.Paths {
		all := []map[string]*framework.FieldSchema{path.Fields}
		for _, handler := range path.Operations {
			for _, response := range handler.Properties().Responses[http.StatusOK] {
				all = append(all, response.Fields)
			}
		}
		for _, fields := range all {
			for _, name := range []string{"client_secret", "refresh_token", "code", "state", "token", "access_token", "authorization"} {
				if field := fields[name]; field != nil && !isStateOfGrant(path, name) {
					require.NotNil(t, field.DisplayAttrs, name)
					require.True(t, field.DisplayAttrs.Sensitive, name)
				}
			}
		}
	}
}

// isStateOfGrant: two things are called state. That of an authorization is a
// secret, and only the callback has it as a field.
func isStateOfGrant(path *framework.Path, field string) bool {
	return field == "state" && urlOf(path, "x") != "callback"
}

// A real answer of each operation, in the status and with the fields that the
// schema says.
func TestDocumentation_AnswersAreWhatTheSchemaSays(t *testing.T) {
	t.Parallel()
	m, z := newWorld(t)
	m.write("roles/other", goodRole()).done(t)
	seen := map[string]bool{}
	check := func(op logical.Operation, url string, data fields) {
		t.Helper()
		path := m.inner.Route(url)
		require.NotNil(t, path, url)
		got := m.send(op, url, data).done(t)
		responses := path.Operations[op].Properties().Responses[got.status]
		require.Len(t, responses, 1, "%s %s answers HTTP %d, which its documentation does not have", op, url, got.status)
		if responses[0].MediaType != "" {
			require.Contains(t, got.Data[logical.HTTPContentType], responses[0].MediaType)
		} else {
			schema.ValidateResponse(t, &responses[0], got.Response, true)
		}
		if got.status == http.StatusOK {
			for field, described := range responses[0].Fields {
				method, _ := data["method"].(string)
				if said, isOfMethod := strings.CutPrefix(described.Description, "With method="); isOfMethod && !strings.HasPrefix(said, cmp.Or(method, "browser")+":") {
					continue
				}
				require.Contains(t, got.Data, field, "%s %s: documented, not answered", op, url)
			}
		}
		seen[path.Pattern+string(op)] = true
	}
	for _, op := range []logical.Operation{logical.CreateOperation, logical.UpdateOperation, logical.PatchOperation} {
		check(op, "config", z.config())
		check(op, "roles/crm-sync", z.role())
	}
	check(logical.ReadOperation, "config", nil)
	check(logical.ReadOperation, "roles/crm-sync", nil)
	check(logical.ListOperation, "roles/", nil)
	check(logical.ListOperation, "roles", nil)
	leased := m.read("creds/crm-sync").done(t)
	check(logical.ReadOperation, "creds/crm-sync", nil)
	check(logical.UpdateOperation, "creds/crm-sync", fields{"ttl": "15m"})
	check(logical.ReadOperation, "info", nil)
	check(logical.ListOperation, "tokens/", nil)
	check(logical.ListOperation, "clients/", nil)
	check(logical.ReadOperation, "metrics", nil)
	check(logical.ReadOperation, "tokens/"+fmt.Sprint(leased.Data["token_id"]), nil)
	check(logical.UpdateOperation, "tokens/lookup", fields{"token": leased.token()})
	check(logical.DeleteOperation, "tokens/"+fmt.Sprint(leased.Data["token_id"]), nil)
	check(logical.ReadOperation, "roles/crm-sync/status", nil)
	check(logical.UpdateOperation, "roles/crm-sync/rotate", nil)
	check(logical.UpdateOperation, "roles/crm-sync/deauthorize", nil)
	m.awaitsConsent(z)
	check(logical.UpdateOperation, "roles/person/authorize", nil)
	m.awaitsCode(z, "tv")
	check(logical.UpdateOperation, "roles/tv/authorize", fields{"method": "device"})
	check(logical.ReadOperation, "callback", m.agree("roles/person"))
	check(logical.DeleteOperation, "roles/crm-sync", nil)
	check(logical.DeleteOperation, "config", nil)
	for _, path := range m.inner.Paths {
		for op := range path.Operations {
			require.True(t, seen[path.Pattern+string(op)], "%s %s has no answer here", op, path.Pattern)
		}
	}
}

func TestDocumentation_PathHelpRenders(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	for url, says := range map[string][]string{
		"":         {"The Zoho secrets engine hands out access tokens", "^config$", "^creds/", "^roles/", "/authorize$", "/deauthorize$", "/rotate$", "/status$", "^callback$", "^info$"},
		"config":   {"data_center", "max_live_tokens", "sent only to the Accounts server for which it was written"},
		"roles/x":  {"refresh_token", "min_ttl", "grant_type", "soid", "scopes", "verify", "there are three ways to one", "address where a person consents"},
		"roles/":   {"List the roles"},
		"roles":    {"List the roles"},
		"creds/x":  {"min_ttl", "cannot be renewed"},
		"info":     {"version"},
		"callback": {"accounts-server", "It needs no Vault token", "one use within ten minutes"},

		"roles/x/status":      {"not Zoho"},
		"roles/x/authorize":   {"A person who", "redirect_uri"},
		"roles/x/deauthorize": {"force", "Revokes the role's refresh token at Zoho"},
		"roles/x/rotate":      {"Mints a new access token"},

		"config?x": nil,
	} {
		got := m.send(logical.HelpOperation, url, nil)
		if says == nil {
			require.Equal(t, http.StatusNotFound, got.status)
			continue
		}
		help, _ := got.done(t).Data["help"].(string)
		for _, part := range says {
			require.Contains(t, help, part, url)
		}
		require.NotContains(t, help, "<no value>", url)
		require.NotContains(t, help, "<missing", url)
	}
}

func TestDocumentation_OpenAPIHasEveryPathAndUniqueOperationIDs(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	encoded, err := json.Marshal(m.send(logical.HelpOperation, "", nil).done(t).Data["openapi"])
	require.NoError(t, err)
	var doc struct {
		Paths map[string]map[string]json.RawMessage `json:"paths"`
	}
	require.NoError(t, json.Unmarshal(encoded, &doc))
	require.Len(t, doc.Paths, len(m.inner.Paths))
	for _, path := range []string{
		"/callback", "/clients/", "/config", "/creds/{name}", "/info", "/roles/", "/roles/{name}", "/roles/{name}/authorize",
		"/roles/{name}/deauthorize", "/roles/{name}/rotate", "/roles/{name}/status", "/tokens/", "/tokens/{token_id}", "/tokens/lookup",
	} {
		require.Contains(t, doc.Paths, path)
	}
	operation := regexp.MustCompile(`"operationId":"([^"]+)"`)
	seen := map[string]string{}
	for path, operations := range doc.Paths {
		for method, text := range operations {
			id := operation.FindSubmatch(text)
			if id == nil {
				continue // a parameter or a description
			}
			require.Regexp(t, `^zoho-[a-z]+(-[a-z]+)*$`, string(id[1]))
			require.Empty(t, seen[string(id[1])], "%s %s has the operationId of another operation", method, path)
			seen[string(id[1])] = method + " " + path
		}
	}
	require.Len(t, seen, 23)
}

// The texts that people are shown are the only documentation that some read.
func TestDocumentation_HelpSpeaksOfFieldsThatExist(t *testing.T) {
	t.Parallel()
	known := map[string]bool{"entity_id": true, "display_name": true, "request_id": true} // of entries in a list
	texts := []string{backendHelp}
	for _, path := range newMount(t).inner.Paths {
		texts = append(texts, path.HelpSynopsis, path.HelpDescription)
		for name, field := range path.Fields {
			known[name] = true
			texts = append(texts, field.Description)
			for _, value := range field.AllowedValues {
				known[fmt.Sprint(value)] = true
			}
		}
		for _, handler := range path.Operations {
			for _, response := range handler.Properties().Responses[http.StatusOK] {
				for name, field := range response.Fields {
					known[name] = true
					texts = append(texts, field.Description)
				}
			}
		}
	}
	words := regexp.MustCompile(`\b[a-z]+(_[a-z]+)+\b`)
	for _, text := range texts {
		for _, word := range words.FindAllString(text, -1) {
			require.True(t, known[word], "%s is no field, in: %s", word, text)
		}
	}
}

// functions lists the functions of the tree whose files match.
func functions(t *testing.T, matches func(path string) bool) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	tree := os.DirFS(".")
	require.NoError(t, fs.WalkDir(tree, ".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !matches(path) {
			return err
		}
		source, err := fs.ReadFile(tree, path)
		for _, found := range regexp.MustCompile(`(?m)^func (?:\([^)]*\) )?(\w+)[(\[]`).FindAllSubmatch(source, -1) {
			names[string(found[1])] = true
		}
		return err
	}))
	return names
}

func tests(t *testing.T) map[string]bool {
	t.Helper()
	return functions(t, func(path string) bool { return strings.HasSuffix(path, "_test.go") })
}

// SECURITY.md names a test for each thing that somebody cannot do.
func TestSecurity_NamesTestsThatExist(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("SECURITY.md")
	require.NoError(t, err)
	_, table, found := strings.Cut(string(page), "## Who can do what")
	require.True(t, found)
	table, _, _ = strings.Cut(table, "## What is in scope")
	named := regexp.MustCompile("`(Test\\w+)`").FindAllStringSubmatch(table, -1)
	require.Greater(t, len(named), 30)
	known := tests(t)
	for _, test := range named {
		require.True(t, known[test[1]], test[1])
	}
}

// Each number that a comment or a test cites is on the page of invariants, with
// functions and tests that exist.
func TestInvariants_NameFunctionsAndTestsThatExist(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("docs/invariants.md")
	require.NoError(t, err)
	rows := regexp.MustCompile(`(?m)^\| (\d+) \| (.*) \| (.*) \| (.*) \|$`).FindAllStringSubmatch(string(page), -1)
	require.GreaterOrEqual(t, len(rows), 17)
	code := functions(t, func(path string) bool { return strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") })
	known := tests(t)
	last := 0
	for _, row := range rows {
		number, err := strconv.Atoi(row[1])
		require.NoError(t, err)
		require.Greater(t, number, last, "in order; a number that is not there yet is of a promise that is not kept yet")
		last = number
		for column, names := range map[int]map[string]bool{3: code, 4: known} {
			named := regexp.MustCompile("`(\\w+)`").FindAllStringSubmatch(row[column], -1)
			require.NotEmpty(t, named, row[0])
			for _, name := range named {
				require.True(t, names[name[1]], name[1])
			}
		}
	}
}
