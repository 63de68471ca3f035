package backend_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/zohosim"
)

const (
	anna    = "anna@example.com"
	profile = "aaaserver.profile.Read" // Zoho does not keep to one spelling
)

// identityWorld has an Accounts server that tells of persons what a test wants it to:
// the simulator stands behind it.
type identityWorld struct {
	*world
	mu    sync.Mutex
	adds  map[string]any   // to the answer of an exchange
	tells http.HandlerFunc // at user/info
	asked []*http.Request  // there
}

func newIdentityWorld(t *testing.T) *identityWorld {
	t.Helper()
	w := &identityWorld{world: newWorldWith(t, zohosim.Options{Throttle: throttleOff})}
	behind, err := url.Parse(w.accounts.URL)
	require.NoError(t, err)
	proxy := httputil.NewSingleHostReverseProxy(behind)
	proxy.Transport = &http.Transport{DisableKeepAlives: true}
	proxy.ErrorLog = log.New(io.Discard, "", 0) // of requests that a test cuts off
	proxy.ModifyResponse = w.addToExchange
	front := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/oauth/user/info" {
			proxy.ServeHTTP(rw, r)
			return
		}
		w.mu.Lock()
		w.asked = append(w.asked, r)
		tells := w.tells
		w.mu.Unlock()
		tells(rw, r)
	}))
	t.Cleanup(front.Close)
	w.says(http.StatusOK, `{"Email":"`+anna+`","Display_Name":"Anna"}`)
	w.configure(settings.ConfigChange{AccountsURL: &front.URL, ClientSecret: ptr(w.client.Secret("us")), RequestBudget: ptr(100)})
	return w
}

func (w *identityWorld) addToExchange(answer *http.Response) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	text, err := io.ReadAll(answer.Body)
	var body map[string]any
	if err == nil && json.Unmarshal(text, &body) == nil && body["refresh_token"] != nil {
		maps.Copy(body, w.adds)
		text, err = json.Marshal(body)
	}
	answer.Body, answer.ContentLength = io.NopCloser(bytes.NewReader(text)), int64(len(text))
	answer.Header.Set("Content-Length", fmt.Sprint(len(text)))
	return err
}

// says sets what the server answers at user/info.
func (w *identityWorld) says(status int, body string) {
	w.tellsBy(func(rw http.ResponseWriter, _ *http.Request) {
		rw.WriteHeader(status)
		_, _ = io.WriteString(rw, body)
	})
}

func (w *identityWorld) tellsBy(tells http.HandlerFunc) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tells = tells
}

// grants sets what the server adds to the answer of an exchange.
func (w *identityWorld) grants(adds map[string]any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.adds = adds
}

func (w *identityWorld) questions() []*http.Request {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]*http.Request(nil), w.asked...)
}

// exchange writes a new code to a role, and requires that nothing is said of it.
func (w *identityWorld) exchange(role string, more settings.RoleChange) {
	w.t.Helper()
	more.Code = ptr(w.code())
	warnings, err := w.write(role, more)
	require.NoError(w.t, err)
	require.Empty(w.t, warnings)
}

func (w *world) authorizedAs(role string) string {
	w.t.Helper()
	status, err := w.engine.Status(w.t.Context(), role)
	require.NoError(w.t, err)
	return status.AuthorizedAs.Name
}

func idTokenOf(email string) string {
	part := base64.RawURLEncoding.EncodeToString
	return part([]byte(`{"alg":"RS256"}`)) + "." + part([]byte(`{"email":"`+email+`"}`)) + "." + part([]byte("signature"))
}
