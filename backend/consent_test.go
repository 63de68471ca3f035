package backend_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend"
	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/zohosim"
)

const callbackURL = "https://vault.example.com/v1/zoho/callback"

// consentWorld has a role desk of a web client of its own, which waits for a
// person's consent.
type consentWorld struct {
	*world
	web *zohosim.Client
}

func newConsentWorld(t *testing.T) *consentWorld {
	t.Helper()
	w := &consentWorld{world: newWorld(t)}
	w.addDesk()
	return w
}

func (w *consentWorld) addDesk() {
	w.t.Helper()
	w.web = w.sim.AddClient(zohosim.ClientSpec{Kind: zohosim.WebClient, RedirectURIs: []string{callbackURL}})
	w.configure(settings.ConfigChange{RedirectURI: ptr(callbackURL)})
	w.writeRole("desk", settings.RoleChange{ClientID: &w.web.ID, ClientSecret: ptr(w.web.Secret("us")), Scopes: ptr([]string{"ZohoCRM.modules.ALL", "ZohoCRM.settings.READ"})})
}

func (w *consentWorld) authorize() *url.URL {
	w.t.Helper()
	begun, err := w.engine.Authorize(w.t.Context(), "desk")
	require.NoError(w.t, err)
	u, err := url.Parse(begun.URL)
	require.NoError(w.t, err)
	return u
}

// decide sends a person to the consent page, and returns what Zoho sends back.
func (w *consentWorld) decide(consentPage, decision string) backend.Callback {
	w.t.Helper()
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, Transport: &http.Transport{DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, consentPage, strings.NewReader("decision="+decision))
	require.NoError(w.t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer, err := client.Do(req)
	require.NoError(w.t, err)
	require.NoError(w.t, answer.Body.Close())
	require.Equal(w.t, http.StatusFound, answer.StatusCode)
	back, err := answer.Location()
	require.NoError(w.t, err)
	require.Equal(w.t, callbackURL, "https://"+back.Host+back.Path)
	q := back.Query()
	return backend.Callback{State: q.Get("state"), Code: q.Get("code"), Error: q.Get("error"), Location: q.Get("location"), AccountsServer: q.Get("accounts-server")}
}

func (w *consentWorld) agreed() backend.Callback { return w.decide(w.authorize().String(), "accept") }

func (w *consentWorld) complete(callback backend.Callback) (string, error) {
	consent, err := w.engine.CompleteConsent(w.t.Context(), callback)
	return consent.Role, err
}

// readByOperator is all that an operator reads of a consent that failed.
func readByOperator(c backend.Consent) string { return c.Cause + " " + c.Texts.Operator }

// refused demands a clear answer, and that nothing was stored or lost, and
// nothing asked of any server.
func (w *consentWorld) refused(callback backend.Callback, says string) {
	w.t.Helper()
	w.settle() // an exchange before may still end the former refresh token
	before, roles := len(w.sim.Requests()), w.stored("roles/")
	consent, err := w.engine.CompleteConsent(w.t.Context(), callback)
	var bad *settings.UserError
	require.ErrorAs(w.t, err, &bad)
	require.Contains(w.t, readByOperator(consent), says)
	for _, hostile := range []string{callback.Code, callback.State} {
		require.True(w.t, hostile == "" || !strings.Contains(readByOperator(consent), hostile), "what came back is not repeated")
	}
	require.Len(w.t, w.sim.Requests(), before)
	require.Equal(w.t, roles, w.stored("roles/"))
}

// stored is what is in storage below prefix.
func (w *world) stored(prefix string) map[string]string {
	w.t.Helper()
	all := make(map[string]string)
	for _, key := range w.keys(prefix) {
		entry, err := w.storage.Get(w.t.Context(), key)
		require.NoError(w.t, err)
		all[key] = string(entry.Value)
	}
	return all
}

func TestConsent_TheURLIsAtTheRolesServerAndAsksForOfflineAccess(t *testing.T) {
	w := newConsentWorld(t)
	begun, err := w.engine.Authorize(t.Context(), "desk")
	require.NoError(t, err)
	require.Equal(t, w.clock.Now().Add(10*time.Minute), begun.ExpiresAt)
	u, err := url.Parse(begun.URL)
	require.NoError(t, err)
	require.Equal(t, w.accounts.URL+"/oauth/v2/auth", u.Scheme+"://"+u.Host+u.Path)
	q := u.Query()
	require.GreaterOrEqual(t, len(q.Get("state")), 43, "256 random bits")
	require.NotEqual(t, q.Get("state"), w.authorize().Query().Get("state"))
	q.Del("state")
	require.Equal(t, url.Values{
		"response_type": {"code"}, "client_id": {w.web.ID}, "redirect_uri": {callbackURL},
		"scope": {"ZohoCRM.modules.ALL,ZohoCRM.settings.READ"}, "access_type": {"offline"}, "prompt": {"consent"},
	}, q)
	require.NotContains(t, begun.URL, w.web.Secret("us"))
	require.Empty(t, w.sim.Requests(), "the mount asks nothing of Zoho")
}

func TestConsent_TheURLIsAtTheRolesDataCenterWhateverTheMounts(t *testing.T) {
	w := newConsentWorld(t)
	w.writeRole("desk", settings.RoleChange{DataCenter: ptr("jp"), ClientSecret: ptr("of-jp")})
	require.Equal(t, "accounts.zoho.jp", w.authorize().Host)
}

func TestConsent_ThatIsGivenAuthorizesTheRole(t *testing.T) {
	w := newConsentWorld(t)
	var bad *settings.UserError
	require.ErrorAs(t, w.readError("desk"), &bad)
	require.Contains(t, bad.Error(), "roles/desk/authorize")
	w.restart() // the state outlives a restart
	callback := w.agreed()
	w.restart()
	role, err := w.complete(callback)
	require.NoError(t, err)
	require.Equal(t, "desk", role)
	require.True(t, w.alive(w.read("desk")))
	require.Equal(t, 1, w.asked())
	require.Empty(t, w.keys("consents/"))

	w.clock.Advance(55 * time.Minute)
	require.True(t, w.alive(w.read("desk")), "and mints on")
}

func TestConsent_CannotBeBegunWhereItCouldNotEnd(t *testing.T) {
	w := newConsentWorld(t)
	w.writeRole("robot", settings.RoleChange{GrantType: ptr(settings.GrantTypeClientCredentials), Scopes: &scopes})
	for role, says := range map[string]string{"nobody": "does not exist", "crm-sync": "no scopes", "robot": "client_credentials", "../x": "not a role name"} {
		_, err := w.engine.Authorize(t.Context(), role)
		var bad *settings.UserError
		require.ErrorAs(t, err, &bad)
		require.Contains(t, err.Error(), says)
	}
	w.configure(settings.ConfigChange{RedirectURI: ptr("")})
	_, err := w.engine.Authorize(t.Context(), "desk")
	require.ErrorContains(t, err, "redirect_uri")
	require.Empty(t, w.keys("consents/"))
}

func TestConsent_AStateThatIsNotPendingDoesNothing(t *testing.T) {
	const says = "link is not valid"
	t.Run("forged", func(t *testing.T) {
		w := newConsentWorld(t)
		callback := w.agreed()
		for _, state := range []string{"", "x", strings.Repeat("A", 43), "../roles/desk", callback.State + "A", callback.State[1:], strings.Repeat("s", 1<<20), "\x00\xff"} {
			forged := callback
			forged.State = state
			w.refused(forged, says)
		}
		_, err := w.complete(callback)
		require.NoError(t, err, "the true one is still good")
	})
	t.Run("reused", func(t *testing.T) {
		w := newConsentWorld(t)
		callback := w.agreed()
		_, err := w.complete(callback)
		require.NoError(t, err)
		again := w.agreed()
		again.State = callback.State
		w.refused(again, says)
	})
	t.Run("expired", func(t *testing.T) {
		w := newConsentWorld(t)
		page := w.authorize()
		w.clock.Advance(10*time.Minute - time.Second)
		callback := w.decide(page.String(), "accept")
		w.clock.Advance(time.Second)
		w.refused(callback, says)
	})
	t.Run("in its last second", func(t *testing.T) {
		w := newConsentWorld(t)
		page := w.authorize()
		w.clock.Advance(10*time.Minute - time.Second)
		_, err := w.complete(w.decide(page.String(), "accept"))
		require.NoError(t, err)
	})
	t.Run("of another mount", func(t *testing.T) {
		w, other := newConsentWorld(t), newConsentWorld(t)
		callback := other.agreed()
		w.authorize()
		w.refused(callback, says)
	})
}

func TestConsent_StorageDoesNotTellTheState(t *testing.T) {
	w := newConsentWorld(t)
	state := w.authorize().Query().Get("state")
	stored := w.stored("consents/")
	require.Len(t, stored, 1)
	for key, value := range stored {
		require.NotContains(t, key+value, state)
	}
}

func TestConsent_ThatNobodyCameBackForIsSwept(t *testing.T) {
	w := newConsentWorld(t)
	w.authorize()
	w.clock.Advance(9 * time.Minute)
	w.authorize()
	w.tick()
	require.Len(t, w.keys("consents/"), 2)
	w.clock.Advance(time.Minute)
	w.tick()
	require.Len(t, w.keys("consents/"), 1)
}

func TestConsent_OfARoleThatWasDeletedDoesNotCompleteOneOfTheSameName(t *testing.T) {
	t.Parallel()
	w := newConsentWorld(t)
	came := w.agreed()
	w.deleteRole("desk")
	w.writeRole("desk", settings.RoleChange{ClientID: &w.web.ID, ClientSecret: ptr(w.web.Secret("us")), Scopes: ptr([]string{"ZohoCRM.modules.ALL"})})
	w.refused(came, "not valid")
}

func TestAuthorize_OfASelfClientWarns(t *testing.T) {
	w := newConsentWorld(t)
	_, err := w.writeCode("self", w.code())
	require.NoError(t, err)
	w.writeRole("self", settings.RoleChange{Scopes: &scopes})
	begun, err := w.engine.Authorize(t.Context(), "self")
	require.NoError(t, err)
	require.Contains(t, strings.Join(begun.Warnings, "\n"), "a Self Client has no redirect URI")
	begun, err = w.engine.Authorize(t.Context(), "desk")
	require.NoError(t, err)
	require.Empty(t, begun.Warnings)
}
