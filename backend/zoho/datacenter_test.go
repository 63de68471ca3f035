package zoho_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend/zoho"
	"vault-plugin-secrets-zoho/zohosim"
)

func TestDataCenters_HaveTheHostsOfZohosDocuments(t *testing.T) {
	t.Parallel()
	// Source: facts on Zoho's OAuth, section 5. Canada breaks the pattern.
	want := []zoho.DataCenter{
		{Name: "us", AccountsURL: "https://accounts.zoho.com", APIDomain: "https://www.zohoapis.com"},
		{Name: "eu", AccountsURL: "https://accounts.zoho.eu", APIDomain: "https://www.zohoapis.eu"},
		{Name: "in", AccountsURL: "https://accounts.zoho.in", APIDomain: "https://www.zohoapis.in"},
		{Name: "au", AccountsURL: "https://accounts.zoho.com.au", APIDomain: "https://www.zohoapis.com.au"},
		{Name: "jp", AccountsURL: "https://accounts.zoho.jp", APIDomain: "https://www.zohoapis.jp"},
		{Name: "ca", AccountsURL: "https://accounts.zohocloud.ca", APIDomain: "https://www.zohoapis.ca"},
		{Name: "sa", AccountsURL: "https://accounts.zoho.sa", APIDomain: "https://www.zohoapis.sa"},
		{Name: "uk", AccountsURL: "https://accounts.zoho.uk", APIDomain: "https://www.zohoapis.uk"},
		{Name: "cn", AccountsURL: "https://accounts.zoho.com.cn", APIDomain: "https://www.zohoapis.com.cn"},
		{Name: "ae", AccountsURL: "https://accounts.zoho.ae", APIDomain: "https://www.zohoapis.ae"},
		{Name: "sg", AccountsURL: "https://accounts.zoho.sg", APIDomain: "https://www.zohoapis.sg"},
	}
	require.Equal(t, want, zoho.DataCenters())
	for _, dc := range want {
		found, err := zoho.LookupDataCenter(dc.Name)
		require.NoError(t, err)
		require.Equal(t, dc, found)
		parsed, err := zoho.ParseAccountsURL(dc.AccountsURL)
		require.NoError(t, err)
		require.Equal(t, dc.AccountsURL, parsed, "the table has the spelling that the engine compares")
	}
	require.Equal(t, zohosim.DataCenters(), zoho.DataCenterNames())
}

func TestDomain_IsWhatZohosProductsAreBelow(t *testing.T) {
	t.Parallel()
	want := map[string]string{
		"us": "zoho.com", "eu": "zoho.eu", "in": "zoho.in", "au": "zoho.com.au", "jp": "zoho.jp",
		"ca": "zohocloud.ca", "sa": "zoho.sa", "uk": "zoho.uk", "cn": "zoho.com.cn", "ae": "zoho.ae", "sg": "zoho.sg",
	}
	got := map[string]string{}
	for _, dc := range zoho.DataCenters() {
		got[dc.Name] = dc.Domain()
	}
	require.Equal(t, want, got)
	require.Empty(t, zoho.DataCenter{}.Domain())
}

func TestLookupDataCenter_AnUnknownNameIsAnErrorThatListsTheKnownOnes(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "ru", ".", "zoho", "accounts", "crm.zoho.eu.example", "e.u", "\xff\xfe", strings.Repeat("中", 1<<20)} {
		_, err := zoho.LookupDataCenter(name)
		require.Error(t, err)
		for _, known := range zoho.DataCenterNames() {
			require.ErrorContains(t, err, known)
		}
		require.Less(t, len(err.Error()), 500)
		require.True(t, utf8.ValidString(err.Error()))
	}
}

func TestByAccountsURL_FindsTheRegionsOwnServersAndNoOther(t *testing.T) {
	t.Parallel()
	for _, dc := range zoho.DataCenters() {
		found, ok := zoho.ByAccountsURL(dc.AccountsURL)
		require.True(t, ok)
		require.Equal(t, dc, found)
		for _, other := range []string{
			dc.AccountsURL + "/", dc.AccountsURL + ":443", dc.AccountsURL + "/iam", dc.AccountsURL + ".evil.example", dc.AccountsURL + "m",
			strings.Replace(dc.AccountsURL, "https", "http", 1), strings.ToUpper(dc.AccountsURL), dc.APIDomain, dc.Name,
		} {
			found, ok := zoho.ByAccountsURL(other)
			require.False(t, ok, other)
			require.Zero(t, found)
		}
	}
	for _, other := range []string{"", "https://", "https://accounts.zohoportal.com/clientoauth/v2/10012345", "http://127.0.0.1:8080"} {
		_, ok := zoho.ByAccountsURL(other)
		require.False(t, ok, other)
	}
}

func TestParseAccountsURL_GivesOneSpelling(t *testing.T) {
	t.Parallel()
	cases := map[string]string{
		"https://accounts.zoho.eu":                                    "https://accounts.zoho.eu",
		"https://accounts.zoho.eu/":                                   "https://accounts.zoho.eu",
		"https://accounts.zoho.eu//":                                  "https://accounts.zoho.eu",
		"HTTPS://Accounts.ZOHO.eu":                                    "https://accounts.zoho.eu",
		"https://accounts.zoho.eu:443":                                "https://accounts.zoho.eu",
		"https://accounts.zoho.eu:443/":                               "https://accounts.zoho.eu",
		"https://accounts.zoho.eu:":                                   "https://accounts.zoho.eu",
		"https://accounts.zoho.eu#":                                   "https://accounts.zoho.eu",
		"https://accounts.zoho.eu:80":                                 "https://accounts.zoho.eu:80",
		"https://accounts.zoho.eu:8443":                               "https://accounts.zoho.eu:8443",
		"https://iam.example.com:8443/iam/":                           "https://iam.example.com:8443/iam",
		"https://Iam.example.com/IAM":                                 "https://iam.example.com/IAM",
		"https://accounts.zohoportal.com/clientoauth/v2/10012345":     "https://accounts.zohoportal.com/clientoauth/v2/10012345",
		"https://Acme.zohoplatform.eu/clientoauth/v2/10012345/":       "https://acme.zohoplatform.eu/clientoauth/v2/10012345",
		"https://[2001:DB8::1]:443/iam":                               "https://[2001:db8::1]/iam",
		"https://[2001:db8::1]:8443":                                  "https://[2001:db8::1]:8443",
		"http://127.0.0.1:8200":                                       "http://127.0.0.1:8200",
		"http://127.8.9.10":                                           "http://127.8.9.10",
		"http://localhost:80":                                         "http://localhost",
		"http://LocalHost:8080/":                                      "http://localhost:8080",
		"http://[::1]:8080":                                           "http://[::1]:8080",
		"http://127.0.0.1:443":                                        "http://127.0.0.1:443",
		"https://127.0.0.1:8443":                                      "https://127.0.0.1:8443",
		"https://accounts.example.com/a%2Fb":                          "https://accounts.example.com/a%2Fb",
		"https://accounts.example.com/clientoauth/v2/a%20portal%3Fx/": "https://accounts.example.com/clientoauth/v2/a%20portal%3Fx",
	}
	for raw, want := range cases {
		got, err := zoho.ParseAccountsURL(raw)
		require.NoError(t, err, raw)
		require.Equal(t, want, got, raw)
		again, err := zoho.ParseAccountsURL(got)
		require.NoError(t, err)
		require.Equal(t, got, again, "the one spelling is its own")
	}
}

func TestParseAccountsURL_RefusesWhereASecretMustNotGo(t *testing.T) {
	t.Parallel()
	const password = "OpenSesame"
	cases := map[string][]string{
		"is not a URL": {
			"", " ", "accounts.zoho.eu", "/oauth/v2", "https:", "https://", "https:///oauth", "https:accounts.zoho.eu", "https://:443", "eu",
			" https://accounts.zoho.eu", "https://accounts.zoho.eu\n", "https://accounts.zoho.eu:port", "https://[::1", "https://2001:db8::1", "https://::", "https://a b", "%zz",
			"https://accounts.zoho.eu/%zz" + password, "mailto:" + password + "@example.com",
		},
		"user name or password": {"https://user:" + password + "@accounts.zoho.eu", "https://" + password + "@accounts.zoho.eu", "https://@accounts.zoho.eu"},
		"from the ? or # on":    {"https://accounts.zoho.eu?client_secret=" + password, "https://accounts.zoho.eu/?", "https://accounts.zoho.eu#" + password},
		"begin with https://": {
			"http://accounts.zoho.eu", "http://10.0.0.1", "http://0.0.0.0", "http://localhost.example.com", "http://127.0.0.1.nip.io",
			"http://2130706433", "http://127.1", "http://[fe80::1]", "http://vault", "ftp://accounts.zoho.eu", "file://localhost/etc/passwd",
			"unix://127.0.0.1", "//accounts.zoho.eu", "http+unix://127.0.0.1",
		},
	}
	for reason, all := range cases {
		for _, raw := range all {
			got, err := zoho.ParseAccountsURL(raw)
			require.ErrorContains(t, err, reason, raw)
			require.ErrorContains(t, err, "accounts_url")
			require.NotContains(t, err.Error(), password)
			require.Empty(t, got)
		}
	}
}

func FuzzParseAccountsURL(f *testing.F) {
	for _, seed := range []string{
		"https://accounts.zoho.eu:443/iam//", "http://[::1]:", "https://a/%2e%2e/b;c", "http://localhost", "https://u:p@h?q#f", "HTTPS://É.example", "https://[fe80::1%25eth0]:443", "https://::",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		got, err := zoho.ParseAccountsURL(raw)
		if err != nil {
			require.Empty(t, got)
			return
		}
		require.Regexp(t, `^https?://[^/?#@]+(/.*)?$`, got)
		require.NotRegexp(t, `[/\s]$`, got)
		again, err := zoho.ParseAccountsURL(got)
		require.NoError(t, err, got)
		require.Equal(t, got, again)
	})
}

// What somebody writes who looks at an address.
func TestLookupDataCenter_UnderstandsTheEndOfAnAddress(t *testing.T) {
	t.Parallel()
	for written, name := range map[string]string{
		"EU": "eu", " eu": "eu", ".eu": "eu", "zoho.eu": "eu", "accounts.zoho.eu": "eu", "https://accounts.zoho.eu/": "eu",
		"com": "us", "zoho.com": "us", "COM.AU": "au", ".com.cn": "cn", "zohocloud.ca": "ca",
	} {
		found, err := zoho.LookupDataCenter(written)
		require.NoError(t, err, written)
		require.Equal(t, name, found.Name, written)
	}
}
