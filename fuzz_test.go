package zohosecrets

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/vault/sdk/logical"
	"github.com/stretchr/testify/require"
)

// Whatever a request says: it is answered, or refused; it calls no server but the
// one that the mount was configured for; and nothing repeats a secret. The seeds
// here and what fuzzing has found, in testdata/fuzz, run with every go test. To
// look for more: go test -fuzz=FuzzCallback .
//
// In the inputs some words stand for what is only known when they run: see target.

const fuzzedSecret = "x9fuzzed8secret7x"

// target is a mount with a role crm-sync, of which a lease is out, and a role
// person that waits for its consent.
type target struct {
	*mount
	zoho   *simulation
	ear    *ear
	leased answer
	evil   *bystander
	words  *strings.Replacer
}

// bystander is a server that nobody has told the mount to call.
type bystander struct {
	*httptest.Server
	mu     sync.Mutex
	called []string
}

func newTarget(t *testing.T) *target {
	t.Helper()
	tg := &target{evil: &bystander{}}
	tg.evil.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		tg.evil.mu.Lock()
		defer tg.evil.mu.Unlock()
		tg.evil.called = append(tg.evil.called, r.URL.Path)
	}))
	t.Cleanup(tg.evil.Close)
	tg.mount, tg.zoho, tg.ear = newEar(t)
	tg.ear.learn(fuzzedSecret, "a secret of the request")
	tg.awaitsConsent(tg.zoho)
	back := tg.agree("roles/person")
	tg.leased = tg.read("creds/crm-sync").done(t)
	text := func(data map[string]any, field string) string { value, _ := data[field].(string); return value }
	tg.words = strings.NewReplacer(
		"SECRET", fuzzedSecret,
		"STATE", text(back, "state"),
		"GRANTCODE", text(back, "code"),
		"ACCOUNTS", tg.zoho.url,
		"EVIL", tg.evil.URL,
		"TOKENID", text(tg.leased.Data, "token_id"),
		"ACCESSTOKEN", tg.leased.token(),
	)
	return tg
}

// requireSane requires that an answer is one of those in the table of errors, or
// success, and that no harm was done on the way to it.
func (tg *target) requireSane(got answer) {
	tg.t.Helper()
	require.Contains(tg.t, []int{200, 204, 400, 404, 405, 429, 502, 503}, got.statusOfPage(), got)
	require.NotContains(tg.t, got.text, "internal error")
	tg.evil.mu.Lock()
	defer tg.evil.mu.Unlock()
	require.Empty(tg.t, tg.evil.called)
	tg.ear.requireSilence()
}

// lookAround reads all that can be read.
func (tg *target) lookAround() {
	tg.t.Helper()
	for _, path := range []string{"config", "roles/crm-sync", "roles/crm-sync/status", "roles/person", "roles/person/status", "roles/fuzzed", "roles/fuzzed/status"} {
		tg.requireSane(tg.read(path))
	}
	tg.requireSane(tg.list("roles/"))
	tg.requireSane(tg.list("tokens/"))
	require.NoError(tg.t, tg.tick())
	tg.requireSane(tg.read("creds/crm-sync"))
}

func FuzzCallback(f *testing.F) {
	for _, server := range []string{"", "ACCOUNTS", "EVIL", "https://accounts.zoho.eu", "ACCOUNTS@evil.example", "ACCOUNTS.evil.example", "//evil", "EVIL/SECRET", "javascript:SECRET"} {
		f.Add("STATE", "GRANTCODE", "", "us", server)
	}
	for _, location := range []string{"", "eu", "../eu", "US", "SECRET", "\x00"} {
		f.Add("STATE", "GRANTCODE", "", location, "")
	}
	for _, state := range []string{"", "x", "STATESTATE", "STATE/../x", strings.Repeat("x", 200)} {
		f.Add(state, "GRANTCODE", "", "", "")
	}
	for _, code := range []string{"", "SECRET", "SECRET\n", "<script>SECRET</script>", strings.Repeat("SECRET", 1000)} {
		f.Add("STATE", code, "", "", "")
		f.Add("STATE", code, "access_denied", "", "")
		f.Add("STATE", code, code, "", "")
	}
	f.Fuzz(func(t *testing.T, state, code, word, location, server string) {
		tg := newTarget(t)
		before := tg.stored()["roles/person"]
		got := tg.send(logical.ReadOperation, "callback", fields{
			"state": tg.words.Replace(state), "code": tg.words.Replace(code), "error": tg.words.Replace(word),
			"location": tg.words.Replace(location), "accounts-server": tg.words.Replace(server),
		})
		page := tg.raw(got)
		require.NotContains(t, page.body, fuzzedSecret)
		require.NotContains(t, strings.ToLower(page.body), "<script")
		if state == "STATE" && code == "GRANTCODE" && word == "" && server == "ACCOUNTS" {
			require.Equal(t, http.StatusOK, page.status, "what Zoho sent")
		}
		if page.status == http.StatusOK {
			require.Contains(t, state, "STATE")
			require.Contains(t, code, "GRANTCODE")
			require.NotEqual(t, before, tg.stored()["roles/person"])
		} else {
			require.Equal(t, before, tg.stored()["roles/person"])
		}
		tg.requireSane(got)
		tg.lookAround()
	})
}

// fuzzedFields makes the data of a request of a JSON object; nil if it is none.
// What would go to the real Zoho is left out.
func (tg *target) fuzzedFields(body []byte) fields {
	decoder := json.NewDecoder(strings.NewReader(tg.words.Replace(string(body))))
	decoder.UseNumber()
	var data fields
	if err := decoder.Decode(&data); err != nil || data == nil || !bytes.HasPrefix(bytes.TrimSpace(body), []byte("{")) {
		return nil
	}
	if data["data_center"] != nil || data["accounts_url"] != nil {
		data["verify"] = false
		delete(data, "code")
	}
	return data
}

// tellsNothing leaves out requests with a secret where none belongs.
func tellsNothing(data fields) bool {
	open := data.with(nil)
	for _, secret := range []string{"client_secret", "refresh_token", "code", "token"} {
		delete(open, secret)
	}
	encoded, err := json.Marshal(open)
	return err == nil && !bytes.Contains(encoded, []byte(fuzzedSecret))
}

// fuzzWrites writes to a path in one of three ways.
func (tg *target) fuzzWrites(path string, way byte, data fields) {
	tg.t.Helper()
	if data == nil || !tellsNothing(data) {
		tg.t.Skip("not a request")
	}
	before := tg.stored()[path]
	var got answer
	switch way % 3 {
	case 0:
		got = tg.write(path, data)
	case 1:
		got = tg.patch(path, data)
	default:
		got = tg.send(logical.CreateOperation, path, data)
	}
	tg.requireSane(got)
	if got.text != "" {
		require.Equal(tg.t, before, tg.stored()[path], "what is refused changes nothing")
	}
	tg.lookAround()
}

func FuzzRoleFields(f *testing.F) {
	for way := range byte(3) {
		for _, name := range []string{"crm-sync", "fuzzed", "person", "..", "a b", "x/status"} {
			for _, body := range []string{
				`{}`, `{"refresh_token":"SECRET"}`, `{"refresh_token":["SECRET"]}`, `{"refresh_token":{"a":"SECRET"}}`, `{"refresh_token":"SECRET\n"}`,
				`{"client_id":"1000.A","client_secret":"SECRET","refresh_token":"SECRET"}`, `{"client_id":"1000.A","client_secret":"SECRET","data_center":"eu","refresh_token":"SECRET"}`,
				`{"client_secret":"SECRET"}`, `{"code":"SECRET"}`, `{"code":"SECRET","refresh_token":"SECRET"}`, `{"code":"SECRET","redirect_uri":"EVIL"}`,
				`{"grant_type":"client_credentials","scopes":"ZohoCRM.modules.ALL","soid":"ZohoCRM.1"}`, `{"grant_type":"client_credentials","scopes":[],"refresh_token":"SECRET"}`,
				`{"ttl":"1m","min_ttl":-1,"exclusive":"maybe"}`, `{"ttl":99999999999999999999,"exclusive":true}`, `{"scopes":[1,{"a":2}]}`,
				`{"ttl":null,"min_ttl":null,"scopes":null,"client_id":null,"client_secret":null,"refresh_token":null}`, `{"data_center":"xx"}`, `{"name":"other","token":"SECRET"}`,
				`{"code":"https://x.example/cb?a=b&code=SECRET&location=us"}`, `{"code":"SECRET&location=eu&accounts-server=x"}`, `{"code":"{\"code\":\"SECRET\"}"}`, `{"code":"%zz&=SECRET"}`,
				`{"refresh_token":"\"refresh_token\": \"SECRET\","}`, `{"refresh_token":"access_token=SECRET"}`, `{"refresh_token":"ACCESSTOKEN"}`, `{"refresh_token":"Bearer SECRET"}`,
				`{"metadata":{"a":"1","b":null,"c":2}}`, `{"metadata":["a=1","b"]}`, `{"metadata":""}`, `{"metadata":null}`, `{"metadata":[{"a":1},{"b":null}]}`,
				`{"metadata":"a=ACCESSTOKEN"}`, `{"metadata":{"a\u0000":"\u202e"}}`, `{"metadata":[[]]}`, `{"metadata":{"a":{"b":[1]}}}`,
			} {
				f.Add(name, way, []byte(body))
			}
		}
	}
	f.Fuzz(func(t *testing.T, name string, way byte, body []byte) {
		tg := newTarget(t)
		tg.fuzzWrites("roles/"+name, way, tg.fuzzedFields(body))
	})
}

func FuzzConfigFields(f *testing.F) {
	for way := range byte(3) {
		for _, body := range []string{
			`{}`, `{"client_secret":"SECRET"}`, `{"client_secret":"SECRET","verify":false}`, `{"client_id":"1000.A","client_secret":"SECRET"}`, `{"client_secret":["SECRET"]}`, `{"client_secret":"SECRET\u0000"}`,
			`{"accounts_url":"EVIL"}`, `{"accounts_url":"EVIL","client_id":"1000.A","client_secret":"SECRET"}`, `{"accounts_url":"ACCOUNTS/"}`, `{"accounts_url":"ACCOUNTS/../x"}`,
			`{"accounts_url":"http://evil.example"}`, `{"accounts_url":""}`, `{"accounts_url":null}`, `{"data_center":"eu"}`, `{"data_center":"eu","client_id":"1000.A","client_secret":"SECRET"}`,
			`{"data_center":["eu"]}`, `{"redirect_uri":"EVIL"}`, `{"redirect_uri":"javascript:1"}`, `{"min_ttl":"59m59s","request_budget":0,"request_window":"1h"}`, `{"request_budget":1e3}`,
			`{"request_budget":1,"max_live_tokens":1,"request_window":1,"request_timeout":1}`, `{"ca_cert":"-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----"}`,
			`{"refresh_ahead":"false"}`, `{"min_ttl":null,"refresh_ahead":null,"request_budget":null,"client_id":null,"client_secret":null}`,
		} {
			f.Add(way, []byte(body))
		}
	}
	f.Fuzz(func(t *testing.T, way byte, body []byte) {
		tg := newTarget(t)
		tg.fuzzWrites("config", way, tg.fuzzedFields(body))
	})
}

func FuzzCredsAndTokens(f *testing.F) {
	for _, name := range []string{"crm-sync", "person", "other", "..", "", "crm-sync/x", "\x00", strings.Repeat("x", 200)} {
		f.Add(name, "5m", "TOKENID", "", "1", "ACCESSTOKEN")
	}
	for _, minTTL := range []string{"", "-1", "59m59s", "1h", "1e9", "99999999999999999999", "0.5s"} {
		f.Add("crm-sync", minTTL, "TOKENID", "x", "-1", "Zoho-oauthtoken ACCESSTOKEN")
	}
	for _, id := range []string{"", ".", "..", "../config", "x", "lookup", "TOKENIDx", "\xff", strings.Repeat("a", 5000)} {
		f.Add("crm-sync", "", id, id, "2", "SECRET"+id)
	}
	f.Fuzz(func(t *testing.T, name, minTTL, id, after, limit, token string) {
		tg := newTarget(t)
		id, token = tg.words.Replace(id), tg.words.Replace(token)
		data := fields{}
		if minTTL != "" {
			data["min_ttl"] = minTTL
		}
		tg.requireSane(tg.send(logical.ReadOperation, "creds/"+name, data))
		page := fields{"after": tg.words.Replace(after), "limit": limit}
		for what, got := range map[string]answer{
			"token":   tg.send(logical.ReadOperation, "tokens/"+id, page),
			"tokens":  tg.send(logical.ListOperation, "tokens/", page),
			"look-up": tg.write("tokens/lookup", fields{"token": token}),
		} {
			tg.requireSane(got)
			require.NotContains(t, fmt.Sprint(got.Response), tg.leased.token(), what)
		}
		if name == "crm-sync" && id != "" { // ended for everybody, or untouched
			tg.requireSane(tg.delete("tokens/" + id))
		}
		tg.lookAround()
	})
}
