package backend_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend"
	"vault-plugin-secrets-zoho/backend/settings"
)

func TestConsent_OfAnOrganisationIsAskedAtItsAdministratorsPage(t *testing.T) {
	t.Parallel()
	w := newConsentWorld(t)
	w.writeRole("desk", settings.RoleChange{Consent: ptr(settings.ConsentOrg)})
	page := w.authorize()
	require.Equal(t, w.accounts.URL+"/oauth/v2/org/auth", page.Scheme+"://"+page.Host+page.Path)
	require.False(t, page.Query().Has("soid"), "Zoho lets the administrator choose")

	w.restart()
	w.writeRole("desk", settings.RoleChange{SOID: ptr("zohopay.600123434")})
	page = w.authorize()
	require.Equal(t, "/oauth/v2/org/auth", page.Path)
	require.Equal(t, "zohopay.600123434", page.Query().Get("soid"))

	w.writeRole("desk", settings.RoleChange{Consent: ptr(settings.ConsentUser), SOID: ptr("")})
	page = w.authorize()
	require.Equal(t, "/oauth/v2/auth", page.Path)
	require.False(t, page.Query().Has("soid"))
}

func TestConsent_GoesToNobodyButTheOneWhoWasAskedFor(t *testing.T) {
	t.Parallel()
	for name, changes := range map[string][2]settings.RoleChange{
		"from a person to an organisation":    {{}, {Consent: ptr(settings.ConsentOrg)}},
		"from an organisation to a person":    {{Consent: ptr(settings.ConsentOrg)}, {Consent: ptr(settings.ConsentUser)}},
		"to a certain organisation":           {{Consent: ptr(settings.ConsentOrg)}, {SOID: ptr("ZohoCRM.1")}},
		"from one organisation to another":    {{Consent: ptr(settings.ConsentOrg), SOID: ptr("ZohoCRM.1")}, {SOID: ptr("ZohoCRM.2")}},
		"to the administrator's organisation": {{Consent: ptr(settings.ConsentOrg), SOID: ptr("ZohoCRM.1")}, {SOID: ptr("")}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newConsentWorld(t)
			w.writeRole("desk", changes[0])
			state := w.authorize().Query().Get("state")
			w.writeRole("desk", changes[1])
			w.restart()
			code := "1000.ab.cd"
			if changes[0].Consent != nil {
				code = "1005.ab.cd"
			}
			w.refused(backend.Callback{State: state, Code: code}, "given another consent or soid")
			require.Empty(t, w.keys("consents/"), "a state is good for one attempt")
		})
	}
}

// A write of the same value is no change.
func TestConsent_IsStillGoodAfterAWriteThatChangesNothing(t *testing.T) {
	t.Parallel()
	w := newConsentWorld(t)
	came := w.agreed()
	w.writeRole("desk", settings.RoleChange{Consent: ptr(settings.ConsentUser), SOID: ptr("")})
	_, err := w.complete(came)
	require.NoError(t, err)
}

func TestRole_ConsentIsRefusedWhereItMeansNothing(t *testing.T) {
	t.Parallel()
	w := newConsentWorld(t)
	for says, change := range map[string]settings.RoleChange{
		"consent is neither user nor org":                              {Consent: ptr("admin")},
		"write user if a person":                                       {Consent: ptr("")},
		"soid belongs to grant_type=client_credentials or consent=org": {SOID: ptr("ZohoCRM.1")},
		"nobody consents to grant_type=client_credentials":             {GrantType: ptr(settings.GrantTypeClientCredentials), Consent: ptr(settings.ConsentOrg)},
		"soid is not the name of a service":                            {Consent: ptr(settings.ConsentOrg), SOID: ptr("600")},
	} {
		_, err := w.engine.WriteRole(t.Context(), "desk", change)
		var bad *settings.UserError
		require.ErrorAs(t, err, &bad, says)
		require.ErrorContains(t, err, says)
	}
	role, err := w.engine.Role(t.Context(), "desk")
	require.NoError(t, err)
	require.Equal(t, settings.ConsentUser, role.Consent)
}

// A role that an administrator authorized for the organisation outlives the
// administrator's account; one that a person authorized for themselves does not.
// Source: zoho.com/accounts/protocol/oauth/instance-level-oauth.html.
func TestConsent_OfAnOrganisationOutlivesWhoGaveIt(t *testing.T) {
	t.Parallel()
	w := newConsentWorld(t)
	w.sim.SetUser("admin@example.com", "us")
	ends := map[string]bool{settings.ConsentUser: true, settings.ConsentOrg: false}
	for consent := range ends {
		w.writeRole(consent, settings.RoleChange{
			ClientID: &w.web.ID, ClientSecret: ptr(w.web.Secret("us")), Scopes: &scopes, Consent: &consent,
		})
		begun, err := w.engine.Authorize(t.Context(), consent)
		require.NoError(t, err)
		callback := w.decide(begun.URL, "accept")
		require.Equal(t, consent == settings.ConsentOrg, strings.HasPrefix(callback.Code, "1005."), callback.Code)
		_, err = w.complete(callback)
		require.NoError(t, err)
		require.True(t, w.alive(w.read(consent)))
	}
	require.Equal(t, 1, w.sim.RemoveUser("admin@example.com"))
	w.clock.Advance(2 * time.Hour)
	for consent, ends := range ends {
		if ends {
			require.ErrorContains(t, w.readError(consent), "invalid_code")
		} else {
			require.True(t, w.alive(w.read(consent)))
		}
	}
}
