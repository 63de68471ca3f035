package zohosecrets

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What each field may hold is in input_test.go; here is what does not go
// together, and what is nonsense for one field only.

func TestBadInput_FieldsOfDifferentGrantsDoNotGoTogether(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	m.write("config", goodConfig()).done(t)
	m.write("roles/crm-sync", goodRole()).done(t)
	before := m.stored()
	const code, token = "1000.secret.code", "1000.secret.token"
	for what, c := range map[string]struct {
		role fields
		says string
	}{
		"a code and a refresh token":             {fields{"code": code, "refresh_token": token}, "write either code or refresh_token"},
		"a code of an organisation":              {goodClientCredentials().with(fields{"code": code}), "grant_type=client_credentials needs no code"},
		"a refresh token of an organisation":     {goodClientCredentials().with(fields{"refresh_token": token}), "grant_type=client_credentials has no refresh_token"},
		"an organisation of a refresh token":     {goodRole().with(fields{"soid": "ZohoCRM.1"}), "soid belongs to grant_type=client_credentials"},
		"an organisation of a code":              {goodCode().with(fields{"soid": "ZohoCRM.1"}), "soid belongs to grant_type=client_credentials"},
		"an organisation without scopes":         {goodClientCredentials().with(fields{"scopes": []string{}}), "grant_type=client_credentials needs scopes"},
		"a consent that there is not":            {goodRole().with(fields{"consent": "admin"}), "consent is neither user nor org; write user if a person"},
		"a consent of an organisation's client":  {goodClientCredentials().with(fields{"consent": "org"}), "nobody consents to grant_type=client_credentials"},
		"a redirect URI without a code":          {goodRole().with(fields{"redirect_uri": callbackURL}), "redirect_uri is only used to exchange a code: write both"},
		"a redirect URI of an organisation":      {goodClientCredentials().with(fields{"redirect_uri": callbackURL}), "redirect_uri is only used to exchange a code: write both"},
		"a grant type that only Zoho knows":      {goodRole().with(fields{"grant_type": "authorization_code"}), "grant_type is neither refresh_token nor client_credentials"},
		"a grant type of another spelling":       {goodRole().with(fields{"grant_type": "Refresh_Token"}), "grant_type is neither refresh_token nor client_credentials"},
		"a grant type that is a number":          {goodRole().with(fields{"grant_type": 1}), "grant_type is neither refresh_token nor client_credentials"},
		"another data centre without its client": {fields{"data_center": "eu", "code": code, "client_id": "", "client_secret": ""}, "write client_id and client_secret to the role"},
	} {
		for _, path := range []string{"roles/crm-sync", "roles/new"} {
			got := m.write(path, c.role)
			m.requireRefused(got, before, what, c.says)
			require.NotContains(t, got.text, "secret.", what)
		}
		m.requireRefused(m.patch("roles/crm-sync", c.role), before, what, c.says)
	}
	for _, rest := range []fields{{"code": code}, {"scopes": "ZohoCRM.modules.ALL"}} {
		m.requireRefused(m.write("roles/new", rest.with(fields{"client_id": "1000.NEWNEWNEWNEW"})), before, "half of a client", "write both, or neither")
		m.requireRefused(m.write("roles/new", rest.with(fields{"client_secret": "secret."})), before, "half of a client", "write both, or neither")
	}
}

func TestBadInput_ARedirectURIThatNoBrowserCanBeSentToIsRefused(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	m.write("config", goodConfig()).done(t)
	before := m.stored()
	for _, redirectURI := range []string{
		"vault.example.com", "//vault.example.com/cb", "https://", "https:///cb", "https://:443/cb", "https:vault.example.com", "/v1/zoho/callback",
		"javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", "ftp://vault.example.com", "https://vault.example.com/%zz",
		"https://user:hunter2@vault.example.com/cb", "https://hunter2@vault.example.com/cb", "https://vault.example.com/cb#hunter2",
		"https://vault.example.com/c b", "https://vault.example.com/cb\n", "https://vault.example.com/\x00", "https://vault.exa\u200bmple.com/cb",
		"https://vault.example.com/\xff", "https://vault.example.com/" + strings.Repeat("x", 1<<20), strings.Repeat("x", 1<<20),
	} {
		for path, good := range map[string]fields{"config": goodConfig(), "roles/new": goodCode()} {
			got := m.write(path, good.with(fields{"redirect_uri": redirectURI}))
			m.requireRefused(got, before, redirectURI, "redirect_uri")
			require.NotContains(t, got.text, "hunter2")
			require.Less(t, len(got.text), 500)
		}
	}
	for _, redirectURI := range []string{callbackURL, "https://vault.example.com:8200/v1/ns/zoho/callback?a=b", "http://127.0.0.1:8200/v1/zoho/callback", "http://[::1]:8200/cb"} {
		m.write("config", fields{"redirect_uri": redirectURI}).done(t)
		require.Equal(t, redirectURI, m.read("config").Data["redirect_uri"])
	}
}

func TestBadInput_WhatIsNoScopeOrOrganisationIsRefused(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	m.write("config", goodConfig()).done(t)
	before := m.stored()
	many := strings.TrimSuffix(strings.Repeat("ZohoCRM.modules.ALL,", 100000), ",")
	for field, values := range map[string][]any{
		"scopes": {
			"ZohoCRM.modules.ALL ZohoCRM.settings.READ", "ZohoCRM.modules.ALL;ZohoCRM.settings.READ", "ZohoCRM..ALL", ".ZohoCRM", "ZohoCRM.", "1ZohoCRM.modules.ALL",
			"<script>", "ZohoCRM.modules.ALL&scope=x", "ZohoCRM.módules.ALL", "ZohoCRM.modules.ALL\u200b", "ZohoCRM.modules.\x00", "a\nb", "aaaServer.profile.READ,,-",
			[]any{"ZohoCRM.modules.ALL", "b c"}, []any{"a,b"}, []any{fields{}}, []any{nil, "\xff"}, fields{"a": "b"}, strings.Repeat("x", 101), []any{strings.Repeat("x", 1<<20)},
		},
		"soid": {
			"ZohoCRM", "ZohoCRM.", ".123", "123", "ZohoCRM.1.2", "ZohoCRM 1", "ZohoCRM.1 ", " ZohoCRM.1", "ZohoCRM.1\n", "ZohoCRM.1\x00", "ZohoCRM.1&scope=x",
			"../config", "1.2", "Zöho.1", "ZohoCRM.1\u200b", "ZohoCRM." + strings.Repeat("1", 1<<20), 7, true, []any{"ZohoCRM.1"}, fields{},
		},
	} {
		for _, value := range values {
			got := m.write("roles/new", goodClientCredentials().with(fields{field: value}))
			m.requireRefused(got, before, field, field)
			require.Less(t, len(got.text), 500)
		}
	}
	m.write("roles/new", goodClientCredentials().with(fields{"scopes": many})).done(t) // the same one again and again
	require.Equal(t, []string{"ZohoCRM.modules.ALL"}, m.read("roles/new").Data["scopes"])
	m.write("roles/new", fields{"scopes": " ZohoCRM.modules.ALL ,, aaaserver.profile.READ,", "verify": false}).done(t)
	require.Equal(t, []string{"ZohoCRM.modules.ALL", "aaaserver.profile.READ"}, m.read("roles/new").Data["scopes"])
}

func TestBadInput_OfTheActionsOfARoleIsRefused(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	m.write("config", goodConfig()).done(t)
	m.write("roles/crm-sync", goodRole()).done(t)
	before := m.stored()
	for _, force := range []any{"perhaps", 2, []any{true}, fields{}, "\x00", strings.Repeat("x", 1<<20)} {
		got := m.write("roles/crm-sync/deauthorize", fields{"force": force})
		m.requireRefused(got, before, "force", "force has a value of a wrong form; write true or false")
	}
	for _, action := range []string{"authorize", "deauthorize", "rotate"} {
		require.Equal(t, http.StatusMethodNotAllowed, m.read("roles/crm-sync/"+action).status)
		require.Equal(t, http.StatusMethodNotAllowed, m.delete("roles/crm-sync/"+action).status)
		require.Equal(t, http.StatusMethodNotAllowed, m.patch("roles/crm-sync/"+action, nil).status)
	}
	require.Equal(t, http.StatusMethodNotAllowed, m.write("roles/crm-sync/status", nil).status)
	require.Equal(t, http.StatusMethodNotAllowed, m.write("callback", nil).status)
	require.Equal(t, http.StatusNotFound, m.write("roles/crm-sync/no-such-action", nil).status)
	require.Equal(t, before, m.stored())
}
