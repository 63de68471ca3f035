package backend_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend"
	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/zohosim"
)

// Readers have the former refresh token until the new one is stored.
func TestIdentity_NoReaderWaitsForTheQuestion(t *testing.T) {
	t.Parallel()
	w := newIdentityWorld(t)
	w.grants(map[string]any{"scope": profile})
	w.exchange("books", settings.RoleChange{})
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
		_, err := w.write("books", settings.RoleChange{Code: ptr(w.code())})
		written <- err
	}()
	<-reached
	w.clock.Advance(55 * time.Minute) // so this one has to be minted, in the turn of the former refresh token
	require.True(t, w.alive(w.read("books")))
	require.Equal(t, anna, w.authorizedAs("books"))
	w.exchange("desk", settings.RoleChange{}) // nor another exchange with the same client
	release()
	require.NoError(t, <-written)
	require.Equal(t, "berta@example.com", w.authorizedAs("books"))
	require.True(t, w.alive(w.read("books")))
}

func TestIdentity_IsOfARefreshTokenAndGoesWithIt(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*identityWorld){
		"another one that is written by hand": func(w *identityWorld) { w.writeRole("books", settings.RoleChange{RefreshToken: ptr(w.consent())}) },
		"another one of which Zoho does not say": func(w *identityWorld) {
			w.grants(nil)
			w.exchange("books", settings.RoleChange{})
		},
		"another one, after a question without an answer": func(w *identityWorld) {
			w.says(http.StatusInternalServerError, "")
			w.exchange("books", settings.RoleChange{})
		},
		"given up": func(w *identityWorld) {
			_, err := w.engine.Deauthorize(w.t.Context(), "books", false, settings.Requester{})
			require.NoError(w.t, err)
		},
		"none any more": func(w *identityWorld) {
			w.writeRole("books", settings.RoleChange{GrantType: ptr(settings.GrantTypeClientCredentials), Scopes: &scopes})
		},
		"of another server, by the same name": func(w *identityWorld) {
			w.writeRole("books", settings.RoleChange{RefreshToken: ptr(w.refreshTokenOf("books")), DataCenter: ptr("eu"), ClientID: ptr("1000.EUEUEUEUEUEU"), ClientSecret: ptr("of-eu")})
		},
		"of a role that is deleted": func(w *identityWorld) {
			w.deleteRole("books")
			w.writeRole("books", settings.RoleChange{RefreshToken: ptr(w.consent())})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newIdentityWorld(t)
			w.grants(map[string]any{"scope": profile})
			w.exchange("books", settings.RoleChange{})
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
	w.exchange("books", settings.RoleChange{})
	w.writeRole("books", settings.RoleChange{TTL: ptr(time.Minute), Scopes: &scopes})
	w.writeRole("books", settings.RoleChange{RefreshToken: ptr(w.refreshTokenOf("books"))})
	w.configure(settings.ConfigChange{ClientSecret: ptr("another"), ClientID: &w.client.ID})
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
	w.exchange("books", settings.RoleChange{})
	w.writeRole("other", settings.RoleChange{RefreshToken: ptr(w.refreshTokenOf("books"))})
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
	warnings, err := w.write("own", settings.RoleChange{Code: ptr(w.code()), Exclusive: ptr(true)})
	require.NoError(t, err)
	require.Len(t, warnings, 1, "exclusive itself, and nothing else")
	require.Contains(t, warnings[0], "exclusive=true: each read is a token request")
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
	w.exchange("asked", settings.RoleChange{})
	w.tellsBy(func(rw http.ResponseWriter, r *http.Request) { // repeats what it got
		rw.Header().Set("X-Repeats", r.Header.Get("Authorization"))
		rw.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(rw, anna)
	})
	w.exchange("failed", settings.RoleChange{})
	w.grants(map[string]any{"scope": profile, "id_token": token})
	w.exchange("told", settings.RoleChange{})
	w.grants(map[string]any{"scope": profile, "id_token": token, "access_token": ""})
	warnings, err := w.writeCode("without", w.code())
	require.NoError(t, err)
	require.NotEmpty(t, warnings)
	_, err = w.engine.Deauthorize(t.Context(), "told", false, settings.Requester{})
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
		"by a question":                  {[]string{"ZohoCRM.modules.ALL", "AaaServer.profile.READ"}, true, settings.ConsentUser, "ada.lovelace@example.com", 1},
		"by a question, scopes not said": {[]string{"AaaServer.profile.READ"}, false, settings.ConsentUser, "ada.lovelace@example.com", 1},
		"by an ID token":                 {[]string{"email", "AaaServer.profile.READ"}, true, settings.ConsentUser, "ada.lovelace@example.com", 0},
		"without the scope":              {[]string{"ZohoCRM.modules.ALL"}, true, settings.ConsentUser, "", 0},
		"of an organisation":             {[]string{"email", "AaaServer.profile.READ"}, true, settings.ConsentOrg, "", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newConsentWorld(t)
			w.sim.SetUser("ada.lovelace@example.com", "us")
			w.sim.SetAnswer(zohosim.Answer{WithScope: c.withScope})
			w.writeRole("desk", settings.RoleChange{Scopes: &c.scopes, Consent: &c.consent})
			_, err := w.complete(w.agreed())
			require.NoError(t, err)
			require.Equal(t, c.want, w.authorizedAs("desk"))
			require.Equal(t, c.userInfoRequest, w.sim.Count(zohosim.EndpointUserInfo))
		})
	}
}
