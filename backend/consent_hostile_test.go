package backend_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend"
	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/zohosim"
)

func TestConsent_ThatIsDeniedOrBrokenLeavesTheRoleAsItWas(t *testing.T) {
	for says, change := range map[string]func(*backend.Callback){
		"was not given consent":    func(c *backend.Callback) { c.Code, c.Error = "", "access_denied" },
		"ended the authorization":  func(c *backend.Callback) { c.Error = "<script>general_error" },
		"sent no grant code":       func(c *backend.Callback) { c.Code = "" },
		"code contains a blank":    func(c *backend.Callback) { c.Code += " \r\n" },
		"at most 4096 make sense;": func(c *backend.Callback) { c.Code = strings.Repeat("x", 1<<20) },
	} {
		w := newConsentWorld(t)
		_, err := w.complete(w.agreed())
		require.NoError(t, err)
		lease := w.read("desk")
		callback := w.agreed()
		good := callback
		change(&callback)
		w.refused(callback, says)
		w.refused(good, "link is not valid") // one attempt
		require.Equal(t, lease.TokenID, w.read("desk").TokenID)
	}
}

func TestConsent_DeniedAtTheConsentPageSaysSo(t *testing.T) {
	w := newConsentWorld(t)
	w.refused(w.decide(w.authorize().String(), "deny"), "denied")
}

func TestConsent_ACodeThatZohoRefusesLeavesTheRoleAsItWas(t *testing.T) {
	w := newConsentWorld(t)
	_, err := w.complete(w.agreed())
	require.NoError(t, err)
	lease := w.read("desk")
	callback := w.agreed()
	callback.Code = w.code() // of another client
	_, err = w.complete(callback)
	require.Equal(t, "invalid_code", grantError(t, err).Code)
	require.Equal(t, lease.TokenID, w.read("desk").TokenID)
}

// Invariant 10.
func TestConsent_NoRequestReachesAnyServerButThePinnedOne(t *testing.T) {
	var caught atomic.Int64
	hostile := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { caught.Add(1) }))
	t.Cleanup(hostile.Close)
	w := newConsentWorld(t)
	abroad, err := w.sim.Listen("eu")
	require.NoError(t, err)
	for _, server := range []string{
		hostile.URL, abroad.URL, "https://accounts.zoho.eu", "https://accounts.zoho.eu/", "https://accounts.zoho.com",
		"https://accounts.zoho.com.evil.example", "https://accounts.zoho.com@evil.example", "https://evil.example/https://accounts.zoho.com",
		"//" + strings.TrimPrefix(hostile.URL, "http://"), w.accounts.URL + "@" + strings.TrimPrefix(hostile.URL, "http://"),
		w.accounts.URL + "/../x", w.accounts.URL + "/x", w.accounts.URL + "?x=" + hostile.URL, w.accounts.URL + "#x", w.accounts.URL + "\r\nHost: evil.example",
		"javascript:alert(1)", "file:///etc/passwd", "accounts.zoho.com", " ", "\x00", "[::1]:80", strings.Repeat("https://evil.example/", 1000),
	} {
		callback := w.agreed()
		callback.AccountsServer = server
		before := len(w.sim.Requests())
		_, err := w.complete(callback)
		var bad *settings.UserError
		require.ErrorAs(t, err, &bad, server)
		require.NotContains(t, err.Error(), "evil")
		require.Contains(t, err.Error(), "othing has changed")
		require.Len(t, w.sim.Requests(), before, "neither at home nor abroad")
		w.clock.Advance(11 * time.Minute) // Zoho gives ten codes in ten minutes
	}
	require.Zero(t, caught.Load())
	require.Error(t, w.readError("desk"))
	require.Empty(t, w.unknown())
}

// Invariant 10: of a server of the operator's own the location says nothing,
// and for one of Zoho's it is compared.
func TestConsent_LocationNeverChoosesTheServer(t *testing.T) {
	for _, location := range []string{"eu", "us", "xx", "accounts.zoho.eu", "https://evil.example", "\x00", strings.Repeat("e", 1<<16)} {
		w := newConsentWorld(t)
		callback := w.agreed()
		callback.Location, callback.AccountsServer = location, ""
		_, err := w.complete(callback)
		require.NoError(t, err, "the pinned server was asked, and knows the code")
	}
	for location, says := range map[string]string{
		"eu": "data centre eu", "xx": "none of Zoho's", "https://evil.example": "none of Zoho's", strings.Repeat("e", 1<<16): "none of Zoho's",
	} {
		w := newConsentWorld(t)
		w.writeRole("desk", settings.RoleChange{DataCenter: ptr("jp"), ClientSecret: ptr("of-jp")})
		w.refused(backend.Callback{State: w.authorize().Query().Get("state"), Code: "1000.a.b", Location: location}, says)
	}
}

func TestConsent_OfAPersonInAnotherDataCenterSaysWhatToDo(t *testing.T) {
	w := newConsentWorld(t)
	w.writeRole("desk", settings.RoleChange{DataCenter: ptr("jp"), ClientSecret: ptr("of-jp")})
	callback := backend.Callback{State: w.authorize().Query().Get("state"), Code: "1000.a.b", Location: "eu", AccountsServer: "https://accounts.zoho.eu"}
	w.refused(callback, "data_center=eu client_id=... client_secret=...")
}

func TestConsent_CannotTouchARoleThatIsAnotherByNow(t *testing.T) {
	t.Run("deleted", func(t *testing.T) {
		w := newConsentWorld(t)
		callback := w.agreed()
		w.deleteRole("desk")
		w.refused(callback, "not valid")
	})
	t.Run("of another client", func(t *testing.T) {
		w := newConsentWorld(t)
		callback := w.agreed()
		w.writeRole("desk", w.own(settings.RoleChange{}))
		w.refused(callback, "has been changed to another client or Accounts server")
	})
	t.Run("of another data centre", func(t *testing.T) {
		w := newConsentWorld(t)
		callback := w.agreed()
		w.writeRole("desk", settings.RoleChange{DataCenter: ptr("eu"), ClientSecret: ptr("of-eu")})
		w.refused(callback, "has been changed to another client or Accounts server")
	})
	t.Run("of another grant type", func(t *testing.T) {
		w := newConsentWorld(t)
		callback := w.agreed()
		w.writeRole("desk", settings.RoleChange{GrantType: ptr(settings.GrantTypeClientCredentials)})
		w.refused(callback, "given other credentials")
	})
	t.Run("of a client that the mount has no longer", func(t *testing.T) {
		w := newConsentWorld(t)
		w.writeRole("crm-sync", settings.RoleChange{Scopes: &scopes})
		begun, err := w.engine.Authorize(t.Context(), "crm-sync")
		require.NoError(t, err)
		w.configure(settings.ConfigChange{ClientID: &w.web.ID, ClientSecret: ptr(w.web.Secret("us"))})
		_, state, _ := strings.Cut(begun.URL, "state=")
		w.refused(backend.Callback{State: state, Code: "1000.a.b"}, "has been changed to another client or Accounts server")
	})
}

// A role is pinned to the server that its credentials were written for, also
// when the mount has moved on.
func TestConsent_IsExchangedAtTheRolesServerThoughTheMountHasMoved(t *testing.T) {
	w := newConsentWorld(t)
	w.configure(settings.ConfigChange{AccountsURL: ptr("https://accounts.example.com"), ClientID: ptr("1000.X"), ClientSecret: ptr("y")})
	_, err := w.complete(w.agreed())
	require.NoError(t, err)
	require.True(t, w.alive(w.read("desk")))
}

func TestConsent_OfTwoCallbacksAtOnceOneWinsWithOneExchange(t *testing.T) {
	w := newConsentWorld(t)
	callback := w.agreed()
	release := w.holdAnswers()
	done := make(chan []error)
	go func() {
		done <- atOnce(2, func(int) error { _, err := w.complete(callback); return err })
	}()
	require.Eventually(t, func() bool { return w.asked() == 1 }, 10*time.Second, time.Millisecond)
	release()
	errs := <-done
	require.True(t, (errs[0] == nil) != (errs[1] == nil), "%v", errs)
	require.Equal(t, 1, w.asked())
	require.True(t, w.alive(w.read("desk")))
}

func TestConsent_TwoAuthorizationsOfOneRoleLeaveOneRefreshTokenAndLoseNone(t *testing.T) {
	w := newConsentWorld(t)
	w.sim.Kill(w.refreshToken)
	callbacks := []backend.Callback{w.agreed(), w.agreed()}
	errs := atOnce(2, func(i int) error { _, err := w.complete(callbacks[i]); return err })
	require.True(t, (errs[0] == nil) != (errs[1] == nil), "the first one wins: %v", errs)
	require.True(t, w.alive(w.read("desk")))
	w.clock.Advance(time.Minute)
	w.tick()
	require.Len(t, w.living("refresh"), 1)
	require.Empty(t, w.unknown())
}

// Invariant 9.
func TestConsent_ABrowserThatIsClosedLosesNothing(t *testing.T) {
	w := newConsentWorld(t)
	callback := w.agreed()
	release := w.holdAnswers()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { _, err := w.engine.CompleteConsent(ctx, callback); done <- err }()
	require.Eventually(t, func() bool { return w.asked() == 1 }, 10*time.Second, time.Millisecond)
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
	release()
	w.settle()
	require.True(t, w.alive(w.read("desk")))
	require.Equal(t, 1, w.asked())
}

// Invariant 9.
func TestConsent_StorageFailingAtEachWriteLosesNothing(t *testing.T) {
	for k, hit := 0, true; hit; k++ {
		w := newConsentWorld(t)
		w.sim.Kill(w.refreshToken)
		_, err := w.complete(w.agreed())
		require.NoError(t, err)
		before := w.refreshTokenOf("desk")
		callback := w.agreed()
		failed := w.failingFrom(k, false)
		_, err = w.complete(callback)
		w.settle()
		w.storage.failing(nil)
		require.Equal(t, err != nil, w.refreshTokenOf("desk") == before)
		require.Empty(t, w.unknown())
		w.restart()
		require.True(t, w.alive(w.read("desk")))
		hit = *failed
	}
}

func TestConsent_AsksForTheScopesOfTheRole(t *testing.T) {
	w := newConsentWorld(t)
	w.sim.SetAnswer(zohosim.Answer{WithScope: true})
	_, err := w.complete(w.agreed())
	require.NoError(t, err)
	require.Equal(t, []string{"ZohoCRM.modules.ALL", "ZohoCRM.settings.READ"}, w.read("desk").Scopes)
}
