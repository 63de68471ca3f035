package zohosecrets

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"
	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/zohosim"
)

// The callback is the one path that anybody can reach, and what it is called
// with is anybody's.

func TestCallback_ShowsNothingOfWhatItWasCalledWith(t *testing.T) {
	t.Parallel()
	const mark = "31337"
	m, z := newWorld(t)
	m.awaitsConsent(z)
	z.sim.SetThrottle(zohosim.Throttle{Limit: -1})
	m.write("config", fields{"request_budget": 1000}).done(t)
	for _, field := range []string{"state", "code", "error", "location", "accounts-server", "no-such-field"} {
		for _, text := range []string{
			"<script>alert(31337)</script>", `"><img src=x onerror=alert(31337)>`, "javascript:alert(31337)", "{{.Title}}31337", "%3Cscript%3E31337",
			"</title></h1></p>31337", "&#60;b&#62;31337", "\u202e31337", "31337\r\nSet-Cookie: a=b", "\x0031337\xff", "<!--31337", "https://31337.example",
			"https://user:31337@accounts.zoho.eu", "https://accounts.zoho.eu.31337.example", "31337" + strings.Repeat("A", 1<<20),
		} {
			for _, value := range []any{text, []any{text, text}, fields{text: text}} {
				m.clock.Advance(4 * time.Minute) // a role has three codes in ten minutes
				back := m.fresh(z).with(fields{field: value})
				if field == "location" {
					delete(back, "accounts-server") // it goes before
				}
				asked := z.sim.Count(zohosim.EndpointToken)
				page := m.callback(back)
				what := fmt.Sprintf("%s=%.40q", field, value)
				require.NotContains(t, page.body, mark, what)
				require.Less(t, len(page.body), 4096, what)
				requireSelfContained(t, page.body)
				_, isText := value.(string)
				if field == "no-such-field" || (field == "location" && isText) { // which says nothing of a server that is none of Zoho's
					require.Equal(t, http.StatusOK, page.status, what)
					continue
				}
				require.Equal(t, http.StatusBadRequest, page.status, what)
				if field != "code" { // that may be one
					require.Equal(t, asked, z.sim.Count(zohosim.EndpointToken), "%s: nobody was asked", what)
				}
			}
		}
	}
}

// fresh is what Zoho sends back after an agreement, without a browser.
func (m *mount) fresh(z *simulation) fields {
	m.t.Helper()
	return fields{"state": stateOf(m.begin("roles/person")), "code": m.webCode(z), "location": "us", "accounts-server": z.url}
}

func TestCallback_NothingIsSentToAServerThatItNames(t *testing.T) {
	t.Parallel()
	m, z := newWorld(t)
	m.awaitsConsent(z)
	evil := newSimulation(t, m.clock)
	const foreign, elsewhere = "names an Accounts server that is neither the role", "This Zoho account is in data centre eu (https://accounts.zoho.eu)"
	for server, says := range map[string]string{
		evil.url: foreign, z.url + "/evil": foreign, "https://evil.example": foreign, "http://accounts.zoho.eu": foreign, "accounts.zoho.eu": foreign,
		"https://accounts.zoho.eu@evil.example": foreign, "https://accounts.zoho.eu?x": foreign, "%": foreign,
		"https://accounts.zoho.eu": elsewhere, "HTTPS://ACCOUNTS.ZOHO.EU:443/": elsewhere,
	} {
		page := m.callback(m.fresh(z).with(fields{"accounts-server": server}))
		require.Equal(t, http.StatusBadRequest, page.status, server)
		require.Contains(t, page.body, says, server)
		requireSelfContained(t, page.body)
	}
	require.Empty(t, evil.sim.Requests())
	require.Empty(t, z.sim.Requests())
	m.completes(m.fresh(z).with(fields{"accounts-server": strings.ToUpper(z.url) + "/"}))
}

func TestCallback_FromAnAccountInAnotherDataCentreSaysWhatToDo(t *testing.T) {
	t.Parallel()
	m, z := newWorld(t)
	m.awaitsConsent(z)
	_, err := z.sim.Listen("eu")
	require.NoError(t, err)
	z.sim.SetUser("user@example.eu", "eu")
	back := m.agree("roles/person")
	require.Equal(t, "eu", back["location"])
	page := m.callback(back)
	require.Equal(t, http.StatusBadRequest, page.status, page)
	require.Zero(t, z.sim.Count(zohosim.EndpointToken))
}

func TestCallback_OnAnUnconfiguredMountIsAPageToo(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	for _, back := range []fields{nil, {}, {"state": "x"}, {"state": "x", "code": "x"}, {"error": "access_denied"}, {"state": strings.Repeat("A", 43), "code": "1000.c.c"}} {
		m.requireStale(back, "unconfigured")
	}
	for key := range m.stored() {
		require.Equal(t, "salt", key, "nobody without a token of Vault's can fill the storage")
	}
}

func TestCallback_ForARoleThatHasChangedSinceChangesNothing(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		change func(m *mount, z *simulation)
		says   string
	}{
		"deleted":        {func(m *mount, _ *simulation) { m.delete("roles/person").done(m.t) }, "This link is not valid"},
		"another client": {func(m *mount, z *simulation) { m.awaitsConsent(z) }, "has been changed to another client or Accounts server"},
		"an organisation": {func(m *mount, _ *simulation) {
			m.write("roles/person", fields{"grant_type": "client_credentials", "verify": false}).done(m.t)
		}, "given other credentials"},
	} {
		m, z := newWorld(t)
		m.awaitsConsent(z)
		back := m.agree("roles/person")
		c.change(m, z)
		role, asked := m.stored()["roles/person"], len(z.sim.Requests())
		page := m.callback(back)
		require.Equal(t, http.StatusBadRequest, page.status, what)
		require.Contains(t, page.body, c.says, what)
		require.Equal(t, role, m.stored()["roles/person"], what)
		require.Len(t, z.sim.Requests(), asked, what)
		m.requireStale(back, what)
	}
}

func TestCallback_WhatAnAccountsURLSaysIsEscaped(t *testing.T) {
	t.Parallel()
	m, z := newWorld(t)
	m.write("config", z.config().with(fields{"accounts_url": z.url + "/<script>alert('x')</script>", "redirect_uri": callbackURL, "verify": false, "force": true})).done(t)
	m.write("roles/person", fields{"scopes": "ZohoCRM.modules.ALL"}).done(t)
	page := m.callback(fields{"state": stateOf(m.begin("roles/person")), "code": "1000.c.c"})
	require.NotEqual(t, http.StatusOK, page.status)
	requireSelfContained(t, page.body)
}

func TestCallback_ShowsAPageWhenVaultItselfFails(t *testing.T) {
	m := newMount(t)
	m.storage.Underlying().FailGet(true)
	resp, err := m.backend.HandleRequest(t.Context(), request(t, logical.ReadOperation, "callback", fields{"state": unknownState, "code": "y"}))
	m.storage.Underlying().FailGet(false)
	require.NoError(t, err)
	require.Equal(t, 500, resp.Data[logical.HTTPStatusCode])
	body, _ := resp.Data[logical.HTTPRawBody].([]byte)
	require.Contains(t, string(body), "s server log has the cause")
}
