package zohosecrets

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestUnknownFields_OfAWriteAreToldWithTheOneThatMayBeMeant(t *testing.T) {
	t.Parallel()
	m, _ := newWorld(t)
	for path, typed := range map[string]map[string]string{
		"config": {
			"data_centre": "data_center", "datacenter": "data_center", "dc": "data_center", "region": "data_center", "min-ttl": "min_ttl", "minttl": "min_ttl",
			"redirect_url": "redirect_uri", "request_budjet": "request_budget", "clientid": "client_id", "accounts_uri": "accounts_url", "nonsense": "",
		},
		"roles/crm-sync": {
			"exclusiv": "exclusive", "data_centre": "data_center", "refreshtoken": "refresh_token", "scope": "scopes", "min_tll": "min_ttl", "meta": "", "metdata": "metadata",
			"Verify ": "verify", "granttype": "grant_type", "x": "",
		},
	} {
		for field, meant := range typed {
			before := m.stored()
			got := m.write(path, fields{field: "x"}).done(t)
			require.Equal(t, before, m.stored())
			require.Contains(t, got.warnings(), `There is no field "`+field+`" here, so it has changed nothing`)
			if meant == "" {
				require.NotContains(t, got.warnings(), "did you mean", field)
			} else {
				require.Contains(t, got.warnings(), "did you mean "+meant+"?", field)
			}
			require.Contains(t, m.patch(path, fields{field: "x"}).done(t).warnings(), "There is no field")
		}
	}
	require.Contains(t, m.write("config", fields{"min_ttl": "90m", "data_centre": "eu"}).text, `There is no field "data_centre" here, so it has changed nothing; did you mean data_center?`)
}

func TestUnknownFields_OfAReadAndOfARotationAreTold(t *testing.T) {
	t.Parallel()
	m, _ := newWorld(t)
	require.Contains(t, m.send("read", "creds/crm-sync", fields{"rejct": "x"}).done(t).warnings(), `There is no field "rejct" here, so it has changed nothing; did you mean reject?`)
	require.Contains(t, m.write("creds/crm-sync", fields{"min-ttl": "1m"}).done(t).warnings(), "did you mean min_ttl?")
	require.Contains(t, m.write("roles/crm-sync/rotate", fields{"frce": true}).done(t).warnings(), "did you mean force?")
}

func TestUnknownFields_AreBounded(t *testing.T) {
	t.Parallel()
	m, _ := newWorld(t)
	many := fields{strings.Repeat("y", 41): 1}
	for i := range 100 {
		many[strings.Repeat("x", 20)+string(rune('a'+i%26))+string(rune('a'+i/26))] = i
	}
	got := m.write("config", many).done(t)
	require.Equal(t, 5, strings.Count(got.warnings(), "There is no field"))
	require.NotContains(t, got.warnings(), `There is no field "yyy`)
}

func TestCode_AWrongSecretSaysWhoseClientItIs(t *testing.T) {
	t.Parallel()
	m, z := newWorld(t)
	m.write("config", fields{"client_secret": "wrong", "verify": false}).done(t)
	require.Contains(t, m.write("roles/new", fields{"code": z.code()}).text, "The client is the mount's: correct it in <mount>/config")
	own := fields{"client_id": z.client.ID, "client_secret": "wrong", "code": z.code()}
	require.Contains(t, m.write("roles/new", own).text, `The client is role "new"'s own: correct it there`)
}
