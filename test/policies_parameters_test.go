package test

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/go-cleanhttp"
	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/api"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/stretchr/testify/require"

	zohosecrets "vault-plugin-secrets-zoho"
)

// parameters are what may be sent with an operation on a path.
type parameters struct {
	names []string
	// Whether Vault refuses all others. If it does not, names are all that the engine takes there: somebody has
	// looked at each of them, and a new one fails the test until somebody has looked at it.
	enforced bool
	// Everything that the engine takes, also what it will take one day: for whoever writes the config and the roles.
	whole bool
	// What the policy requires.
	required map[string]any
}

func takes(names ...string) parameters     { return parameters{names: names} }
func only(names ...string) parameters      { return parameters{names: names, enforced: true} }
func everything() parameters               { return parameters{whole: true} }
func (p parameters) lets(name string) bool { return !p.enforced || slices.Contains(p.names, name) }

// allowed is what a policy allows, by path and by method.
type allowed map[string]map[string]parameters

// permissions are what each policy allows to its own role: the only place where that is decided. Of the parameters that
// the policies leave open: min_ttl, reject and ttl of a read make mints frequent, which the budget bounds and the reserve does
// not pay for; after, limit and force of the operator are the job.
func permissions(policy, role string) allowed {
	list := map[string]parameters{"LIST": takes("list")}
	pages := map[string]parameters{"LIST": takes("after", "limit", "list")}
	read := map[string]parameters{"GET": takes()}
	creds := map[string]parameters{"GET": takes("min_ttl", "reject", "ttl"), "PUT": takes("min_ttl", "reject", "ttl")}
	write := map[string]parameters{"GET": takes(), "PUT": everything(), "PATCH": everything(), "DELETE": takes()}
	token := map[string]parameters{"GET": takes("after", "limit"), "DELETE": takes("after", "limit")}
	lookup := map[string]parameters{"PUT": takes("token")}
	lease := map[string]parameters{"PUT": only("sync")}
	anyLease := map[string]parameters{"PUT": {
		names: []string{"lease_id", "sync"}, enforced: true, required: map[string]any{"lease_id": "zoho/creds/" + role + "/abc"},
	}}
	name := "zoho/roles/" + role
	switch policy {
	case "application":
		return allowed{
			"zoho/creds/" + role: creds,
			"sys/leases/revoke":  anyLease, "sys/leases/revoke/zoho/creds/" + role + "/abc": lease,
			"sys/revoke": anyLease, "sys/revoke/zoho/creds/" + role + "/abc": lease,
		}
	case "person":
		return allowed{
			"zoho/creds/" + role: creds, name + "/status": read,
			name + "/authorize": {"PUT": only("method")}, name + "/deauthorize": {"PUT": only()},
			"sys/leases/revoke/zoho/creds/" + role + "/abc": lease, "sys/revoke/zoho/creds/" + role + "/abc": lease,
		}
	case "operator":
		return allowed{
			"zoho/config": write, "zoho/roles/": list, name: write, "zoho/roles/other": write, name + "/status": read, "zoho/roles/other/status": read,
			name + "/authorize": {"PUT": takes("method")}, "zoho/roles/other/authorize": {"PUT": takes("method")},
			name + "/deauthorize": {"PUT": takes("force")}, "zoho/roles/other/deauthorize": {"PUT": takes("force")},
			name + "/rotate": {"PUT": takes("force")}, "zoho/roles/other/rotate": {"PUT": takes("force")},
			"zoho/info": read, "zoho/clients/": list, "zoho/tokens/": pages, "zoho/tokens/0123": token, "zoho/tokens/lookup": lookup,
		}
	case "monitor":
		return allowed{"zoho/metrics": read}
	default: // auditor
		return allowed{
			"zoho/config": read, "zoho/roles/": list, name: read, "zoho/roles/other": read, name + "/status": read, "zoho/roles/other/status": read,
			"zoho/info": read, "zoho/clients/": list, "zoho/tokens/": pages, "zoho/tokens/0123": token, "zoho/tokens/lookup": lookup,
			"identity/entity/id/0123": read, "identity/entity/name/bob": read, "sys/audit-hash/file": {"PUT": takes("input", "path")},
		}
	}
}

func methods() []string { return []string{"GET", "LIST", "PUT", "PATCH", "DELETE"} }

// fieldsOf are the fields of the engine's paths, with their types, by path and method, as the engine itself describes them.
func fieldsOf(t *testing.T) map[string]map[string]map[string]string {
	t.Helper()
	storage, system := &logical.InmemStorage{}, logical.TestSystemView()
	system.PluginEnvironment = &logical.PluginEnvironment{VaultVersion: "1.21.1"} // the OpenAPI document has it
	b, err := zohosecrets.Factory(t.Context(), &logical.BackendConfig{StorageView: storage, System: system, Logger: hclog.NewNullLogger()})
	require.NoError(t, err)
	defer b.Cleanup(t.Context())
	help, err := b.HandleRequest(t.Context(), &logical.Request{Operation: logical.HelpOperation, Storage: storage})
	require.NoError(t, err)
	encoded, err := json.Marshal(help.Data["openapi"])
	require.NoError(t, err)
	type typed struct {
		Type string `json:"type"`
	}
	type parameter struct {
		Name   string `json:"name"`
		Schema typed  `json:"schema"`
	}
	type operation struct {
		Parameters  []parameter `json:"parameters"`
		RequestBody struct {
			Content map[string]struct {
				Schema struct {
					Ref string `json:"$ref"`
				} `json:"schema"`
			} `json:"content"`
		} `json:"requestBody"`
	}
	var doc struct {
		Paths map[string]struct {
			Get, Post, Delete *operation
		} `json:"paths"`
		Components struct {
			Schemas map[string]struct {
				Properties map[string]typed `json:"properties"`
			} `json:"schemas"`
		} `json:"components"`
	}
	require.NoError(t, json.Unmarshal(encoded, &doc))
	found := map[string]map[string]map[string]string{}
	for path, operations := range doc.Paths {
		found[path] = map[string]map[string]string{}
		add := func(o *operation, methods ...string) {
			if o == nil {
				return
			}
			fields := map[string]string{}
			for _, p := range o.Parameters {
				fields[p.Name] = p.Schema.Type
			}
			body := o.RequestBody.Content["application/json"].Schema.Ref
			for name, field := range doc.Components.Schemas[strings.TrimPrefix(body, "#/components/schemas/")].Properties {
				fields[name] = field.Type
			}
			for _, method := range methods {
				found[path][method] = fields
			}
		}
		add(operations.Get, map[bool]string{true: "LIST", false: "GET"}[strings.HasSuffix(path, "/")])
		add(operations.Post, "PUT", "PATCH")
		add(operations.Delete, "DELETE")
	}
	return found
}

// sysFields are those of the paths of Vault's own on which a policy here has a word.
// Source: vault/logical_system_paths.go and vault/identity_store_entities.go of hashicorp/vault 1.21.1.
func sysFields(role string) map[string]map[string]map[string]string {
	lease := map[string]map[string]string{"PUT": {"lease_id": "string", "url_lease_id": "string", "sync": "boolean"}}
	prefix := map[string]map[string]string{"PUT": {"prefix": "string", "sync": "boolean"}}
	found := map[string]map[string]map[string]string{
		"identity/entity/id/0123": {}, "identity/entity/name/bob": {}, "identity/entity/id/": {}, "sys/audit-hash/file": {"PUT": {"input": "string", "path": "string"}},
		"sys/audit-hash/other": {"PUT": {"input": "string"}}, "sys/mounts/zoho": {}, "sys/mounts/zoho/tune": {}, "sys/raw/logical": {}, "sys/policies/acl/operator": {}, "sys/audit": {},
		"auth/token/create": {}, "sys/leases/lookup/zoho/creds/": {}, "sys/leases/tidy": {},
	}
	for _, sys := range []string{"sys/", "sys/leases/"} {
		found[sys+"revoke"] = lease
		for _, of := range []string{role, "other"} {
			found[sys+"revoke/zoho/creds/"+of+"/abc"] = lease
			for _, verb := range []string{"revoke-prefix", "revoke-force"} {
				found[sys+verb+"/zoho/creds/"+of] = prefix
			}
		}
	}
	return found
}

// ask sends a request as whoever has the Vault token, with parameters where the method has them.
func (m *mount) ask(token, method, path string, data map[string]any, headers ...string) (status int, body string) {
	m.t.Helper()
	address, content := m.server.Addr()+"/v1/"+path, []byte(nil)
	switch method {
	case http.MethodPut, http.MethodPost, http.MethodPatch:
		var err error
		content, err = json.Marshal(data)
		require.NoError(m.t, err)
	default:
		query := url.Values{}
		for name, value := range data {
			query.Set(name, strings.Trim(string(must(json.Marshal(value))), `"`))
		}
		if len(query) > 0 {
			address += "?" + query.Encode()
		}
	}
	req, err := http.NewRequestWithContext(m.t.Context(), method, address, bytes.NewReader(content))
	require.NoError(m.t, err)
	if method == http.MethodPatch {
		req.Header.Set("Content-Type", "application/merge-patch+json")
	}
	if token != "" {
		req.Header.Set("X-Vault-Token", token)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := cleanhttp.DefaultClient().Do(req)
	require.NoError(m.t, err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	require.NoError(m.t, err)
	return resp.StatusCode, string(answer)
}

func must(encoded []byte, err error) []byte {
	if err != nil {
		panic(err) // of a value that a test has made up
	}
	return encoded
}

// holders of the five policies, by policy, and the role that is theirs.
type policyHolder struct {
	client *api.Client
	role   string
}

func (m *mount) policyHolders() map[string]policyHolder {
	m.t.Helper()
	found := map[string]policyHolder{}
	for _, policy := range []string{"application", "operator", "auditor", "monitor"} {
		m.policy(policy, policy+".hcl")
		found[policy] = policyHolder{m.as(policy), "crm-sync"}
	}
	m.policy("person", "person.hcl")
	anna := m.person("anna", "person")
	found["person"] = policyHolder{anna, m.entityOf("anna")}
	return found
}

// Each operation on each path, with each parameter that the path takes: what a policy says of paths alone does not tell
// whom a body names.
func TestPolicies_AllowTheJobAndNothingElse(t *testing.T) {
	t.Parallel()
	m := mountAsDocumented(t)
	engine := fieldsOf(t)
	for policy, holder := range m.policyHolders() {
		// The operator has deleted them.
		m.write("config", map[string]any{"data_center": "us", "accounts_url": m.accounts.URL, "client_id": m.client.ID, "client_secret": m.client.Secret("us")})
		m.write("roles/other", map[string]any{"refresh_token": m.consent(), "verify": false})
		paths := sysFields(holder.role)
		for pattern, fields := range engine {
			for _, name := range []string{holder.role, "other", holder.role + "x"} {
				path := strings.NewReplacer("{name}", name, "{token_id}", "0123").Replace(pattern)
				paths["zoho"+path] = fields
			}
		}
		paths["zoho/later"], paths["zoho/roles/"+holder.role+"/later"] = nil, nil
		delete(paths, "zoho/callback") // which everybody may ask, with and without a Vault token
		may := permissions(policy, holder.role)
		if policy == "operator" || policy == "auditor" { // of all roles
			for path, operations := range maps.Clone(may) {
				if of, found := strings.CutPrefix(path, "zoho/roles/"+holder.role); found {
					may["zoho/roles/"+holder.role+"x"+of] = operations
				}
			}
		}
		require.Subset(t, slices.Collect(maps.Keys(paths)), slices.Collect(maps.Keys(may)), policy)
		for path, fields := range paths {
			for _, method := range methods() {
				m.requireAllowed(policy, holder.client.Token(), method, path, fields, may[path])
			}
		}
	}
}

// requireAllowed sends a request for each parameter. What comes of an allowed one does not matter here.
func (m *mount) requireAllowed(policy, token, method, path string, fields map[string]map[string]string, may map[string]parameters) {
	m.t.Helper()
	parameters, allowed := may[method]
	all := map[string]string{"no_such_field": "string"} // of all methods: Vault takes them in every request
	for _, of := range fields {
		maps.Copy(all, of)
	}
	if method == "GET" {
		delete(all, "list") // which makes it a LIST
	}
	if method != "LIST" {
		path = strings.TrimSuffix(path, "/") // Vault refuses to write to a path with one, before it looks at the policy
	}
	isList := method == "LIST" || method == "DELETE" // of which Vault's policies look at no parameter
	send := func(data map[string]any) bool {
		status, _ := m.ask(token, method, path, data)
		return status != http.StatusForbidden
	}
	if !allowed {
		everything := map[string]any{}
		for name, kind := range all {
			everything[name] = someValue(kind)
		}
		require.False(m.t, send(nil), "%s: %s %s", policy, method, path)
		require.False(m.t, send(everything), "%s: %s %s", policy, method, path)
		return
	}
	if !parameters.enforced && !parameters.whole {
		require.ElementsMatch(m.t, parameters.names, slices.Collect(maps.Keys(fields[method])),
			"%s: %s %s takes another parameter than what was looked at. Decide who may send it, in permissions and in policies/%s.hcl", policy, method, path, policy)
	}
	require.True(m.t, send(parameters.required), "%s: %s %s", policy, method, path)
	for name, kind := range all {
		data := maps.Clone(parameters.required)
		if data == nil {
			data = map[string]any{}
		}
		if _, required := data[name]; required && parameters.lets(name) {
			continue // its values: see the tests of leases
		}
		data[name] = someValue(kind)
		require.Equal(m.t, isList || parameters.lets(name), send(data), "%s: %s %s with %s", policy, method, path, name)
	}
}

// someValue has the type of a field: Vault says 400 to another one before it looks at the policy.
func someValue(kind string) any {
	switch kind {
	case "integer":
		return 1
	case "boolean":
		return true
	case "array":
		return []string{"a"}
	case "object":
		return map[string]string{"a": "b"}
	default:
		return "1"
	}
}

// What the path names counts, and not a parameter of the same name.
func TestPolicies_AParameterDoesNotNameAnotherRoleOrToken(t *testing.T) {
	t.Parallel()
	m := mountAsDocumented(t)
	m.write("roles/other", map[string]any{"refresh_token": m.consent()})
	holders := m.policyHolders()
	application, auditor := holders["application"].client.Token(), holders["auditor"].client.Token()
	other := m.read("other")
	for _, method := range []string{"GET", "PUT"} {
		status, body := m.ask(application, method, "zoho/creds/crm-sync", map[string]any{"name": "other", "role": "other"})
		require.Equal(t, http.StatusOK, status)
		require.Contains(t, body, `"role":"crm-sync"`)
		require.NotContains(t, body, other.token)
	}
	own := m.read("crm-sync")
	status, _ := m.ask(auditor, "DELETE", "zoho/tokens/"+text(t, own.Secret, "token_id"), map[string]any{"token_id": other.Data["token_id"]})
	require.Equal(t, http.StatusNoContent, status)
	require.True(t, m.accepted(other))
	// Nor does a namespace: a server that has them looks for the mount there, and one that has none does not look at it.
	status, body := m.ask(application, "GET", "zoho/creds/crm-sync", nil, "X-Vault-Namespace", "other/")
	if status == http.StatusOK {
		require.False(t, m.server.OpenBao())
		require.Contains(t, body, `"role":"crm-sync"`)
	}
}
