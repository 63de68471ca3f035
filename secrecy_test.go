package zohosecrets

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"
	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/zohosim"
)

// ear hears all that a mount says: its log, its answers but for the access
// token itself, warnings, errors, and what it puts into leases.
type ear struct {
	logical.Backend
	t       *testing.T
	mu      sync.Mutex
	heard   bytes.Buffer
	secrets map[string]string // what it is, by the secret
}

func (e *ear) Write(p []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.heard.Write(p)
}

func (e *ear) HandleExistenceCheck(ctx context.Context, req *logical.Request) (bool, bool, error) {
	found, exists, err := e.Backend.HandleExistenceCheck(ctx, req)
	fmt.Fprintf(e, "existence check of %s: %v\n", req.Path, err)
	return found, exists, err
}

func (e *ear) HandleRequest(ctx context.Context, req *logical.Request) (*logical.Response, error) {
	for _, name := range []string{"code", "state"} { // of a grant, and of an authorization
		if text, _ := req.Data[name].(string); len(text) > 16 {
			e.learn(text, "a "+name+" that was sent")
		}
	}
	resp, err := e.Backend.HandleRequest(ctx, req)
	fmt.Fprintf(e, "%s %s: %v\n", req.Operation, req.Path, err)
	if resp == nil {
		return resp, err
	}
	data := maps.Clone(resp.Data)
	if resp.Secret != nil {
		e.learn(fmt.Sprint(data["access_token"]), "an access token")
		delete(data, "access_token")
		delete(data, "authorization")
		e.say(resp.Secret.InternalData)
	}
	if address, _ := data["authorization_url"].(string); address != "" {
		e.learn(stateOf(address), "a state")
		delete(data, "authorization_url")
	}
	if page, _ := data[logical.HTTPRawBody].([]byte); page != nil {
		data[logical.HTTPRawBody] = string(page)
	}
	e.say([]any{data, resp.Warnings, resp.Headers})
	return resp, err
}

func (e *ear) say(what any) {
	encoder := json.NewEncoder(e)
	encoder.SetEscapeHTML(false)
	require.NoError(e.t, encoder.Encode(what))
}

// learn adds a secret, and the forms in which it goes over the wire.
func (e *ear) learn(secret, what string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.secrets[secret] = what
	e.secrets[url.QueryEscape(secret)] = what + ", URL-encoded"
}

func (e *ear) said() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.heard.String()
}

// learnStored adds the secrets that only the storage knows, and listens to the
// names of what is stored.
func (e *ear) learnStored(m *mount) {
	e.t.Helper()
	for key, value := range m.stored() {
		var entry map[string]any
		_ = json.Unmarshal([]byte(value), &entry) // the salt is no JSON
		for _, field := range []string{"refresh_token", "access_token"} {
			if secret, _ := entry[field].(string); secret != "" {
				e.learn(secret, field+" of "+key)
			}
		}
		e.say(key)
	}
}

// requireSilence requires that nothing of the secrets was heard.
func (e *ear) requireSilence() {
	e.t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	heard := e.heard.String()
	require.NotEmpty(e.t, e.secrets)
	for secret, what := range e.secrets {
		require.NotEmpty(e.t, secret)
		at := strings.Index(heard, secret)
		if at < 0 && len(secret) > 16 {
			at = strings.Index(heard, secret[:len(secret)-8]) // cut off is not much better
		}
		if at >= 0 {
			start, end := max(0, at-300), min(len(heard), at+300)
			require.Fail(e.t, "a secret was told", "%s in:\n%s", what, heard[start:end])
		}
	}
}

// newEar is a mount that is listened to, with budgets that do not end.
func newEar(t *testing.T) (*mount, *simulation, *ear) {
	t.Helper()
	e := &ear{t: t, secrets: map[string]string{}}
	m := newMountOn(t, &logical.InmemStorage{}, e)
	e.Backend = m.inner
	m.backend = e
	z := newSimulation(t, m.clock)
	z.sim.SetThrottle(zohosim.Throttle{Limit: -1})
	e.learn(z.clientSecret, "the client secret")
	e.learn(z.refreshToken, "the refresh token")
	e.learn(base64.StdEncoding.EncodeToString([]byte(z.client.ID+":"+z.clientSecret)), "the Basic authentication")
	m.write("config", z.config().with(fields{"request_budget": 1000, "max_live_tokens": 1000, "request_timeout": "1s"})).done(t)
	m.write("roles/crm-sync", z.role()).done(t)
	return m, z, e
}

// use reads and revokes, whatever comes of it, after any silence has passed,
// and then lets the mount tidy up.
func (m *mount) use(z *simulation) {
	m.clock.Advance(15 * time.Minute)
	m.patch("roles/crm-sync", z.role()) // forgives a refusal
	if leased := m.read("creds/crm-sync"); leased.text == "" {
		_ = m.revoke("creds/crm-sync", leased)
	}
	m.list("roles/")
	_ = m.tick()
}

func TestNoSecretInLogsErrorsOrWarnings(t *testing.T) {
	t.Parallel()
	m, z, e := newEar(t)
	m.use(z)
	first, second := m.read("creds/crm-sync").done(t), m.read("creds/crm-sync").done(t)
	require.NoError(t, m.revoke("creds/crm-sync", first))
	require.NoError(t, m.revoke("creds/crm-sync", second))

	t.Log("every fault of every endpoint")
	endpoints := []zohosim.Endpoint{zohosim.EndpointToken, zohosim.EndpointRevoke, zohosim.EndpointLegacyRevoke}
	for _, kind := range zohosim.FaultKinds() {
		if kind == zohosim.FaultHang {
			continue // as silent as FaultClose, and it takes a second
		}
		for _, endpoint := range endpoints {
			z.sim.Fault(endpoint, zohosim.Fault{Kind: kind})
			m.use(z)
			z.sim.ClearFaults()
			m.use(z)
		}
	}

	t.Log("servers that repeat what they got")
	for _, body := range echoes(z.clientSecret, z.refreshToken) {
		for _, status := range []int{200, 302, 400, 401, 403, 404, 429, 500, 503} {
			for _, endpoint := range endpoints {
				z.sim.Fault(endpoint, zohosim.Fault{Kind: zohosim.FaultAnswer, Status: status, Body: body,
					Header: http.Header{"X-Echo": {z.clientSecret}, "Www-Authenticate": {z.refreshToken}, "Retry-After": {z.refreshToken}}})
			}
			m.use(z)
			z.sim.ClearFaults()
		}
	}

	t.Log("an outage, a full disk, and mistakes")
	z.sim.SetDown(true)
	m.use(z)
	z.sim.SetDown(false)
	m.storage.FailPut(true)
	m.use(z)
	m.storage.FailPut(false).FailGet(true)
	m.use(z)
	m.storage.FailGet(false)
	for _, bad := range []string{"typed-secret with a blank", "typed-secret\nwith a line break", "typed-secret\x00", "typed-secret" + strings.Repeat("x", 1<<20)} {
		e.learn(bad[:12], "a secret that was refused")
		m.write("config", fields{"client_id": "1000.NEWNEWNEWNEW", "client_secret": bad})
		m.write("roles/crm-sync", fields{"refresh_token": bad})
		m.write("roles/new", fields{"refresh_token": "typed-secret", "client_secret": bad})
		m.write("roles/new", fields{"refresh_token": bad, "ttl": "no duration"})
		m.write("roles/-", fields{"refresh_token": bad})
		m.write("config", fields{"accounts_url": "https://user:typed-secret@accounts.zoho.eu"})
		m.write("config", fields{"accounts_url": "https://accounts.zoho.eu?token=typed-secret"})
		m.write("config", fields{"redirect_uri": "https://user:typed-secret@vault.example.com"})
		m.write("config", fields{"ca_cert": bad})
	}
	m.write("config", z.config().with(fields{"client_secret": "typed-secret"}))
	m.use(z)
	m.write("config", z.config())
	m.use(z)

	t.Log("the end")
	last := m.read("creds/crm-sync").done(t)
	for _, path := range []string{"config", "roles/crm-sync", "roles/new", "info"} {
		m.read(path)
		m.send(logical.HelpOperation, path, nil)
	}
	for key := range m.stored() {
		m.inner.InvalidateKey(t.Context(), key)
	}
	z.sim.Kill(z.refreshToken)
	m.use(z)
	m.delete("roles/crm-sync")
	m.deleteConfig()
	_ = m.revoke("creds/crm-sync", last)
	m.inner.Cleanup(t.Context())
	require.Contains(t, e.said(), `"@level":"warn"`)
	require.Contains(t, e.said(), "revoked an access token")
	e.requireSilence()
}

// echoes are bodies in which a broken server or proxy repeats the request.
func echoes(clientSecret, refreshToken string) []string {
	type says map[string]string
	form := "client_secret=" + clientSecret + "&refresh_token=" + refreshToken
	object := func(body says) string {
		encoded, _ := json.Marshal(body) // strings never fail
		return string(encoded)
	}
	return []string{
		form, "<html>" + form + "</html>", `"` + form + `"`, `{"error": ` + refreshToken + `}`, `{"` + clientSecret + `"`,
		object(says{"error": clientSecret}), object(says{"error": refreshToken}), object(says{"error": "invalid_code", "error_description": form}),
		object(says{"error": "Access Denied", "error_description": form, "status": clientSecret}), object(says{"error": "scope " + refreshToken}),
		object(says{"error_description": "too many " + form}), object(says{"status": refreshToken}), object(says{"error": form, "status": "failure"}),
		object(says{"access_token": "", "refresh_token": refreshToken}), object(says{"access_token": refreshToken + "\n", "api_domain": form}),
		object(says{"access_token": "1000.new", "expires_in": "0", "api_domain": form}), object(says{"error": "invalid " + clientSecret}),
	}
}
