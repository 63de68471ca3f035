package zohosim_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"vault-plugin-secrets-zoho/zohosim"
)

// orgConsentURL is a correct request for the consent of an organisation, with
// changes.
func (w *world) orgConsentURL(client *zohosim.Client, pairs ...string) string {
	return strings.Replace(w.consentURL(client, pairs...), "/oauth/v2/auth?", "/oauth/v2/org/auth?", 1)
}

func TestOrganisation_ConsentPageSaysForWhomTheConsentIs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{})
	client := w.webClient()
	out := w.do(w.request(http.MethodGet, w.orgConsentURL(client, "soid", "zohopay.42"), ""))
	assert.Equal(t, 200, out.status)
	assert.Contains(t, out.raw, "on behalf of the whole organisation <b>zohopay.42</b>")
	assert.Contains(t, w.do(w.request(http.MethodGet, w.orgConsentURL(client), "")).raw, "organisation")
	assert.NotContains(t, w.do(w.request(http.MethodGet, w.consentURL(client), "")).raw, "organisation")
	assert.Equal(t, 2, w.Count(zohosim.EndpointOrgAuth))
	assert.Equal(t, 1, w.Count(zohosim.EndpointAuth))
}

func TestOrganisation_ConsentGivesTokensThatOutliveTheAdministrator(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{})
	client := w.webClient()
	back := w.decide(w.orgConsentURL(client, "soid", "ZohoCRM.600123"), "accept")
	assert.Equal(t, "s&t", back.Get("state"))
	assert.True(t, strings.HasPrefix(back.Get("code"), "1005."), back)
	out := w.exchange(client, back.Get("code"), callback)
	refresh, access := out.text("refresh_token"), out.text("access_token")
	assert.Equal(t, []string{refresh}, w.OrganisationRefreshTokens(client, "eu", "ZohoCRM.600123"))
	assert.Equal(t, "ZohoCRM.600123", w.callAPI(w.url, "Zoho-oauthtoken "+access).text("owner"))

	online := w.exchange(w.client, w.Code(w.client, "eu", zohosim.CodeSpec{Scopes: crm(), Online: true}), "").text("access_token")
	unused := w.codeOf(w.client, "user@example.com")
	other := w.Consent(w.client, "eu", "other@example.com", crm())
	assert.Equal(t, 1, w.RemoveUser("user@example.com"))
	assert.True(t, w.Alive(refresh))
	assert.True(t, w.Alive(access))
	assert.True(t, w.Alive(other))
	assert.False(t, w.Alive(w.refresh))
	assert.False(t, w.Alive(online))
	assert.Equal(t, "invalid_code", w.exchange(w.client, unused, "").text("error"))
	out = w.asClient(client, "grant_type", "refresh_token", "refresh_token", refresh)
	assert.True(t, strings.HasPrefix(out.text("access_token"), "1005."), out.raw)
}

func TestOrganisation_ItsRefreshTokensDoNotCountForTheAdministrator(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{})
	first := w.ConsentForOrganisation(w.client, "eu", "user@example.com", "", crm())
	w.consents(w.client, 19)
	assert.True(t, w.Alive(w.refresh))
	for i := range 20 {
		assert.True(t, w.Alive(first), i)
		out := w.ConsentForOrganisation(w.client, "eu", "other@example.com", "", crm())
		assert.True(t, strings.HasPrefix(out, "1005."))
	}
	assert.False(t, w.Alive(first), "twenty of the organisation, whoever agreed")
	assert.True(t, w.Alive(w.refresh))
	evicted := w.Evicted()
	assert.Len(t, evicted, 1)
	assert.Equal(t, "user@example.com", evicted[0].ConsentedBy)
	assert.NotEqual(t, "user@example.com", evicted[0].Owner)
}

func TestOrganisation_WithoutASOIDOnlyWhereTheClientAllowsIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{})
	strict := w.AddClient(zohosim.ClientSpec{Kind: zohosim.WebClient, RedirectURIs: []string{callback}, RequireSOID: true})
	for _, target := range []string{
		w.orgConsentURL(strict), w.orgConsentURL(strict, "soid", "600123"), w.orgConsentURL(w.webClient(), "soid", "600123"),
	} {
		out := w.do(w.request(http.MethodGet, target, ""))
		assert.Equal(t, 400, out.status)
		assert.Contains(t, out.raw, "missing_org_info")
		assert.Empty(t, out.header.Get("Location"))
	}
	assert.NotEmpty(t, w.decide(w.orgConsentURL(strict, "soid", "zohopay.42"), "accept").Get("code"))
	assert.NotEmpty(t, w.decide(w.consentURL(strict), "accept").Get("code"), "a user's consent needs none")
}

func TestRemoveUser_LeavesTokensOfClientCredentials(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{})
	out := w.asClient(w.client, "grant_type", "client_credentials", "scope", "ZohoCRM.org.READ")
	assert.Equal(t, 0, w.RemoveUser(""))
	assert.True(t, w.Alive(out.text("access_token")))
	assert.True(t, strings.HasPrefix(out.text("access_token"), "1000."))
}
