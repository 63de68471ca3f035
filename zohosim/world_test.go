package zohosim_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/zohosim"
)

// A world is a simulator with an EU data centre, one client and one user, whose
// clock stands still.
type world struct {
	*zohosim.Sim
	t       *testing.T
	clock   *zohosim.Clock
	url     string
	client  *zohosim.Client
	refresh string
}

func newWorld(t *testing.T, opts zohosim.Options) *world {
	t.Helper()
	clock := zohosim.StoppedClock(time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC))
	opts.Clock = clock.Now
	sim := zohosim.New(opts)
	t.Cleanup(sim.Close)
	client := sim.AddClient(zohosim.ClientSpec{})
	return &world{
		Sim: sim, t: t, clock: clock, client: client,
		url:     listen(t, sim, "eu"),
		refresh: sim.Consent(client, "eu", "user@example.com", crm()),
	}
}

func listen(t *testing.T, sim *zohosim.Sim, dc string) string {
	t.Helper()
	accounts, err := sim.Listen(dc)
	require.NoError(t, err)
	return accounts.URL
}

func crm() []string { return []string{"ZohoCRM.modules.ALL", "ZohoCRM.org.READ"} }

// A reply is an answer that has been read.
type reply struct {
	status int
	header http.Header
	raw    string
	json   map[string]any
}

func (r reply) text(key string) string {
	value, _ := r.json[key].(string)
	return value
}

// http shares the default transport's connections, and follows no redirects.
func (w *world) http() *http.Client {
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &http.Client{CheckRedirect: stay, Timeout: time.Minute}
}

func (w *world) do(r *http.Request) reply {
	w.t.Helper()
	answer, err := w.http().Do(r)
	require.NoError(w.t, err)
	defer func() { _ = answer.Body.Close() }()
	raw, err := io.ReadAll(answer.Body)
	require.NoError(w.t, err)
	out := reply{status: answer.StatusCode, header: answer.Header, raw: string(raw)}
	_ = json.Unmarshal(raw, &out.json) // not every answer is JSON
	return out
}

func (w *world) request(method, target, body string) *http.Request {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), method, target, strings.NewReader(body))
	require.NoError(w.t, err)
	return r
}

// form prepares a POST of a form, given as name, value, name, value...
func (w *world) form(path string, pairs ...string) *http.Request {
	r := w.request(http.MethodPost, w.url+path, values(pairs...).Encode())
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

func values(pairs ...string) url.Values {
	all := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		all.Set(pairs[i], pairs[i+1])
	}
	return all
}

func (w *world) token(pairs ...string) reply {
	w.t.Helper()
	return w.do(w.form("/oauth/v2/token", pairs...))
}

// asClient adds the client's credentials for the EU.
func (w *world) asClient(client *zohosim.Client, pairs ...string) reply {
	w.t.Helper()
	return w.token(append(pairs, "client_id", client.ID, "client_secret", client.Secret("eu"))...)
}

func (w *world) refreshWith(refreshToken string) reply {
	w.t.Helper()
	return w.asClient(w.client, "grant_type", "refresh_token", "refresh_token", refreshToken)
}

// mint returns a new access token of the world's refresh token.
func (w *world) mint() string {
	w.t.Helper()
	out := w.refreshWith(w.refresh)
	require.NotEmpty(w.t, out.text("access_token"), out.raw)
	return out.text("access_token")
}

func (w *world) callAPI(base, authorization string) reply {
	w.t.Helper()
	r := w.request(http.MethodGet, base+"/crm/v8/org", "")
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	return w.do(r)
}

// unthrottled is for tests of other rules that need many requests.
func unthrottled() zohosim.Options {
	return zohosim.Options{Throttle: zohosim.Throttle{Limit: -1}}
}
