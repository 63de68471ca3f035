package zohosecrets

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// fullConfig names every field with a value that is not its default, written
// as a person may write it, and how it reads back; nil: not at all.
func fullConfig(t *testing.T) (written, read fields) {
	t.Helper()
	pem := certificate(t)
	written = fields{
		"data_center": "eu", "accounts_url": "HTTPS://Accounts.Example.com:443/portal/", "client_id": "1000.MOUNTMOUNTMOUNT",
		"client_secret": "secret-of-the-mount", "redirect_uri": "https://vault.example.com/v1/zoho/callback", "min_ttl": "15m",
		"refresh_ahead": "false", "request_budget": "8", "request_window": "20m", "max_live_tokens": 5, "request_timeout": 7, "ca_cert": pem, "count_requests_per": "client",
		"verify": "false", "force": "false",
	}
	read = fields{
		"data_center": "eu", "accounts_url": "https://accounts.example.com/portal", "client_id": "1000.MOUNTMOUNTMOUNT",
		"redirect_uri": "https://vault.example.com/v1/zoho/callback", "min_ttl": int64(900), "refresh_ahead": false,
		"request_budget": 8, "request_window": int64(1200), "max_live_tokens": 5, "request_timeout": int64(7), "ca_cert": pem, "count_requests_per": "client",
	}
	require.Len(t, written, len(configFields()), "a new field belongs here too")
	return written, read
}

func defaultConfig() fields {
	return fields{
		"data_center": "", "accounts_url": "", "client_id": "", "redirect_uri": "", "min_ttl": int64(0),
		"refresh_ahead": true, "request_budget": 10, "request_window": int64(600), "max_live_tokens": 10, "request_timeout": int64(10), "ca_cert": "", "count_requests_per": "grant",
	}
}

func TestConfig_ReadsBackWhatWasWrittenWithDurationsAsWholeSeconds(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	m.write("config", nil).done(t)
	require.EqualValues(t, defaultConfig(), m.read("config").Data)
	written, read := fullConfig(t)
	m.write("config", written).done(t)
	require.EqualValues(t, read, m.read("config").Data)
}

func TestConfig_AWriteKeepsTheFieldsThatItDoesNotName(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	written, want := fullConfig(t)
	m.write("config", written).done(t)
	before := m.stored()
	m.write("config", nil).done(t)
	m.patch("config", nil).done(t)
	require.Equal(t, before, m.stored())

	for _, change := range []struct {
		field string
		value any
		reads any
	}{
		{"min_ttl", "700", int64(700)}, {"refresh_ahead", true, true}, {"request_budget", 3, 3}, {"request_window", "5m", int64(300)},
		{"max_live_tokens", 2, 2}, {"count_requests_per", "grant", "grant"}, {"request_timeout", "20", int64(20)}, {"ca_cert", "", ""}, {"redirect_uri", "", ""},
	} {
		m.write("config", fields{change.field: change.value}).done(t)
		want[change.field] = change.reads
		require.EqualValues(t, want, m.read("config").Data, change.field)
	}
}

func TestConfig_APatchWithNullTakesAFieldBackToItsDefault(t *testing.T) {
	t.Parallel()
	defaults := defaultConfig()
	for name := range configFields() {
		m := newMount(t)
		written, want := fullConfig(t)
		m.write("config", written).done(t)
		patch := fields{name: nil}
		switch name {
		case "client_id", "client_secret":
			patch = fields{"client_id": nil, "client_secret": nil}
			want["client_id"] = ""
		case "accounts_url": // another server: the secret is needed again
			patch["client_id"], patch["client_secret"] = "1000.MOUNTMOUNTMOUNT", "secret-of-the-mount"
			want["accounts_url"] = "https://accounts.zoho.eu"
		case "verify", "force": // not stored, so there is nothing to take back
		default:
			want[name] = defaults[name]
		}
		m.patch("config", patch).done(t)
		require.EqualValues(t, want, m.read("config").Data, name)
	}
}

func TestRole_ReadsBackWhatWasWrittenAndKeepsWhatIsNotNamed(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	m.write("config", goodConfig()).done(t)
	written := goodRole().with(fields{
		"grant_type": "refresh_token", "scopes": "ZohoCRM.modules.ALL, ZohoCRM.settings.READ,,ZohoCRM.modules.ALL",
		"data_center": "eu", "ttl": "50m", "min_ttl": "300", "exclusive": "true", "metadata": []string{"organization_id=60012345678", "owner=Team A = CRM"}, "consent": "org",
	})
	elsewhere := []string{"name", "code", "redirect_uri", "soid", "force", "expected_account", "revoke_delay"} // the first is in the path, the last two have tests of their own
	require.Len(t, written, len(roleFields())-len(elsewhere), "a new field belongs here too")
	m.write("roles/crm-sync", written).done(t)
	want := fields{
		"name": "crm-sync", "grant_type": "refresh_token", "data_center": "eu", "accounts_url": "https://accounts.zoho.eu",
		"client_id": "1000.ROLEROLEROLE", "soid": "", "scopes": []string{"ZohoCRM.modules.ALL", "ZohoCRM.settings.READ"},
		"ttl": int64(3000), "min_ttl": int64(300), "exclusive": true, "revoke_delay": int64(0), "metadata": map[string]string{"organization_id": "60012345678", "owner": "Team A = CRM"}, "consent": "org", "expected_account": "",
		"authorized": true, "scopes_granted": []string{},
	}
	require.Len(t, want, len(roleAnswer()), "a new field belongs here too")
	require.EqualValues(t, want, m.read("roles/crm-sync").Data)
	before := m.stored()
	m.write("roles/crm-sync", nil).done(t)
	m.patch("roles/crm-sync", nil).done(t)
	require.Equal(t, before, m.stored())

	m.write("roles/crm-sync", fields{"ttl": 1800}).done(t)
	want["ttl"] = int64(1800)
	m.write("roles/crm-sync", fields{"refresh_token": "1000.another.token", "verify": false}).done(t)
	require.EqualValues(t, want, m.read("roles/crm-sync").Data)
	m.patch("roles/crm-sync", fields{"ttl": nil, "min_ttl": nil, "exclusive": nil, "scopes": nil, "soid": nil, "redirect_uri": nil, "grant_type": nil, "metadata": nil, "consent": nil}).done(t)
	want["ttl"], want["min_ttl"], want["exclusive"], want["scopes"], want["metadata"], want["consent"] = int64(0), int64(0), false, []string{}, map[string]string{}, "user"
	require.EqualValues(t, want, m.read("roles/crm-sync").Data)

	m.patch("roles/crm-sync", fields{"data_center": nil, "client_id": nil, "client_secret": nil, "refresh_token": "1000.r.t", "verify": false}).done(t)
	want["data_center"], want["accounts_url"], want["client_id"] = "", loopback, ""
	require.EqualValues(t, want, m.read("roles/crm-sync").Data)
}

func TestRole_OfAnOrganisationReadsBackAndCanBecomeOneOfAPerson(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	m.write("config", goodConfig()).done(t)
	m.write("roles/crm-sync", goodClientCredentials()).done(t)
	want := fields{
		"name": "crm-sync", "grant_type": "client_credentials", "data_center": "", "accounts_url": loopback, "client_id": "1000.ROLEROLEROLE",
		"soid": "ZohoCRM.123456789", "scopes": []string{"ZohoCRM.modules.ALL"}, "ttl": int64(0), "min_ttl": int64(0), "exclusive": false, "revoke_delay": int64(0), "metadata": map[string]string{}, "consent": "user", "expected_account": "",
		"authorized": true, "scopes_granted": []string{},
	}
	require.EqualValues(t, want, m.read("roles/crm-sync").Data)
	before := m.stored()
	m.write("roles/crm-sync", nil).done(t)
	m.patch("roles/crm-sync", nil).done(t)
	require.Equal(t, before, m.stored())

	m.write("roles/crm-sync", fields{"scopes": []string{"ZohoBooks.invoices.READ"}, "soid": "", "verify": false}).done(t)
	want["scopes"], want["soid"] = []string{"ZohoBooks.invoices.READ"}, ""
	require.EqualValues(t, want, m.read("roles/crm-sync").Data)
	m.patch("roles/crm-sync", fields{"grant_type": nil, "verify": nil}).done(t)
	want["grant_type"], want["authorized"] = "refresh_token", false
	require.EqualValues(t, want, m.read("roles/crm-sync").Data)
	m.requireRefused(m.read("creds/crm-sync"), m.stored(), "nobody has consented yet", "has no refresh token yet", "roles/crm-sync/authorize")
}

func TestSecrets_AreNeverReadBack(t *testing.T) {
	t.Parallel()
	m, z := newWorld(t)
	m.write("roles/own", goodRole()).done(t)
	leased := m.read("creds/crm-sync").done(t)
	for _, path := range []string{"config", "roles/crm-sync", "roles/own", "info"} {
		requireNone(t, m.read(path).done(t), z.clientSecret, z.refreshToken, "secret-of-the-role", "1000.refresh.token", leased.token())
	}
	listed := m.list("roles/").done(t)
	requireNone(t, listed, z.clientSecret, z.refreshToken, "secret-of-the-role", "1000.refresh.token", leased.token())
	require.Equal(t, []string{"crm-sync", "own"}, listed.Data["keys"])
	require.Equal(t, map[string]any{
		"crm-sync": map[string]any{"authorized": true, "data_center": "", "grant_type": "refresh_token", "state": "ready", "metadata": map[string]string{}},
		"own":      map[string]any{"authorized": true, "data_center": "", "grant_type": "refresh_token", "state": "never tried", "metadata": map[string]string{}},
	}, listed.Data["key_info"])
}

func requireNone(t *testing.T, got answer, secrets ...string) {
	t.Helper()
	encoded, err := json.Marshal(got)
	require.NoError(t, err)
	for _, secret := range secrets {
		require.NotContains(t, string(encoded), secret)
	}
}

func TestDelete_IsIdempotentAndOfThatThingAlone(t *testing.T) {
	t.Parallel()
	m, _ := newWorld(t)
	m.write("roles/other", goodRole()).done(t)
	for range 2 {
		m.delete("roles/crm-sync").done(t)
		require.Nil(t, m.read("roles/crm-sync").Response)
		require.Equal(t, []string{"other"}, m.list("roles/").Data["keys"])
	}
	for range 2 {
		m.deleteConfig()
		require.Equal(t, 404, m.read("config").status)
	}
	m.read("roles/other").done(t)
}

func TestCreds_OfAnUnknownRoleGetsA400ThatSaysHowToWriteIt(t *testing.T) {
	t.Parallel()
	m, z := newWorld(t)
	before, asked := m.stored(), len(z.sim.Requests())
	m.requireRefused(m.read("creds/crm-sink"), before, "creds", `role "crm-sink" does not exist`, "or write it: vault write", "refresh_token=")
	require.Len(t, z.sim.Requests(), asked)
}

func TestCreds_AMinTTLThatNoTokenCanHaveIsRefused(t *testing.T) {
	t.Parallel()
	m, z := newWorld(t)
	before := m.stored()
	for _, minTTL := range []any{"-1", -1, "1h", "3600", "24h", "soon", "999999999999999999999", []any{"5m"}, fields{}, true, strings.Repeat("9", 1<<20)} {
		m.requireRefused(m.send("read", "creds/crm-sync", fields{"min_ttl": minTTL}), before, "min_ttl", "min_ttl")
	}
	require.Empty(t, z.sim.Requests())
	m.send("read", "creds/crm-sync", fields{"min_ttl": "59m"}).done(t)
}

func TestWrite_AnUnknownFieldIsWarnedOfByName(t *testing.T) {
	t.Parallel()
	m, z := newWorld(t)
	for path, data := range map[string]fields{"config": z.config(), "roles/crm-sync": z.role()} {
		for _, got := range []answer{
			m.write(path, data.with(fields{"clientsecret": "hunter2"})), m.patch(path, data.with(fields{"clientsecret": "hunter2"})),
		} {
			warnings := got.done(t).warnings()
			require.Contains(t, warnings, "unrecognized parameters: [clientsecret]")
			require.NotContains(t, warnings, "hunter2")
		}
	}
	for key, value := range m.stored() {
		require.NotContains(t, value, "hunter2", key)
	}
}

func TestWrite_WarnsOfWhatIsAllowedButWillHurt(t *testing.T) {
	t.Parallel()
	m, _ := newWorld(t)
	require.Contains(t, m.write("roles/crm-sync", fields{"ttl": "999999h"}).done(t).warnings(), "has no effect")
	require.Contains(t, m.write("roles/crm-sync", fields{"ttl": "30s"}).done(t).warnings(), "HTTP 429")
	require.Contains(t, m.write("config", fields{"data_center": "in"}).done(t).warnings(), `write accounts_url=""`)
}

func TestPatch_OfARoleThatIsNotThereCreatesNone(t *testing.T) {
	t.Parallel()
	m, z := newWorld(t)
	before := m.stored()
	m.requireRefused(m.patch("roles/other", fields{"refresh_token": z.refreshToken}), before, "a patch", "does not exist")
}

func TestRole_RevokeDelayReadsBackAndIsRefusedWhereNobodyElseGetsTheToken(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	m.write("config", goodConfig()).done(t)
	m.write("roles/crm-sync", goodRole().with(fields{"revoke_delay": "5m"})).done(t)
	m.write("roles/crm-sync", fields{"ttl": "20m"}).done(t)
	require.EqualValues(t, int64(300), m.read("roles/crm-sync").Data["revoke_delay"])
	before := m.stored()
	m.requireRefused(m.write("roles/crm-sync", fields{"revoke_delay": "11m"}), before, "revoke_delay", "revoke_delay")
	m.requireRefused(m.write("roles/crm-sync", fields{"exclusive": true}), before, "revoke_delay", "exclusive=false")
	m.patch("roles/crm-sync", fields{"revoke_delay": nil}).done(t)
	require.EqualValues(t, int64(0), m.read("roles/crm-sync").Data["revoke_delay"])
}
