package zohosecrets

import (
	"testing"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend/zoho"
)

// Invariant 10: credentials go only to the server, and belong only to the
// client, for which they were written.

func TestConfig_AChangeOfServerOrClientNeedsTheSecretAgain(t *testing.T) {
	t.Parallel()
	client := fields{"data_center": "us", "client_id": "1000.MOUNTMOUNTMOUNT", "client_secret": "secret-of-the-mount"}
	const server, id = "in the same request", "belongs to another client_id: write both in the same request"
	for name, c := range map[string]struct {
		start, change fields
		says          string
	}{
		"another data centre":           {fields{}, fields{"data_center": "eu"}, server},
		"no data centre":                {fields{"data_center": "eu"}, fields{"data_center": nil}, "data_center is missing"},
		"a server instead of a centre":  {fields{}, fields{"accounts_url": "https://accounts.evil.example"}, server},
		"another server":                {fields{"accounts_url": loopback}, fields{"accounts_url": "http://127.0.0.1:2"}, server},
		"another path":                  {fields{"accounts_url": loopback}, fields{"accounts_url": loopback + "/evil"}, server},
		"another scheme":                {fields{"accounts_url": "https://localhost"}, fields{"accounts_url": "http://localhost"}, server},
		"no server of its own any more": {fields{"accounts_url": loopback}, fields{"accounts_url": ""}, server},
		"another client":                {fields{}, fields{"client_id": "1000.OTHEROTHER"}, id},
		"no client ID":                  {fields{}, fields{"client_id": ""}, id},
		"a server with the client ID":   {fields{}, fields{"accounts_url": loopback, "client_id": "1000.MOUNTMOUNTMOUNT"}, server},
	} {
		m := newMount(t)
		m.write("config", client.with(c.start)).done(t)
		before := m.stored()
		m.requireRefused(m.write("config", c.change), before, name, c.says)
		m.requireRefused(m.patch("config", c.change), before, name, c.says)
		if c.change["client_id"] != "" && c.says != "data_center is missing" {
			m.write("config", client.with(c.change)).done(t)
		}
	}
}

func TestConfig_AnotherSpellingOfTheServerNeedsNoSecret(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	m.write("config", fields{"data_center": "eu", "client_id": "1000.MOUNTMOUNTMOUNT", "client_secret": "secret-of-the-mount"}).done(t)
	for _, url := range []string{"https://accounts.zoho.eu", "https://ACCOUNTS.zoho.eu:443/", "HTTPS://accounts.zoho.eu//", ""} {
		m.write("config", fields{"accounts_url": url}).done(t)
		require.Equal(t, "https://accounts.zoho.eu", m.read("config").Data["accounts_url"])
	}
}

func TestConfig_IDAndSecretOfAClientGoTogether(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	for _, half := range []fields{{"client_id": "1000.MOUNTMOUNTMOUNT", "data_center": "eu"}, {"client_secret": "secret"}, {"client_id": "1000.MOUNTMOUNTMOUNT", "client_secret": "", "data_center": "eu"}} {
		m.requireRefused(m.write("config", half), map[string]string{}, "half", "client_id and client_secret go together: write both")
	}
	m.write("config", goodConfig()).done(t)
	m.write("config", fields{"client_id": "", "client_secret": ""}).done(t)
	require.Empty(t, m.read("config").Data["client_id"])
	m.write("config", fields{"data_center": "in", "accounts_url": ""}).done(t) // no secret is stored, so none can go astray
}

func TestRole_AChangeOfServerOrClientNeedsItsSecretsAgain(t *testing.T) {
	t.Parallel()
	const refresh, secret = "write refresh_token or code in the same request", "write client_secret in the same request"
	own, ofMount := goodRole(), fields{"refresh_token": "1000.r.r", "verify": false}
	for name, c := range map[string]struct {
		role, change fields
		says         string
	}{
		"own client, another data centre":                         {own, fields{"data_center": "eu"}, refresh},
		"own client, another data centre with refresh token":      {own, fields{"data_center": "eu", "refresh_token": "1000.n.n"}, secret},
		"own client, another data centre with secret":             {own, fields{"data_center": "eu", "client_secret": "new"}, refresh},
		"own client, another client":                              {own, fields{"client_id": "1000.OTHEROTHER"}, refresh},
		"own client, another client with refresh token":           {own, fields{"client_id": "1000.OTHEROTHER", "refresh_token": "1000.n.n"}, secret},
		"own client, another client with secret":                  {own, fields{"client_id": "1000.OTHEROTHER", "client_secret": "new"}, refresh},
		"own client, the mount's instead":                         {own, fields{"client_id": ""}, refresh},
		"own client, another data centre with a code":             {own, fields{"data_center": "eu", "code": "1000.g.c"}, secret},
		"own client, another client with a code":                  {own, fields{"client_id": "1000.OTHEROTHER", "code": "1000.g.c"}, secret},
		"an organisation's, another data centre":                  {goodClientCredentials(), fields{"data_center": "eu"}, secret},
		"an organisation's, another client":                       {goodClientCredentials(), fields{"client_id": "1000.OTHEROTHER"}, secret},
		"not yet authorized, another data centre":                 {ownClient().with(fields{"scopes": "ZohoCRM.modules.ALL"}), fields{"data_center": "eu"}, secret},
		"mount's client, one of its own":                          {ofMount, fields{"client_id": "1000.OWNOWNOWNOWN", "client_secret": "new"}, refresh},
		"mount's client, another data centre":                     {ofMount, fields{"data_center": "eu"}, "write client_id and client_secret to the role"},
		"mount's client, another data centre with refresh token":  {ofMount, fields{"data_center": "eu", "refresh_token": "1000.n.n"}, "write client_id and client_secret to the role"},
		"mount's client, another client ID without its secret":    {ofMount, fields{"client_id": "1000.OWNOWNOWNOWN", "refresh_token": "1000.n.n"}, "write both, or neither"},
		"mount's client, a secret without the client ID of it":    {ofMount, fields{"client_secret": "new", "refresh_token": "1000.n.n"}, "write both, or neither"},
		"own client, back in another data centre by way of patch": {own.with(fields{"data_center": "eu"}), fields{"data_center": nil}, refresh},
	} {
		m := newMount(t)
		m.write("config", goodConfig()).done(t)
		m.write("roles/crm-sync", c.role).done(t)
		before := m.stored()
		m.requireRefused(m.write("roles/crm-sync", c.change), before, name, c.says)
		m.requireRefused(m.patch("roles/crm-sync", c.change), before, name, c.says)
	}
}

func TestRole_StaysAtItsServerWhenTheConfigMovesOn(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	m.write("config", goodConfig()).done(t)
	m.write("roles/own", goodRole()).done(t)
	m.write("config", goodConfig().with(fields{"accounts_url": "http://127.0.0.1:2"})).done(t)
	m.write("roles/own", fields{"ttl": "20m"}).done(t)
	require.Equal(t, loopback, m.read("roles/own").Data["accounts_url"])
	m.requireRefused(m.write("roles/own", fields{"refresh_token": "1000.n.n"}), m.stored(), "moved", "write client_secret in the same request")
	m.write("roles/own", goodRole()).done(t)
	require.Equal(t, "http://127.0.0.1:2", m.read("roles/own").Data["accounts_url"])
}

func TestRole_NeverSendsItsRefreshTokenToAServerThatSomebodyPutIntoTheConfig(t *testing.T) {
	t.Parallel()
	m, z := newWorld(t)
	evil := newSimulation(t, m.clock)
	m.write("roles/own", fields{"client_id": z.client.ID, "client_secret": z.clientSecret, "refresh_token": z.refreshToken}).done(t)

	m.deleteConfig()
	m.requireRefused(m.read("creds/crm-sync"), m.stored(), "deleted", "no longer the mount's client", "vault write -f <mount>/roles/crm-sync/authorize", "write code or refresh_token to it", "the former client_id and client_secret as its own")
	require.Equal(t, "refused", m.state("crm-sync"))

	m.write("config", fields{"accounts_url": evil.url, "client_id": z.client.ID, "client_secret": "guessed"}).done(t)
	m.requireRefused(m.read("creds/crm-sync"), m.stored(), "moved", "no longer the mount's client")
	leased := m.read("creds/own").done(t)
	require.NoError(t, m.revoke("creds/own", leased))
	require.Empty(t, evil.sim.Requests())
	require.Equal(t, 1, z.sim.TokenRequests(z.refreshToken))
	require.False(t, z.sim.Alive(leased.token()))
}

func TestDataCentres_EachHasItsServerAndReadsBack(t *testing.T) {
	t.Parallel()
	for _, dc := range zoho.DataCenters() {
		m := newMount(t)
		m.write("config", fields{"data_center": dc.Name, "client_id": "1000.MOUNTMOUNTMOUNT", "client_secret": "secret"}).done(t)
		m.write("roles/crm-sync", fields{"refresh_token": "1000.r.r", "verify": false}).done(t)
		require.Equal(t, dc.AccountsURL, m.read("config").Data["accounts_url"])
		require.Equal(t, dc.AccountsURL, m.read("roles/crm-sync").Data["accounts_url"])
		require.Equal(t, dc.Name, m.read("roles/crm-sync").Data["data_center"])
	}
}
