package zohosecrets

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/zohosim"
)

// other is a second client at the same Accounts server, as a change of the config.
func (z *simulation) other() fields {
	client := z.sim.AddClient(zohosim.ClientSpec{})
	return fields{"client_id": client.ID, "client_secret": client.Secret("us")}
}

// own is a role with a client of its own, which the mount's client does not concern.
func (z *simulation) own() fields {
	return z.role().with(fields{"client_id": z.client.ID, "client_secret": z.clientSecret})
}

func TestConfig_IsNotTakenFromARoleWithoutForce(t *testing.T) {
	t.Parallel()
	for name, take := range map[string]func(m *mount, z *simulation, force fields) answer{
		"another client": func(m *mount, z *simulation, force fields) answer {
			return m.write("config", z.other().with(force))
		},
		"another client, by way of patch": func(m *mount, z *simulation, force fields) answer {
			return m.patch("config", z.other().with(force))
		},
		"the same client at another data centre": func(m *mount, z *simulation, force fields) answer {
			return m.write("config", z.config().with(fields{"data_center": "eu", "accounts_url": ""}).with(force))
		},
		"no client": func(m *mount, _ *simulation, force fields) answer {
			return m.write("config", fields{"client_id": "", "client_secret": ""}.with(force))
		},
		"no config": func(m *mount, _ *simulation, force fields) answer {
			return m.send("delete", "config", force)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, z := newWorld(t)
			m.requireRefused(take(m, z, nil), m.stored(), name,
				`The config was not changed. Role "crm-sync" uses the mount's client, and would hand out no access tokens any more`, "force=true")
			m.read("creds/crm-sync").done(t)

			got := take(m, z, fields{"force": true}).done(t)
			require.Contains(t, got.warnings(), `role "crm-sync" hands out no access tokens any more`)
			require.Contains(t, m.read("creds/crm-sync").text, "no longer the mount's client")
		})
	}
}

func TestConfig_TellsWhichRolesItTakesTheClientFrom(t *testing.T) {
	t.Parallel()
	m, z := newWorld(t)
	m.write("roles/own", z.own()).done(t)
	m.write("roles/not-authorized", fields{"scopes": "ZohoCRM.modules.ALL"}).done(t)
	change := z.other().with(fields{"verify": false})
	m.requireRefused(m.write("config", change), m.stored(), "another role goes on", `Role "crm-sync" uses the mount's client`)
	got := m.write("config", change.with(fields{"force": true})).done(t)
	require.Contains(t, got.warnings(), `role "crm-sync" hands out no access tokens any more`)
	require.NotContains(t, got.warnings(), "own, ")
	require.NotContains(t, got.warnings(), "not-authorized")
	m.read("creds/own").done(t)
}

func TestConfig_TellsOfTheFirstTenRolesAndHowMany(t *testing.T) {
	t.Parallel()
	m, z := newWorld(t)
	m.write("roles/own", z.own()).done(t)
	for i := range 12 {
		m.write(fmt.Sprintf("roles/job-%02d", i), z.role()).done(t)
	}
	got := m.write("config", z.other().with(fields{"verify": false, "force": true})).done(t).warnings()
	require.Contains(t, got, "13 roles hand out no access tokens any more: crm-sync, job-00, job-01, job-02, job-03, job-04, job-05, job-06, job-07, job-08 and 3 more.")
}

func TestConfig_SaysNothingWhereNoRoleLosesItsClient(t *testing.T) {
	t.Parallel()
	m, z := newWorld(t)
	m.write("roles/own", z.own()).done(t)
	for name, change := range map[string]fields{
		"the same again":                  z.config(),
		"what was read":                   {"client_id": z.client.ID, "data_center": "", "accounts_url": z.url, "request_budget": 10},
		"a limit":                         {"request_budget": 9},
		"another secret of the client":    {"client_secret": "another-secret-of-it", "verify": false},
		"the secret that it had, untried": {"client_secret": z.clientSecret, "verify": false},
	} {
		require.NotContains(t, m.write("config", change).done(t).warnings(), "crm-sync", name)
		require.NotContains(t, m.patch("config", change).done(t).warnings(), "crm-sync", name)
	}
	m.write("roles/crm-sync", z.own()).done(t)
	require.Empty(t, m.send("delete", "config", nil).done(t).warnings(), "all roles have clients of their own")
}

func TestConfig_GivesRolesTheirClientBackWithoutForce(t *testing.T) {
	t.Parallel()
	m, z := newWorld(t)
	m.send("delete", "config", fields{"force": true}).done(t)
	require.Empty(t, m.send("delete", "config", nil).done(t).warnings(), "it ended nobody's tokens a second time")
	m.write("config", z.config()).done(t)
	m.read("creds/crm-sync").done(t)
	require.Empty(t, m.read("config").done(t).Data["force"], "it is not stored")
}

func TestConfig_AWrongWordForForceDeletesNothing(t *testing.T) {
	t.Parallel()
	m, _ := newWorld(t)
	m.requireRefused(m.send("delete", "config", fields{"force": "perhaps"}), m.stored(), "a wrong word", "force has a value of a wrong form; write true or false")
	m.requireRefused(m.send("delete", "config", fields{"force": "false"}), m.stored(), "false", "force=true")
}
