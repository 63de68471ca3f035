package test

import (
	"net/http"
	"regexp"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/zohosim"
)

// typesCode types a user code into the page where Zoho wants it, in a real browser, and decides.
func (b *browser) typesCode(page, code, button string) shown {
	b.t.Helper()
	require.Contains(b.t, b.open(page).text, "Enter the code")
	b.requireReadable("user code, to be entered")
	ask(b.page, b.t, chromedp.SendKeys(chromedp.CSS("#user_code"), code))
	require.Contains(b.t, b.click("#verify").text, "ZohoCRM.org.READ")
	b.requireReadable("user code, asked")
	return b.click(button)
}

// awaitsCode makes a role of a client for user codes, and begins.
func (m *mount) awaitsCode(role string) (page, code string) {
	m.t.Helper()
	client := m.sim.AddClient(zohosim.ClientSpec{Kind: zohosim.DeviceClient})
	keepSecret("client secret", client.Secret("us"))
	m.cli("write", m.path+"/roles/"+role, "scopes=ZohoCRM.modules.ALL,ZohoCRM.org.READ", "client_id="+client.ID, "client_secret="+client.Secret("us"))
	out := m.cli("write", m.path+"/roles/"+role+"/authorize", "method=device")
	require.Regexp(m.t, `on_behalf_of\s+role "`+role+`" of `+m.path+`/, client 1004\.\w+, asked for by root`, out)
	field := func(name string) string {
		found := regexp.MustCompile(`(?m)^` + name + `\s+(\S+)`).FindStringSubmatch(out)
		require.NotNil(m.t, found, out)
		return found[1]
	}
	require.Contains(m.t, m.lastConsent(role), "pending")
	return field("verification_url"), field("user_code")
}

func (m *mount) lastConsent(role string) string {
	m.t.Helper()
	return m.cli("read", "-field=last_consent", m.path+"/roles/"+role+"/status")
}

func TestDevice_APersonWhoTypesTheCodeInABrowserAuthorizesTheRole(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	m := newMount(t, zohosim.Options{})
	page, code := m.awaitsCode("tv")
	done := b.typesCode(page, code, "#accept")
	require.Equal(t, http.StatusOK, done.status)
	require.Contains(t, done.text, "connected")
	eventually(t, "the engine to notice that the person has agreed", func() bool { return regexp.MustCompile("granted").MatchString(m.lastConsent("tv")) })
	require.True(t, m.accepted(m.read("tv")))
}

func TestDevice_ADenialIsToldAndAReloadOfThePluginLosesNoConsent(t *testing.T) {
	t.Parallel()
	m := newMount(t, zohosim.Options{})
	_, code := m.awaitsCode("tv")
	m.cli("write", "sys/plugins/reload/backend", "mounts="+m.path)
	require.True(t, m.sim.Agree(code, false))
	eventually(t, "the engine to notice that the person has denied", func() bool { return regexp.MustCompile("denied").MatchString(m.lastConsent("tv")) })
	require.Contains(t, m.lastConsent("tv"), "authorize method=device")
}
