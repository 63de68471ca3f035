package backend_test

import (
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend"
	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/backend/zoho"
	"vault-plugin-secrets-zoho/zohosim"
)

// Grant codes that somebody makes up count at Zoho for the client, as all others do.

// stateFor begins an authorization of a role.
func (w *world) stateFor(role string) string {
	w.t.Helper()
	begun, err := w.engine.Authorize(w.t.Context(), role)
	require.NoError(w.t, err)
	page, err := url.Parse(begun.URL)
	require.NoError(w.t, err)
	return page.Query().Get("state")
}

// desks writes roles of desk's client.
func (w *consentWorld) desks(names ...string) {
	w.t.Helper()
	for _, name := range names {
		w.writeRole(name, settings.RoleChange{ClientID: &w.web.ID, ClientSecret: ptr(w.web.Secret("us")), Scopes: &scopes})
	}
}

// Invariant 15: an hour of junk of one person, who has a role and can begin
// authorizations of it.
func TestConsent_JunkCodesOfOnePersonKeepNobodyElseFromConsenting(t *testing.T) {
	w := newConsentWorld(t)
	w.desks("evil")
	for i := range 240 {
		_, err := w.complete(backend.Callback{State: w.stateFor("evil"), Code: "1000.ab.cd"})
		require.Error(t, err)
		if i%20 == 19 { // every five minutes
			_, err := w.complete(w.agreed())
			require.NoError(t, err, i)
		}
		w.clock.Advance(15 * time.Second)
	}
	for _, r := range w.sim.Requests() {
		require.NotEqual(t, "Access Denied", r.Error, "Zoho never had to throttle")
	}
}

// Invariant 15: a team that may write one role names the client of the others, with a
// secret that it makes up.
func TestExchange_JunkWithAGuessedSecretKeepsNobodyFromACodeOrAFirstToken(t *testing.T) {
	for name, evil := range map[string]func(*world, int) settings.RoleChange{
		"codes": func(w *world, i int) settings.RoleChange {
			return w.evilTwin(settings.RoleChange{Code: ptr(fmt.Sprintf("1000.bogus.%d", i))})
		},
		"client_credentials": func(w *world, i int) settings.RoleChange {
			change := w.evilTwin(settings.RoleChange{GrantType: clientCredentials, Scopes: &scopes})
			change.ClientSecret = ptr(fmt.Sprintf("guess-%d", i))
			return change
		},
		"the mount's own client": func(_ *world, i int) settings.RoleChange {
			return settings.RoleChange{Code: ptr(fmt.Sprintf("1000.bogus.%d", i))}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			for i := range 240 {
				_, _ = w.write("evil", evil(w, i))
				if i%40 == 39 { // every ten minutes
					_, err := w.writeCode(fmt.Sprintf("honest-%d", i), w.code())
					require.NoError(t, err, i)
					robot := fmt.Sprintf("robot-%d", i)
					w.robot(robot, fmt.Sprintf("ZohoCRM.module%d.READ", i))
					require.NoError(t, w.release(w.read(robot)))
				}
				w.clock.Advance(15 * time.Second)
			}
			for _, r := range w.sim.Requests() {
				require.NotEqual(t, "Access Denied", r.Error, "Zoho never had to throttle")
			}
		})
	}
}

// A client that is not the mount's: who guesses its secret takes nothing from who knows it,
// and two who guess leave something to the first role that has the right one.
func TestExchange_GuessedSecretsOfAClientHaveAShareOfTheirOwn(t *testing.T) {
	w := newConsentWorld(t)
	junk := func(roles ...string) {
		for i := range 40 {
			role := roles[i%len(roles)]
			_, _ = w.write(role, settings.RoleChange{ClientID: &w.web.ID, ClientSecret: ptr(guess), Code: ptr("1000.bogus.code"), RedirectURI: ptr(callbackURL)})
			w.clock.Advance(15 * time.Second)
		}
	}
	junk("evil")
	_, err := w.complete(w.agreed())
	require.NoError(t, err, "nothing has ever worked with this secret")
	junk("evil", "worse", "worst")
	before := w.asked()
	_, err = w.write("worst", settings.RoleChange{ClientID: &w.web.ID, ClientSecret: ptr(guess), Code: ptr("1000.bogus.code"), RedirectURI: ptr(callbackURL)})
	require.ErrorContains(t, err, "client secrets that never worked")
	require.Equal(t, before, w.asked())
	w.desks("other")
	for _, role := range []string{"desk", "other"} {
		begun, err := w.engine.Authorize(t.Context(), role)
		require.NoError(t, err)
		_, err = w.complete(w.decide(begun.URL, "accept"))
		require.NoError(t, err, "the secret has worked, whichever role has it")
	}
}

// What is used up is looked at before the link is.
func TestConsent_ThatComesBackTooEarlyCanComeBackAgain(t *testing.T) {
	w := newConsentWorld(t)
	for range 3 {
		_, err := w.complete(w.agreed())
		require.NoError(t, err)
		w.clock.Advance(3 * time.Minute)
	}
	page := w.authorize()
	events := make(chan backend.Event, 100)
	w.notify = func(event backend.Event) { events <- event }
	w.restart()
	asked := w.asked()
	var failed *backend.GrantError
	for range 5 {
		consent, err := w.engine.CompleteConsent(t.Context(), w.decide(page.String(), "accept"))
		failed = grantError(t, err)
		require.Equal(t, zoho.Throttled, failed.Kind)
		require.Contains(t, consent.Texts.ToDo, "Open the same link again")
		require.Contains(t, failed.Error(), `Role "desk" has used 3 of the 10`)
	}
	w.settle()
	require.Empty(t, events, "who has the link can send it as often as they like")
	require.Equal(t, asked, w.asked())
	require.Equal(t, backend.ConsentPending, w.status("desk").LastConsent.State)
	w.clock.Advance(failed.RetryAt.Sub(w.clock.Now()))
	role, err := w.complete(w.decide(page.String(), "accept"))
	require.NoError(t, err)
	require.Equal(t, "desk", role)
	w.settle() // the former refresh token is revoked in the background
	w.refused(backend.Callback{State: page.Query().Get("state"), Code: "1000.ab.cd"}, "link is not valid")
}

// A link that is too old when a code can be exchanged again says so.
func TestConsent_ThatComesBackTooEarlyAndIsTooOldLaterSaysToBeginAgain(t *testing.T) {
	w := newConsentWorld(t)
	page := w.authorize()
	for range 3 {
		_, err := w.complete(w.agreed())
		require.NoError(t, err)
	}
	w.clock.Advance(time.Minute)
	_, err := w.complete(w.decide(page.String(), "accept"))
	var bad *settings.UserError
	require.ErrorAs(t, err, &bad, "another consent has been given since")

	page = w.authorize()
	w.clock.Advance(time.Minute)
	consent, err := w.engine.CompleteConsent(t.Context(), w.decide(page.String(), "accept"))
	require.Error(t, err)
	require.Contains(t, consent.Texts.ToDo, "This link will be too old then", "50 seconds are left then, and it takes one to agree")
	w.clock.Advance(9 * time.Minute)
	w.refused(backend.Callback{State: page.Query().Get("state"), Code: "1000.ab.cd"}, "link is not valid")
}

// Invariant 15: whose account has all the refresh tokens that Zoho allows is denied each
// further one, as if there had been too many requests.
func TestExchange_AccessDeniedToOneRolesPersonSilencesNoOtherRole(t *testing.T) {
	w := &consentWorld{world: newWorldWith(t, zohosim.Options{RefuseExcessRefreshTokens: true})}
	w.addDesk()
	w.desks("evil")
	for range 20 {
		w.sim.Consent(w.web, "us", "evil@example.com", scopes)
	}
	deny := func(role string) error {
		w.sim.SetUser("evil@example.com", "us")
		defer w.sim.SetUser("user@example.com", "us")
		begun, err := w.engine.Authorize(t.Context(), role)
		require.NoError(t, err)
		_, err = w.complete(w.decide(begun.URL, "accept"))
		return err
	}
	for range 2 {
		require.ErrorContains(t, deny("evil"), "gave no reason")
	}
	asked := w.asked()
	require.ErrorContains(t, deny("evil"), "twice in a row")
	require.Equal(t, asked, w.asked(), "the role itself waits")
	_, err := w.complete(w.agreed())
	require.NoError(t, err)

	w.clock.Advance(11 * time.Minute)
	for range 2 {
		require.ErrorContains(t, deny("evil"), "gave no reason")
	}
	require.ErrorContains(t, deny("desk"), "gave no reason")
	w.desks("third")
	require.ErrorContains(t, deny("third"), "twice in a row", "of two roles: that looks like a throttle")
}
