package backend_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend"
	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/backend/zoho"
	"vault-plugin-secrets-zoho/zohosim"
)

// An answer whose token or host no header, URL or shell should see is refused. What
// Zoho has given with it lives there, so it is stored or revoked.

const command = "$(touch${IFS}pwned)"

// answersOnce lets the next token request be answered with these members.
func (w *world) answersOnce(members map[string]any) {
	w.t.Helper()
	body, err := json.Marshal(members)
	require.NoError(w.t, err)
	w.sim.Fault(zohosim.EndpointToken, zohosim.Fault{Kind: zohosim.FaultAnswer, Count: 1, Body: string(body)})
}

func TestMint_AnAnswerThatAShellWouldRunIsRefusedAndItsAccessTokenRevoked(t *testing.T) {
	for name, given := range map[string]map[string]any{
		"in the access token": {"access_token": "1000." + command},
		"in the api_domain":   {"access_token": "1000.a.b", "api_domain": "https://" + command + ".zohoapis.eu"},
		"in both":             {"access_token": "1000." + command, "api_domain": "https://" + command},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.answersOnce(given)
			failed := grantError(t, w.readError("crm-sync"))
			require.Equal(t, zoho.BadAnswer, failed.Kind)
			require.NotContains(t, failed.Error(), command)
			w.settle()
			require.NotZero(t, w.revocations(), "Zoho has given an access token")
			require.Empty(t, w.keys("tokens/"))
		})
	}
}

func TestMint_AnAPIDomainThatIsNoneLeavesNoAccessTokenBehind(t *testing.T) {
	w := newWorld(t)
	w.sim.SetAnswer(zohosim.Answer{APIDomain: "https://" + command})
	require.Error(t, w.readError("crm-sync"))
	w.settle()
	require.Empty(t, w.living("access"))
	w.sim.SetAnswer(zohosim.Answer{})
	w.clock.Advance(settings.DefaultRequestWindow)
	require.True(t, w.alive(w.read("crm-sync")))
}

// A server may answer with the token that it gave before.
func TestMint_ARefusedAnswerDoesNotEndATokenThatSomebodyHolds(t *testing.T) {
	w := newWorld(t)
	held := w.read("crm-sync")
	w.answersOnce(map[string]any{"access_token": held.AccessToken.Reveal(), "api_domain": "https://" + command})
	_, err := w.engine.Rotate(t.Context(), "crm-sync", false)
	require.Equal(t, zoho.BadAnswer, grantError(t, err).Kind)
	w.settle()
	require.True(t, w.alive(held))
}

func TestExchange_ARefreshTokenBesideAnAnswerThatIsRefusedIsKept(t *testing.T) {
	for name, given := range map[string]map[string]any{
		"a command in the access token": {"access_token": "1000." + command},
		"a command in the api_domain":   {"access_token": "1000.a.b", "api_domain": "https://" + command},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			refreshToken := w.sim.Consent(w.client, "us", "other@example.com", scopes)
			given["refresh_token"] = refreshToken
			w.answersOnce(given)
			warnings, err := w.write("books", settings.RoleChange{Code: ptr(w.code()), Scopes: ptr([]string{zoho.ScopeProfile})})
			require.NoError(t, err)
			require.Contains(t, joined(warnings), "no access token that could be used")
			require.NotContains(t, joined(warnings), command)
			require.Equal(t, refreshToken, w.refreshTokenOf("books"))
			w.settle()
			require.NotZero(t, w.revocations(), "the access token is revoked")
			require.True(t, w.alive(w.read("books")), "and the next one is minted from the refresh token")
		})
	}
}

func TestExchange_ARefreshTokenOfAnotherFormIsRevokedAndNotStored(t *testing.T) {
	w := newWorld(t)
	w.answersOnce(map[string]any{"access_token": "1000.a.b", "refresh_token": "1000." + command, "expires_in": 3600})
	before := w.keys("")
	_, err := w.writeCode("books", w.code())
	failed := grantError(t, err)
	require.Equal(t, zoho.BadAnswer, failed.Kind)
	require.Contains(t, failed.Error(), "a refresh token that cannot be one")
	require.Contains(t, failed.Error(), "its refresh token has been revoked")
	require.NotContains(t, failed.Error(), command)
	w.settle()
	require.NotZero(t, w.revocations())
	for _, key := range w.keys("") {
		entry, err := w.storage.Get(t.Context(), key)
		require.NoError(t, err)
		require.NotContains(t, string(entry.Value), "touch", key)
	}
	require.Subset(t, append(before, w.keys("clients/")...), w.keys(""), "only the request is counted")
	require.Empty(t, w.unknown())
}

func TestExchange_ARefreshTokenOfAnotherFormThatCannotBeRevokedIsTold(t *testing.T) {
	w := newWorld(t)
	w.answersOnce(map[string]any{"access_token": "1000.a.b", "refresh_token": "1000." + command})
	for _, endpoint := range []zohosim.Endpoint{zohosim.EndpointRevoke, zohosim.EndpointLegacyRevoke} {
		w.sim.Fault(endpoint, zohosim.Fault{Kind: zohosim.FaultHTML500})
	}
	_, err := w.writeCode("books", w.code())
	require.Contains(t, grantError(t, err).Error(), "could be neither stored nor revoked")
	require.NotContains(t, err.Error(), command)
}

// Answers without one are reported for some products.
func TestMint_AnAnswerWithoutAnAPIDomainGetsTheOneOfItsDataCentre(t *testing.T) {
	w := newWorld(t)
	w.sim.SetAnswer(zohosim.Answer{NoAPIDomain: true})
	require.Empty(t, w.read("crm-sync").APIDomain, "of a server that is none of Zoho's nobody knows it")
	for _, dc := range zoho.DataCenters() {
		require.Equal(t, dc.APIDomain, backend.APIDomain("", "", dc.AccountsURL))
		require.Equal(t, "https://developer.zohoapis.eu", backend.APIDomain("", "https://developer.zohoapis.eu", dc.AccountsURL), "what was said before goes first")
		require.Equal(t, "https://api.zoho.com", backend.APIDomain("https://api.zoho.com", "https://developer.zohoapis.eu", dc.AccountsURL))
	}
	require.Empty(t, backend.APIDomain("", "", "https://accounts.zohoportal.com/clientoauth/v2/10012345"))
}
