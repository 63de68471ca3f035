package zohosecrets

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// noted is the metadata that a read of a path answers.
func (v vault) noted(path string) map[string]any {
	v.t.Helper()
	field := "metadata"
	if strings.HasPrefix(path, "creds/") {
		field = "role_metadata"
	}
	encoded, err := json.Marshal(v.read(path).done(v.t).Data[field])
	require.NoError(v.t, err)
	var metadata map[string]any
	require.NoError(v.t, json.Unmarshal(encoded, &metadata))
	require.NotNil(v.t, metadata, "an empty one is {} and not null")
	return metadata
}

// listed is what a list of roles tells of one.
func (v vault) listed(role string) map[string]any {
	v.t.Helper()
	all, ok := v.list("roles/").done(v.t).Data["key_info"].(map[string]any)
	require.True(v.t, ok)
	of, ok := all[role].(map[string]any)
	require.True(v.t, ok)
	return of
}

func TestMetadata_OfARoleComesWithItsAccessTokens(t *testing.T) {
	t.Parallel()
	r := newRemote(t)
	require.Empty(t, r.noted("creds/crm-sync"))
	require.Empty(t, r.noted("roles/crm-sync"))
	r.write("roles/crm-sync", fields{"metadata": fields{"organization_id": 60012345678, "owner": "Anna Müller"}}).done(t)
	r.write("roles/books", r.zoho.role().with(fields{"metadata": "organization_id=7"})).done(t)
	for role, want := range map[string]map[string]any{
		"crm-sync": {"organization_id": "60012345678", "owner": "Anna Müller"},
		"books":    {"organization_id": "7"}, // its token is the same, its metadata is its own
	} {
		require.Equal(t, want, r.noted("creds/"+role))
		require.Equal(t, want, r.noted("roles/"+role))
		require.Equal(t, want, r.listed(role)["metadata"])
	}
	require.Equal(t, 1, r.zoho.sim.MintCount(r.zoho.refreshToken), "a write of metadata needs no new access token")
}

func TestMetadata_AWriteReplacesItAndAPatchMergesIntoIt(t *testing.T) {
	t.Parallel()
	m, z := newWorld(t)
	none := map[string]any{}
	for _, step := range []struct {
		what     string
		send     func(string, fields) answer
		metadata any
		want     map[string]any
	}{
		{"a write", m.write, fields{"a": "1", "b": "2", "c": ""}, map[string]any{"a": "1", "b": "2", "c": ""}},
		{"a patch of some pairs", m.patch, fields{"b": "3", "d": "4"}, map[string]any{"a": "1", "b": "3", "c": "", "d": "4"}},
		{"a patch with null for pairs", m.patch, fields{"a": nil, "c": nil, "never": nil, "e": "5"}, map[string]any{"b": "3", "d": "4", "e": "5"}},
		{"a patch of pairs as the command line sends them", m.patch, []string{"b=6", "f=x=y"}, map[string]any{"b": "6", "d": "4", "e": "5", "f": "x=y"}},
		{"a patch of one pair as the command line sends it", m.patch, "g=7", map[string]any{"b": "6", "d": "4", "e": "5", "f": "x=y", "g": "7"}},
		{"a patch without pairs", m.patch, fields{}, map[string]any{"b": "6", "d": "4", "e": "5", "f": "x=y", "g": "7"}},
		{"a write of other pairs", m.write, []string{"z=1"}, map[string]any{"z": "1"}},
		{"a write with null for a pair", m.write, fields{"z": nil, "y": "2"}, map[string]any{"y": "2"}},
		{"a write that is empty text", m.write, "", none},
		{"a write again", m.write, "y=3", map[string]any{"y": "3"}},
		{"a write of no pairs", m.write, fields{}, none},
		{"a write again", m.write, "y=4", map[string]any{"y": "4"}},
		{"a patch that is empty text", m.patch, "", none},
		{"a write again", m.write, "y=5", map[string]any{"y": "5"}},
		{"a patch with null", m.patch, nil, none},
		{"a write again", m.write, "y=6", map[string]any{"y": "6"}},
		{"a write with null", m.write, nil, none},
	} {
		step.send("roles/crm-sync", fields{"metadata": step.metadata}).done(t)
		require.Equal(t, step.want, m.noted("roles/crm-sync"), step.what)
		m.write("roles/crm-sync", fields{"ttl": "30m"}).done(t)
		m.patch("roles/crm-sync", fields{"min_ttl": "5m"}).done(t)
		require.Equal(t, step.want, m.noted("creds/crm-sync"), "%s: a write keeps what it does not name", step.what)
		require.Equal(t, step.want, newMountOn(t, m.storage, nil).noted("roles/crm-sync"), "%s: after a restart", step.what)
	}
	require.Equal(t, 1, z.sim.MintCount(z.refreshToken))
}

func TestMetadata_StaysWhenARoleIsAuthorizedAndDeauthorized(t *testing.T) {
	t.Parallel()
	m, z := newWorld(t)
	m.awaitsConsent(z)
	want := map[string]any{"owner": "Anna"}
	m.write("roles/person", fields{"metadata": want}).done(t)
	m.send("read", "callback", m.agree("roles/person")).done(t)
	require.Equal(t, want, m.noted("creds/person"))
	m.write("roles/person/deauthorize", nil).done(t)
	require.Equal(t, want, m.noted("roles/person"))
	m.delete("roles/person").done(t)
	m.awaitsConsent(z)
	require.Empty(t, m.noted("roles/person"), "of a role that is made anew")
}

func TestMetadata_BeyondItsBoundsIsRefusedAndAtThemIsNot(t *testing.T) {
	t.Parallel()
	pairs := func(n, value int) fields {
		all := fields{}
		for i := range n {
			all[fmt.Sprintf("key-%d", i%10)+strings.Repeat("k", i/10)] = strings.Repeat("x", value)
		}
		return all
	}
	m, _ := newWorld(t)
	reads, _ := newWorld(t) // whose holders are written a little later
	for what, good := range map[string]fields{
		"32 pairs":                         pairs(32, 1),
		"a key of 64 bytes":                {strings.Repeat("k", 64): "x"},
		"a value of 512 bytes":             {"key": strings.Repeat("x", 512)},
		"2048 bytes in all":                {"key1": strings.Repeat("x", 508), "key2": strings.Repeat("x", 508), "key3": strings.Repeat("x", 508), "key4": strings.Repeat("x", 508)},
		"every character that a key takes": {"_Org.ID-2": "x", "0": "y"},
		"text of any language":             {"owner": "Søren «Ελένη» 田中 🙂"},
	} {
		t.Log(what)
		reads.write("roles/crm-sync", fields{"metadata": good}).done(t)
		for field, value := range good {
			require.Equal(t, value, reads.noted("creds/crm-sync")[field])
		}
	}
	m.write("roles/crm-sync", fields{"metadata": pairs(31, 1)}).done(t)
	before := m.stored()
	for what, bad := range map[string]struct {
		metadata fields
		says     string
	}{
		"33 pairs":                 {pairs(33, 1), "33 pairs, and at most 32"},
		"a key of 65 bytes":        {fields{strings.Repeat("k", 65): "x"}, "64 characters at the most"},
		"a value of 513 bytes":     {fields{"key": strings.Repeat("x", 513)}, "a value of 513 bytes at the key key, and at most 512"},
		"2049 bytes in all":        {fields{"key1": strings.Repeat("x", 509), "key2": strings.Repeat("x", 508), "key3": strings.Repeat("x", 508), "key4": strings.Repeat("x", 508)}, "2049 bytes, keys and values together, and at most 2048"},
		"a key with a blank":       {fields{"my key": "x"}, "has a key that is none"},
		"a key with a slash":       {fields{"my/key": "x"}, "has a key that is none"},
		"a key with a letter of é": {fields{"clé": "x"}, "has a key that is none"},
		"a key that begins with -": {fields{"-key": "x"}, "has a key that is none"},
	} {
		m.requireRefused(m.write("roles/crm-sync", fields{"metadata": bad.metadata}), before, what, "metadata", bad.says)
		m.requireRefused(m.write("roles/new", goodRole().with(fields{"metadata": bad.metadata})), before, what, "metadata", bad.says)
	}
	m.requireRefused(m.patch("roles/crm-sync", fields{"metadata": fields{"one": "1", "two": "2"}}), before, "a patch that makes it 33 pairs", "33 pairs")
	m.patch("roles/crm-sync", fields{"metadata": fields{"one": "1"}}).done(t)
}

func TestMetadata_ASecretOfZohosIsRefusedAndNotRepeated(t *testing.T) {
	t.Parallel()
	m, z, e := newEar(t)
	leased := m.read("creds/crm-sync").done(t)
	before := m.stored()
	for _, secret := range []string{
		leased.token(), z.refreshToken, z.clientSecret, strings.ToUpper(z.clientSecret), z.clientSecret[1:],
		"1005.53ea059005781cfc.ff08c750c671f7d1267e6de1e",
	} {
		e.learn(secret, "a secret in metadata")
		for _, metadata := range []any{
			fields{"token": secret}, fields{"header": "Zoho-oauthtoken " + secret}, fields{"url": "https://a.example/?token=" + secret + "&x=1"},
			"token=" + secret, []string{"a=b", "token=" + secret},
		} {
			for _, got := range []answer{
				m.write("roles/crm-sync", fields{"metadata": metadata}),
				m.patch("roles/crm-sync", fields{"metadata": metadata}),
				m.write("roles/new", goodRole().with(fields{"metadata": metadata})),
			} {
				m.requireRefused(got, before, "a secret", "metadata is no place for a secret", "refresh_token, code or client_secret")
			}
		}
		// Where a key should be, and where there are no pairs.
		m.requireRefused(m.write("roles/crm-sync", fields{"metadata": fields{secret: "x"}}), before, "a secret as key", "metadata")
		m.requireRefused(m.write("roles/crm-sync", fields{"metadata": secret}), before, "a secret alone", "metadata")
	}
	e.requireSilence()
}

func TestMetadata_WhatPeopleNoteIsNotTakenForASecret(t *testing.T) {
	t.Parallel()
	m, z := newWorld(t)
	for what, value := range map[string]string{
		"organisation_of_books": "60012345678",
		"organisation_of_desk":  "654321098",
		"soid":                  "ZohoCRM.600123434",
		"client_id":             z.client.ID,
		"portal":                "https://acme.zohoplatform.eu/clientoauth/v2/10012345",
		"ticket":                "OPS-1234",
		"date":                  "2026.11.21",
		"address":               "10.20.30.40",
		"version":               "1000.12.3",
		"commit":                strings.Repeat("0123456789abcdef", 3)[:40],
		"checksum":              strings.Repeat("0123456789abcdef", 4),
		"entity":                "7d5b7935-4fbb-13e6-6dd6-cb939a551560",
		"zoho_domain":           "zoho.sg",
	} {
		m.patch("roles/crm-sync", fields{"metadata": fields{what: value}}).done(t)
		require.Equal(t, value, m.noted("roles/crm-sync")[what])
	}
}

func TestMetadata_AListShowsWhatHas256BytesAtMost(t *testing.T) {
	t.Parallel()
	m, _ := newWorld(t)
	longest := strings.Repeat("x", 253)
	m.write("roles/crm-sync", fields{"metadata": fields{"key": longest}}).done(t)
	require.Equal(t, map[string]string{"key": longest}, m.listed("crm-sync")["metadata"])
	m.write("roles/crm-sync", fields{"metadata": fields{"key": longest + "x"}}).done(t)
	require.NotContains(t, m.listed("crm-sync"), "metadata")
	require.Equal(t, map[string]any{"key": longest + "x"}, m.noted("roles/crm-sync"))
	m.write("roles/crm-sync", fields{"metadata": ""}).done(t)
	require.Equal(t, map[string]string{}, m.listed("crm-sync")["metadata"], "none is not the same as too long")
}

// Roles are kept in memory, so what is handed out must not be the role's own map.
func TestMetadata_ThatWasAnsweredCannotChangeTheRole(t *testing.T) {
	t.Parallel()
	m, _ := newWorld(t)
	m.write("roles/crm-sync", fields{"metadata": "owner=Anna"}).done(t)
	for _, answered := range []any{m.read("creds/crm-sync").Data["role_metadata"], m.read("roles/crm-sync").Data["metadata"], m.listed("crm-sync")["metadata"]} {
		pairs, ok := answered.(map[string]string)
		require.True(t, ok)
		pairs["owner"] = "somebody else"
		require.Equal(t, map[string]any{"owner": "Anna"}, m.noted("roles/crm-sync"))
	}
	before := m.noted("roles/crm-sync")
	m.storage.FailPut(true)
	require.Equal(t, 500, m.patch("roles/crm-sync", fields{"metadata": "owner=Bob"}).status)
	m.storage.FailPut(false)
	require.Equal(t, before, m.noted("roles/crm-sync"), "a write that failed has changed nothing")
}
