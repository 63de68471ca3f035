package test

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-cleanhttp"
	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/bootstrap"
	"vault-plugin-secrets-zoho/zohosim"
)

// audited are the responses in the audit log.
func (m *mount) audited() (entries []auditEntry) {
	m.t.Helper()
	log, err := os.ReadFile(m.server.AuditLog())
	require.NoError(m.t, err)
	for line := range strings.Lines(string(log)) {
		var entry auditEntry
		require.NoError(m.t, json.Unmarshal([]byte(line), &entry))
		if entry.Type == "response" {
			entries = append(entries, entry)
		}
	}
	return entries
}

// auditEntry is what tests look at in a line of the audit log.
type auditEntry struct {
	Type string `json:"type"`
	Auth struct {
		EntityID string `json:"entity_id"`
	} `json:"auth"`
	Request struct {
		ID            string `json:"id"`
		Operation     string `json:"operation"`
		Path          string `json:"path"`
		RequestURI    string `json:"request_uri"`
		RemoteAddress string `json:"remote_address"`
	} `json:"request"`
	Response struct {
		Data map[string]any `json:"data"`
	} `json:"response"`
}

// try sends what may fail: the audit log has it either way.
func (m *mount) try(method, path string, data map[string]any) {
	m.t.Helper()
	var err error
	switch logical := m.root.Logical(); method {
	case http.MethodGet:
		_, err = logical.ReadWithContext(m.t.Context(), "zoho/"+path)
	case http.MethodDelete:
		_, err = logical.DeleteWithContext(m.t.Context(), "zoho/"+path)
	case "LIST":
		_, err = logical.ListWithContext(m.t.Context(), "zoho/"+path)
	default:
		_, err = logical.WriteWithContext(m.t.Context(), "zoho/"+path, data)
	}
	if err != nil {
		require.NotContains(m.t, err.Error(), "panic")
	}
}

// fakeSecret makes a value that must not come up in any log.
func fakeSecret(what string) string {
	value := "1000.fake-" + strings.ReplaceAll(what, " ", "-") + ".0123456789abcdef"
	keepSecret(what, value)
	return value
}

// consents sends a browser through the consent, and returns what the callback was
// given, the code among it, which Vault writes into its audit log.
func (m *mount) consents(address, decision string) url.Values {
	m.t.Helper()
	client := cleanhttp.DefaultClient()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	req, err := http.NewRequestWithContext(m.t.Context(), http.MethodPost, address, strings.NewReader("decision="+decision))
	require.NoError(m.t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := client.Do(req)
	require.NoError(m.t, err)
	defer resp.Body.Close()
	back, err := url.Parse(resp.Header.Get("Location"))
	require.NoError(m.t, err)
	m.get(back.String())
	return back.Query()
}

// scenario does all that handles secrets, with and without success.
func (m *mount) scenario() {
	m.t.Helper()
	// Mistakes: secrets in the wrong field, mount and type.
	m.try(http.MethodPut, "config", map[string]any{"client_id": fakeSecret("secret as an ID"), "client_secret": fakeSecret("secret with a wrong field"), "no_such_field": fakeSecret("secret in an unknown field"), "request_budget": "x"})
	m.try(http.MethodPut, "config", map[string]any{"client_secret": fakeSecret("wrong client secret")})
	m.try(http.MethodPut, "config", map[string]any{"client_secret": []string{fakeSecret("client secret in a list")}})
	m.try(http.MethodPut, "config", map[string]any{"accounts_url": "https://user:" + fakeSecret("password in an address") + "@accounts.zoho.com"})
	m.try(http.MethodPut, "roles/bad", map[string]any{"refresh_token": fakeSecret("refresh token that is dead")})
	m.try(http.MethodPut, "roles/bad", map[string]any{"code": fakeSecret("grant code that is dead")})
	m.try(http.MethodPut, "roles/bad", map[string]any{"code": fakeSecret("code beside"), "refresh_token": fakeSecret("refresh token beside")})
	m.try(http.MethodPut, "roles/bad", map[string]any{"refresh_token": fakeSecret("token with a line break") + "\n"})
	m.try(http.MethodPut, "roles/unverified", map[string]any{"refresh_token": fakeSecret("refresh token unverified"), "verify": false})
	m.try(http.MethodGet, "creds/unverified", nil)
	m.try(http.MethodGet, "roles/unverified/status", nil)
	m.try(http.MethodPut, "tokens/lookup", map[string]any{"token": fakeSecret("foreign access token")})

	// A grant code that is good.
	code := m.sim.Code(m.client, "us", zohosim.CodeSpec{Scopes: scopes})
	keepSecret("grant code", code)
	m.write("roles/from-code", map[string]any{"code": code})
	m.try(http.MethodPut, "roles/again", map[string]any{"code": code})
	m.write("roles/own", map[string]any{"refresh_token": m.consent(), "exclusive": true})
	m.write("roles/client", map[string]any{"grant_type": "client_credentials", "scopes": scopes})

	// Life, and trouble.
	leased := m.read("crm-sync")
	for _, role := range []string{"from-code", "own", "client"} {
		m.read(role)
	}
	m.write("tokens/lookup", map[string]any{"token": leased.token})
	m.try("LIST", "tokens", nil)
	m.try(http.MethodGet, "tokens/"+text(m.t, leased.Secret, "token_id"), nil)
	m.try("LIST", "roles", nil)
	m.try(http.MethodGet, "config", nil)
	m.try(http.MethodPut, "roles/from-code/rotate", nil)
	m.sim.Fault(zohosim.EndpointRevoke, zohosim.Fault{Kind: zohosim.FaultHTML500, Count: 1})
	m.sim.Fault(zohosim.EndpointLegacyRevoke, zohosim.Fault{Kind: zohosim.FaultAnswer, Body: m.client.Secret("us") + m.refreshToken + leased.token, Count: 1})
	m.try(http.MethodDelete, "tokens/"+text(m.t, leased.Secret, "token_id"), nil)
	m.sim.Fault(zohosim.EndpointToken, zohosim.Fault{Kind: zohosim.FaultAnswer, Status: http.StatusBadRequest, Body: `{"error":"` + m.refreshToken + `","error_description":"` + m.client.Secret("us") + `"}`, Count: 1})
	m.try(http.MethodGet, "creds/crm-sync", nil)
	m.sim.SetDown(true)
	m.try(http.MethodGet, "creds/crm-sync", nil)
	m.try(http.MethodPut, "roles/own/deauthorize", nil)
	m.sim.SetDown(false)
	m.revokePrefix("creds/own")
	m.try(http.MethodPut, "roles/from-code/deauthorize", nil)
	m.try(http.MethodDelete, "roles/client", nil)
}

func TestAuditLogAndServerLog_NeverShowASecretInClear(t *testing.T) {
	t.Parallel()
	m := mountAsDocumented(t) // at its end it looks for every secret in both logs
	keepSecret("Basic authentication", base64.StdEncoding.EncodeToString([]byte(m.client.ID+":"+m.client.Secret("us"))))
	m.write("config", map[string]any{"request_budget": 100, "redirect_uri": m.callback()})
	m.scenario()

	// The consent: the code and the state are in the address that Vault logs.
	m.useWebClient()
	var callbacks []url.Values
	for _, decision := range []string{"accept", "deny", "accept"} {
		address := m.cli("write", "-f", "-field=authorization_url", "zoho/roles/app/authorize")
		if callback := m.consents(address, decision); callback.Has("code") {
			callbacks = append(callbacks, callback)
		}
	}
	m.read("app")
	require.Len(t, callbacks, 2)
	m.requireDead(callbacks)
	require.Empty(t, secretsInLogs(m.server))
	require.NotEmpty(t, m.audited())
}

// logsAddresses says whether the server writes the address of a request into its audit log, in clear: Vault does from
// 1.16 on, and OpenBao does not.
func logsAddresses(server *bootstrap.Vault) bool {
	return !server.OpenBao() && !server.Before("1.16.0")
}

// requireDead finds the grant codes in the audit log, if the server writes the addresses of
// requests into it, as is documented, and that they are worth nothing: neither Zoho nor
// Vault takes one again.
func (m *mount) requireDead(callbacks []url.Values) {
	m.t.Helper()
	logged := map[string]string{}
	for _, entry := range m.audited() {
		uri, err := url.Parse(entry.Request.RequestURI)
		require.NoError(m.t, err)
		if code := uri.Query().Get("code"); code != "" {
			require.Equal(m.t, "zoho/callback", entry.Request.Path)
			logged[code] = uri.Query().Get("state")
		}
	}
	given := map[string]string{}
	if logsAddresses(m.server) {
		for _, callback := range callbacks {
			given[callback.Get("code")] = callback.Get("state")
		}
	}
	require.Equal(m.t, given, logged, "Vault logs addresses in clear from 1.16 on, and OpenBao does not; if that has changed, correct docs/auditing.md")
	for _, callback := range callbacks {
		code := callback.Get("code")
		status, _, body := m.get(m.callback() + "?" + url.Values{"code": {code}, "state": {callback.Get("state")}}.Encode())
		require.Equal(m.t, http.StatusBadRequest, status)
		require.Contains(m.t, body, "used already")
		// Even with the client secret.
		resp, err := cleanhttp.DefaultClient().PostForm(m.accounts.URL+"/oauth/v2/token", url.Values{
			"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {m.callback()},
			"client_id": {m.client.ID}, "client_secret": {m.client.Secret("us")},
		})
		require.NoError(m.t, err)
		defer resp.Body.Close()
		var answer map[string]any
		require.NoError(m.t, json.NewDecoder(resp.Body).Decode(&answer))
		require.Equal(m.t, "invalid_code", answer["error"])
	}
}

func TestAuditLog_ShowsTheAuditKeysAndHashesTheRest(t *testing.T) {
	t.Parallel()
	m := newMount(t, zohosim.Options{Answer: zohosim.Answer{WithScope: true}})
	m.write("roles/crm-sync", map[string]any{"metadata": map[string]string{"owner": "Anna"}})
	leased := m.read("crm-sync")
	var shown map[string]any
	for _, entry := range m.audited() {
		if entry.Request.Path == m.path+"/creds/crm-sync" {
			shown = entry.Response.Data
		}
	}
	require.NotNil(t, shown)
	for _, key := range bootstrap.AuditKeys() {
		require.Equal(t, leased.Data[key], shown[key], key)
		delete(shown, key)
	}
	require.Contains(t, shown, "access_token")
	metadata, ok := shown["role_metadata"].(map[string]any)
	require.True(t, ok)
	require.Contains(t, metadata, "owner", "keys are in clear; if they no longer are, correct docs/auditing.md")
	delete(shown, "role_metadata")
	maps.Copy(shown, metadata)
	for key, value := range shown {
		require.Regexp(t, `^hmac-sha256:`, value, key)
	}
}

func TestLog_ShowsTheRevocationByLeaseExpiryWhichTheAuditLogDoesNot(t *testing.T) {
	t.Parallel()
	m := newMount(t, zohosim.Options{})
	m.write("roles/crm-sync", map[string]any{"ttl": "2s"})
	leased := m.read("crm-sync")
	id := text(t, leased.Secret, "token_id")
	eventually(t, "the lease to expire", func() bool { return !m.accepted(leased) })
	eventually(t, "the log to say so", func() bool { return len(m.logLines(id)) >= 3 })
	log := strings.Join(m.logLines(id), "\n")
	require.Contains(t, log, "[DEBUG]")
	require.Regexp(t, `a lease has ended: .*role=crm-sync`, log)
	require.Regexp(t, `\[INFO\] .*revoked an access token: .*mount=`+m.path+`/`, log)
	for _, entry := range m.audited() {
		require.NotEqual(t, "revoke", entry.Request.Operation)
	}
	require.Less(t, time.Duration(leased.LeaseDuration)*time.Second, time.Minute)
}

// Why reject takes a token_id: Vault writes the address of a read into its audit log, with
// the parameters, and only hashes of what is in a body. Neither OpenBao nor Vault before 1.16 writes the address.
func TestAuditLog_HasTheParametersOfAReadInClearAndNotThoseOfAWrite(t *testing.T) {
	t.Parallel()
	m := newMount(t, zohosim.Options{})
	const read, written = "1000.0123456789abcdef0123456789abcd00.0123456789abcdef0123456789abcdef", "1000.0123456789abcdef0123456789abcd01.0123456789abcdef0123456789abcdef"
	_, err := m.root.Logical().ReadWithDataWithContext(t.Context(), m.path+"/creds/crm-sync", url.Values{"reject": {read}})
	require.ErrorContains(t, err, "in clear in Vault's audit log")
	require.NotContains(t, strings.ReplaceAll(err.Error(), "reject="+read, ""), read, "the client names the address, and the engine does not")
	_, err = m.root.Logical().WriteWithContext(t.Context(), m.path+"/creds/crm-sync", map[string]any{"reject": written})
	require.ErrorContains(t, err, "Write the token_id")
	require.NotContains(t, err.Error(), written)
	log, err := os.ReadFile(m.server.AuditLog())
	require.NoError(t, err)
	require.Equal(t, logsAddresses(m.server), strings.Contains(string(log), read), "whether the audit log has the address of a read")
	require.NotContains(t, string(log), written)
}
