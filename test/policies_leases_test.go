package test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/hashicorp/go-cleanhttp"
	"github.com/hashicorp/vault/api"
	"github.com/stretchr/testify/require"
)

// revocation is a way to ask for the end of a lease. Vault prefers the ID in the body.
type revocation struct {
	method, path string
	body         any    // JSON
	form         string // or a form
}

func (m *mount) asks(token string, r revocation) (status int) {
	m.t.Helper()
	content, kind := []byte(r.form), "application/x-www-form-urlencoded"
	if r.form == "" {
		var err error
		content, err = json.Marshal(r.body)
		require.NoError(m.t, err)
		kind = "application/json"
	}
	req, err := http.NewRequestWithContext(m.t.Context(), r.method, m.server.Addr()+"/v1/"+r.path, bytes.NewReader(content))
	require.NoError(m.t, err)
	req.Header.Set("Content-Type", kind)
	req.Header.Set("X-Vault-Token", token)
	client := cleanhttp.DefaultClient()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := client.Do(req)
	if errors.Is(err, io.EOF) {
		return 0 // OpenBao 2.4 closes the connection on a lease_id that is no text
	}
	require.NoError(m.t, err)
	require.NoError(m.t, resp.Body.Close())
	return resp.StatusCode
}

// attempts are ways in which somebody who may end the leases below prefix can try to end another one.
func attempts(prefix, victim string) []revocation {
	own := prefix + "abc"
	bodies := []any{
		map[string]any{"lease_id": victim}, map[string]any{"lease_id": victim, "sync": true}, map[string]any{"LEASE_ID": victim},
		map[string]any{"lease_id": own, "url_lease_id": victim}, map[string]any{"lease_id": "", "url_lease_id": victim}, map[string]any{"lease_id": nil, "url_lease_id": victim},
		map[string]any{"url_lease_id": victim}, map[string]any{"lease_id": []string{victim}}, map[string]any{"lease_id": []string{own, victim}},
		map[string]any{"lease_id": own + "," + victim}, map[string]any{"lease_id": own, "Lease_Id": victim}, json.RawMessage(`{"lease_id":"` + own + `","lease_id":"` + victim + `"}`),
		map[string]any{"lease_id": prefix + strings.Repeat("../", strings.Count(prefix, "/")) + victim},
		map[string]any{"lease_id": victim + "/" + own}, map[string]any{"lease_id": strings.TrimSuffix(prefix, "/")}, map[string]any{"prefix": victim},
	}
	forms := []string{
		url.Values{"lease_id": {victim}}.Encode(), url.Values{"lease_id": {own, victim}}.Encode(), url.Values{"lease_id": {victim, own}}.Encode(),
	}
	paths := []string{own, prefix, prefix + strings.Repeat("../", strings.Count(prefix, "/")) + victim, prefix + "%2e%2e/" + victim, victim, strings.TrimSuffix(prefix, "/") + "/../" + victim}
	var found []revocation
	for _, sys := range []string{"sys/leases/revoke", "sys/revoke"} {
		for _, method := range []string{http.MethodPut, http.MethodPost} {
			for _, body := range bodies {
				found = append(found, revocation{method: method, path: sys, body: body}, revocation{method: method, path: sys + "/" + own, body: body})
			}
			for _, form := range forms {
				found = append(found, revocation{method: method, path: sys, form: form}, revocation{method: method, path: sys + "/" + own, form: form})
			}
			for _, path := range paths {
				found = append(found, revocation{method: method, path: sys + "/" + path + "?lease_id=" + url.QueryEscape(victim)})
			}
		}
	}
	for _, verb := range []string{"revoke-prefix", "revoke-force"} {
		for _, path := range []string{victim, own, prefix, strings.TrimSuffix(prefix, "/")} {
			found = append(found, revocation{method: http.MethodPut, path: "sys/leases/" + verb + "/" + path, body: map[string]any{"prefix": victim}})
		}
	}
	return found
}

// victims are leases of others, by what they are: one of another role, one of another mount, and the login of another
// user, which Vault keeps like a lease.
func (m *mount) victims() map[string]string {
	m.t.Helper()
	m.write("roles/other", map[string]any{"refresh_token": m.consent()})
	require.NoError(m.t, m.server.Mount(m.t.Context(), "zoho-eu"))
	elsewhere := *m
	elsewhere.path = "zoho-eu"
	elsewhere.write("config", map[string]any{"data_center": "us", "accounts_url": m.accounts.URL, "client_id": m.client.ID, "client_secret": m.client.Secret("us")})
	elsewhere.write("roles/crm-sync", map[string]any{"refresh_token": m.consent()})
	m.person("bob")
	logins, err := m.root.Logical().ListWithContext(m.t.Context(), "sys/leases/lookup/auth/userpass/login/bob")
	require.NoError(m.t, err)
	keys, ok := logins.Data["keys"].([]any)
	require.True(m.t, ok)
	login, ok := keys[0].(string)
	require.True(m.t, ok)
	return map[string]string{
		"another role": m.read("other").LeaseID, "another mount": elsewhere.read("crm-sync").LeaseID, "another user's login": "auth/userpass/login/bob/" + login,
	}
}

func (m *mount) leaseLives(id string) bool {
	m.t.Helper()
	found, err := m.root.Logical().WriteWithContext(m.t.Context(), "sys/leases/lookup", map[string]any{"lease_id": id})
	if err != nil {
		require.ErrorContains(m.t, err, "invalid lease")
		return false
	}
	return found != nil && found.Data["expire_time"] != nil
}

// Vault takes the lease_id of a body before the one of the path, so a rule on the path alone lets its holder end every
// lease of Vault whose ID is known.
func TestPolicies_NobodyEndsALeaseOfOthers(t *testing.T) {
	t.Parallel()
	m := mountAsDocumented(t)
	victims := m.victims()
	for policy, holder := range m.policyHolders() {
		for what, victim := range victims {
			for _, attempt := range attempts("zoho/creds/"+holder.role+"/", victim) {
				status := m.asks(holder.client.Token(), attempt)
				require.True(t, m.leaseLives(victim), "%s ended the lease of %s (HTTP %d): %+v", policy, what, status, attempt)
			}
		}
	}
}

// The ways in which Vault's CLI and the client libraries end a lease.
func TestPolicies_EveryClientEndsItsOwnLease(t *testing.T) {
	t.Parallel()
	m := mountAsDocumented(t)
	holders := m.policyHolders()
	m.write("roles/"+holders["person"].role, map[string]any{"refresh_token": m.consent()})
	for _, policy := range []string{"application", "person"} {
		holder := holders[policy]
		m.read(holder.role) // somebody else holds the token, so that none has to be minted for each way
		sends := func(r func(id string) revocation) func(string) error {
			return func(id string) error {
				switch status := m.asks(holder.client.Token(), r(id)); status {
				case http.StatusOK, http.StatusNoContent, http.StatusAccepted:
					return nil
				default:
					return &api.ResponseError{StatusCode: status}
				}
			}
		}
		cli := func(args ...string) func(string) error {
			return func(id string) error {
				_, _, err := m.server.CLI(t.Context(), holder.client.Token(), append(append([]string{"lease", "revoke"}, args...), id)...)
				return err
			}
		}
		ways := map[string]func(id string) error{
			"vault lease revoke": cli(), "vault lease revoke -sync": cli("-sync"),
			"Go, RevokeWithOptions": func(id string) error {
				return holder.client.Sys().RevokeWithOptionsWithContext(t.Context(), &api.RevokeOptions{LeaseID: id, Sync: true})
			},
			"Ruby": sends(func(id string) revocation { return revocation{method: "PUT", path: "sys/revoke/" + id} }),
			"in the path, POST": sends(func(id string) revocation {
				return revocation{method: "POST", path: "sys/leases/revoke/" + id, body: map[string]any{"sync": false}}
			}),
			"in the path, without a body": sends(func(id string) revocation { return revocation{method: "PUT", path: "sys/leases/revoke/" + id} }),
		}
		if policy == "application" { // a person's policy has a template, which Vault does not put into parameters
			ways["Go, Revoke"] = func(id string) error { return holder.client.Sys().RevokeWithContext(t.Context(), id) }
			ways["vault write"] = func(id string) error {
				_, _, err := m.server.CLI(t.Context(), holder.client.Token(), "write", "sys/leases/revoke", "lease_id="+id, "sync=true")
				return err
			}
			ways["hvac"] = sends(func(id string) revocation {
				return revocation{method: "PUT", path: "sys/leases/revoke", body: map[string]any{"lease_id": id}}
			})
			ways["POST"] = sends(func(id string) revocation {
				return revocation{method: "POST", path: "sys/leases/revoke", body: map[string]any{"lease_id": id, "sync": true}}
			})
			ways["curl, a form"] = sends(func(id string) revocation {
				return revocation{method: "POST", path: "sys/leases/revoke", form: url.Values{"lease_id": {id}}.Encode()}
			})
			ways["the former name"] = sends(func(id string) revocation {
				return revocation{method: "PUT", path: "sys/revoke", body: map[string]any{"lease_id": id}}
			})
		}
		for way, revoke := range ways {
			leased, err := m.readAs(t.Context(), holder.client, holder.role)
			require.NoError(t, err)
			require.NoError(t, revoke(leased.LeaseID), "%s: %s", policy, way)
			eventually(t, way, func() bool { return !m.leaseLives(leased.LeaseID) })
		}
	}
	for _, policy := range []string{"operator", "auditor"} { // who read no creds
		leased := m.read("crm-sync")
		refused(t, holders[policy].client.Sys().RevokeWithContext(t.Context(), leased.LeaseID))
		refused(t, holders[policy].client.Sys().RevokeWithOptionsWithContext(t.Context(), &api.RevokeOptions{LeaseID: leased.LeaseID}))
	}
}
