package zohosecrets

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/hashicorp/go-cleanhttp"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/zohosim"
)

const callbackURL = "https://vault.example.com/v1/zoho/callback"

// awaitsConsent writes a role person, with a client of its own, for whose
// scopes a person can be asked.
func (v vault) awaitsConsent(z *simulation) *zohosim.Client {
	v.t.Helper()
	client := z.sim.AddClient(zohosim.ClientSpec{Kind: zohosim.WebClient, RedirectURIs: []string{callbackURL}})
	z.web = client
	v.write("config", fields{"redirect_uri": callbackURL}).done(v.t)
	v.write("roles/person", fields{"client_id": client.ID, "client_secret": client.Secret("us"), "scopes": "ZohoCRM.modules.ALL"}).done(v.t)
	return client
}

// awaitsCode writes a role with a client of its own, for which a person can type a code.
func (v vault) awaitsCode(z *simulation, role string) {
	v.t.Helper()
	client := z.sim.AddClient(zohosim.ClientSpec{Kind: zohosim.DeviceClient})
	v.write("roles/"+role, fields{"client_id": client.ID, "client_secret": client.Secret("us"), "scopes": "ZohoCRM.modules.ALL"}).done(v.t)
}

// begin asks for the address that a role's person is sent to.
func (v vault) begin(role string) string {
	v.t.Helper()
	address, ok := v.write(role+"/authorize", nil).done(v.t).Data["authorization_url"].(string)
	require.True(v.t, ok)
	return address
}

// agree sends a person to Zoho, who agrees, and returns what Zoho sends the
// browser back with.
func (v vault) agree(role string) fields {
	v.t.Helper()
	return v.decide(v.begin(role), "accept")
}

func (v vault) decide(address, decision string) fields {
	v.t.Helper()
	browser := cleanhttp.DefaultClient()
	browser.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := browser.PostForm(address, url.Values{"decision": {decision}})
	require.NoError(v.t, err)
	require.NoError(v.t, resp.Body.Close())
	require.Equal(v.t, http.StatusFound, resp.StatusCode)
	target, err := resp.Location()
	require.NoError(v.t, err)
	require.Equal(v.t, callbackURL, target.Scheme+"://"+target.Host+target.Path)
	back := fields{}
	for name, values := range target.Query() {
		require.Len(v.t, values, 1)
		back[name] = values[0]
	}
	return back
}

// shown is what a browser gets of an answer.
type shown struct {
	status int
	kind   string // of content
	body   string
}

// callback is a browser that comes back. It needs no Vault token.
func (v vault) callback(back fields) shown {
	v.t.Helper()
	got := v.send(logical.ReadOperation, "callback", back)
	require.Empty(v.t, got.text, "a page, not an error of Vault's")
	return v.raw(got)
}

// completes requires that the browser sees success.
func (v vault) completes(back fields) string {
	v.t.Helper()
	page := v.callback(back)
	require.Equal(v.t, http.StatusOK, page.status, page.body)
	return page.body
}

// raw reads an answer as Vault's respondRaw does: numbers and bytes look
// different on this side of gRPC.
// Source: http/logical.go.
func (v vault) raw(got answer) shown {
	v.t.Helper()
	require.NotNil(v.t, got.Response)
	require.Nil(v.t, got.Secret, "Vault refuses to send a lease raw")
	var page shown
	switch status := got.Data[logical.HTTPStatusCode].(type) {
	case int:
		page.status = status
	case float64:
		page.status = int(status)
	case json.Number:
		number, err := status.Int64()
		require.NoError(v.t, err)
		page.status = int(number)
	default:
		require.Fail(v.t, "Vault cannot read this status", "%T", status)
	}
	var ok bool
	page.kind, ok = got.Data[logical.HTTPContentType].(string)
	require.True(v.t, ok)
	switch body := got.Data[logical.HTTPRawBody].(type) {
	case []byte:
		page.body = string(body)
	case string:
		decoded, err := base64.StdEncoding.DecodeString(body)
		require.NoError(v.t, err, "Vault would send it as it is")
		page.body = string(decoded)
	default:
		require.Fail(v.t, "Vault cannot read this body", "%T", body)
	}
	require.Equal(v.t, "no-store", got.Data[logical.HTTPCacheControlHeader])
	return page
}

// code is a grant code as somebody gets it in Zoho's API console.
func (z *simulation) code() string {
	return z.sim.Code(z.client, "us", zohosim.CodeSpec{Scopes: []string{"ZohoCRM.modules.ALL"}})
}

// refreshTokenOf finds what an exchange has given, where nobody else can look.
func (m *mount) refreshTokenOf(role string) string {
	m.t.Helper()
	var entry struct {
		RefreshToken string `json:"refresh_token"`
	}
	require.NoError(m.t, json.NewDecoder(strings.NewReader(m.stored()["roles/"+role])).Decode(&entry))
	return entry.RefreshToken
}

func (p shown) String() string { return fmt.Sprintf("HTTP %d %s %q", p.status, p.kind, p.body) }

// stateOf is the secret in the address that a person is sent to.
func stateOf(address string) string {
	parsed, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return parsed.Query().Get("state")
}

// webCode is the code that a person's agreement gives role person's client.
func (m *mount) webCode(z *simulation) string {
	m.t.Helper()
	return z.sim.Code(z.web, "us", zohosim.CodeSpec{Scopes: []string{"ZohoCRM.modules.ALL"}, PromptConsent: true})
}
