package test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-cleanhttp"
	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/zohosim"
)

// callback is where Zoho sends browsers back to.
func (m *mount) callback() string { return m.server.Addr() + "/v1/" + m.path + "/callback" }

// useWebClient gives the mount a server-based client, and makes a role app that
// is not authorized yet.
func (m *mount) useWebClient() {
	m.t.Helper()
	m.client = m.sim.AddClient(zohosim.ClientSpec{Kind: zohosim.WebClient, RedirectURIs: []string{m.callback()}})
	keepSecret("client secret", m.client.Secret("us"))
	m.cli("write", m.path+"/config", "client_id="+m.client.ID, "client_secret="+m.client.Secret("us"), "redirect_uri="+m.callback(), "force=true")
	m.cli("write", m.path+"/roles/app", "scopes="+strings.Join(scopes, ","))
}

// authorize begins an authorization, and returns the address for the person.
func (m *mount) authorize(role string) string {
	m.t.Helper()
	return m.cli("write", "-f", "-field=authorization_url", m.path+"/roles/"+role+"/authorize")
}

func TestConsent_OfAPersonInABrowserAuthorizesTheRole(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	m := newMount(t, zohosim.Options{})
	m.useWebClient()
	_, err := m.readAs(t.Context(), m.root, "app")
	require.ErrorContains(t, err, "authorize")

	page := b.open(m.authorize("app"))
	require.Contains(t, page.text, m.client.ID)
	require.Contains(t, page.text, scopes[0])
	page = b.click("#accept")
	require.True(t, strings.HasPrefix(page.url, m.callback()+"?"), page.url)
	require.Equal(t, http.StatusOK, page.status)
	require.Equal(t, "You gave consent", page.title)
	require.Contains(t, page.text, "app")

	got := m.read("app")
	require.True(t, m.accepted(got))
	require.Equal(t, 1, m.sim.Count(zohosim.EndpointToken)-m.mints(), "the exchange gave a first access token")

	// The state is good for one use.
	page = b.reload()
	require.Equal(t, http.StatusBadRequest, page.status)
	require.Contains(t, page.text, "used already")
	require.True(t, m.accepted(m.read("app")))
}

func TestConsent_ThatIsDeniedChangesNothingAndSaysHowToTryAgain(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	m := newMount(t, zohosim.Options{})
	m.useWebClient()
	b.open(m.authorize("app"))
	page := b.click("#deny")
	require.Equal(t, http.StatusBadRequest, page.status)
	require.Contains(t, page.text, "You did not give consent")
	require.Contains(t, page.text, "vault write -f "+m.path+"/roles/app/authorize", "can be pasted")
	require.Equal(t, "false", m.cli("read", "-field=authorized", m.path+"/roles/app/status"))

	b.open(m.authorize("app"))
	b.click("#accept")
	require.True(t, m.accepted(m.read("app")))
}

func TestConsent_OfAnAccountInAnotherDataCentreNamesThatDataCentre(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	m := newMount(t, zohosim.Options{RealDomains: true}) // accounts-server is then Zoho's own
	m.useWebClient()
	m.sim.SetUser("hans@example.eu", "eu")
	calls := m.sim.Count(zohosim.EndpointToken)
	b.open(m.authorize("app"))
	page := b.click("#accept")
	require.Equal(t, http.StatusBadRequest, page.status)
	require.Contains(t, page.text, "Zoho keeps your account in its data centre eu, and this link is for accounts in ")
	require.Contains(t, page.text, "https://accounts.zoho.eu")
	require.Contains(t, page.text, "data_center=eu")
	require.Equal(t, calls, m.sim.Count(zohosim.EndpointToken), "the code and the secret stay here")
}

func TestConsent_WithAForgedCallbackDoesNothing(t *testing.T) {
	t.Parallel()
	m := newMount(t, zohosim.Options{})
	m.useWebClient()
	calls := m.sim.Count(zohosim.EndpointToken)
	for _, query := range []string{"", "?code=1000.a.b", "?code=1000.a.b&state=made-up", "?error=access_denied", "?state=" + strings.Repeat("x", 5000), "?code=<script>&state=%00"} {
		status, header, body := m.get(m.callback() + query)
		require.Equal(t, http.StatusBadRequest, status, query)
		require.Equal(t, "text/html; charset=utf-8", header.Get("Content-Type"), query)
		require.Equal(t, "no-store", header.Get("Cache-Control"), query)
		require.NotContains(t, body, "<script", query)
		require.NotContains(t, body, "1000.a.b", query)
	}
	require.Equal(t, calls, m.sim.Count(zohosim.EndpointToken))
}

// Zoho keeps twenty refresh tokens of a user and then kills the oldest without
// a word, so the one that was replaced is given back - but not under a reader.
func TestConsent_GivenAgainEndsTheFormerRefreshTokenWhenItsLastLeaseEnds(t *testing.T) {
	t.Parallel()
	m := newMount(t, zohosim.Options{})
	m.useWebClient()
	m.agree(m.authorize("app"))
	first := m.read("app")
	require.Equal(t, 2, m.refreshTokens(), "crm-sync's and app's")

	m.agree(m.authorize("app"))
	second := m.read("app")
	require.NotEqual(t, first.token, second.token)
	require.True(t, m.accepted(first), "somebody holds it")
	require.Equal(t, 3, m.refreshTokens())

	m.revoke(first)
	require.False(t, m.accepted(first))
	withinTwoMinutes(t, "the former refresh token to be revoked", func() bool { return m.refreshTokens() == 2 })
	require.True(t, m.accepted(second))
}

// withinTwoMinutes waits for what Vault's minute tick does.
func withinTwoMinutes(t *testing.T, what string, condition func() bool) {
	t.Helper()
	require.Eventually(t, condition, 2*time.Minute, 100*time.Millisecond, what)
}

// Vault writes the address of a request to its audit log in clear, and the
// callback's holds a state and a grant code. The state is used up by that very
// request, and the code needs the client secret; before it, no log has either.
func TestConsent_ThatIsPendingIsInNoLog(t *testing.T) {
	t.Parallel()
	m := newMount(t, zohosim.Options{})
	m.useWebClient()
	address, err := url.Parse(m.authorize("app"))
	require.NoError(t, err)
	require.NotEmpty(t, address.Query().Get("state"))
	keepSecret("state", address.Query().Get("state"))
	require.Equal(t, "offline", address.Query().Get("access_type"))
	require.Equal(t, "consent", address.Query().Get("prompt"))
}

// agree does what a person's browser does, without one.
func (m *mount) agree(address string) {
	m.t.Helper()
	client := cleanhttp.DefaultClient()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	req, err := http.NewRequestWithContext(m.t.Context(), http.MethodPost, address, strings.NewReader("decision=accept"))
	require.NoError(m.t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := client.Do(req)
	require.NoError(m.t, err)
	defer resp.Body.Close()
	require.Equal(m.t, http.StatusFound, resp.StatusCode)
	status, _, body := m.get(resp.Header.Get("Location"))
	require.Equal(m.t, http.StatusOK, status, body)
}

// refreshTokens counts those that are alive.
func (m *mount) refreshTokens() (n int) {
	for _, token := range m.sim.Tokens() {
		if token.Kind == "refresh" {
			n++
		}
	}
	return n
}
