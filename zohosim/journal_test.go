package zohosim_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/zohosim"
)

func TestJournal_TellsWhatArrivedAndWhatWasAnswered(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{})
	w.refreshWith("wrong")
	requests := w.Requests()
	require.Len(t, requests, 1)
	assert.Equal(t, zohosim.Request{
		Time: w.clock.Now(), DataCenter: "eu", Endpoint: zohosim.EndpointToken, Method: "POST", Path: "/oauth/v2/token",
		GrantType: "refresh_token", ClientID: w.client.ID, ContentType: "application/x-www-form-urlencoded",
		Params: []string{"client_id", "client_secret", "grant_type", "refresh_token"},
		Token:  zohosim.Fingerprint("wrong"), Status: 200, Error: "invalid_code",
	}, requests[0])
	assert.Equal(t, 1, w.Count(zohosim.EndpointToken))
	assert.Equal(t, 1, w.TokenRequests("wrong"))
	assert.Zero(t, w.MintCount("wrong"))
}

func TestJournal_NoticesSecretsInTheURL(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{})
	w.mint()
	w.do(w.request(http.MethodPost, w.url+"/oauth/v2/token/revoke?token="+w.refresh, ""))
	requests := w.Requests()
	assert.False(t, requests[0].SecretInURL)
	assert.True(t, requests[1].SecretInURL)
}

func TestJournal_HoldsNoSecretEvenWhereOneIsOutOfPlace(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{})
	access, secret := w.mint(), w.client.Secret("eu")
	w.callAPI(w.url, "Zoho-oauthtoken "+access)
	w.callAPI(w.url, access)
	w.revoke(w.client, "token", access, "token_type", "access_token")
	w.token("grant_type", secret, "client_id", w.refresh, "client_secret", secret, "code", access)
	w.token(access, "")
	text := fmt.Sprintf("%+v %+v", w.Requests(), w.Tokens())
	for _, hidden := range []string{access, secret, w.refresh} {
		assert.NotContains(t, text, hidden)
	}
	assert.Contains(t, text, zohosim.Fingerprint(access))
}

func TestJournal_RecordsFaults(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{})
	w.Fault(zohosim.EndpointToken, zohosim.Fault{Kind: zohosim.FaultHTML500})
	w.refreshWith(w.refresh)
	w.SetDown(true)
	require.Error(t, w.fails(w.refreshForm()))
	requests := w.Requests()
	assert.Equal(t, zohosim.FaultHTML500, requests[0].Fault)
	assert.Equal(t, 500, requests[0].Status)
	assert.EqualValues(t, "down", requests[1].Fault)
	assert.Zero(t, requests[1].Status)
}

func TestTokens_DescribesWhatIsAlive(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{})
	access := w.mint()
	kinds := map[string]string{}
	for _, token := range w.Tokens() {
		kinds[token.Fingerprint] = token.Kind
	}
	assert.Equal(t, map[string]string{zohosim.Fingerprint(access): "access", zohosim.Fingerprint(w.refresh): "refresh"}, kinds)
}

func TestSim_IsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	w := newWorld(t, unthrottled())
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 5 {
				answer, err := w.http().Do(w.refreshForm())
				if assert.NoError(t, err) {
					assert.NoError(t, answer.Body.Close())
				}
				w.SetTokenLife(0)
				w.SetLatency(0)
				w.SetAnswer(zohosim.Answer{})
				w.Requests()
				w.Tokens()
				w.Consent(w.client, "eu", "other@example.com", crm())
			}
		})
	}
	all.Wait()
	assert.Equal(t, 40, w.MintCount(w.refresh))
	assert.Equal(t, 10, w.LiveTokens(w.refresh))
}

func TestMisuse_PanicsWithAMessage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{})
	assert.PanicsWithValue(t, "zohosim: unknown data centre mars", func() { w.Handler("mars") })
	assert.Panics(t, func() { w.Consent(w.client, "eu", "u", []string{"a b"}) })
	assert.Panics(t, func() {
		w.Code(w.webClient(), "eu", zohosim.CodeSpec{Scopes: crm(), RedirectURI: "https://evil.example"})
	})
	_, err := w.Listen("mars")
	assert.ErrorContains(t, err, "mars")
}
