package test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend"
	"vault-plugin-secrets-zoho/zohosim"
)

const modules = "ZohoCRM.modules.ALL"

// awaiting is a role that waits for a person's consent, with a client of its own, since Zoho
// takes four codes of a client in a minute.
type awaiting struct {
	*mount
	role   string
	client *zohosim.Client
}

func (m *mount) awaits(role, scopes string, settings ...string) awaiting {
	m.t.Helper()
	client := m.sim.AddClient(zohosim.ClientSpec{Kind: zohosim.WebClient, RedirectURIs: []string{m.callback()}})
	keepSecret("client secret", client.Secret("us"))
	a := awaiting{m, role, client}
	a.set(append([]string{"scopes=" + scopes, "client_id=" + client.ID, "client_secret=" + client.Secret("us")}, settings...)...)
	return a
}

func (a awaiting) set(settings ...string) {
	a.t.Helper()
	a.cli(append([]string{"write", a.path + "/roles/" + a.role}, settings...)...)
}

// back is the address to which Zoho sends the browser.
func (a awaiting) back(values map[string]string) string {
	a.t.Helper()
	begun, err := url.Parse(a.authorize(a.role))
	require.NoError(a.t, err)
	query := url.Values{"state": {begun.Query().Get("state")}}
	for name, value := range values {
		query.Set(name, value)
	}
	return a.callback() + "?" + query.Encode()
}

// agreed is that address when a person has agreed.
func (a awaiting) agreed(spec zohosim.CodeSpec) string {
	a.t.Helper()
	spec.PromptConsent = true
	if spec.Scopes == nil {
		spec.Scopes = []string{modules}
	}
	return a.back(map[string]string{"code": a.sim.Code(a.client, "us", spec)})
}

// requireReadable demands that a page needs no scrolling sideways, on a desktop and on a
// phone, and is dark where the browser is.
func (b *browser) requireReadable(name string) {
	b.t.Helper()
	for _, width := range []int64{1280, 390} {
		b.requireReadableOn(width)
		for _, scheme := range []string{"dark", "light"} {
			b.prefer(scheme)
			b.picture(fmt.Sprintf("%s at %d, %s", name, width, scheme))
		}
	}
	b.requireDarkIfWanted()
	b.prefer("light")
}

// outcomesBeyond are those that the engine's tests alone can arrange: with a storage that
// fails, a mount that is closed, and a clock that can be set. Their pages have the same form.
func outcomesBeyond() []backend.ConsentOutcome {
	return []backend.ConsentOutcome{backend.ConsentFailedInVault, backend.ConsentInterrupted, backend.ConsentTooEarly}
}

func TestConsent_EachPageCanBeReadOnADesktopAndOnAPhone(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	m := newMount(t, zohosim.Options{})
	m.cli("write", m.path+"/config", "redirect_uri="+m.callback())
	const anna, longest = "anna@example.com", "ZohoCRM.modules.ALL,ZohoCRM.settings.READ,ZohoCRM.org.READ,ZohoBooks.fullaccess.all,email"
	answers := func(body string) {
		m.sim.Fault(zohosim.EndpointToken, zohosim.Fault{Kind: zohosim.FaultAnswer, Body: body, Count: 1})
	}
	cases := map[backend.ConsentOutcome]func() string{
		backend.ConsentGiven: func() string {
			a := m.awaits("a-role-of-a-team-with-quite-a-long-name-"+strings.Repeat("x", 60), longest)
			user := strings.Repeat("anna", 12) + "@" + strings.Repeat("example", 6) + ".com"
			return a.agreed(zohosim.CodeSpec{User: user, Scopes: strings.Split(longest, ",")})
		},
		backend.ConsentGivenForOrg: func() string {
			return m.awaits("org", modules, "consent=org", "soid=ZohoCRM.600123434").agreed(zohosim.CodeSpec{Organisation: true, SOID: "ZohoCRM.600123434"})
		},
		backend.ConsentLinkInvalid: func() string { return m.callback() + "?state=x" },
		backend.ConsentDenied:      func() string { return m.awaits("denied", modules).back(map[string]string{"error": "access_denied"}) },
		backend.ConsentTooEarlyForLink: func() string {
			a := m.awaits("early", modules)
			for range 3 {
				m.get(a.agreed(zohosim.CodeSpec{}))
			}
			return a.agreed(zohosim.CodeSpec{})
		},
		backend.ConsentThrottled: func() string {
			m.sim.Fault(zohosim.EndpointToken, zohosim.Fault{Kind: zohosim.FaultThrottled, Count: 1})
			return m.awaits("throttled", modules).agreed(zohosim.CodeSpec{})
		},
		backend.ConsentZohoFailed: func() string {
			m.sim.Fault(zohosim.EndpointToken, zohosim.Fault{Kind: zohosim.FaultClose, Count: 1})
			return m.awaits("down", modules).agreed(zohosim.CodeSpec{})
		},
		backend.ConsentCodeRefused: func() string { return m.awaits("late", modules).back(map[string]string{"code": "1000.aa.bb"}) },
		backend.ConsentSettingsRefused: func() string {
			a := m.awaits("secret", modules)
			a.set("client_secret=wrong")
			return a.agreed(zohosim.CodeSpec{})
		},
		backend.ConsentScopesRefused: func() string { return m.awaits("scopes", modules).back(map[string]string{"error": "invalid_scope"}) },
		backend.ConsentRoleChanged: func() string {
			a := m.awaits("changed", modules)
			address := a.agreed(zohosim.CodeSpec{})
			a.set("scopes=ZohoCRM.org.READ")
			return address
		},
		backend.ConsentOddAnswer: func() string { return m.awaits("odd", modules).back(nil) },
		backend.ConsentOtherKind: func() string { return m.awaits("kind", modules).agreed(zohosim.CodeSpec{Organisation: true}) },
		backend.ConsentOtherDataCenter: func() string {
			return m.awaits("elsewhere", modules).back(map[string]string{"code": "1000.aa.bb", "accounts-server": "https://accounts.zoho.eu"})
		},
		backend.ConsentMoreScopes: func() string {
			answers(`{"access_token":"1000.a.b","refresh_token":"1000.c.d","expires_in":3600,"scope":"ZohoCRM.modules.ALL ZohoCRM.users.ALL"}`)
			return m.awaits("more", modules).agreed(zohosim.CodeSpec{})
		},
		backend.ConsentOtherAccount: func() string {
			return m.awaits("account", "email", "expected_account="+anna).agreed(zohosim.CodeSpec{User: "berta@example.com", Scopes: []string{"email"}})
		},
		backend.ConsentUnverifiedAccount: func() string {
			m.sim.SetProfile(anna, zohosim.Profile{EmailUnverified: true})
			return m.awaits("unverified", "email", "expected_account="+anna).agreed(zohosim.CodeSpec{User: anna, Scopes: []string{"email"}})
		},
		backend.ConsentUnknownAccount: func() string {
			return m.awaits("unknown", "ZohoCRM.modules.ALL,email", "expected_account="+anna).agreed(zohosim.CodeSpec{User: anna})
		},
		backend.ConsentNoRefreshToken: func() string {
			answers(`{"access_token":"1000.a.b","expires_in":3600}`)
			return m.awaits("hour", modules).agreed(zohosim.CodeSpec{})
		},
		backend.ConsentTooManyTokens: func() string {
			answers(`{"error":"Access Denied","status":"failure"}`)
			return m.awaits("many", modules).agreed(zohosim.CodeSpec{})
		},
	}
	for _, outcome := range outcomesBeyond() {
		cases[outcome] = nil
	}
	for outcome := range backend.ConsentOutcomes {
		arrange, arranged := cases[outcome]
		require.True(t, arranged, "outcome %d: nobody has looked at its page", outcome)
		if arrange == nil {
			continue
		}
		title, _, _ := strings.Cut(outcome.Texts().Title, "<")
		page := b.open(arrange())
		require.Contains(t, page.title, title, page.text)
		require.Contains(t, page.text, "For the operator of Vault")
		b.requireReadable(fmt.Sprintf("%02d %s", outcome, page.title))
	}
}

func TestConsent_TheSimulatedZohosPagesCanBeReadOnADesktopAndOnAPhone(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	m := newMount(t, zohosim.Options{})
	m.cli("write", m.path+"/config", "redirect_uri="+m.callback())
	for name, row := range map[string]struct{ address, says string }{
		"of a person":         {m.awaits("person", "ZohoCRM.modules.ALL,ZohoCRM.settings.READ,ZohoBooks.fullaccess.all").authorize("person"), "ZohoBooks"},
		"of an organisation":  {m.awaits("org", modules, "consent=org").authorize("org"), "organisation"},
		"of a link with less": {m.accounts.URL + "/oauth/v2/auth?client_id=x", "Invalid Client"},
		"of no page":          {m.accounts.URL + "/nothing", "Not found"},
	} {
		page := b.open(row.address)
		require.Contains(t, page.text, row.says)
		b.requireReadable("zohosim, " + name)
	}
	m.sim.Fault(zohosim.EndpointAuth, zohosim.Fault{Kind: zohosim.FaultHTML500, Count: 1})
	require.Contains(t, b.open(m.accounts.URL+"/oauth/v2/auth").text, "server error")
	b.requireReadable("zohosim, of a fault")
}
