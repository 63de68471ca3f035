package zohosecrets

import (
	"fmt"
	"html"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend"
	"vault-plugin-secrets-zoho/zohosim"
)

// Who reads the page administers a CRM, and has never heard of a role.

// parts are what a page says to the person, and what it says to the operator.
func (p shown) parts(t *testing.T) (person, operator string) {
	t.Helper()
	_, body, found := strings.Cut(p.body, "<body>")
	require.True(t, found)
	person, operator, found = strings.Cut(html.UnescapeString(body), "<section>\n<h2>For the operator of Vault</h2>")
	require.True(t, found, p.body)
	return person, operator
}

// requireApart demands that the page speaks to the person in their words, and has each
// command in the operator's part.
func (p shown) requireApart(t *testing.T) (person, operator string) {
	t.Helper()
	person, operator = p.parts(t)
	require.NotRegexp(t, `(?i)\brole\b|\bvault (write|read|list)|\bclient_|redirect_uri|\bscopes?\b|grant code|refresh token|access token|&lt;|<[a-z]+>[^<]*<(name|mount|wait|home|asked)>`, person)
	for _, placeholder := range []string{"<name>", "<wait>", "<home>", "<asked>", "<mount>"} {
		require.NotContains(t, person, placeholder)
	}
	require.Regexp(t, `you|your`, person)
	return person, operator
}

// consentCase arranges an outcome, and answers what Zoho sends back with.
type consentCase struct {
	status  int
	arrange func(m *mount, z *simulation) fields
}

// agreeing is a person who agrees, and what happens before they come back.
func agreeing(meanwhile func(m *mount, z *simulation, back fields)) func(*mount, *simulation) fields {
	return func(m *mount, z *simulation) fields {
		back := m.agree("roles/person")
		meanwhile(m, z, back)
		return back
	}
}

func (m *mount) expectsAnna(z *simulation) {
	m.write("roles/person", fields{"scopes": "ZohoCRM.modules.ALL,email", "expected_account": "anna@example.com"}).done(m.t)
	z.sim.SetUser("anna@example.com", "us")
}

// answersOnce makes Zoho's token endpoint answer so.
func (z *simulation) answersOnce(body string) {
	z.sim.Fault(zohosim.EndpointToken, zohosim.Fault{Kind: zohosim.FaultAnswer, Body: body, Count: 1})
}

func consentCases() map[backend.ConsentOutcome]consentCase {
	bad := http.StatusBadRequest
	return map[backend.ConsentOutcome]consentCase{
		backend.ConsentFailedInVault: {500, agreeing(func(m *mount, _ *simulation, _ fields) { m.storage.FailPut(true) })},
		backend.ConsentInterrupted:   {503, agreeing(func(m *mount, _ *simulation, _ fields) { m.inner.Cleanup(m.t.Context()) })},
		backend.ConsentGiven:         {200, agreeing(func(*mount, *simulation, fields) {})},
		backend.ConsentGivenForOrg: {200, func(m *mount, _ *simulation) fields {
			m.write("roles/person", fields{"consent": "org", "soid": "ZohoCRM.600123434"}).done(m.t)
			return m.agree("roles/person")
		}},
		backend.ConsentLinkInvalid: {bad, agreeing(func(m *mount, _ *simulation, back fields) { m.callback(back) })},
		backend.ConsentDenied:      {bad, func(m *mount, _ *simulation) fields { return m.decide(m.begin("roles/person"), "deny") }},
		backend.ConsentTooEarly: {429, func(m *mount, _ *simulation) fields {
			for range 3 {
				m.completes(m.agree("roles/person"))
				m.clock.Advance(3 * time.Minute)
			}
			return m.agree("roles/person")
		}},
		backend.ConsentTooEarlyForLink: {429, func(m *mount, _ *simulation) fields {
			for range 3 {
				m.completes(m.agree("roles/person"))
			}
			m.clock.Advance(time.Second)
			return m.agree("roles/person")
		}},
		backend.ConsentThrottled: {429, agreeing(func(_ *mount, z *simulation, _ fields) {
			z.sim.Fault(zohosim.EndpointToken, zohosim.Fault{Kind: zohosim.FaultThrottled, Count: 1})
		})},
		backend.ConsentZohoFailed:  {503, agreeing(func(_ *mount, z *simulation, _ fields) { z.sim.SetDown(true) })},
		backend.ConsentCodeRefused: {bad, agreeing(func(m *mount, _ *simulation, _ fields) { m.clock.Advance(3 * time.Minute) })},
		backend.ConsentSettingsRefused: {bad, func(m *mount, _ *simulation) fields {
			m.write("roles/person", fields{"client_secret": "wrong"}).done(m.t)
			return m.agree("roles/person")
		}},
		backend.ConsentScopesRefused: {bad, func(m *mount, _ *simulation) fields {
			return fields{"state": stateOf(m.begin("roles/person")), "error": "invalid_scope"}
		}},
		backend.ConsentRoleChanged: {bad, agreeing(func(m *mount, _ *simulation, _ fields) {
			m.write("roles/person", fields{"scopes": "ZohoCRM.users.ALL"}).done(m.t)
		})},
		backend.ConsentOddAnswer: {bad, agreeing(func(_ *mount, _ *simulation, back fields) { delete(back, "code") })},
		backend.ConsentOtherKind: {bad, func(m *mount, _ *simulation) fields {
			return m.decide(strings.Replace(m.begin("roles/person"), "/v2/auth?", "/v2/org/auth?", 1), "accept")
		}},
		backend.ConsentOtherDataCenter: {bad, func(m *mount, z *simulation) fields {
			_, err := z.sim.Listen("eu")
			require.NoError(m.t, err)
			z.sim.SetUser("hans@example.eu", "eu")
			back := m.agree("roles/person")
			back["accounts-server"] = "https://accounts.zoho.eu"
			return back
		}},
		backend.ConsentMoreScopes: {bad, func(m *mount, z *simulation) fields {
			z.sim.SetAnswer(zohosim.Answer{WithScope: true})
			return m.decide(strings.Replace(m.begin("roles/person"), "ZohoCRM.modules.ALL", "ZohoCRM.modules.ALL%2CZohoCRM.users.ALL", 1), "accept")
		}},
		backend.ConsentOtherAccount: {bad, func(m *mount, z *simulation) fields {
			m.expectsAnna(z)
			z.sim.SetUser("berta@example.com", "us")
			return m.agree("roles/person")
		}},
		backend.ConsentUnverifiedAccount: {bad, func(m *mount, z *simulation) fields {
			m.expectsAnna(z)
			z.sim.SetProfile("anna@example.com", zohosim.Profile{EmailUnverified: true})
			return m.agree("roles/person")
		}},
		backend.ConsentUnknownAccount: {bad, func(m *mount, z *simulation) fields {
			m.expectsAnna(z)
			return m.decide(strings.Replace(m.begin("roles/person"), "%2Cemail", "", 1), "accept")
		}},
		backend.ConsentNoRefreshToken: {bad, agreeing(func(_ *mount, z *simulation, _ fields) {
			z.answersOnce(`{"access_token":"1000.a.b","expires_in":3600}`)
		})},
		backend.ConsentTooManyTokens: {429, agreeing(func(_ *mount, z *simulation, _ fields) { z.answersOnce(`{"error":"Access Denied","status":"failure"}`) })},
	}
}

// Each outcome of the callback, as the engine has them: none without words for the person and
// for the operator.
func TestCallbackPage_EveryOutcomeSpeaksToThePersonAndApartFromThatToTheOperator(t *testing.T) {
	t.Parallel()
	cases := consentCases()
	for outcome := range backend.ConsentOutcomes {
		texts := outcome.Texts()
		t.Run(texts.Title, func(t *testing.T) {
			t.Parallel()
			for _, text := range []string{texts.Title, texts.Happened, texts.ToDo, texts.Operator} {
				require.NotEmpty(t, text, "outcome %d", outcome)
			}
			c, arranged := cases[outcome]
			require.True(t, arranged, "outcome %d: nobody has seen its page", outcome)
			m, z := newWorld(t)
			m.awaitsConsent(z)
			back := c.arrange(m, z)
			page := m.callback(back)
			m.storage.FailPut(false)
			require.Equal(t, c.status, page.status, page)
			person, operator := page.requireApart(t)
			title, _, _ := strings.Cut(texts.Title, "<")
			require.Contains(t, person, "<h1>"+title, "another outcome")
			require.Equal(t, outcome == backend.ConsentSettingsRefused, strings.Contains(operator, "correct it there"), "the client is blamed where Zoho blames it")
			requireShowsNothingOf(t, page.body, back)
			requireSelfContained(t, page.body)
			if outcome != backend.ConsentLinkInvalid {
				require.Contains(t, operator, "<dd>person</dd>")
			}
			if outcome != backend.ConsentTooEarly { // which leaves nothing to do
				require.Regexp(t, `<pre><code>vault (write -f|read) `, operator)
			}
		})
	}
}

// What the reporter has seen, with the words that are right.
func TestCallbackPage_SaysWhatHappenedAndWhatThePersonCanDo(t *testing.T) {
	t.Parallel()
	cases := consentCases()
	for outcome, row := range map[backend.ConsentOutcome]struct{ person, operator string }{
		backend.ConsentDenied:          {"You did not give consent</h1>", "vault write -f <mount>/roles/person/authorize"},
		backend.ConsentLinkInvalid:     {"ask the person who sent you the link for a new one", "vault write -f <mount>/roles/<name>/authorize"},
		backend.ConsentSettingsRefused: {"They can correct the settings, and send you a new link", "invalid_client_secret"},
		backend.ConsentZohoFailed:      {"Ask the person who sent you the link for a new one, in a few minutes or later", "could not be reached"},
		backend.ConsentOtherDataCenter: {"Zoho keeps your account in its data centre eu, and this link is for accounts in ", "vault write <mount>/roles/person data_center=eu"},
		backend.ConsentTooEarly:        {"Open the same link again in 2 minutes", "The link stays good"},
		backend.ConsentTooEarlyForLink: {"This link will be too old then", "At that time, make a new link"},
		backend.ConsentMoreScopes:      {"You agreed to more than this link is for", "Zoho granted ZohoCRM.users.ALL"},
		backend.ConsentOtherAccount:    {"you were signed in to Zoho with another one", "expects a certain Zoho account"},
		backend.ConsentTooManyTokens:   {"as many connections as Zoho allows", "Access Denied"},
	} {
		m, z := newWorld(t)
		m.awaitsConsent(z)
		page := m.callback(cases[outcome].arrange(m, z))
		person, operator := page.requireApart(t)
		require.Contains(t, person, row.person)
		require.Contains(t, operator, row.operator, "outcome %d", outcome)
		require.NotContains(t, operator, "was not written", "the role is written; the consent was not completed")
		require.NotContains(t, strings.ToLower(operator), "a new code", "nobody has one here")
		if outcome != backend.ConsentLinkInvalid && outcome != backend.ConsentTooEarly && outcome != backend.ConsentTooEarlyForLink {
			last, _ := m.read("roles/person/status").done(t).Data["last_consent"].(map[string]any)
			require.Contains(t, last["error"], "roles/person/authorize", "the status says the same")
		}
	}
}

func TestCallbackPage_OfSuccessShowsWhoseAccountItIsAndTheScopes(t *testing.T) {
	t.Parallel()
	m, z := newWorld(t)
	m.awaitsConsent(z)
	z.sim.SetUser("anna@example.com", "us")
	m.write("roles/person", fields{"scopes": "ZohoCRM.modules.ALL,email"}).done(t)
	person, _ := m.callback(m.agree("roles/person")).parts(t)
	require.Contains(t, person, "<dt>Account</dt><dd>anna@example.com (verified address)</dd>")
	require.Contains(t, person, "<dt>Access asked for</dt><dd><ul><li>ZohoCRM.modules.ALL</li><li>email</li></ul></dd>", "Zoho did not say what it granted")
	require.Contains(t, person, "close this window")
	require.Contains(t, person, "take your consent back")
	require.NotContains(t, person, "organisation")

	z.sim.SetAnswer(zohosim.Answer{WithScope: true})
	person, operator := m.callback(m.decide(strings.Replace(m.begin("roles/person"), "%2Cemail", "", 1), "accept")).parts(t)
	require.NotContains(t, person, "<dt>Account</dt>", "Zoho did not say")
	require.Contains(t, person, "<dt>Access</dt><dd><ul><li>ZohoCRM.modules.ALL</li></ul></dd>")
	require.Contains(t, operator, "Zoho did not grant email")

	m.clock.Advance(10 * time.Minute)
	m.write("roles/person", fields{"scopes": "ZohoCRM.modules.ALL", "consent": "org", "soid": "ZohoCRM.600123434"}).done(t)
	person, _ = m.callback(m.agree("roles/person")).parts(t)
	require.Contains(t, person, "You gave consent for the whole organisation</h1>")
	require.Contains(t, person, "<dt>Organisation</dt><dd>ZohoCRM.600123434</dd>")
}

// Whoever has an account chooses its name.
func TestCallbackPage_EscapesTheNameOfAnAccount(t *testing.T) {
	t.Parallel()
	m, z := newWorld(t)
	m.awaitsConsent(z)
	z.sim.SetUser("x", "us")
	z.sim.SetProfile("x", zohosim.Profile{DisplayName: `<script>alert(1)</script>"><img src=x onerror=alert(1)>`, NoEmail: true})
	m.write("roles/person", fields{"scopes": "ZohoCRM.modules.ALL,AaaServer.profile.READ"}).done(t)
	body := m.completes(m.agree("roles/person"))
	require.Contains(t, body, "&lt;script&gt;alert(1)")
	require.NotContains(t, body, "<script")
	require.NotContains(t, body, "<img")
}

// Who has a link learns of no role but the one that it is for.
func TestCallbackPage_NamesNoOtherRole(t *testing.T) {
	t.Parallel()
	m, z := newWorld(t)
	client := m.awaitsConsent(z)
	for i := range 18 {
		refreshToken := z.sim.Consent(client, "us", "user@example.com", []string{"ZohoCRM.modules.ALL"})
		m.write(fmt.Sprintf("roles/confidential-%d", i), fields{"client_id": client.ID, "client_secret": client.Secret("us"), "refresh_token": refreshToken}).done(t)
	}
	back := m.agree("roles/person")
	z.answersOnce(`{"error":"Access Denied","status":"failure"}`)
	page := m.callback(back)
	require.Equal(t, http.StatusTooManyRequests, page.status)
	require.NotContains(t, page.body, "confidential")
}

// A person reads the title of their page to the operator, on the telephone.
func TestDocumentation_HasWhatToDoForEachPageOfAConsent(t *testing.T) {
	t.Parallel()
	_, table, found := strings.Cut(pages(t)["docs/troubleshooting.md"], "\n### After a consent\n")
	require.True(t, found)
	table, _, _ = strings.Cut(table, "\n### ")
	titles := map[string]bool{}
	for row := range strings.Lines(table) {
		if cells := strings.Split(row, "|"); len(cells) == 4 {
			for _, title := range strings.Split(cells[1], ", ") {
				titles[strings.TrimSpace(title)] = true
			}
		}
	}
	delete(titles, "the page says")
	delete(titles, "---")
	for outcome := range backend.ConsentOutcomes {
		title, _, _ := strings.Cut(outcome.Texts().Title, " <")
		require.True(t, titles[title], title)
	}
	require.Len(t, titles, int(backend.ConsentOutcomes)-2, "two outcomes share the title of another")
}
