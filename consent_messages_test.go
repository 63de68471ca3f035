package zohosecrets

import (
	"html"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/zohosim"
)

// What a consent that came to nothing says sends people to the right place.

// shownFor is what the browser shows for what Zoho sent back, without markup.
func (v vault) shownFor(back fields) (status int, text string) {
	v.t.Helper()
	page := v.callback(back)
	return page.status, html.UnescapeString(page.body)
}

func TestCallback_AnErrorOfZohosOwnIsAnOutageAndBlamesNoSetting(t *testing.T) {
	t.Parallel()
	m, z := newWorld(t)
	m.awaitsConsent(z)
	for _, word := range []string{"server_error", "general_error", "temporarily_unavailable"} {
		back := m.agree("roles/person")
		delete(back, "code")
		back["error"] = word
		before := m.stored()["roles/person"]
		status, text := m.shownFor(back)
		require.Equal(t, http.StatusBadGateway, status)
		require.Contains(t, text, "Zoho reports an error of its own")
		require.NotContains(t, text, word, "nothing of the request is shown")
		require.Contains(t, text, "In a few minutes, make a new link")
		require.Contains(t, text, "roles/person/authorize")
		require.NotContains(t, text, "client_id")
		require.Equal(t, before, m.stored()["roles/person"])
	}
}

func TestCallback_AScopeThatZohoRefusesIsNamed(t *testing.T) {
	t.Parallel()
	m, z := newWorld(t)
	m.awaitsConsent(z)
	m.write("roles/person", fields{"scopes": "ZohoCRM.modules.ALL,ZohoCRM.typo.READ"}).done(t)
	back := fields{"state": m.agree("roles/person")["state"], "error": "invalid_scope"}
	status, text := m.shownFor(back)
	require.Equal(t, http.StatusBadRequest, status)
	require.Contains(t, text, "ZohoCRM.modules.ALL, ZohoCRM.typo.READ")
	require.NotContains(t, text, "client_id")
}

// Who was asked for consent has no code that they could get anew.
func TestCallback_WhenTheExchangeFailsAtZohoItSaysToAuthorizeAgain(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]zohosim.Fault{
		"an error page":                {Kind: zohosim.FaultHTML500},
		"a lost answer":                {Kind: zohosim.FaultClose},
		"no refresh token":             {Kind: zohosim.FaultAnswer, Body: `{"access_token":"1000.a.b","expires_in":3600}`},
		"a refresh token of odd form":  {Kind: zohosim.FaultAnswer, Body: `{"access_token":"1000.a.b","refresh_token":"1000.$(id)","expires_in":3600}`},
		"a word that nobody knows":     {Kind: zohosim.FaultAnswer, Body: `{"error":"inactive_user"}`},
		"an error of Zoho's own, said": {Kind: zohosim.FaultAnswer, Body: `{"error":"general_error"}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, z := newWorld(t)
			m.awaitsConsent(z)
			back := m.agree("roles/person")
			fault.Count = 1
			z.sim.Fault(zohosim.EndpointToken, fault)
			status, text := m.shownFor(back)
			require.GreaterOrEqual(t, status, 400)
			require.Contains(t, text, "roles/person/authorize")
			require.NotContains(t, strings.ToLower(text), "get a new code")
			require.NotContains(t, text, "access_type")
		})
	}
}
