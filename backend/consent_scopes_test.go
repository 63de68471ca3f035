package backend_test

import (
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend"
	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/zohosim"
)

// A consent brings what the role asked for: whoever has its address can change every part
// of it before they agree.

const deskScopes = "ZohoCRM.modules.ALL,ZohoCRM.settings.READ"

// edited is what Zoho sends back to a person who has changed the address of desk's consent.
func (w *consentWorld) edited(change func(page *url.URL, query url.Values)) backend.Callback {
	w.t.Helper()
	page := w.authorize()
	query := page.Query()
	change(page, query)
	page.RawQuery = query.Encode()
	return w.decide(page.String(), "accept")
}

func asking(scopes string) func(*url.URL, url.Values) {
	return func(_ *url.URL, query url.Values) { query.Set("scope", scopes) }
}

// Invariant 19.
func TestConsent_ThatBringsMoreScopesThanTheRoleAsksForIsRefusedAndRevoked(t *testing.T) {
	t.Parallel()
	for name, scopes := range map[string]string{
		"one more":                    deskScopes + ",ZohoCRM.users.ALL",
		"others":                      "ZohoBooks.fullaccess.ALL",
		"all instead of reading":      "ZohoCRM.modules.ALL,ZohoCRM.settings.ALL",
		"a part of one, by its name":  "ZohoCRM.modules.leads.READ,ZohoCRM.settings.READ",
		"one that tells who consents": deskScopes + ",email",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newConsentWorld(t)
			w.sim.SetAnswer(zohosim.Answer{WithScope: true})
			_, err := w.complete(w.agreed())
			require.NoError(t, err)
			before, lease := w.refreshTokenOf("desk"), w.read("desk")
			came := w.edited(asking(scopes))
			_, err = w.complete(came)
			require.ErrorContains(t, err, `which role "desk" does not ask for`)
			require.ErrorContains(t, err, "has been revoked there")
			require.Equal(t, before, w.refreshTokenOf("desk"), "the role is as it was")
			require.True(t, w.alive(lease))
			require.Empty(t, w.unknown())
			require.Empty(t, w.unwanted())
			require.Len(t, w.counted(), 1)
			last := w.status("desk").LastConsent
			require.Equal(t, backend.ConsentFailed, last.State)
			require.Contains(t, last.Error, `which role "desk" does not ask for`)
			w.refused(backend.Callback{State: came.State, Code: "1000.ab.cd"}, "link is not valid")
		})
	}
}

// Capitals and the order of scopes are Zoho's affair.
func TestConsent_ThatBringsTheSameScopesInAnotherSpellingIsTaken(t *testing.T) {
	t.Parallel()
	w := newConsentWorld(t)
	w.sim.SetAnswer(zohosim.Answer{WithScope: true})
	_, err := w.complete(w.edited(asking("zohocrm.settings.read,ZohoCRM.Modules.all")))
	require.NoError(t, err)
	require.Empty(t, w.status("desk").Doubts)
}

func TestConsent_ThatBringsFewerScopesSaysWhichAreMissing(t *testing.T) {
	t.Parallel()
	w := newConsentWorld(t)
	w.sim.SetAnswer(zohosim.Answer{WithScope: true})
	const says = "Zoho did not grant ZohoCRM.settings.READ"
	consent, err := w.engine.CompleteConsent(t.Context(), w.edited(asking("ZohoCRM.modules.ALL")))
	require.NoError(t, err)
	require.Contains(t, joined(consent.Doubts), says)
	w.restart()
	require.Contains(t, joined(w.status("desk").Doubts), says)
}

func TestConsent_OfWhichZohoNamesNoScopesSaysThatNobodyCanTell(t *testing.T) {
	t.Parallel()
	w := newConsentWorld(t)
	const says = "Zoho did not say which scopes it granted"
	consent, err := w.engine.CompleteConsent(t.Context(), w.edited(asking(deskScopes+",ZohoCRM.users.ALL")))
	require.NoError(t, err, "it cannot be known")
	require.Contains(t, joined(consent.Doubts), says)
	w.restart()
	require.Contains(t, joined(w.status("desk").Doubts), says)

	// A later answer can tell.
	w.sim.SetAnswer(zohosim.Answer{WithScope: true})
	w.clock.Advance(55 * time.Minute)
	w.read("desk")
	w.settle() // the former token is revoked in the background, and a status asks Zoho nothing
	require.Contains(t, joined(w.status("desk").Doubts), "Zoho granted ZohoCRM.users.ALL, which the role does not ask for")
	require.Empty(t, w.status("crm-sync").Doubts, "whose refresh token nobody was asked for")
}

// Invariant 9: what is refused is revoked, whatever fails.
func TestConsent_ThatIsRefusedLosesNoRefreshToken(t *testing.T) {
	t.Parallel()
	for k, hit := 0, true; hit; k++ {
		w := newConsentWorld(t)
		w.sim.SetAnswer(zohosim.Answer{WithScope: true})
		came := w.edited(asking(deskScopes + ",ZohoCRM.users.ALL"))
		failed := w.failingFrom(k, false)
		_, err := w.complete(came)
		require.Error(t, err)
		w.settle()
		w.storage.failing(nil)
		require.Empty(t, w.unknown())
		w.restart()
		w.clock.Advance(time.Hour)
		w.tick()
		require.Empty(t, w.refreshTokenOf("desk"))
		require.Len(t, w.living("refresh"), 1, "crm-sync's alone")
		require.Empty(t, w.unwanted())
		hit = *failed
	}
	t.Run("and Zoho does not revoke it at once", func(t *testing.T) {
		w := newConsentWorld(t)
		w.sim.SetAnswer(zohosim.Answer{WithScope: true})
		came := w.edited(asking(deskScopes + ",ZohoCRM.users.ALL"))
		for _, endpoint := range []zohosim.Endpoint{zohosim.EndpointRevoke, zohosim.EndpointLegacyRevoke} {
			w.sim.Fault(endpoint, zohosim.Fault{Kind: zohosim.FaultHTML500, Count: 1})
		}
		_, err := w.complete(came)
		require.ErrorContains(t, err, "could not be revoked yet")
		require.Empty(t, w.unknown())
		w.clock.Advance(10 * time.Minute)
		w.tick()
		require.Len(t, w.living("refresh"), 1)
	})
}

func TestConsent_FromThePageForTheOthersIsRefused(t *testing.T) {
	t.Parallel()
	for asked, path := range map[string]string{settings.ConsentUser: "/oauth/v2/org/auth", settings.ConsentOrg: "/oauth/v2/auth"} {
		t.Run(asked, func(t *testing.T) {
			t.Parallel()
			w := newConsentWorld(t)
			w.writeRole("desk", settings.RoleChange{Consent: &asked})
			w.refused(w.edited(func(page *url.URL, _ url.Values) { page.Path = path }), "the address of the consent page was changed")
			require.Empty(t, w.keys("consents/"))
		})
	}
}

// A client for organisations: no document says with what codes of its users begin.
func TestConsent_OfAClientForOrganisationsIsTakenWhateverItsCodeBeginsWith(t *testing.T) {
	t.Parallel()
	w := newConsentWorld(t)
	w.writeRole("desk", settings.RoleChange{ClientID: ptr("1005.ABC"), ClientSecret: ptr(guess)})
	_, err := w.complete(backend.Callback{State: w.stateFor("desk"), Code: "1005.ab.cd"})
	require.Equal(t, "invalid_client", grantError(t, err).Code, "Zoho was asked")
}

// What else a person can change brings nothing that could be stored.
func TestConsent_WithAnotherClientAddressOrKindOfAccessBringsNothing(t *testing.T) {
	t.Parallel()
	t.Run("access_type", func(t *testing.T) {
		t.Parallel()
		w := newConsentWorld(t)
		_, err := w.complete(w.edited(func(_ *url.URL, query url.Values) { query.Set("access_type", "online") }))
		require.ErrorContains(t, err, "no refresh token")
		require.Empty(t, w.living("access"))
	})
	t.Run("client_id", func(t *testing.T) {
		t.Parallel()
		w := newConsentWorld(t)
		other := w.sim.AddClient(zohosim.ClientSpec{Kind: zohosim.WebClient, RedirectURIs: []string{callbackURL}})
		_, err := w.complete(w.edited(func(_ *url.URL, query url.Values) { query.Set("client_id", other.ID) }))
		require.Equal(t, "invalid_code", grantError(t, err).Code)
	})
	t.Run("redirect_uri", func(t *testing.T) {
		t.Parallel()
		w := newConsentWorld(t)
		const other = "https://app.example.com/back"
		web := w.sim.AddClient(zohosim.ClientSpec{Kind: zohosim.WebClient, RedirectURIs: []string{callbackURL, other}})
		w.writeRole("desk", settings.RoleChange{ClientID: &web.ID, ClientSecret: ptr(web.Secret("us"))})
		code := w.sim.Code(web, "us", zohosim.CodeSpec{Scopes: scopes, RedirectURI: other, PromptConsent: true})
		_, err := w.complete(backend.Callback{State: w.stateFor("desk"), Code: code})
		require.Equal(t, "invalid_redirect_uri", grantError(t, err).Code)
	})
	t.Run("state", func(t *testing.T) {
		t.Parallel()
		w := newConsentWorld(t)
		w.refused(w.edited(func(_ *url.URL, query url.Values) { query.Set("state", "x") }), "link is not valid")
	})
}
