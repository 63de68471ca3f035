package backend_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/backend/zoho"
	"vault-plugin-secrets-zoho/zohosim"
)

// expecting is a world whose role desk expects anna's account.
func expecting(t *testing.T) *consentWorld {
	t.Helper()
	w := newConsentWorld(t)
	w.writeRole("desk", settings.RoleChange{Scopes: ptr([]string{"ZohoCRM.modules.ALL", "email", zoho.ScopeProfile, "profile"}), Expected: ptr("Anna@Example.com")})
	w.sim.SetUser(anna, "us")
	return w
}

// A person who sends the address of their own role's consent to somebody else does not get
// that one's account behind the role.
func TestExpectedAccount_AnotherOneIsRefusedAndRevoked(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		user   string
		as     zohosim.Profile
		scopes string
		says   string
	}{
		"another account":       {user: "berta@example.com", says: "another one that agreed"},
		"by its display name":   {user: "berta@example.com", as: zohosim.Profile{DisplayName: anna}, says: "another one that agreed"},
		"by nothing but a name": {user: "+49 30 1234", as: zohosim.Profile{DisplayName: anna, NoEmail: true}, says: "did not tell the verified address"},
		"not verified":          {user: anna, as: zohosim.Profile{EmailUnverified: true}, says: "is not verified"},
		"the scope taken away":  {user: anna, scopes: "ZohoCRM.modules.ALL," + zoho.ScopeProfile, says: "did not tell the verified address"},
		"both taken away":       {user: anna, scopes: "ZohoCRM.modules.ALL", says: "did not tell the verified address"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := expecting(t)
			w.sim.SetUser(row.user, "us")
			w.sim.SetProfile(row.user, row.as)
			came := w.agreed()
			if row.scopes != "" {
				came = w.edited(asking(row.scopes))
			}
			_, err := w.complete(came)
			require.ErrorContains(t, err, row.says)
			require.NotContains(t, err.Error(), "@", "it is logged, and names nobody")
			require.Empty(t, w.refreshTokenOf("desk"))
			require.Empty(t, w.unknown())
			require.Contains(t, w.status("desk").LastConsent.Error, row.says)

			w.sim.SetUser("anna@example.com", "us")
			w.sim.SetProfile("anna@example.com", zohosim.Profile{})
			_, err = w.complete(w.agreed())
			require.NoError(t, err)
			require.Equal(t, zoho.Person{Name: anna, Kind: zoho.VerifiedAddress}, w.status("desk").AuthorizedAs)
			require.NotContains(t, joined(w.status("desk").Doubts), "expected_account")
		})
	}
}

func TestExpectedAccount_HoldsForACodeThatIsWrittenAsWell(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	asked := []string{"ZohoCRM.modules.ALL", "email"}
	write := func(user string) error {
		code := w.sim.Code(w.client, "us", zohosim.CodeSpec{User: user, Scopes: asked})
		_, err := w.write("books", settings.RoleChange{Code: &code, Scopes: &asked, Expected: ptr(anna)})
		return err
	}
	require.ErrorContains(t, write("berta@example.com"), "another one that agreed")
	require.Empty(t, w.unknown())
	require.NoError(t, write(anna))
}

func TestExpectedAccount_IsRefusedWhereNobodyCouldTell(t *testing.T) {
	t.Parallel()
	w := newConsentWorld(t)
	for says, change := range map[string]settings.RoleChange{
		"not an e-mail address":          {Expected: ptr("Anna")},
		"invisible":                      {Expected: ptr("anna@example.com\u202e")},
		"needs the scope email":          {Expected: ptr(anna), Scopes: ptr([]string{"ZohoCRM.modules.ALL", zoho.ScopeProfile})},
		"does not belong to consent=org": {Expected: ptr(anna), Scopes: ptr([]string{"email"}), Consent: ptr(settings.ConsentOrg)},
		"nobody consents to":             {Expected: ptr(anna), Scopes: ptr([]string{"email"}), GrantType: clientCredentials},
	} {
		if says == "invisible" {
			says = "not an e-mail address"
		}
		_, err := w.write("desk", change)
		var bad *settings.UserError
		require.ErrorAs(t, err, &bad, says)
		require.ErrorContains(t, err, says)
	}
}

// What is expected is compared when a code comes: until then the role goes on.
func TestExpectedAccount_OfARoleThatIsAuthorizedWarnsUntilItIsAuthorizedAgain(t *testing.T) {
	t.Parallel()
	w := expecting(t)
	_, err := w.complete(w.agreed())
	require.NoError(t, err)
	const says = "not known to be of expected_account"
	require.Contains(t, joined(w.writeRole("desk", settings.RoleChange{Expected: ptr("berta@example.com")})), says)
	require.Contains(t, joined(w.status("desk").Doubts), says)
	require.True(t, w.alive(w.read("desk")))
	w.sim.SetUser("berta@example.com", "us")
	_, err = w.complete(w.agreed())
	require.NoError(t, err)
	require.NotContains(t, joined(w.status("desk").Doubts), says)
	w.writeRole("desk", settings.RoleChange{Expected: ptr("")})
	w.sim.SetUser(anna, "us")
	_, err = w.complete(w.agreed())
	require.NoError(t, err, "any account, again")
}

// Invariant 19: whose account it is, nobody can hide without a trace.
func TestConsent_WithoutTheScopeThatTellsWhoConsentedSaysSo(t *testing.T) {
	t.Parallel()
	for name, withScope := range map[string]bool{"Zoho names the scopes": true, "Zoho names none": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newConsentWorld(t)
			w.writeRole("desk", settings.RoleChange{Scopes: ptr([]string{"ZohoCRM.modules.ALL", zoho.ScopeProfile})})
			w.sim.SetAnswer(zohosim.Answer{WithScope: withScope})
			consent, err := w.engine.CompleteConsent(t.Context(), w.edited(asking("ZohoCRM.modules.ALL")))
			require.NoError(t, err)
			require.Contains(t, joined(consent.Doubts), "Zoho did not say whose account was authorized")
			require.Equal(t, withScope, strings.Contains(joined(consent.Doubts), "Zoho did not grant "+zoho.ScopeProfile))
			require.Zero(t, w.status("desk").AuthorizedAs)
		})
	}
}

func TestIdentity_TellsWhatItIsWorth(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		as     zohosim.Profile
		scopes []string
		want   zoho.Person
	}{
		"verified":                     {scopes: []string{"email"}, want: zoho.Person{Name: anna, Kind: zoho.VerifiedAddress}},
		"not verified":                 {as: zohosim.Profile{EmailUnverified: true}, scopes: []string{"email"}, want: zoho.Person{Name: anna, Kind: zoho.UnverifiedAddress}},
		"Zoho does not say":            {scopes: []string{zoho.ScopeProfile}, want: zoho.Person{Name: anna, Kind: zoho.Address}},
		"a name that looks so":         {as: zohosim.Profile{NoEmail: true, DisplayName: "ceo@example.com"}, scopes: []string{"openid", "profile"}, want: zoho.Person{Name: "ceo@example.com", Kind: zoho.DisplayName}},
		"an address beside such a one": {as: zohosim.Profile{DisplayName: "ceo@example.com"}, scopes: []string{"openid", "profile", zoho.ScopeProfile}, want: zoho.Person{Name: anna, Kind: zoho.Address}},
		"a name, and no more is told":  {as: zohosim.Profile{NoEmail: true, DisplayName: "Anna"}, scopes: []string{"openid", "profile", zoho.ScopeProfile}, want: zoho.Person{Name: "Anna", Kind: zoho.DisplayName}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newConsentWorld(t)
			w.sim.SetUser(anna, "us")
			w.sim.SetProfile(anna, row.as)
			w.writeRole("desk", settings.RoleChange{Scopes: &row.scopes})
			_, err := w.complete(w.agreed())
			require.NoError(t, err)
			require.Equal(t, row.want, w.status("desk").AuthorizedAs)
			w.restart()
			require.Equal(t, row.want, w.status("desk").AuthorizedAs)
		})
	}
}
