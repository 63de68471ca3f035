package zohosecrets

import (
	"testing"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/zohosim"
)

// movedRole has a role crm-sync that has worked, and whose mount has another client now:
// one with which a person can be asked for consent.
func movedRole(t *testing.T) (*mount, *simulation) {
	t.Helper()
	m, z := newWorld(t)
	require.NoError(t, m.revoke("creds/crm-sync", m.read("creds/crm-sync").done(t)))
	z.web = z.sim.AddClient(zohosim.ClientSpec{Kind: zohosim.WebClient, RedirectURIs: []string{callbackURL}})
	m.write("config", z.webConfig().with(fields{"force": true})).done(t)
	return m, z
}

func (z *simulation) webConfig() fields {
	return fields{"accounts_url": z.url, "client_id": z.web.ID, "client_secret": z.web.Secret("us"), "redirect_uri": callbackURL}
}

// roleWithoutConfig has a role crm-sync that has worked, and whose mount has no config.
func roleWithoutConfig(t *testing.T) (*mount, *simulation) {
	t.Helper()
	m, z := movedRole(t)
	m.deleteConfig()
	return m, z
}

func (m *mount) requireWorks(z *simulation, role string) {
	m.t.Helper()
	leased := m.read("creds/" + role).done(m.t)
	require.True(m.t, z.sim.Alive(leased.token()))
	require.NoError(m.t, m.revoke("creds/"+role, leased))
}

const authorizeIt = "vault write -f <mount>/roles/crm-sync/authorize"

func TestMovedRole_IsAuthorizedForTheMountsClient(t *testing.T) {
	t.Parallel()
	m, z := movedRole(t)
	m.requireRefused(m.read("creds/crm-sync"), m.stored(), "a read", "no longer the mount's client", authorizeIt)
	m.requireRefused(m.write("roles/crm-sync/authorize", nil), m.stored(), "authorize", "has no scopes to ask for; write them first: vault write <mount>/roles/crm-sync scopes=ZohoCRM.modules.ALL")
	got := m.write("roles/crm-sync", fields{"scopes": "ZohoCRM.modules.ALL"}).done(t)
	require.Contains(t, got.warnings(), "no longer the mount's client", "it still hands out nothing")
	require.Contains(t, got.warnings(), authorizeIt)
	m.completes(m.agree("roles/crm-sync"))
	m.requireWorks(z, "crm-sync")
	m.inner.engine.Settle()
	require.False(t, z.sim.Alive(z.refreshToken), "the former one is revoked")
	require.Equal(t, "", m.read("roles/crm-sync").Data["client_id"], "it uses the mount's")
}

func TestMovedRole_WithoutAConfigIsAuthorizedWhenThereIsOneAgain(t *testing.T) {
	t.Parallel()
	m, z := roleWithoutConfig(t)
	m.write("roles/crm-sync", fields{"scopes": "ZohoCRM.modules.ALL"}).done(t)
	m.requireRefused(m.write("roles/crm-sync/authorize", nil), m.stored(), "no address", "the mount has no redirect_uri; write the address of its callback to <mount>/config")
	m.write("config", fields{"redirect_uri": callbackURL}).done(t)
	m.requireRefused(m.write("roles/crm-sync/authorize", nil), m.stored(), "no client", `there is no client for role "crm-sync": write client_id and client_secret to it, or to this mount's config`)
	m.write("config", z.webConfig()).done(t)
	m.completes(m.agree("roles/crm-sync"))
	m.requireWorks(z, "crm-sync")
}

func TestMovedRole_TakesACodeOrARefreshTokenOfTheMountsClient(t *testing.T) {
	t.Parallel()
	for name, credential := range map[string]func(m *mount, z *simulation) fields{
		"code": func(m *mount, z *simulation) fields {
			return fields{"code": m.webCode(z), "redirect_uri": callbackURL}
		},
		"refresh_token": func(_ *mount, z *simulation) fields {
			return fields{"refresh_token": z.sim.Consent(z.web, "us", "user@example.com", []string{"ZohoCRM.modules.ALL"})}
		},
	} {
		m, z := movedRole(t)
		require.Contains(t, m.read("creds/crm-sync").text, name)
		m.write("roles/crm-sync", credential(m, z)).done(t)
		m.requireWorks(z, "crm-sync")
	}
}

func TestMovedRole_GoesOnWithTheFormerClientAsItsOwn(t *testing.T) {
	t.Parallel()
	m, z := movedRole(t)
	require.Contains(t, m.read("creds/crm-sync").text, "the former client_id and client_secret as its own")
	m.write("roles/crm-sync", fields{"client_id": z.client.ID, "client_secret": z.clientSecret}).done(t)
	m.requireWorks(z, "crm-sync")
	require.True(t, z.sim.Alive(z.refreshToken))

	m, z = roleWithoutConfig(t)
	former := fields{"client_id": z.client.ID, "client_secret": z.clientSecret}
	m.requireRefused(m.write("roles/crm-sync", former), m.stored(), "no server", "data_center is missing", "or accounts_url, for a portal or an on-premises server, to <mount>/config")
	m.write("config", fields{"accounts_url": z.url}).done(t)
	m.write("roles/crm-sync", former).done(t)
	m.requireWorks(z, "crm-sync")
	require.True(t, z.sim.Alive(z.refreshToken))
}

func TestMovedRole_IsDeauthorized(t *testing.T) {
	t.Parallel()
	for name, arrange := range map[string]func(*testing.T) (*mount, *simulation){"another client": movedRole, "no config": roleWithoutConfig} {
		m, z := arrange(t)
		m.requireRefused(m.write("roles/crm-sync", fields{"refresh_token": ""}), m.stored(), name, "vault write -f <mount>/roles/crm-sync/deauthorize")
		m.write("roles/crm-sync/deauthorize", nil).done(t)
		require.False(t, z.sim.Alive(z.refreshToken), name)
		require.Equal(t, "deauthorized", m.state("crm-sync"))
		m.write("config", z.webConfig()).done(t)
		m.write("roles/crm-sync", fields{"scopes": "ZohoCRM.modules.ALL"}).done(t)
		m.completes(m.agree("roles/crm-sync"))
		m.requireWorks(z, "crm-sync")
	}
}

func TestMovedRole_GetsAnotherClientOfItsOwnInEachWayThatTheMessageNames(t *testing.T) {
	t.Parallel()
	for _, way := range []string{"write refresh_token or code in the same request", "deauthorize"} {
		for name, arrange := range map[string]func(*testing.T) (*mount, *simulation){"another client": movedRole, "no config": roleWithoutConfig} {
			m, z := arrange(t)
			m.write("config", fields{"accounts_url": z.url, "client_id": z.web.ID, "client_secret": z.web.Secret("us"), "redirect_uri": callbackURL}).done(t)
			own := z.sim.AddClient(zohosim.ClientSpec{Kind: zohosim.WebClient, RedirectURIs: []string{callbackURL}})
			change := fields{"client_id": own.ID, "client_secret": own.Secret("us"), "scopes": "ZohoCRM.modules.ALL"}
			m.requireRefused(m.write("roles/crm-sync", change), m.stored(), name, "keeps its refresh_token for client "+z.client.ID, way)
			if way == "deauthorize" {
				m.write("roles/crm-sync/deauthorize", nil).done(t)
				m.write("roles/crm-sync", change).done(t)
				m.completes(m.agree("roles/crm-sync"))
			} else {
				m.write("roles/crm-sync", change.with(fields{"refresh_token": z.sim.Consent(own, "us", "user@example.com", []string{"ZohoCRM.modules.ALL"})})).done(t)
			}
			m.requireWorks(z, "crm-sync")
		}
	}
}

func TestMovedRole_AWriteThatWantsATrialSaysWhyThereIsNone(t *testing.T) {
	t.Parallel()
	m, z := movedRole(t)
	asked := len(z.sim.Requests())
	for _, change := range []fields{{"scopes": "ZohoCRM.org.READ", "verify": true}, {"ttl": "30m"}, {"consent": "org"}} {
		require.Contains(t, m.write("roles/crm-sync", change).done(t).warnings(), "no longer the mount's client")
		require.Contains(t, m.patch("roles/crm-sync", change).done(t).warnings(), "no longer the mount's client")
	}
	require.Len(t, z.sim.Requests(), asked)
}

func TestMovedRole_AConsentIsForTheClientThatTheMountHadWhenItBegan(t *testing.T) {
	t.Parallel()
	m, z := movedRole(t)
	m.write("roles/crm-sync", fields{"scopes": "ZohoCRM.modules.ALL"}).done(t)
	back := m.agree("roles/crm-sync")
	m.write("config", z.config()).done(t) // and crm-sync works again
	page := m.callback(back)
	require.Equal(t, 400, page.status)
	require.Contains(t, page.body, "changed to another client or Accounts server")
	m.requireWorks(z, "crm-sync")

	m.write("config", z.webConfig().with(fields{"force": true})).done(t)
	back = m.agree("roles/crm-sync")
	m.deleteConfig()
	require.Equal(t, 400, m.callback(back).status)
}

func TestMovedRole_BecomesOneOfClientCredentials(t *testing.T) {
	t.Parallel()
	m, z := newWorld(t)
	m.write("config", z.other().with(fields{"force": true})).done(t)
	m.write("roles/crm-sync", fields{"grant_type": "client_credentials", "scopes": "ZohoCRM.modules.ALL"}).done(t)
	m.requireWorks(z, "crm-sync")
}

func TestMovedRole_OfClientCredentialsTakesTheMountsClientAsTheMessageSays(t *testing.T) {
	t.Parallel()
	m, z := newWorld(t)
	m.write("roles/reports", fields{"grant_type": "client_credentials", "scopes": "ZohoCRM.modules.ALL"}).done(t)
	m.write("config", z.other().with(fields{"force": true})).done(t)
	got := m.read("creds/reports")
	m.requireRefused(got, m.stored(), "a read", "no longer the mount's client", "vault write <mount>/roles/reports grant_type=client_credentials")
	require.NotContains(t, got.text, "authorize", "nobody has to consent")
	m.write("roles/reports", fields{"grant_type": "client_credentials"}).done(t)
	m.requireWorks(z, "reports")
}
