package zohosecrets

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"
	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/zohosim"
)

func TestAuthorize_AnswersAnAddressAtZohoThatAsksForWhatTheRoleNeeds(t *testing.T) {
	t.Parallel()
	m, z := newWorld(t)
	client := m.awaitsConsent(z)
	role := m.stored()["roles/person"]
	got := m.write("roles/person/authorize", nil).done(t)
	require.Len(t, got.Data, 2)
	require.Equal(t, "2026-11-21T09:10:00Z", got.Data["expires_at"])
	address, err := url.Parse(m.begin("roles/person"))
	require.NoError(t, err)
	require.Equal(t, z.url+"/oauth/v2/auth", address.Scheme+"://"+address.Host+address.Path)
	asked := address.Query()
	state := asked.Get("state")
	require.Regexp(t, `^[0-9a-f]{32}\.[A-Za-z0-9_-]{43}$`, state)
	asked.Del("state")
	require.Equal(t, url.Values{
		"response_type": {"code"}, "client_id": {client.ID}, "redirect_uri": {callbackURL}, "scope": {"ZohoCRM.modules.ALL"},
		"access_type": {"offline"}, "prompt": {"consent"},
	}, asked)
	require.NotContains(t, got.Data["authorization_url"], state, "each has a state of its own")
	require.Equal(t, role, m.stored()["roles/person"], "nothing changes before somebody agrees")
	require.Empty(t, z.sim.Requests(), "Vault itself asks nothing")
	for key, value := range m.stored() {
		require.NotContains(t, key+value, state, "only a hash of it is kept")
	}
}

func TestAuthorize_SaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	m, z := newWorld(t)
	m.write("roles/scoped", fields{"scopes": "ZohoCRM.modules.ALL"}).done(t)
	m.write("roles/org", fields{"grant_type": "client_credentials", "scopes": "ZohoCRM.modules.ALL", "verify": false}).done(t)
	before := m.stored()
	for role, says := range map[string]string{
		"scoped":   "the mount has no redirect_uri; write the address of its callback to <mount>/config",
		"crm-sync": `role "crm-sync" has no scopes to ask for; write them first`,
		"org":      `role "org" mints with client_credentials, for which nobody has to consent`,
		"nobody":   `role "nobody" does not exist`,
		"..":       "this is not a role name",
	} {
		m.requireRefused(m.write("roles/"+role+"/authorize", nil), before, role, says)
	}
	m.write("config", fields{"redirect_uri": callbackURL}).done(t)
	m.write("roles/scoped/authorize", nil).done(t)
	m.deleteConfig()
	m.write("config", fields{"redirect_uri": callbackURL}).done(t)
	m.requireRefused(m.write("roles/scoped/authorize", nil), m.stored(), "the client is gone", `there is no client for role "scoped": write client_id and client_secret to it, or to this mount's config`)
	require.Empty(t, z.sim.Requests())
}

func TestCallback_CompletesTheRoleAndTellsThePersonSo(t *testing.T) {
	t.Parallel()
	m, z := newWorld(t)
	m.awaitsConsent(z)
	require.Equal(t, false, m.read("roles/person/status").done(t).Data["authorized"])
	back := m.agree("roles/person")
	require.Equal(t, "us", back["location"])
	require.Equal(t, z.url, back["accounts-server"])
	body := m.completes(back)
	require.Contains(t, body, "<h1>You gave consent</h1>")
	require.Regexp(t, `Role [^a-z]*(34;)?person.* can hand out access tokens now`, body)
	requireShowsNothingOf(t, body, back)
	require.NotContains(t, body, m.refreshTokenOf("person"))
	require.Equal(t, true, m.read("roles/person/status").done(t).Data["authorized"])
	asked := z.sim.Count(zohosim.EndpointToken)
	leased := m.read("creds/person").done(t)
	require.Equal(t, asked, z.sim.Count(zohosim.EndpointToken), "a token came with the consent")
	require.True(t, z.sim.Alive(leased.token()))
	for key := range m.stored() {
		require.False(t, strings.HasPrefix(key, "consents/"), key)
	}
}

// requireShowsNothingOf: what came with the request, which anybody can make up.
func requireShowsNothingOf(t *testing.T, body string, back fields) {
	t.Helper()
	for _, name := range []string{"state", "code"} {
		if text, _ := back[name].(string); len(text) > 10 { // a shorter one may be a word of ours
			require.NotContains(t, body, text, name)
		}
	}
}

// The statuses that a browser gets, on the other side of gRPC.
func TestCallback_AnswersAPageWithItsStatusWhateverHappens(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		arrange func(*remote, fields)
		status  int
		says    string
	}{
		"agreed":          {func(*remote, fields) {}, 200, "can hand out access tokens now"},
		"denied":          {func(_ *remote, back fields) { delete(back, "code"); back["error"] = "access_denied" }, 400, "Zoho was not given consent: it was denied"},
		"another error":   {func(_ *remote, back fields) { back["error"] = "invalid_client" }, 400, "Zoho ended the authorization with an error"},
		"an outage":       {func(_ *remote, back fields) { back["error"] = "server_error" }, 502, "Zoho reports an error of its own"},
		"no code":         {func(_ *remote, back fields) { delete(back, "code") }, 400, "Zoho sent no grant code"},
		"a used code":     {func(r *remote, _ fields) { r.refuses("invalid_code") }, 400, "invalid_code"},
		"no state":        {func(_ *remote, back fields) { delete(back, "state") }, 400, "This link is not valid"},
		"two states":      {func(_ *remote, back fields) { back["state"] = []any{back["state"], "x"} }, 400, "state has a value of a wrong form"},
		"nothing at all":  {func(_ *remote, back fields) { clear(back) }, 400, "This link is not valid"},
		"throttled":       {func(r *remote, _ fields) { r.fault(zohosim.FaultThrottled) }, 429, "throttles"},
		"a web page":      {func(r *remote, _ fields) { r.fault(zohosim.FaultHTML500) }, 502, "a web page (HTTP 500)"},
		"an empty answer": {func(r *remote, _ fields) { r.fault(zohosim.FaultEmpty200) }, 502, "an empty answer"},
		"Zoho is down":    {func(r *remote, _ fields) { r.zoho.sim.SetDown(true) }, 503, "could not be reached"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRemote(t)
			r.awaitsConsent(r.zoho)
			back := r.agree("roles/person")
			row.arrange(r, back)
			page := r.callback(back)
			require.Equal(t, row.status, page.status, page)
			require.Equal(t, "text/html; charset=utf-8", page.kind)
			require.Contains(t, page.body, row.says)
			requireShowsNothingOf(t, page.body, back)
			requireSelfContained(t, page.body)
			r.zoho.sim.SetDown(false)
			r.zoho.sim.ClearFaults()
			require.Equal(t, row.status == 200, r.read("roles/person/status").done(t).Data["authorized"])
		})
	}
}

// requireSelfContained: the page loads nothing from anywhere, runs nothing and
// sends nothing.
func requireSelfContained(t *testing.T, body string) {
	t.Helper()
	require.True(t, strings.HasPrefix(body, "<!DOCTYPE html>"), body)
	require.NotRegexp(t, `(?i)\b(src|href|action|srcset|data|background|formaction|ping)\s*=|url\(|@import|\bon[a-z]+\s*=|javascript:`, body)
	require.NotRegexp(t, `(?i)<\s*(script|link|img|iframe|form|object|embed|svg|base|a|video|audio|input)\b`, body)
	require.Contains(t, body, `http-equiv="Content-Security-Policy" content="default-src 'none';`)
	require.Contains(t, body, `name="referrer" content="no-referrer"`)
}

func TestCallback_AStateIsGoodForOneAttempt(t *testing.T) {
	t.Parallel()
	m, z := newWorld(t)
	m.awaitsConsent(z)
	for what, attempt := range map[string]fields{
		"agreed": {}, "denied": {"error": "access_denied"}, "no code": {"code": ""}, "another account": {"accounts-server": "https://accounts.zoho.eu"},
	} {
		back := m.agree("roles/person")
		m.callback(back.with(attempt))
		asked, before := len(z.sim.Requests()), m.stored()
		m.requireStale(back, what)
		require.Len(t, z.sim.Requests(), asked, what)
		require.Equal(t, before, m.stored(), what)
	}
}

// requireStale requires that a state is taken for none of this mount's.
func (m *mount) requireStale(back fields, what string) {
	m.t.Helper()
	page := m.callback(back)
	require.Equal(m.t, http.StatusBadRequest, page.status, what)
	require.Contains(m.t, page.body, "This link is not valid: it was used already, is older than ten minutes, or was not begun here.", what)
	requireShowsNothingOf(m.t, page.body, back)
}

func TestCallback_AStateThatWasNotMadeHereIsWorthNothing(t *testing.T) {
	t.Parallel()
	m, z := newWorld(t)
	m.awaitsConsent(z)
	back := m.agree("roles/person")
	state, _ := back["state"].(string)
	other, _ := newWorld(t) // another mount, with storage of its own
	asked, before := len(z.sim.Requests()), m.stored()
	other.requireStale(back, "of another mount")
	for what, forged := range map[string]any{
		"null": nil, "empty": "", "a blank": " ", "one less": state[:42], "one more": state + "A", "in capitals": strings.ToUpper(state), "padded": state + "=",
		"a path": "../roles/person", "its key": keyOfConsent(m), "a hash": strings.TrimPrefix(keyOfConsent(m), "consents/"), "a number": 1,
		"1 MB": strings.Repeat("A", 1<<20), "control characters": state + "\x00", "a line break": state + "\n", "broken UTF-8": "\xff",
	} {
		m.requireStale(back.with(fields{"state": forged}), what)
	}
	for _, twice := range []any{[]any{state, state}, []any{state}, fields{"a": state}} {
		page := m.callback(back.with(fields{"state": twice}))
		require.Equal(t, http.StatusBadRequest, page.status)
		require.Contains(t, page.body, "state has a value of a wrong form; write one piece of text")
		requireShowsNothingOf(t, page.body, back)
	}
	require.Equal(t, before, m.stored())
	require.Len(t, z.sim.Requests(), asked)
	m.completes(back) // nobody has used it up
}

func keyOfConsent(m *mount) string {
	for key := range m.stored() {
		if strings.HasPrefix(key, "consents/") {
			return key
		}
	}
	return "none"
}

func TestCallback_AStateExpiresAfterTenMinutes(t *testing.T) {
	t.Parallel()
	m, z := newWorld(t)
	m.awaitsConsent(z)
	late, inTime := m.agree("roles/person"), m.begin("roles/person")
	m.clock.Advance(10*time.Minute - time.Second)
	m.completes(m.decide(inTime, "accept"))
	m.clock.Advance(time.Second)
	m.requireStale(late, "expired")
	m.begin("roles/person") // nobody comes back from this one
	m.clock.Advance(10 * time.Minute)
	require.NoError(t, m.tick())
	require.Equal(t, "none", keyOfConsent(m), "what nobody came back for is tidied away")
}

func TestCallback_OfTwoAtOnceOneIsTaken(t *testing.T) {
	t.Parallel()
	m, z := newWorld(t)
	m.awaitsConsent(z)
	back := m.agree("roles/person")
	answers := make([]answer, 8)
	var group sync.WaitGroup
	for i := range answers {
		req := request(t, logical.ReadOperation, "callback", back)
		group.Go(func() {
			resp, err := m.backend.HandleRequest(t.Context(), req)
			answers[i] = answered(req, resp, err)
		})
	}
	group.Wait()
	taken := 0
	for _, got := range answers {
		if m.raw(got).status == http.StatusOK {
			taken++
		}
	}
	require.Equal(t, 1, taken)
	require.Equal(t, 1, z.sim.Count(zohosim.EndpointToken))
}
