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
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend"
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
	w.configure(backend.ConfigChange{AccountsURL: &front.URL, ClientSecret: ptr(w.client.Secret("us")), RequestBudget: ptr(100)})
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
func (w *identityWorld) exchange(role string, more backend.RoleChange) {
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
	return status.AuthorizedAs
}

func idTokenOf(email string) string {
	part := base64.RawURLEncoding.EncodeToString
	return part([]byte(`{"alg":"RS256"}`)) + "." + part([]byte(`{"email":"`+email+`"}`)) + "." + part([]byte("signature"))
}

func TestIdentity_IsAskedOnceWithTheScopeForIt(t *testing.T) {
	t.Parallel()
	w := newIdentityWorld(t)
	w.grants(map[string]any{"scope": "ZohoCRM.modules.ALL " + profile})
	w.exchange("books", backend.RoleChange{})
	require.Equal(t, anna, w.authorizedAs("books"))
	questions := w.questions()
	require.Len(t, questions, 1)
	require.Equal(t, "Zoho-oauthtoken "+w.read("books").AccessToken.Reveal(), questions[0].Header.Get("Authorization"), "with the new access token")

	w.restart()
	require.Equal(t, anna, w.authorizedAs("books"))
	w.clock.Advance(55 * time.Minute)
	w.read("books")
	w.tick()
	require.Len(t, w.questions(), 1, "not with every access token")
}

func TestIdentity_IsAskedWhereZohoDoesNotSayWhichScopesItGranted(t *testing.T) {
	t.Parallel()
	w := newIdentityWorld(t)
	w.exchange("books", backend.RoleChange{Scopes: ptr([]string{profile})})
	require.Equal(t, anna, w.authorizedAs("books"))
}

func TestIdentity_IsInTheIDTokenAndThenNotAsked(t *testing.T) {
	t.Parallel()
	w := newIdentityWorld(t)
	w.grants(map[string]any{"scope": "email " + profile, "id_token": idTokenOf("berta@example.com")})
	w.exchange("books", backend.RoleChange{})
	require.Equal(t, "berta@example.com", w.authorizedAs("books"))
	require.Empty(t, w.questions())

	w.grants(map[string]any{"scope": "email " + profile, "id_token": "nonsense"})
	w.exchange("books", backend.RoleChange{})
	require.Equal(t, anna, w.authorizedAs("books"))
	require.Len(t, w.questions(), 1, "an ID token that says nothing is none")
}

func TestIdentity_WithoutTheScopeNobodyIsAskedAndNothingSaid(t *testing.T) {
	t.Parallel()
	w := newIdentityWorld(t)
	w.grants(map[string]any{"scope": "ZohoCRM.modules.ALL"})
	_, err := w.write("books", backend.RoleChange{Code: ptr(w.code()), Scopes: ptr([]string{profile})})
	require.NoError(t, err, "what Zoho grants counts, not what was asked for")
	w.grants(nil)
	w.exchange("desk", backend.RoleChange{})
	w.exchange("crm", backend.RoleChange{Scopes: ptr([]string{"AaaServer.profile.READ.all", "AaaServer.profile"})})
	for _, role := range []string{"books", "desk", "crm"} {
		require.Empty(t, w.authorizedAs(role))
	}
	require.Empty(t, w.questions())
}

func TestIdentity_ThatCannotBeHadIsNoErrorAndNoWarning(t *testing.T) {
	t.Parallel()
	w := newIdentityWorld(t)
	w.configure(backend.ConfigChange{RequestTimeout: ptr(time.Second)})
	w.grants(map[string]any{"scope": profile})
	e := w.listen(hclog.Trace)
	hangs := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	breaks := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	says := func(status int, body string) http.HandlerFunc {
		return func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(status); _, _ = io.WriteString(rw, body) }
	}
	elsewhere := func(rw http.ResponseWriter, r *http.Request) { http.Redirect(rw, r, w.accounts.URL, http.StatusFound) }
	failures := []http.HandlerFunc{says(500, ""), says(401, `{"error":"INVALID_OAUTHTOKEN"}`), says(200, "<html>"), says(200, strings.Repeat("x", 65<<10)), breaks, hangs, elsewhere}
	for i, tells := range failures {
		w.tellsBy(tells)
		w.clock.Advance(3 * time.Minute) // Zoho takes four codes in a minute
		role := fmt.Sprintf("books-%d", i)
		w.exchange(role, backend.RoleChange{})
		require.Empty(t, w.authorizedAs(role))
		require.True(t, w.alive(w.read(role)), "the role works")
	}
	lines := w.lines(e, "could not ask Zoho who consented")
	require.Len(t, lines, len(failures))
	for _, line := range lines {
		require.Equal(t, "debug", line["@level"])
	}
	require.Empty(t, w.unknown())
}

// The question is no token request: Zoho does not count it, and so nobody does.
func TestIdentity_CostsNothingOfTheBudget(t *testing.T) {
	t.Parallel()
	left := func(adds map[string]any) int {
		w := newIdentityWorld(t)
		w.grants(adds)
		w.exchange("books", backend.RoleChange{})
		status, err := w.engine.Status(t.Context(), "books")
		require.NoError(t, err)
		return status.RequestsLeft
	}
	require.Equal(t, left(nil), left(map[string]any{"scope": profile}))
}

// Readers have the former refresh token until the new one is stored.
func TestIdentity_NoReaderWaitsForTheQuestion(t *testing.T) {
	t.Parallel()
	w := newIdentityWorld(t)
	w.grants(map[string]any{"scope": profile})
	w.exchange("books", backend.RoleChange{})
	reached, answer := make(chan struct{}), make(chan struct{})
	release := sync.OnceFunc(func() { close(answer) })
	t.Cleanup(release)
	var later atomic.Bool
	w.tellsBy(func(rw http.ResponseWriter, _ *http.Request) {
		name := anna
		if !later.Swap(true) {
			close(reached)
			<-answer
			name = "berta@example.com"
		}
		_, _ = io.WriteString(rw, `{"Email":"`+name+`"}`)
	})
	written := make(chan error, 1)
	go func() {
		_, err := w.write("books", backend.RoleChange{Code: ptr(w.code())})
		written <- err
	}()
	<-reached
	w.clock.Advance(55 * time.Minute) // so this one has to be minted, in the turn of the former refresh token
	require.True(t, w.alive(w.read("books")))
	require.Equal(t, anna, w.authorizedAs("books"))
	w.exchange("desk", backend.RoleChange{}) // nor another exchange with the same client
	release()
	require.NoError(t, <-written)
	require.Equal(t, "berta@example.com", w.authorizedAs("books"))
	require.True(t, w.alive(w.read("books")))
}

func TestIdentity_IsOfARefreshTokenAndGoesWithIt(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*identityWorld){
		"another one that is written by hand": func(w *identityWorld) { w.writeRole("books", backend.RoleChange{RefreshToken: ptr(w.consent())}) },
		"another one of which Zoho does not say": func(w *identityWorld) {
			w.grants(nil)
			w.exchange("books", backend.RoleChange{})
		},
		"another one, after a question without an answer": func(w *identityWorld) {
			w.says(http.StatusInternalServerError, "")
			w.exchange("books", backend.RoleChange{})
		},
		"given up": func(w *identityWorld) {
			_, err := w.engine.Deauthorize(w.t.Context(), "books", false)
			require.NoError(w.t, err)
		},
		"none any more": func(w *identityWorld) {
			w.writeRole("books", backend.RoleChange{GrantType: ptr(backend.GrantTypeClientCredentials), Scopes: &scopes})
		},
		"of another server, by the same name": func(w *identityWorld) {
			w.writeRole("books", backend.RoleChange{RefreshToken: ptr(w.refreshTokenOf("books")), DataCenter: ptr("eu"), ClientID: ptr("1000.EU"), ClientSecret: ptr("of-eu")})
		},
		"of a role that is deleted": func(w *identityWorld) {
			refreshToken := w.refreshTokenOf("books")
			w.deleteRole("books")
			w.writeRole("books", backend.RoleChange{RefreshToken: &refreshToken})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newIdentityWorld(t)
			w.grants(map[string]any{"scope": profile})
			w.exchange("books", backend.RoleChange{})
			require.Equal(t, anna, w.authorizedAs("books"))
			change(w)
			require.Empty(t, w.authorizedAs("books"))
			w.settle() // what the change leaves behind is tidied up in the background
			require.NotContains(t, fmt.Sprint(w.stored("")), anna, "it is personal data, and stored nowhere else")
		})
	}
}

func TestIdentity_StaysWithItsRefreshTokenThroughOtherWrites(t *testing.T) {
	t.Parallel()
	w := newIdentityWorld(t)
	w.grants(map[string]any{"scope": profile})
	w.exchange("books", backend.RoleChange{})
	w.writeRole("books", backend.RoleChange{TTL: ptr(time.Minute), Scopes: &scopes})
	w.writeRole("books", backend.RoleChange{RefreshToken: ptr(w.refreshTokenOf("books"))})
	w.configure(backend.ConfigChange{ClientSecret: ptr("another"), ClientID: &w.client.ID})
	_, err := w.writeCode("books", "1000.no.code")
	require.Error(t, err)
	require.Equal(t, anna, w.authorizedAs("books"))
	require.Len(t, w.questions(), 1)
}

// Whoever knows a refresh token, and perhaps not the client's secret, does not learn
// here whose it is.
func TestIdentity_IsNotOfAnotherRoleWithTheSameRefreshToken(t *testing.T) {
	t.Parallel()
	w := newIdentityWorld(t)
	w.grants(map[string]any{"scope": profile})
	w.exchange("books", backend.RoleChange{})
	w.writeRole("other", backend.RoleChange{RefreshToken: ptr(w.refreshTokenOf("books"))})
	require.Empty(t, w.authorizedAs("other"))
}

func TestIdentity_OfAnExclusiveRoleIsAskedBeforeItsFirstTokenEnds(t *testing.T) {
	t.Parallel()
	w := newIdentityWorld(t)
	w.grants(map[string]any{"scope": profile})
	w.tellsBy(func(rw http.ResponseWriter, r *http.Request) {
		if token := strings.TrimPrefix(r.Header.Get("Authorization"), "Zoho-oauthtoken "); !w.sim.Alive(token) {
			rw.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = io.WriteString(rw, `{"Email":"`+anna+`"}`)
	})
	w.exchange("own", backend.RoleChange{Exclusive: ptr(true)})
	w.settle()
	require.Equal(t, anna, w.authorizedAs("own"))
	require.Empty(t, w.living("access"))
}

func TestIdentity_IsInNoLogLineAndNoEventAndNeitherIsAToken(t *testing.T) {
	t.Parallel()
	w := newIdentityWorld(t)
	e := w.listen(hclog.Trace)
	token := idTokenOf("berta@example.com")
	w.grants(map[string]any{"scope": profile})
	w.exchange("asked", backend.RoleChange{})
	w.tellsBy(func(rw http.ResponseWriter, r *http.Request) { // repeats what it got
		rw.Header().Set("X-Repeats", r.Header.Get("Authorization"))
		rw.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(rw, anna)
	})
	w.exchange("failed", backend.RoleChange{})
	w.grants(map[string]any{"scope": profile, "id_token": token})
	w.exchange("told", backend.RoleChange{})
	w.grants(map[string]any{"scope": profile, "id_token": token, "access_token": ""})
	warnings, err := w.writeCode("without", w.code())
	require.NoError(t, err)
	require.NotEmpty(t, warnings)
	_, err = w.engine.Deauthorize(t.Context(), "told", false)
	require.NoError(t, err)
	require.NotEmpty(t, w.named(e, backend.EventRoleWrite))
	require.Len(t, w.lines(e, "could not ask Zoho who consented"), 1)
	heard := e.log.String() + fmt.Sprintf("%+v", e.events) + fmt.Sprint(warnings)
	hidden := []string{anna, "berta@example.com", token, strings.Split(token, ".")[1], w.refreshTokenOf("asked")}
	for _, question := range w.questions() {
		hidden = append(hidden, strings.TrimPrefix(question.Header.Get("Authorization"), "Zoho-oauthtoken "))
	}
	for _, text := range hidden {
		require.NotContains(t, heard, text)
	}
	w.settle()
	for key, value := range w.stored("") {
		require.NotContains(t, key+value, strings.Split(token, ".")[1], "the ID token is not stored")
	}
}

func TestIdentity_OfAConsentIsWhoAgreed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		scopes          []string
		withScope       bool
		consent, want   string
		userInfoRequest int
	}{
		"by a question":                  {[]string{"ZohoCRM.modules.ALL", "AaaServer.profile.READ"}, true, backend.ConsentUser, "ada.lovelace@example.com", 1},
		"by a question, scopes not said": {[]string{"AaaServer.profile.READ"}, false, backend.ConsentUser, "ada.lovelace@example.com", 1},
		"by an ID token":                 {[]string{"email", "AaaServer.profile.READ"}, true, backend.ConsentUser, "ada.lovelace@example.com", 0},
		"without the scope":              {[]string{"ZohoCRM.modules.ALL"}, true, backend.ConsentUser, "", 0},
		"of an organisation":             {[]string{"email", "AaaServer.profile.READ"}, true, backend.ConsentOrg, "", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newConsentWorld(t)
			w.sim.SetUser("ada.lovelace@example.com", "us")
			w.sim.SetAnswer(zohosim.Answer{WithScope: c.withScope})
			w.writeRole("desk", backend.RoleChange{Scopes: &c.scopes, Consent: &c.consent})
			_, err := w.complete(w.agreed())
			require.NoError(t, err)
			require.Equal(t, c.want, w.authorizedAs("desk"))
			require.Equal(t, c.userInfoRequest, w.sim.Count(zohosim.EndpointUserInfo))
		})
	}
}
