package zohosecrets

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/zohosim"
)

// What people paste for a grant code and for a refresh token. A code lives for two
// minutes, so where it is certain what is meant, that is taken.

func TestPasted_ACodeIsTakenOutOfWhatIsAroundIt(t *testing.T) {
	t.Parallel()
	for name, around := range map[string]string{
		"quotes":                           `"%s"`,
		"single quotes":                    `'%s'`,
		"quotes of a word processor":       "\u201c%s\u201d",
		"half of a pair of quotes":         `%s"`,
		"a name":                           "code=%s",
		"a name and quotes":                `code="%s"`,
		"quotes and a name":                `"code=%s"`,
		"a name of another's":              "ZOHO_GRANT_TOKEN=%s",
		"a line of a shell":                "export ZOHO_CODE='%s';",
		"a line of YAML":                   "code: %s",
		"a line of JSON":                   `"code": "%s",`,
		"what follows in the address":      "%s&location=us&accounts-server=https%%3A%%2F%%2Faccounts.zoho.com",
		"the same with an end":             "%s&location=us&accounts-server=https%%3A%%2F%%2Faccounts.zoho.com&",
		"the query of the address":         "?code=%s&location=us&accounts-server=https%%3A%%2F%%2Faccounts.zoho.com",
		"the query, in another order":      "state=x&location=us&code=%s",
		"the file of the API console":      "{\n  \"client_id\": \"1000.X\",\n  \"client_secret\": \"x\",\n  \"code\": \"%s\",\n  \"scope\": [\"ZohoCRM.modules.ALL\"],\n  \"expiry_time\": 1795255200000,\n  \"grant_type\": \"authorization_code\"\n}\n",
		"a comma":                          "%s,",
		"the same data centre, unexpected": "%s&location=US",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, z := newWorld(t)
			code := z.code()
			got := m.write("roles/new", fields{"code": fmt.Sprintf(around, code)}).done(t)
			require.NotContains(t, got.warnings(), code)
			if name != "a comma" {
				require.Contains(t, got.warnings(), "code was written in ")
			}
			require.True(t, z.sim.Alive(m.read("creds/new").done(t).token()))
			for key, value := range m.stored() {
				require.NotContains(t, key+value, code)
			}
		})
	}
}

func TestPasted_TheWholeAddressOfACodeHasTheRedirectURIToo(t *testing.T) {
	t.Parallel()
	m, z := newWorld(t)
	for _, redirectURI := range []string{callbackURL, "https://app.example.com/back?tenant=7"} {
		web := z.sim.AddClient(zohosim.ClientSpec{Kind: zohosim.WebClient, RedirectURIs: []string{redirectURI}})
		code := z.sim.Code(web, "us", zohosim.CodeSpec{Scopes: []string{"ZohoCRM.modules.ALL"}, PromptConsent: true})
		address, err := url.Parse(redirectURI)
		require.NoError(t, err)
		query := address.Query()
		query.Set("code", code)
		query.Set("location", "us")
		query.Set("state", "something")
		query.Set("accounts-server", "https://accounts.zoho.com")
		address.RawQuery = query.Encode()
		got := m.write("roles/web", fields{"client_id": web.ID, "client_secret": web.Secret("us"), "code": address.String()}).done(t)
		require.Contains(t, got.warnings(), "code was written in a web address")
		m.read("creds/web").done(t)
	}
}

func TestPasted_ARefreshTokenIsTakenOutOfWhatIsAroundIt(t *testing.T) {
	t.Parallel()
	for name, around := range map[string]string{
		"quotes":             `"%s"`,
		"a name":             "refresh_token=%s",
		"a name of a shell":  "ZOHO_REFRESH_TOKEN=%s",
		"Zoho's answer":      `{"access_token":"1000.a.b","refresh_token":"%s","api_domain":"https://www.zohoapis.com","token_type":"Bearer","expires_in":3600}`,
		"a line of it":       `"refresh_token": "%s",`,
		"a web address":      "https://accounts.zoho.com/oauth/v2/token?refresh_token=%s&client_id=1000.X&client_secret=x&grant_type=refresh_token",
		"a part of it":       "refresh_token=%s&client_id=1000.X&client_secret=x&grant_type=refresh_token",
		"white space and it": "{ \"refresh_token\" : \"%s\" }\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, z := newWorld(t)
			got := m.write("roles/new", fields{"refresh_token": fmt.Sprintf(around, z.refreshToken)}).done(t)
			require.Contains(t, got.warnings(), "refresh_token was written in ")
			require.NotContains(t, got.warnings(), z.refreshToken)
			require.Equal(t, z.refreshToken, m.refreshTokenOf("new"))
		})
	}
}

func TestPasted_WhatCannotBeMeantIsRefusedBeforeZohoIsAsked(t *testing.T) {
	t.Parallel()
	const hidden = "1000.0123456789abcdef0123456789abcdef.0123456789abcdef0123456789abcdef"
	m, z := newWorld(t)
	before, asked := m.stored(), z.sim.Count(zohosim.EndpointToken)
	for field, cases := range map[string]map[string]string{
		"code": {
			"https://vault.example.com/v1/zoho/callback?state=" + hidden:                  "code is a web address without code= in it",
			"https://vault.example.com/%zz?code=" + hidden:                                "code is a web address, and a broken one",
			"https://accounts.zoho.com/oauth/v2/auth?error=access_denied&state=" + hidden: "code is a web address without code= in it",
			`{"refresh_token":"` + hidden + `"}`:                                          "code is a JSON object without a text named \"code\"",
			`{"code":"` + hidden:                                                          "code begins like a JSON object, and is none",
			`{"code":["` + hidden + `"]}`:                                                 "code is a JSON object without a text",
			"refresh_token=" + hidden:                                                     "code was written with the name of something else before it",
			"access_token=" + hidden:                                                      "code was written with the name of something else before it",
			"client_secret=" + hidden:                                                     "code was written with the name of something else before it",
			"Zoho-oauthtoken " + hidden:                                                   "code is the value of an Authorization header",
			"Authorization: Bearer " + hidden:                                             "code is the value of an Authorization header",
			"1000....":                                                                    "code is a placeholder",
			"1000.x\u2026":                                                                "code is a placeholder",
			"<code>":                                                                      "code is a placeholder",
			"1000.ABCDEFGHIJKLMNOPQRSTUVWXYZ0123":                                         "code is a client_id",
			"1000.$(id)":                                                                  "code has a character that is in none of Zoho's tokens",
			"1000.a%2Eb":                                                                  "code has a character that is in none of Zoho's tokens",
			"1000.a.b#":                                                                   "code has a character that is in none of Zoho's tokens",
			"1000.a b":                                                                    "code contains a blank",
			"code=%zz&x=" + hidden:                                                        "code has an & in it",
		},
		"refresh_token": {
			"code=" + hidden:                      "refresh_token was written with the name of something else before it",
			"access_token: " + hidden:             "refresh_token was written with the name of something else before it",
			`{"access_token":"` + hidden + `"}`:   "refresh_token is a JSON object without a text named \"refresh_token\"",
			"Bearer " + hidden:                    "refresh_token is the value of an Authorization header",
			"1000.abc...":                         "refresh_token is a placeholder",
			"1000.ABCDEFGHIJKLMNOPQRSTUVWXYZ0123": "refresh_token is a client_id",
			"1000.`id`":                           "refresh_token has a character that is in none of Zoho's tokens",
		},
	} {
		for value, says := range cases {
			got := m.write("roles/new", fields{field: value})
			m.requireRefused(got, before, value, says)
			require.NotContains(t, got.text, hidden)
			require.NotContains(t, got.text, hidden[5:20])
			m.requireRefused(m.patch("roles/crm-sync", fields{field: value}), before, value, says)
		}
	}
	require.Equal(t, asked, z.sim.Count(zohosim.EndpointToken), "nothing was sent")
}

// Zoho's own servers are not asked here: the write is refused before.
func TestPasted_AtZohoATokenBeginsWithFourDigits(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	role := fields{"client_id": "1000.ABCDEFGHIJKLMNOPQRSTUVWXYZ0123", "client_secret": "0123456789abcdef", "data_center": "eu"}
	for _, field := range []string{"code", "refresh_token"} {
		got := m.write("roles/new", role.with(fields{field: "0123456789abcdef0123456789abcdef0123456789"}))
		m.requireRefused(got, map[string]string{}, field, field+" does not begin with 1000.")
		require.NotContains(t, got.text, "0123456789abcdef")
	}
	got := m.write("roles/new", role.with(fields{"code": "https://vault.example.com/cb?code=1000.a.b&location=us&accounts-server=https%3A%2F%2Faccounts.zoho.com"}))
	m.requireRefused(got, map[string]string{}, "location", "the code comes from data centre us, as its address says", `role "new" belongs to https://accounts.zoho.eu`, "write data_center=us")
}

func TestPasted_AnAccessTokenThatTheMountKnowsIsNoRefreshTokenAndNoCode(t *testing.T) {
	t.Parallel()
	m, z := newWorld(t)
	lease := m.read("creds/crm-sync").done(t)
	id := fmt.Sprint(lease.Data["token_id"])
	ended := m.read("creds/crm-sync").done(t)
	before := m.stored()
	for range 2 { // while it lives, and when it has ended
		for _, field := range []string{"refresh_token", "code"} {
			got := m.write("roles/new", fields{field: ended.token(), "verify": false})
			require.Equal(t, http.StatusBadRequest, got.status)
			require.Contains(t, got.text, field+" is an access token, which this mount has handed out (its token_id is "+id+")")
			require.NotContains(t, got.text, ended.token())
		}
		require.Equal(t, before["roles/new"], m.stored()["roles/new"])
		require.NoError(t, m.revoke("creds/crm-sync", lease))
		require.NoError(t, m.revoke("creds/crm-sync", ended))
	}
	got := m.write("roles/new", fields{"code": z.refreshToken})
	require.Contains(t, got.text, "code is a refresh token that a role of this mount has: write it as refresh_token")
}

func TestPasted_APlaceholderIsNoClient(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	for _, id := range []string{"1000.X", "1000.ABC", "1000.ABC...", "1000.ABC\u2026", "1000.<client_id>"} {
		for path, role := range map[string]fields{"config": {}, "roles/new": {"refresh_token": "1000.a.b"}} {
			got := m.write(path, role.with(fields{"data_center": "eu", "client_id": id, "client_secret": "0123456789abcdef"}))
			m.requireRefused(got, map[string]string{}, id, "client_id is a placeholder")
		}
	}
	for _, secret := range []string{"...", "\u2026", "abc...", "<client_secret>"} {
		got := m.write("config", fields{"data_center": "eu", "client_id": "1000.ABCDEFGHIJKLMNOPQRSTUVWXYZ0123", "client_secret": secret})
		m.requireRefused(got, map[string]string{}, secret, "client_secret is a placeholder")
	}
	m.write("config", goodConfig().with(fields{"client_id": "1000.X"})).done(t) // of a server that is none of Zoho's
}
