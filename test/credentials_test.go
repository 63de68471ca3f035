package test

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/zohosim"
)

func TestClientCredentials_GiveEachRoleTheScopesOfItsOwn(t *testing.T) {
	t.Parallel()
	m := newMount(t, zohosim.Options{})
	m.cli("write", m.path+"/roles/reader", "grant_type=client_credentials", "scopes=ZohoCRM.modules.READ,ZohoCRM.org.READ", "soid=ZohoCRM.600123434")
	m.cli("write", m.path+"/roles/desk", "grant_type=client_credentials", "scopes=Desk.tickets.READ", "soid=ZohoCRM.600123434")
	reader, desk := m.read("reader"), m.read("desk")
	require.NotEqual(t, reader.token, desk.token)
	require.Equal(t, []any{"Desk.tickets.READ"}, desk.Data["scopes"])

	status, body := m.call(reader)
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, body, `"scopes":["ZohoCRM.modules.READ","ZohoCRM.org.READ"]`)
	status, body = m.call(desk)
	require.Equal(t, http.StatusUnauthorized, status)
	require.Contains(t, body, "OAUTH_SCOPE_MISMATCH")

	m.revoke(reader)
	require.False(t, m.sim.Alive(reader.token))
	require.True(t, m.sim.Alive(desk.token), "the roles do not share a token")
}

func TestClientCredentials_SayWhatZohoWants(t *testing.T) {
	t.Parallel()
	m := newMount(t, zohosim.Options{})
	m.client = m.sim.AddClient(zohosim.ClientSpec{RequireSOID: true, Scopes: []string{"ZohoCRM.modules.READ"}})
	m.cli("write", m.path+"/config", "client_id="+m.client.ID, "client_secret="+m.client.Secret("us"), "force=true")
	write := func(scopes string) string {
		return m.refused("write", m.path+"/roles/app", "grant_type=client_credentials", "scopes="+scopes)
	}
	require.Contains(t, write("ZohoCRM.modules.READ"), "Write soid")
	require.Contains(t, write("ZohoCRM.typo.READ"), "invalid_scope")
	require.Contains(t, m.refused("read", m.path+"/roles/app"), "No value found", "nothing was written")
}

func TestVerify_RefusesCredentialsThatZohoRefusesAndSaysWhy(t *testing.T) {
	t.Parallel()
	m := newMount(t, zohosim.Options{})
	european := m.sim.AddClient(zohosim.ClientSpec{DataCenters: []string{"eu"}})
	both := m.sim.AddClient(zohosim.ClientSpec{})
	dead := m.consent()
	m.sim.Kill(dead)
	const hint = "each data centre has its own Accounts server and, by default, its own client secret"
	for name, c := range map[string]struct {
		role []string
		says []string
	}{
		"a refresh token that is dead":          {[]string{"refresh_token=" + dead}, []string{"invalid_code", "code", "authorize"}},
		"a client secret that is wrong":         {[]string{"client_id=" + m.client.ID, "client_secret=0123456789abcdef", "refresh_token=" + m.refreshToken}, []string{"invalid_client_secret", hint}},
		"the secret of another data centre":     {[]string{"client_id=" + both.ID, "client_secret=" + both.Secret("eu"), "refresh_token=1000.a.b"}, []string{"invalid_client_secret", hint}},
		"a client of another data centre alone": {[]string{"client_id=" + european.ID, "client_secret=" + european.Secret("eu"), "refresh_token=1000.a.b"}, []string{"invalid_client", hint}},
	} {
		t.Run(name, func(t *testing.T) {
			said := m.refused(append([]string{"write", m.path + "/roles/app"}, c.role...)...)
			for _, part := range append(c.says, "was not written") {
				require.Contains(t, said, part)
			}
			require.Contains(t, m.refused("read", m.path+"/roles/app"), "No value found")
		})
	}
}

func TestVerify_OnlyWarnsWhenZohoCannotBeAsked(t *testing.T) {
	t.Parallel()
	m := newMount(t, zohosim.Options{})
	refreshToken := m.consent()
	m.sim.SetDown(true)
	require.Contains(t, m.warned("write", m.path+"/roles/app", "refresh_token=@"+m.file(refreshToken)), "without having been tried")
	m.sim.SetDown(false)
	eventually(t, "the next attempt", func() bool {
		got, err := m.readAs(t.Context(), m.root, "app")
		return err == nil && m.accepted(got)
	})
	calls := m.sim.Count(zohosim.EndpointToken)
	m.cli("write", m.path+"/roles/blind", "refresh_token=1000.a.b", "verify=false")
	require.Equal(t, calls, m.sim.Count(zohosim.EndpointToken))
}

// A client of client_credentials: nothing of it dies with its former secret.
func TestClientSecret_ThatIsNewIsTriedWhileReadersGoOn(t *testing.T) {
	t.Parallel()
	m := newMount(t, zohosim.Options{})
	m.client = m.sim.AddClient(zohosim.ClientSpec{})
	m.cli("write", m.path+"/config", "client_id="+m.client.ID, "client_secret="+m.client.Secret("us"), "force=true")
	m.cli("write", m.path+"/roles/app", "grant_type=client_credentials", "scopes=ZohoCRM.modules.READ,ZohoCRM.org.READ")
	before := m.read("app")

	said := m.refused("write", m.path+"/config", "client_secret=0123456789abcdef")
	require.Contains(t, said, "the former client secret stays in force")
	require.Contains(t, said, "invalid_client_secret")
	require.Equal(t, before.token, m.read("app").token, "readers do not notice")
	m.cli("write", "-f", m.path+"/roles/app/rotate")
	require.True(t, m.accepted(m.read("app")), "the former secret mints")

	secret := m.client.RegenerateSecret("us")
	keepSecret("client secret", secret)
	held := m.read("app")
	m.cli("write", m.path+"/config", "client_secret=@"+m.file(secret))
	require.True(t, m.accepted(held))
	m.cli("write", "-f", m.path+"/roles/app/rotate")
	require.True(t, m.accepted(m.read("app")), "the new secret mints")
}

func TestClient_IsReplacedWithoutAnInterruption(t *testing.T) {
	t.Parallel()
	m := newMount(t, zohosim.Options{})
	former := m.read("crm-sync")
	m.client = m.sim.AddClient(zohosim.ClientSpec{})
	keepSecret("client secret", m.client.Secret("us"))
	refreshToken := m.consent()
	require.Contains(t, m.refused("write", m.path+"/roles/crm-sync", "client_id="+m.client.ID, "client_secret=wrong", "refresh_token=@"+m.file(refreshToken)), "invalid_client_secret")
	require.Equal(t, former.token, m.read("crm-sync").token)

	warned := m.warned("write", m.path+"/roles/crm-sync", "client_id="+m.client.ID, "client_secret=@"+m.file(m.client.Secret("us")), "refresh_token=@"+m.file(refreshToken))
	require.Contains(t, warned, "former refresh token lives on at Zoho")
	next := m.read("crm-sync")
	require.NotEqual(t, former.token, next.token)
	require.True(t, m.accepted(former))
	require.True(t, m.accepted(next))
	m.revokePrefix("creds/crm-sync")
	require.False(t, m.accepted(former), "with the credentials of its time")
	require.False(t, m.accepted(next))
	require.True(t, m.sim.Alive(m.refreshToken), "a refresh token that an operator wrote is the operator's")
}

func TestStatus_TellsHowARoleIsDoing(t *testing.T) {
	t.Parallel()
	m := newMount(t, zohosim.Options{})
	m.write("roles/twin", map[string]any{"refresh_token": m.refreshToken})
	got := m.read("crm-sync")
	status := m.status("crm-sync")
	require.Equal(t, "ready", status["state"])
	require.Equal(t, true, status["authorized"])
	require.Equal(t, []any{"twin"}, status["shared_with"])
	require.EqualValues(t, 9, status["requests_left"])
	require.EqualValues(t, 1, status["live_tokens"])
	require.EqualValues(t, 1, status["holders"])
	require.Equal(t, got.Data["token_id"], status["token_id"])
	require.Equal(t, got.Data["expires_at"], status["expires_at"])
	require.NotEmpty(t, status["last_success"])
	require.NotEmpty(t, status["next_refresh"])
	require.Empty(t, status["last_error"])

	m.revoke(got)
	m.sim.Kill(m.refreshToken)
	_, err := m.readAs(t.Context(), m.root, "crm-sync")
	require.Error(t, err)
	status = m.status("crm-sync")
	require.Equal(t, "refused", status["state"])
	require.Equal(t, "invalid_code", status["last_error_code"])
	require.Contains(t, status["last_error"], "authorize")
	require.Empty(t, status["token_id"])
	require.Empty(t, status["retry_at"], "somebody has to correct something")
}

func TestRotate_EndsTheSharedTokenNowAndGivesReadersANewOne(t *testing.T) {
	t.Parallel()
	m := newMount(t, zohosim.Options{})
	before := m.read("crm-sync")
	ended := m.cli("write", "-f", "-field=ended_token_ids", m.path+"/roles/crm-sync/rotate")
	require.Contains(t, ended, before.Data["token_id"])
	require.False(t, m.accepted(before))
	after := m.read("crm-sync")
	require.True(t, m.accepted(after))
	m.revoke(before)
	require.True(t, m.accepted(after), "the lease of the former token has nothing to do with it")
}

func TestDeauthorize_EndsTheRefreshTokenAtZohoAndKeepsTheRole(t *testing.T) {
	t.Parallel()
	m := newMount(t, zohosim.Options{})
	m.write("roles/twin", map[string]any{"refresh_token": m.refreshToken})
	got := m.read("crm-sync")
	require.Contains(t, m.refused("write", "-f", m.path+"/roles/crm-sync/deauthorize"), "twin")
	require.True(t, m.sim.Alive(m.refreshToken))

	require.Contains(t, m.warned("write", m.path+"/roles/crm-sync/deauthorize", "force=true"), "twin")
	require.False(t, m.sim.Alive(m.refreshToken))
	require.False(t, m.accepted(got))
	m.revoke(got)
	_, err := m.readAs(t.Context(), m.root, "crm-sync")
	require.ErrorContains(t, err, "refresh_token")
	require.Equal(t, false, m.status("crm-sync")["authorized"])

	m.cli("write", m.path+"/roles/crm-sync", "refresh_token=@"+m.file(m.consent()))
	require.True(t, m.accepted(m.read("crm-sync")))
}

func TestDelete_OfARoleWarnsThatItsRefreshTokenLivesOn(t *testing.T) {
	t.Parallel()
	m := newMount(t, zohosim.Options{})
	m.write("roles/twin", map[string]any{"refresh_token": m.refreshToken})
	require.NotContains(t, m.warned("delete", m.path+"/roles/twin"), "lives on", "crm-sync still has it")
	require.Contains(t, m.warned("delete", m.path+"/roles/crm-sync"), "lives on at Zoho")
	require.True(t, m.sim.Alive(m.refreshToken))

	m.write("roles/again", map[string]any{"refresh_token": m.refreshToken})
	m.cli("write", "-f", m.path+"/roles/again/deauthorize")
	require.NotContains(t, m.warned("delete", m.path+"/roles/again"), "lives on")
}

func TestAPIDomain_IsWhatZohoNamesAndNothingElse(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		options zohosim.Options
		domain  string
	}{
		"the data centre's":       {zohosim.Options{RealDomains: true}, "https://www.zohoapis.com"},
		"with a slash at its end": {zohosim.Options{RealDomains: true, Answer: zohosim.Answer{APIDomainSlash: true}}, "https://www.zohoapis.com"},
		"an on-premises server's": {zohosim.Options{Answer: zohosim.Answer{APIDomain: "https://zoho.example.com"}}, "https://zoho.example.com"},
		"not named":               {zohosim.Options{Answer: zohosim.Answer{NoAPIDomain: true}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMount(t, c.options)
			require.Equal(t, c.domain, m.read("crm-sync").Data["api_domain"])
		})
	}
	m := newMount(t, zohosim.Options{})
	m.sim.SetAnswer(zohosim.Answer{APIDomain: "https://$(id).zohoapis.eu"})
	require.Contains(t, m.refused("read", m.path+"/creds/crm-sync"), "an api_domain that is not the address of a server")
}

func (m *mount) status(role string) map[string]any {
	m.t.Helper()
	var answer struct {
		Data map[string]any `json:"data"`
	}
	require.NoError(m.t, json.Unmarshal([]byte(m.cli("read", "-format=json", m.path+"/roles/"+role+"/status")), &answer))
	return answer.Data
}
