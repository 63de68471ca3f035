package zohosecrets

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/zohosim"
)

// grants goes all the ways to a grant, through all that can be done with one,
// and out again, whatever comes of it. e learns the secrets on the way.
func (m *mount) grants(z *simulation, e *ear) {
	m.clock.Advance(15 * time.Minute)
	m.write("roles/coded", fields{"code": z.code()})
	m.patch("roles/coded", fields{"code": z.code(), "redirect_uri": callbackURL}) // which it has not
	m.write("roles/coded", fields{"code": z.code(), "refresh_token": z.refreshToken})
	m.write("roles/org", fields{"grant_type": "client_credentials", "scopes": "ZohoCRM.modules.ALL"})
	m.write("roles/tried", fields{"refresh_token": z.refreshToken})
	e.learnStored(m)
	for _, change := range []fields{{}, {"error": "access_denied"}, {"accounts-server": "https://accounts.zoho.eu"}, {"code": "1000.no.such.code.as.this.one"}, {"location": z.clientSecret}} {
		begun := m.write("roles/person/authorize", nil)
		if begun.Response == nil || begun.text != "" {
			continue
		}
		e.learnStored(m)
		address, _ := begun.Data["authorization_url"].(string)
		back := fields{"state": stateOf(address), "code": m.webCode(z)}.with(change)
		for range 2 { // it can be used once
			m.send("read", "callback", back)
		}
		m.send("read", "callback", back.with(fields{"state": []any{back["state"], back["state"]}}))
		m.read("creds/person") // for whose sake a former refresh token is kept
	}
	e.learnStored(m)
	for _, role := range []string{"coded", "org", "tried", "person"} {
		if leased := m.read("creds/" + role); leased.text == "" {
			m.write("roles/"+role+"/rotate", nil)
			e.learnStored(m)
			_ = m.revoke("creds/"+role, leased)
		}
		m.read("roles/" + role + "/status")
	}
	m.list("roles/")
	for _, role := range []string{"coded", "org", "person"} { // tried has the one of crm-sync
		m.write("roles/"+role+"/deauthorize", fields{"force": true})
		m.read("roles/" + role + "/status")
		m.read("creds/" + role)
	}
	_ = m.tick()
	e.learnStored(m)
}

func newGrantEar(t *testing.T) (*mount, *simulation, *ear) {
	t.Helper()
	m, z, e := newEar(t)
	m.awaitsConsent(z)
	e.learn(z.web.Secret("us"), "the secret of a role's own client")
	return m, z, e
}

func TestNoSecretOfAGrantInLogsErrorsWarningsPagesOrKeys(t *testing.T) {
	t.Parallel()
	m, z, e := newGrantEar(t)
	m.grants(z, e)
	heard := e.said()
	for _, says := range []string{
		"a role was authorized", "an authorization failed", "revoked a refresh token", "can close this window", "This link is not valid",
		"consents/", "refresh-tokens/", "write either code or refresh_token",
	} {
		require.True(t, strings.Contains(heard, says), "%s: not heard, so this scenario is too small", says)
	}
	z.sim.SetDown(true)
	m.grants(z, e)
	z.sim.SetDown(false)
	m.storage.FailPut(true)
	m.grants(z, e)
	m.storage.FailPut(false)
	e.learn("typed-secret-of-a-client", "a secret that was refused")
	m.write("config", fields{"client_secret": "typed-secret-of-a-client"})
	m.write("config", fields{"client_secret": "typed-secret-of-a-client", "verify": false})
	m.grants(z, e)
	m.deleteConfig()
	m.grants(z, e)
	m.inner.Cleanup(t.Context())
	e.requireSilence()
}

func TestNoSecretOfAGrantFromAnyFaultOfAnyEndpoint(t *testing.T) {
	t.Parallel()
	for _, kind := range zohosim.FaultKinds() {
		if kind == zohosim.FaultHang {
			continue // as silent as FaultClose, and it takes a second
		}
		for _, endpoint := range []zohosim.Endpoint{zohosim.EndpointToken, zohosim.EndpointRevoke, zohosim.EndpointLegacyRevoke} {
			t.Run(string(kind)+" of "+string(endpoint), func(t *testing.T) {
				t.Parallel()
				m, z, e := newGrantEar(t)
				m.grants(z, e)
				z.sim.Fault(endpoint, zohosim.Fault{Kind: kind})
				m.grants(z, e)
				z.sim.ClearFaults()
				m.grants(z, e)
				m.inner.Cleanup(t.Context())
				e.requireSilence()
			})
		}
	}
}

func TestNoSecretOfAGrantFromServersThatRepeatWhatTheyGot(t *testing.T) {
	t.Parallel()
	m, z, e := newGrantEar(t)
	for _, status := range []int{200, 302, 400, 401, 500} {
		code := z.code()
		for _, secrets := range [][2]string{{z.clientSecret, code}, {code, z.web.Secret("us")}} {
			for _, body := range echoes(secrets[0], secrets[1]) {
				z.sim.Fault(zohosim.EndpointToken, zohosim.Fault{Kind: zohosim.FaultAnswer, Status: status, Body: body, Header: http.Header{"X-Echo": secrets[:]}})
				m.clock.Advance(15 * time.Minute)
				m.write("roles/coded", fields{"code": code})
				m.write("roles/org", fields{"grant_type": "client_credentials", "scopes": "ZohoCRM.modules.ALL", "verify": true})
				m.send("read", "callback", m.fresh(z).with(fields{"code": code}))
				m.write("roles/crm-sync/rotate", nil)
				for _, role := range []string{"coded", "org", "person", "crm-sync"} {
					m.read("roles/" + role + "/status")
				}
				z.sim.ClearFaults()
			}
		}
	}
	e.requireSilence()
}

// exchange is a data centre after whose token endpoint was reached something
// else goes wrong. It overhears what Zoho gave.
type exchange struct {
	http.Handler
	then  func()
	mu    sync.Mutex
	given []string
}

func (x *exchange) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/oauth/v2/token" {
		x.Handler.ServeHTTP(w, r)
		return
	}
	x.then()
	overheard := httptest.NewRecorder()
	x.Handler.ServeHTTP(overheard, r)
	var got struct {
		Access  string `json:"access_token"`
		Refresh string `json:"refresh_token"`
	}
	_ = json.NewDecoder(bytes.NewReader(overheard.Body.Bytes())).Decode(&got) // an error gives no token
	x.mu.Lock()
	x.given = append(x.given, got.Access, got.Refresh)
	x.mu.Unlock()
	w.WriteHeader(overheard.Code)
	_, _ = w.Write(overheard.Body.Bytes())
}

func TestNoSecret_OfARefreshTokenThatCouldBeNeitherStoredNorRevoked(t *testing.T) {
	t.Parallel()
	for _, says := range []string{"its refresh token has been revoked there", "could be neither stored nor revoked"} {
		m, z, e := newGrantEar(t)
		server := &exchange{Handler: z.sim.Handler("us"), then: func() { m.storage.FailPut(true) }}
		listening := httptest.NewServer(server)
		t.Cleanup(listening.Close)
		m.write("config", z.config().with(fields{"accounts_url": listening.URL, "force": true})).done(t)
		if says == "could be neither stored nor revoked" {
			z.revocationFault(zohosim.Fault{Kind: zohosim.FaultHTML500})
		}
		got := m.write("roles/coded", fields{"code": z.code()})
		require.Equal(t, 500, got.status)
		require.Contains(t, got.text, says)
		server.mu.Lock()
		require.Len(t, server.given, 2)
		for _, given := range server.given {
			require.NotEmpty(t, given)
			e.learn(given, "what an exchange gave")
		}
		require.Equal(t, says == "could be neither stored nor revoked", z.sim.Alive(server.given[1]))
		server.mu.Unlock()
		m.storage.FailPut(false)
		require.Equal(t, http.StatusNotFound, m.read("roles/coded").status)
		e.requireSilence()
	}
}
