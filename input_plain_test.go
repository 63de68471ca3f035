package zohosecrets

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// What the command line writes for what is meant.

func TestInput_TheWordNullIsRefusedWithBothWaysToADefault(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	m.write("config", goodConfig()).done(t)
	m.write("roles/crm-sync", goodRole()).done(t)
	before := m.stored()
	for path, fields := range map[string][]string{
		"roles/crm-sync": {"scopes", "ttl", "min_ttl", "soid", "redirect_uri", "exclusive", "data_center", "client_secret"},
		"config":         {"min_ttl", "refresh_ahead", "request_budget", "redirect_uri", "count_requests_per", "client_id"},
	} {
		for _, field := range fields {
			got := m.patch(path, map[string]any{field: "null"})
			m.requireRefused(got, before, field, field+`=""`, `echo '{"`+field+`":null}' | vault patch <mount>/`+path+` -`)
			m.requireRefused(m.write(path, map[string]any{field: "null"}), before, field, field+`=""`)
		}
	}
}

func TestInput_AnEmptyValueTakesAFieldBackToItsDefault(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	written, _ := fullConfig(t)
	m.write("config", written).done(t)
	m.write("roles/crm-sync", goodRole().with(fields{"data_center": "eu", "ttl": "20m", "min_ttl": "5m", "exclusive": true, "scopes": "ZohoCRM.modules.ALL"})).done(t)
	for _, field := range []string{"min_ttl", "refresh_ahead", "request_budget", "request_window", "max_live_tokens", "request_timeout", "redirect_uri", "count_requests_per", "ca_cert"} {
		m.patch("config", fields{field: ""}).done(t)
		require.EqualValues(t, defaultConfig()[field], m.read("config").Data[field], field)
	}
	for field, want := range (fields{"ttl": 0, "min_ttl": 0, "exclusive": false, "scopes": []string{}, "grant_type": "refresh_token"}) {
		m.patch("roles/crm-sync", fields{field: ""}).done(t)
		require.EqualValues(t, want, m.read("roles/crm-sync").Data[field], field)
	}
}

func TestInput_OneLineBreakAtTheEndOfAPastedSecretIsTrimmed(t *testing.T) {
	t.Parallel()
	for _, end := range []string{"\n", "\r\n"} {
		m, z := newWorld(t)
		m.write("config", z.config().with(fields{"client_secret": z.clientSecret + end})).done(t)
		m.write("roles/pasted", fields{"refresh_token": z.refreshToken + end}).done(t)
		m.write("roles/coded", fields{"code": z.code() + end}).done(t)
		leased := m.read("creds/pasted").done(t)
		found := m.write("tokens/lookup", fields{"token": leased.token() + end}).done(t)
		require.Equal(t, leased.Data["token_id"], found.Data["token_id"])
		before := m.stored()
		m.requireRefused(m.write("config", fields{"client_secret": z.clientSecret + end + end}), before, "two", "client_secret")
		m.requireRefused(m.write("config", fields{"client_id": z.client.ID + end, "client_secret": z.clientSecret}), before, "no secret", "client_id")
	}
}

func TestInput_ASwappedIDAndSecretAreRefusedAndNotRepeated(t *testing.T) {
	t.Parallel()
	const id, secret = "1000.ABCDEFABCDEF", "0123456789abcdef"
	for name, c := range map[string]struct {
		change fields
		says   string
	}{
		"swapped":                                {fields{"client_id": secret, "client_secret": id}, "swapped"},
		"swapped, of a client for organisations": {fields{"client_id": secret, "client_secret": "1005" + id[4:]}, "swapped"},
		"swapped elsewhere":                      {fields{"client_id": secret, "client_secret": id, "accounts_url": loopback}, "swapped"},
		"the secret twice":                       {fields{"client_id": secret, "client_secret": secret}, "does not begin with 1000."},
	} {
		m := newMount(t)
		before := m.stored()
		change := fields{"data_center": "eu"}.with(c.change)
		got := m.write("config", change)
		m.requireRefused(got, before, name, c.says)
		require.NotContains(t, got.text, secret)
		if c.change["accounts_url"] != nil {
			m.write("config", fields{"accounts_url": loopback}).done(t)
			before = m.stored()
			delete(change, "accounts_url")
			delete(change, "data_center")
		}
		got = m.write("roles/crm-sync", change.with(fields{"refresh_token": "1000.r.t", "verify": false}))
		m.requireRefused(got, before, name, c.says)
		require.NotContains(t, got.text, secret)
	}
	m := newMount(t)
	m.write("config", fields{"data_center": "eu", "client_id": "1005.FORORGANISATIONS", "client_secret": secret}).done(t)
	m = newMount(t)
	m.write("config", fields{"accounts_url": loopback, "client_id": "of-another-server", "client_secret": secret}).done(t)
}

func TestInput_NoDataCentreIsChosenBySilence(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	client := fields{"client_id": "1000.ABCDEFABCDEF", "client_secret": "0123456789abcdef"}
	m.requireRefused(m.write("config", client), map[string]string{}, "config", "data_center is missing", "data_center=eu for crm.zoho.eu")
	m.requireRefused(m.write("config", client.with(fields{"dc": "eu"})), map[string]string{}, "an unknown field", "data_center is missing")
	m.requireRefused(m.write("roles/crm-sync", client.with(fields{"refresh_token": "1000.r.t", "verify": false})), map[string]string{}, "role", "data_center is missing")
	m.write("config", client.with(fields{"data_center": "zoho.eu"})).done(t)
	require.Equal(t, "eu", m.read("config").Data["data_center"])
	require.Equal(t, "https://accounts.zoho.eu", m.read("config").Data["accounts_url"])
	m.write("roles/crm-sync", client.with(fields{"refresh_token": "1000.r.t", "verify": false, "data_center": ".COM.AU"})).done(t)
	require.Equal(t, "au", m.read("roles/crm-sync").Data["data_center"])
}

func TestInput_AFieldThatDoesNotExistIsNamedBesideTheError(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	got := m.write("config", fields{"client_id": "1000.ABCABCABCABC", "client_secret": "0123", "dc": "eu"})
	m.requireRefused(got, map[string]string{}, "dc", "data_center is missing", `There is no field "dc" here`)
}

func TestInput_TheAddressBarOfAProductNamesTheDataCentre(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	m.write("config", fields{"client_id": "1000.ABCABCABCABC", "client_secret": "0123", "data_center": "crm.zoho.com.au"}).done(t)
	require.Equal(t, "au", m.read("config").Data["data_center"])
}

func TestConfig_AServerOfZohosThatGivesNoTokensIsRefused(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	for _, url := range []string{"https://www.zohoapis.eu", "https://crm.zoho.eu", "https://zoho.com"} {
		m.requireRefused(m.write("config", goodConfig().with(fields{"accounts_url": url})), map[string]string{}, url, "none of its Accounts servers")
	}
}

func TestConfig_ACallbackThatBrowsersMayNotReachIsWarnedOf(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	for address, says := range map[string]string{
		"https://vault.example.com/zoho/callback":   "has no /v1/",
		"http://vault.example.com/v1/zoho/callback": "in clear",
	} {
		require.Contains(t, m.write("config", goodConfig().with(fields{"redirect_uri": address})).done(t).warnings(), says)
	}
	for _, address := range []string{"http://127.0.0.1:8200/v1/zoho/callback", "https://vault.example.com/v1/zoho/callback", ""} {
		require.Empty(t, m.write("config", goodConfig().with(fields{"redirect_uri": address})).done(t).warnings())
	}
}
