package zohosecrets

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/zohosim"
)

func TestCode_IsExchangedAtOnceAndNeverSeenAgain(t *testing.T) {
	t.Parallel()
	m, z := newWorld(t)
	code := z.code()
	got := m.write("roles/new", fields{"code": code}).done(t)
	require.Equal(t, http.StatusNoContent, got.status)
	for _, heard := range []answer{m.read("roles/new"), m.list("roles/"), m.read("roles/new/status"), m.read("config"), m.list("tokens/")} {
		requireNone(t, heard.done(t), code, m.refreshTokenOf("new"))
	}
	for key, value := range m.stored() {
		require.NotContains(t, key+value, code)
	}
	require.Empty(t, m.read("roles/new").Data["scopes"], "they are what the role asks for, not what Zoho gave")

	// An access token came with it, so the first reader costs no request.
	leased := m.read("creds/new").done(t)
	require.True(t, z.sim.Alive(leased.token()))
	require.Equal(t, 1, z.sim.Count(zohosim.EndpointToken))
	require.NoError(t, m.revoke("creds/new", leased))
	require.False(t, z.sim.Alive(leased.token()))
	require.True(t, z.sim.Alive(m.refreshTokenOf("new")))
}

func TestCode_GivenToARoleReplacesItsRefreshTokenAndEndsTheFormerOne(t *testing.T) {
	t.Parallel()
	m, z := newWorld(t)
	leased := m.read("creds/crm-sync").done(t)
	m.patch("roles/crm-sync", fields{"code": z.code(), "verify": false}).done(t)
	require.NotEqual(t, z.refreshToken, m.refreshTokenOf("crm-sync"))
	require.True(t, z.sim.Alive(leased.token()), "somebody holds it")
	require.NoError(t, m.revoke("creds/crm-sync", leased))
	require.NoError(t, m.tick())
	require.Eventually(t, func() bool { return !z.sim.Alive(z.refreshToken) }, 10*time.Second, time.Millisecond)
}

func TestCode_OfAWebClientNeedsTheRedirectURIThatItWasSentTo(t *testing.T) {
	t.Parallel()
	m, z := newWorld(t)
	web := z.sim.AddClient(zohosim.ClientSpec{Kind: zohosim.WebClient, RedirectURIs: []string{callbackURL}})
	role := fields{"client_id": web.ID, "client_secret": web.Secret("us")}
	code := func() string {
		return z.sim.Code(web, "us", zohosim.CodeSpec{Scopes: []string{"ZohoCRM.modules.ALL"}, PromptConsent: true})
	}
	for what, redirectURI := range map[string]any{"none": "", "null": nil, "another": callbackURL + "/"} {
		got := m.write("roles/web", role.with(fields{"code": code(), "redirect_uri": redirectURI}))
		require.Equal(t, http.StatusBadRequest, got.status, what)
		require.Contains(t, got.text, "invalid_redirect_uri: redirect_uri is not the one registered for the client", what)
	}
	require.Equal(t, http.StatusNotFound, m.read("roles/web").status)
	m.clock.Advance(11 * time.Minute) // a role has three codes in ten minutes
	m.write("roles/web", role.with(fields{"code": code(), "redirect_uri": callbackURL})).done(t)
	require.NotContains(t, m.read("roles/web").Data, "redirect_uri", "it belongs to the code")
	require.NotContains(t, m.stored()["roles/web"], callbackURL)
	m.read("creds/web").done(t)
}

func TestCode_WithMoreScopesThanTheRoleAsksForIsRefusedAndWithFewerWarns(t *testing.T) {
	t.Parallel()
	m, z := newWorld(t)
	z.sim.SetAnswer(zohosim.Answer{WithScope: true})
	code := z.code()
	got := m.write("roles/new", fields{"code": code, "scopes": "ZohoCRM.modules.READ"})
	require.Equal(t, http.StatusBadRequest, got.status)
	require.Contains(t, got.text, `Zoho granted ZohoCRM.modules.ALL, which role "new" does not ask for`)
	requireNone(t, got, code)
	require.Equal(t, http.StatusNotFound, m.read("roles/new").status)

	got = m.write("roles/new", fields{"code": z.code(), "scopes": "ZohoCRM.modules.READ,ZohoCRM.modules.ALL"}).done(t)
	require.Contains(t, got.warnings(), "Zoho did not grant ZohoCRM.modules.READ, which the role asks for")
	status := m.read("roles/new/status").done(t)
	require.Equal(t, []string{"ZohoCRM.modules.ALL"}, status.Data["scopes_granted"])
	require.Contains(t, status.warnings(), "Zoho did not grant ZohoCRM.modules.READ")
}

func TestCode_ThatZohoDoesNotTakeLeavesTheRoleAsItWas(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		arrange func(*remote)
		status  int
		says    string
	}{
		"used already": {func(r *remote) { r.refuses("invalid_code") }, 400, "the refresh token or grant code is invalid"},
		"wrong secret": {func(r *remote) { r.refuses("invalid_client_secret") }, 400, "invalid_client_secret"},
		"no refresh": {func(r *remote) {
			r.answers(zohosim.Fault{Kind: zohosim.FaultAnswer, Body: `{"access_token":"1000.a.a"}`})
		}, 400, "Connected Apps of the user who consented"},
		"throttled":     {func(r *remote) { r.fault(zohosim.FaultThrottled) }, 429, "so wait"},
		"a web page":    {func(r *remote) { r.fault(zohosim.FaultHTML500) }, 502, "a web page (HTTP 500)"},
		"half":          {func(r *remote) { r.fault(zohosim.FaultTruncated) }, 502, "cut off"},
		"Zoho is down":  {func(r *remote) { r.zoho.sim.SetDown(true) }, 503, "could not be reached"},
		"budget is out": {func(r *remote) { r.exhaust() }, 429, "The grant code was not used. "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRemote(t)
			row.arrange(r)
			code := r.zoho.code()
			for _, role := range []string{"new", "crm-sync"} {
				got := r.write("roles/"+role, fields{"code": code})
				require.Equal(t, row.status, got.status, got)
				require.Contains(t, got.text, `Role "`+role+`" was not written. `)
				require.Contains(t, got.text, row.says)
				require.NotContains(t, got.text, code)
			}
			require.Equal(t, http.StatusNotFound, r.read("roles/new").status)
			r.zoho.sim.ClearFaults()
			r.zoho.sim.SetDown(false)
			r.read("creds/crm-sync").done(t)
		})
	}
}

// exhaust uses up what the client may exchange.
func (r *remote) exhaust() {
	r.t.Helper()
	r.write("config", fields{"request_budget": 1}).done(r.t)
	r.write("roles/first", fields{"code": r.zoho.code()}).done(r.t)
}

func TestClientCredentials_GiveEachRoleItsOwnScopes(t *testing.T) {
	t.Parallel()
	m, z := newWorld(t)
	org := fields{"grant_type": "client_credentials", "soid": "ZohoCRM.600123434"}
	m.write("roles/reader", org.with(fields{"scopes": "ZohoCRM.modules.READ"})).done(t)
	m.write("roles/writer", org.with(fields{"scopes": []string{"ZohoCRM.modules.CREATE", "ZohoCRM.modules.UPDATE"}})).done(t)
	require.Equal(t, 2, z.sim.Count(zohosim.EndpointToken), "both were tried")
	reader, writer := m.read("creds/reader").done(t), m.read("creds/writer").done(t)
	require.Equal(t, 2, z.sim.Count(zohosim.EndpointToken), "the trial's tokens serve the first readers")
	require.NotEqual(t, reader.token(), writer.token())
	require.Equal(t, []string{"ZohoCRM.modules.READ"}, reader.Data["scopes"])
	require.Equal(t, []string{"ZohoCRM.modules.CREATE", "ZohoCRM.modules.UPDATE"}, writer.Data["scopes"])
	require.NoError(t, m.revoke("creds/reader", reader))
	require.False(t, z.sim.Alive(reader.token()))
	require.True(t, z.sim.Alive(writer.token()))

	got := m.write("roles/reader", fields{"scopes": "nonsense"})
	require.Equal(t, http.StatusBadRequest, got.status)
	require.Contains(t, got.text, "invalid_scope")
	require.Equal(t, []string{"ZohoCRM.modules.READ"}, m.read("roles/reader").Data["scopes"])
}
