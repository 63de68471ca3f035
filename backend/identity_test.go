package backend_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend/settings"
)

func TestIdentity_IsAskedOnceWithTheScopeForIt(t *testing.T) {
	t.Parallel()
	w := newIdentityWorld(t)
	w.grants(map[string]any{"scope": "ZohoCRM.modules.ALL " + profile})
	w.exchange("books", settings.RoleChange{})
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
	w.exchange("books", settings.RoleChange{Scopes: ptr([]string{profile})})
	require.Equal(t, anna, w.authorizedAs("books"))
}

func TestIdentity_IsInTheIDTokenAndThenNotAsked(t *testing.T) {
	t.Parallel()
	w := newIdentityWorld(t)
	w.grants(map[string]any{"scope": "email " + profile, "id_token": idTokenOf("berta@example.com")})
	w.exchange("books", settings.RoleChange{})
	require.Equal(t, "berta@example.com", w.authorizedAs("books"))
	require.Empty(t, w.questions())

	w.grants(map[string]any{"scope": "email " + profile, "id_token": "nonsense"})
	w.exchange("books", settings.RoleChange{})
	require.Equal(t, anna, w.authorizedAs("books"))
	require.Len(t, w.questions(), 1, "an ID token that says nothing is none")
}

func TestIdentity_WithoutTheScopeNobodyIsAskedAndNothingSaid(t *testing.T) {
	t.Parallel()
	w := newIdentityWorld(t)
	w.grants(map[string]any{"scope": "ZohoCRM.modules.ALL"})
	_, err := w.write("books", settings.RoleChange{Code: ptr(w.code()), Scopes: ptr([]string{profile, "ZohoCRM.modules.ALL"})})
	require.NoError(t, err, "what Zoho grants counts, not what was asked for")
	w.grants(nil)
	w.exchange("desk", settings.RoleChange{})
	w.exchange("crm", settings.RoleChange{Scopes: ptr([]string{"AaaServer.profile.READ.all", "AaaServer.profile"})})
	for _, role := range []string{"books", "desk", "crm"} {
		require.Empty(t, w.authorizedAs(role))
	}
	require.Empty(t, w.questions())
}

func TestIdentity_ThatCannotBeHadIsNoErrorAndNoWarning(t *testing.T) {
	t.Parallel()
	w := newIdentityWorld(t)
	w.configure(settings.ConfigChange{RequestTimeout: ptr(time.Second)})
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
		w.exchange(role, settings.RoleChange{})
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
		w.exchange("books", settings.RoleChange{})
		status, err := w.engine.Status(t.Context(), "books")
		require.NoError(t, err)
		return status.RequestsLeft
	}
	require.Equal(t, left(nil), left(map[string]any{"scope": profile}))
}
