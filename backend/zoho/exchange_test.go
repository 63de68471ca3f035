package zoho_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend/secret"
	"vault-plugin-secrets-zoho/backend/zoho"
	"vault-plugin-secrets-zoho/zohosim"
)

func webClient() zohosim.ClientSpec {
	return zohosim.ClientSpec{Kind: zohosim.WebClient, RedirectURIs: []string{callback, callback + "/2"}}
}

func (w *world) code(spec zohosim.CodeSpec) secret.Value {
	w.t.Helper()
	spec.Scopes = []string{modules, orgRead}
	return secret.New(w.Code(w.registered, "eu", spec))
}

func TestExchange_TurnsACodeIntoTokensThatWork(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		client      zohosim.ClientSpec
		code        zohosim.CodeSpec
		redirectURI string
	}{
		"of a Self Client":                     {zohosim.ClientSpec{}, zohosim.CodeSpec{}, ""},
		"of a web client":                      {webClient(), zohosim.CodeSpec{PromptConsent: true}, callback},
		"of a web client with two addresses":   {webClient(), zohosim.CodeSpec{PromptConsent: true, RedirectURI: callback + "/2"}, callback + "/2"},
		"of a web client, at a first consent":  {webClient(), zohosim.CodeSpec{User: "new@example.com"}, callback},
		"of a Self Client whose owner is back": {zohosim.ClientSpec{}, zohosim.CodeSpec{User: "user@example.com"}, ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorldOf(t, tc.client, zohosim.Options{Answer: zohosim.Answer{WithScope: true, Expiry: zohosim.ExpiryMillis}})
			exchanged, err := w.client.Exchange(t.Context(), w.app, w.code(tc.code), tc.redirectURI)
			require.NoError(t, err)
			require.True(t, w.Alive(exchanged.AccessToken.Reveal()))
			require.True(t, w.Alive(exchanged.RefreshToken.Reveal()))
			require.NotEqual(t, exchanged.AccessToken.Reveal(), exchanged.RefreshToken.Reveal())
			require.Equal(t, "Bearer", exchanged.TokenType)
			require.Equal(t, time.Hour, exchanged.Life)
			require.Equal(t, []string{modules, orgRead}, exchanged.Scopes)
			require.Equal(t, w.app.AccountsURL, exchanged.APIDomain)
			require.False(t, exchanged.ForeignDomain)

			w.refresh = exchanged.RefreshToken
			w.mint()
		})
	}
}

func TestExchange_ACodeThatIsNoGoodIsRefusedInZohosWords(t *testing.T) {
	t.Parallel()
	type attempt struct {
		code        secret.Value
		redirectURI string
	}
	cases := map[string]struct {
		client zohosim.ClientSpec
		spoil  func(w *world, a *attempt)
		code   string
		kind   zoho.Kind
	}{
		"used already": {zohosim.ClientSpec{}, func(w *world, a *attempt) {
			_, err := w.client.Exchange(w.t.Context(), w.app, a.code, "")
			require.NoError(w.t, err)
		}, "invalid_code", zoho.Refused},
		"expired":         {zohosim.ClientSpec{}, func(w *world, _ *attempt) { w.clock.Advance(2 * time.Minute) }, "invalid_code", zoho.Refused},
		"never given out": {zohosim.ClientSpec{}, func(_ *world, a *attempt) { a.code = secret.New(grantCode) }, "invalid_code", zoho.Refused},
		"empty":           {zohosim.ClientSpec{}, func(_ *world, a *attempt) { a.code = secret.Value{} }, "invalid_code", zoho.Refused},
		"a refresh token": {zohosim.ClientSpec{}, func(w *world, a *attempt) { a.code = w.refresh }, "invalid_code", zoho.Refused},
		"of another client": {zohosim.ClientSpec{}, func(w *world, _ *attempt) {
			w.app = appOf(&zohosim.Accounts{URL: w.app.AccountsURL, DataCenter: "eu"}, w.AddClient(zohosim.ClientSpec{}))
		}, "invalid_code", zoho.Refused},
		"of another data centre": {zohosim.ClientSpec{SameSecret: true}, func(w *world, _ *attempt) { w.app.AccountsURL = listen(w, "us") }, "invalid_code", zoho.Refused},
		"with the secret of another data centre": {zohosim.ClientSpec{}, func(w *world, _ *attempt) {
			w.app.AccountsURL = listen(w, "us")
		}, "invalid_client_secret", zoho.Misconfigured},
		"with an unknown client":              {zohosim.ClientSpec{}, func(w *world, _ *attempt) { w.app.ClientID = clientID }, "invalid_client", zoho.Misconfigured},
		"sent to another address":             {webClient(), func(_ *world, a *attempt) { a.redirectURI = callback + "/2" }, "invalid_redirect_uri", zoho.Misconfigured},
		"sent to a similar address":           {webClient(), func(_ *world, a *attempt) { a.redirectURI = callback + "/" }, "invalid_redirect_uri", zoho.Misconfigured},
		"without the address":                 {webClient(), func(_ *world, a *attempt) { a.redirectURI = "" }, "invalid_redirect_uri", zoho.Misconfigured},
		"of a Self Client but an address too": {zohosim.ClientSpec{}, func(_ *world, a *attempt) { a.redirectURI = callback }, "invalid_redirect_uri", zoho.Misconfigured},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorldOf(t, tc.client, zohosim.Options{})
			try := attempt{code: w.code(zohosim.CodeSpec{})}
			if tc.client.Kind == zohosim.WebClient {
				try.redirectURI = callback
			}
			tc.spoil(w, &try)
			before := len(w.Tokens())
			exchanged, err := w.client.Exchange(t.Context(), w.app, try.code, try.redirectURI)
			require.Zero(t, exchanged)
			failed := asError(t, err)
			require.Equal(t, tc.code, failed.Code)
			require.Equal(t, tc.kind, failed.Kind)
			require.Equal(t, 200, failed.Status)
			require.True(t, failed.NoToken())
			require.Len(t, w.Tokens(), before)
		})
	}
}

func TestExchange_ACodeIsGoodUntilItExpires(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{})
	code := w.code(zohosim.CodeSpec{})
	w.clock.Advance(2*time.Minute - time.Second)
	_, err := w.client.Exchange(t.Context(), w.app, code, "")
	require.NoError(t, err)
}

func TestExchange_WithoutOfflineAccessThereIsATokenButNoRefreshToken(t *testing.T) {
	t.Parallel()
	for name, spec := range map[string]zohosim.CodeSpec{
		"online":                             {Online: true, PromptConsent: true},
		"a second consent without prompting": {}, // the world's grant was the first
	} {
		w := newWorldOf(t, webClient(), zohosim.Options{})
		exchanged, err := w.client.Exchange(t.Context(), w.app, w.code(spec), callback)
		require.NoError(t, err, name)
		require.True(t, w.Alive(exchanged.AccessToken.Reveal()), name)
		require.True(t, exchanged.RefreshToken.IsZero(), name)
	}
}

func TestNoRefreshToken_SaysWhatStandsInTheWay(t *testing.T) {
	t.Parallel()
	failed := zoho.NoRefreshToken(appAt("https://accounts.zoho.eu"))
	require.Equal(t, zoho.Misconfigured, failed.Kind)
	require.Equal(t, 200, failed.Status)
	require.Empty(t, failed.Code, "Zoho sent no error word")
	for _, part := range []string{"https://accounts.zoho.eu", "refresh token", "used up", "Connected Apps", "those of other roles, too"} {
		require.Contains(t, failed.Error(), part)
	}
	requireNoSecret(t, failed)
}

func TestExchange_WhatIsNoTextOrRepeatsTheRequestIsNoRefreshToken(t *testing.T) {
	t.Parallel()
	cases := map[string]any{
		"missing":                      nil,
		"null":                         json.RawMessage("null"),
		"empty":                        "",
		"a number":                     1000.5,
		"true":                         true,
		"a list":                       []string{refreshToken},
		"an object":                    map[string]any{"token": refreshToken},
		"the client secret":            clientSecret,
		"the client secret, uppercase": strings.ToUpper(clientSecret),
		"around the client secret":     "1000." + clientSecret + ".aa",
		"the grant code":               grantCode,
		"the grant code and more":      grantCode + "00",
	}
	for name, token := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			exchanged, err := exchange(t, answer(200, tokenJSON(map[string]any{"refresh_token": token})))
			require.NoError(t, err, "the access token is good")
			require.Equal(t, accessToken, exchanged.AccessToken.Reveal())
			require.Equal(t, "https://www.zohoapis.eu", exchanged.APIDomain)
			require.True(t, exchanged.RefreshToken.IsZero())
		})
	}
	for _, good := range []string{refreshToken, strings.Repeat("a", 2048)} {
		exchanged, err := exchange(t, answer(200, tokenJSON(map[string]any{"refresh_token": good})))
		require.NoError(t, err)
		require.Equal(t, good, exchanged.RefreshToken.Reveal())
		require.False(t, exchanged.OddRefreshToken)
		require.NotContains(t, fmt.Sprintf("%v %+v %#v", exchanged, exchanged, exchanged), good)
	}
}

// If it were stored, it would be sent at every refresh, for ever. Zoho has given it all
// the same, and it is one of the twenty that a user can have.
func TestExchange_ARefreshTokenThatCannotBeOneComesBesideAnErrorToBeRevoked(t *testing.T) {
	t.Parallel()
	for name, token := range map[string]string{
		"a newline at its end":  refreshToken + "\n",
		"a line of its own":     "1000.aa\r\nX-Admin: true",
		"a space":               "1000.aa bb",
		"nothing but spaces":    "   ",
		"a NUL":                 "1000.\x00",
		"DEL":                   "1000.\x7f",
		"a letter beyond ASCII": "1000.é",
		"more than 2048 bytes":  strings.Repeat("a", 2049),
		"a command":             "1000.$(touch${IFS}pwned).aa",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			exchanged, err := exchange(t, answer(200, tokenJSON(map[string]any{"refresh_token": token})))
			failed := asError(t, err)
			require.Equal(t, zoho.BadAnswer, failed.Kind)
			require.False(t, failed.NoToken())
			require.True(t, exchanged.OddRefreshToken)
			require.Equal(t, token, exchanged.RefreshToken.Reveal())
			require.Equal(t, zoho.Token{AccessToken: secret.New(accessToken)}, exchanged.Token)
			requireNoSecret(t, failed)
		})
	}
}

func TestExchange_ARefreshTokenBesideNoUsableAccessTokenIsTakenBesideTheError(t *testing.T) {
	t.Parallel()
	for name, members := range map[string]map[string]any{
		"no access token":               {"access_token": nil},
		"an access token that expired":  {"expires_in": 0},
		"a line break in it":            {"access_token": accessToken + "\n"},
		"the code as access token":      {"access_token": grantCode},
		"the secret as access token":    {"access_token": "1000." + clientSecret},
		"an error without an end":       {"access_token": nil, "error": "server_busy"},
		"a command in the access token": {"access_token": "1000.$(id)"},
		"an api_domain that is none":    {"api_domain": "https://$(id).zohoapis.eu"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			members["refresh_token"] = refreshToken
			exchanged, err := exchange(t, answer(200, tokenJSON(members)))
			require.Equal(t, zoho.Token{AccessToken: exchanged.AccessToken}, exchanged.Token)
			require.False(t, exchanged.OddRefreshToken)
			require.Equal(t, members["error"] == nil, exchanged.RefreshToken.Equal(secret.New(refreshToken)), "unless the answer says no")
			failed := asError(t, err)
			require.Equal(t, zoho.BadAnswer, failed.Kind)
			require.False(t, failed.NoToken(), "Zoho did mint one")
			requireNoSecret(t, failed)
		})
	}
}

func TestExchange_WhatRepeatsTheCodeIsLeftOut(t *testing.T) {
	t.Parallel()
	exchanged, err := exchange(t, answer(200, tokenJSON(map[string]any{
		"token_type": grantCode, "scope": "x" + grantCode + " " + modules, "refresh_token": refreshToken,
	})))
	require.NoError(t, err)
	require.Empty(t, exchanged.TokenType)
	require.Equal(t, []string{modules}, exchanged.Scopes)
	require.Equal(t, refreshToken, exchanged.RefreshToken.Reveal(), "the good one stays")
}

// A code is good once: an answer that is lost takes it along, and whether the
// user's twenty refresh tokens are one more now is not known.
func TestExchange_NoTokenIsOnlySaidWhereNoneWasMinted(t *testing.T) {
	t.Parallel()
	for _, kind := range zohosim.FaultKinds() {
		for _, processed := range []bool{false, true} {
			if kind == zohosim.FaultHang || (kind == zohosim.FaultThrottled && processed) {
				continue // hanging has tests of its own; Zoho throttles before it mints
			}
			t.Run(fmt.Sprint(kind, " processed ", processed), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, zohosim.Options{})
				code, before := w.code(zohosim.CodeSpec{}), len(w.Tokens())
				w.Fault(zohosim.EndpointToken, zohosim.Fault{Kind: kind, Count: 1, Processed: processed, Status: 502, Body: "Bad Gateway"})
				exchanged, err := w.client.Exchange(t.Context(), w.app, code, "")
				require.Zero(t, exchanged)
				failed := asError(t, err)
				minted := len(w.Tokens()) > before
				require.False(t, minted && failed.NoToken(), "%s: %v", failed.Kind, failed)
				require.Equal(t, kind == zohosim.FaultThrottled, failed.NoToken())
				require.Equal(t, 1, w.Count(zohosim.EndpointToken))
			})
		}
	}
}
