package zohosecrets

import (
	"fmt"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/stretchr/testify/require"
)

const loopback = "http://127.0.0.1:1"

func goodConfig() fields {
	return fields{"accounts_url": loopback, "client_id": "1000.MOUNTMOUNTMOUNT", "client_secret": "secret-of-the-mount"}
}

// goodRole has made-up credentials, so it cannot be tried.
func goodRole() fields {
	return ownClient().with(fields{"refresh_token": "1000.refresh.token", "verify": false})
}

func ownClient() fields {
	return fields{"client_id": "1000.ROLEROLEROLE", "client_secret": "secret-of-the-role"}
}

func goodClientCredentials() fields {
	return ownClient().with(fields{"grant_type": "client_credentials", "soid": "ZohoCRM.123456789", "scopes": "ZohoCRM.modules.ALL", "verify": false})
}

// goodCode is good up to the exchange, which needs Zoho.
func goodCode() fields {
	return ownClient().with(fields{"code": "1000.grant.code", "redirect_uri": "https://vault.example.com/v1/zoho/callback"})
}

// goodFor is a role that a field belongs to: it would be written, or its code
// exchanged, if the field were well.
func goodFor(field string) fields {
	switch field {
	case "code", "redirect_uri":
		return goodCode()
	case "soid":
		return goodClientCredentials()
	default:
		return goodRole()
	}
}

// requireRefused requires a 400 that says all of this, and that storage is
// what it was before.
func (m *mount) requireRefused(got answer, before map[string]string, what string, says ...string) {
	m.t.Helper()
	require.Equal(m.t, http.StatusBadRequest, got.status, "%s: %s", what, got)
	for _, part := range says {
		require.Contains(m.t, got.text, part, what)
	}
	after := m.stored()
	if before["salt"] == "" {
		delete(after, "salt") // the first request makes it, whatever it is
	}
	require.Equal(m.t, before, after, "%s: a refused write must leave storage as it was", what)
}

// hostile values for a field of a type, by what is wrong with them. Numbers
// and booleans for a text are not among them: Vault turns them into text.
func hostile(t framework.FieldType) map[string]any {
	values := map[string]any{
		"1 MB":               strings.Repeat("x", 1<<20),
		"control characters": "a\x00\x1b[31mb",
		"a line break":       "a\nb",
		"a trailing return":  "a\r\n",
		"a blank":            "a b",
		"a blank in front":   " a",
		"broken UTF-8":       "a\xffb",
		"a list":             []any{"a"},
		"an empty list":      []any{},
		"a list of a list":   []any{[]any{"a"}},
		"a map":              fields{"a": "b"},
		"an empty map":       fields{},
	}
	switch t {
	case framework.TypeInt:
		values["a negative number"] = -1
		values["zero"] = 0
		values["a number beyond the range"] = 1001
		values["a number beyond 64 bits"] = new(big.Int).Lsh(big.NewInt(1), 64)
		values["a fraction"] = 1.5
		values["empty"] = ""
	case framework.TypeDurationSecond:
		values["a negative number"] = -1
		values["a negative duration"] = "-5m"
		values["a duration beyond the range"] = "999999h"
		values["a number beyond the range"] = 86400 * 365
		values["a number beyond 64 bits"] = new(big.Int).Lsh(big.NewInt(1), 64)
		values["days beyond 64 bits"] = "99999999999d"
		values["an unknown unit"] = "10 minutes"
		values["a boolean"] = true
	case framework.TypeBool:
		values["a word"] = "perhaps"
	case framework.TypeKVPairs:
		values["a pair without a key"] = "=b"
		values["a pair with a blank in its key"] = "a b=c"
		values["a key of control characters"] = fields{"a\x1b[31m": "b"}
		values["an empty key"] = fields{"": "b"}
		values["a line break in a value"] = "a=b\nc"
		values["a control character in a value"] = fields{"a": "b\x00"}
		values["an invisible character in a value"] = fields{"a": "b\u202e"}
		values["broken UTF-8 in a value"] = fields{"a": "b\xff"}
		values["a map in a map"] = fields{"a": fields{"b": "c"}}
		values["a list in a map"] = fields{"a": []any{"b"}}
		values["a value of 1 MB"] = fields{"a": strings.Repeat("x", 1<<20)}
		values["a list with one that is no pair"] = []any{"a=b", "c"}
	}
	return values
}

// harmless are the hostile values that a field may well have.
func harmless(field, what string) bool {
	switch field {
	case "client_secret", "refresh_token", "code": // pasted
		return what == "a trailing return"
	case "request_budget", "max_live_tokens": // the default
		return what == "empty"
	case "ttl": // longer than a token: a warning
		return what == "a duration beyond the range" || what == "a number beyond the range"
	case "scopes": // a list, whose entries are trimmed
		return slices.Contains([]string{"a list", "an empty list", "an empty map", "a blank in front", "a trailing return"}, what)
	case "metadata": // a map is what it wants, and an empty one clears it
		return slices.Contains([]string{"an empty list", "a map", "an empty map"}, what)
	default:
		return false
	}
}

func TestBadInput_InAnyFieldGetsA400ThatNamesTheFieldAndChangesNothing(t *testing.T) {
	t.Parallel()
	for _, target := range []struct {
		path   string
		fields map[string]*framework.FieldSchema
		good   func(field string) fields
	}{
		{"config", configFields(), func(string) fields { return goodConfig() }},
		{"roles/crm-sync", roleFields(), goodFor},
	} {
		for name, schema := range target.fields {
			if name == "name" {
				continue // comes from the path
			}
			t.Run(target.path+" "+name, func(t *testing.T) {
				t.Parallel()
				empty, full := newMount(t), newMount(t)
				full.write("config", goodConfig()).done(t)
				full.write("roles/crm-sync", goodRole()).done(t)
				for what, value := range hostile(schema.Type) {
					data := target.good(name).with(fields{name: value})
					for _, m := range []*mount{empty, full} {
						if harmless(name, what) {
							continue
						}
						before := m.stored()
						m.requireRefused(m.write(target.path, data), before, what, name)
						if m == full || target.path == "config" { // a patch of a role that is not there is refused for that
							m.requireRefused(m.patch(target.path, data), before, what, name)
						}
					}
				}
			})
		}
	}
}

// IDs and addresses are copied into the records of grants, tokens and consents;
// secrets are not bounded as closely, since Zoho may make them longer. Tokens are bounded
// as those of an answer are.
func TestBadInput_ATextOfAByteTooMuchIsRefusedAndTheLongestIsNot(t *testing.T) {
	t.Parallel()
	const id, address, token, secret = 256, 1024, 2048, 4096
	for _, text := range []struct {
		path, field, begin string
		longest            int
	}{
		{"config", "client_id", "1000.", id},
		{"config", "client_secret", "", secret},
		{"config", "accounts_url", loopback + "/", address},
		{"config", "redirect_uri", "https://vault.example.com/", address},
		{"roles/crm-sync", "client_id", "1000.", id},
		{"roles/crm-sync", "client_secret", "", secret},
		{"roles/crm-sync", "refresh_token", "1000.", token},
		{"roles/crm-sync", "code", "1000.", token},
		{"roles/crm-sync", "redirect_uri", "https://vault.example.com/", address},
		{"roles/crm-sync", "soid", "ZohoCRM.", id},
	} {
		m := newMount(t)
		m.write("config", goodConfig()).done(t)
		good := goodConfig()
		if text.path != "config" {
			good = goodFor(text.field)
		}
		longest := text.begin + strings.Repeat("1", text.longest-len(text.begin))
		before := m.stored()
		got := m.write(text.path, good.with(fields{text.field: longest + "1"}))
		m.requireRefused(got, before, text.field, text.field, fmt.Sprintf("at most %d make sense", text.longest))
		// Of a code that is well the exchange is tried, and nobody listens there.
		require.NotEqual(t, http.StatusBadRequest, m.write(text.path, good.with(fields{text.field: longest})).status, text)
	}
}

func TestBadInput_ZeroAndEmptyAreRefusedWhereTheyMeanNothing(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	m.write("config", goodConfig()).done(t)
	m.write("roles/crm-sync", goodRole()).done(t)
	m.write("roles/of-mount", fields{"refresh_token": "1000.other.token", "verify": false}).done(t)
	m.write("roles/of-org", goodClientCredentials()).done(t)
	before := m.stored()
	for _, bad := range []struct {
		path, field string
		value       any
		says        string
	}{
		{"config", "accounts_url", "", "data_center is missing"},
		{"config", "request_budget", "0", "write a value from 1 to 1000"},
		{"roles/crm-sync", "grant_type", "password", "grant_type is neither refresh_token nor client_credentials"},
		{"config", "client_id", "", "write both"},
		{"config", "client_secret", "", "write both"},
		{"config", "max_live_tokens", "0", "write a value from 1 to 1000"},
		{"config", "request_window", 0, "write a value from 1m0s to 24h0m0s"},
		{"config", "request_window", "59s", "write a value from 1m0s to 24h0m0s"},
		{"config", "request_timeout", "500ms", "write"},
		{"config", "request_timeout", "31s", "write a value from 1s to 30s"},
		{"config", "min_ttl", "60m", "Write less, for example 10m"},
		{"config", "refresh_ahead", "yes", "refresh_ahead"},
		{"roles/crm-sync", "min_ttl", "1h", "Write less, for example 10m"},
		{"roles/crm-sync", "client_id", "", "write"},
		{"roles/crm-sync", "client_secret", "", "write both, or neither"},
		{"roles/crm-sync", "refresh_token", "", "vault write -f <mount>/roles/crm-sync/deauthorize"},
		{"roles/crm-sync", "refresh_token", nil, "vault write -f <mount>/roles/crm-sync/deauthorize"},
		{"roles/crm-sync", "code", "", "code is empty; write the grant code from Zoho's API console"},
		{"roles/crm-sync", "code", nil, "code is empty; write the grant code from Zoho's API console"},
		{"roles/of-org", "scopes", "", "grant_type=client_credentials needs scopes"},
		{"roles/of-org", "scopes", nil, "grant_type=client_credentials needs scopes"},
		{"roles/of-org", "scopes", " ,, ,", "grant_type=client_credentials needs scopes"},
		{"roles/of-org", "grant_type", nil, "soid belongs to grant_type=client_credentials"},
		{"roles/of-mount", "client_secret", "of-no-client", "write both, or neither"},
	} {
		m.requireRefused(m.write(bad.path, fields{bad.field: bad.value}), before, fmt.Sprintf("%s %s=%v", bad.path, bad.field, bad.value), bad.says)
	}
}

func TestBadInput_AnAccountsURLThatIsNoSafeServerIsRefused(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	m.write("config", goodConfig()).done(t)
	before := m.stored()
	const onlyHTTPS, noURL, credentials, ends = "must begin with https://", "write one such as https://accounts.zoho.eu", "the client goes into client_id", "leave out everything from the ? or # on"
	for url, says := range map[string]string{
		"http://accounts.zoho.eu":                        onlyHTTPS,
		"http://127.0.0.1.evil.example":                  onlyHTTPS,
		"http://localhost.evil.example":                  onlyHTTPS,
		"http://localhost@evil.example":                  credentials,
		"http://0.0.0.0:8200":                            onlyHTTPS,
		"http://10.0.0.1":                                onlyHTTPS,
		"http://[::ffff:8.8.8.8]":                        onlyHTTPS,
		"ftp://accounts.zoho.eu":                         onlyHTTPS,
		"file:///etc/passwd":                             noURL,
		"unix:///var/run/docker.sock":                    noURL,
		"javascript:alert(1)":                            noURL,
		"accounts.zoho.eu":                               noURL,
		"accounts.zoho.eu:443":                           noURL,
		"//accounts.zoho.eu":                             onlyHTTPS,
		"https:accounts.zoho.eu":                         noURL,
		"https://":                                       noURL,
		"https://:443":                                   noURL,
		"https:///oauth":                                 noURL,
		"https://accounts.zoho.eu:port":                  noURL,
		"https://user@accounts.zoho.eu":                  credentials,
		"https://user:hunter2@accounts.zoho.eu":          credentials,
		"https://accounts.zoho.eu?":                      ends,
		"https://accounts.zoho.eu?client_secret=x":       ends,
		"https://accounts.zoho.eu/#top":                  ends,
		"https://accounts.zoho.eu/%zz":                   noURL,
		"https://accounts.zoho.eu\\@evil.example":        noURL,
		"https://" + strings.Repeat("a", 1<<20):          "at most 1024 make sense",
		"https://a.example/" + strings.Repeat("a", 1024): "at most 1024 make sense",
	} {
		got := m.write("config", goodConfig().with(fields{"accounts_url": url}))
		m.requireRefused(got, before, url, "accounts_url", says)
		require.NotContains(t, got.text, "hunter2")
		require.Less(t, len(got.text), 500)
	}
	for _, url := range []string{
		"https://accounts.zohoportal.com/clientoauth/v2/portal", "http://localhost:8080", "http://[::1]:8080",
		"http://127.1.2.3", "https://accounts.example.com:8443/oauth-server",
	} {
		m.write("config", goodConfig().with(fields{"accounts_url": url})).done(t)
		require.Equal(t, url, m.read("config").Data["accounts_url"])
	}
}

func TestBadInput_AnUnknownDataCentreIsRefusedWithTheKnownOnes(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	m.write("config", goodConfig()).done(t)
	before := m.stored()
	for _, value := range []any{"europe", " ", "us,eu", "crm.zoho.eu.example", "zoho", 1, true, strings.Repeat("e", 1<<20)} {
		for path, good := range map[string]fields{"config": goodConfig(), "roles/crm-sync": goodRole()} {
			got := m.write(path, good.with(fields{"data_center": value}))
			m.requireRefused(got, before, path, "data_center", "use one of us, eu, in, au, jp, ca, sa, uk, cn, ae, sg")
			require.Less(t, len(got.text), 500)
		}
	}
}
