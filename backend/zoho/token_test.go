package zoho_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend/zoho"
)

func TestRefresh_ReadsEveryShapeOfExpiresIn(t *testing.T) {
	t.Parallel()
	type members = map[string]any
	const missing = 3600 * time.Second // what an answer without a life is taken for
	cases := map[string]struct {
		members members
		want    time.Duration
	}{
		"seconds":                             {members{"expires_in": 3600}, time.Hour},
		"few seconds":                         {members{"expires_in": 60}, time.Minute},
		"four seconds":                        {members{"expires_in": 4}, 4 * time.Second},
		"milliseconds beside expires_in_sec":  {members{"expires_in": 3600000, "expires_in_sec": 3600}, time.Hour},
		"expires_in_sec decides":              {members{"expires_in": 3600000, "expires_in_sec": 120}, 2 * time.Minute},
		"expires_in_sec alone":                {members{"expires_in": nil, "expires_in_sec": 120}, 2 * time.Minute},
		"expires_in_sec as a string":          {members{"expires_in": "3600000", "expires_in_sec": "120"}, 2 * time.Minute},
		"expires_in_sec of zero is no word":   {members{"expires_in": 1800, "expires_in_sec": 0}, 30 * time.Minute},
		"expires_in_sec below zero, likewise": {members{"expires_in": 1800, "expires_in_sec": -1}, 30 * time.Minute},
		"milliseconds alone":                  {members{"expires_in": 3600000}, time.Hour},
		"milliseconds alone, half an hour":    {members{"expires_in": 1800000}, 30 * time.Minute},
		"milliseconds in a string":            {members{"expires_in": "1800000"}, 30 * time.Minute},
		"a string":                            {members{"expires_in": "1800"}, 30 * time.Minute},
		"missing":                             {members{"expires_in": nil}, missing},
		"null":                                {members{"expires_in": json.RawMessage("null")}, missing},
		"an empty string":                     {members{"expires_in": ""}, missing},
		"a word":                              {members{"expires_in": "an hour"}, missing},
		"NaN":                                 {members{"expires_in": "NaN"}, missing},
		"infinity":                            {members{"expires_in": "Inf"}, missing},
		"true":                                {members{"expires_in": true}, missing},
		"a list":                              {members{"expires_in": []int{3600}}, missing},
		"more than an hour is not believed":   {members{"expires_in": 7200}, time.Hour},
		"a day is not believed":               {members{"expires_in": 86400}, time.Hour},
		"huge":                                {members{"expires_in": json.RawMessage("1e300")}, time.Hour},
		"beyond a float":                      {members{"expires_in": json.RawMessage("1e999")}, missing},
		"huge expires_in_sec":                 {members{"expires_in_sec": json.RawMessage("1e18")}, time.Hour},
		"a fraction":                          {members{"expires_in": 1799.5}, 1799500 * time.Millisecond},
		"an exponent":                         {members{"expires_in": json.RawMessage("36e2")}, time.Hour},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			token, err := refresh(t, answer(200, tokenJSON(tc.members)))
			require.NoError(t, err)
			require.Equal(t, tc.want, token.Life)
			require.Equal(t, accessToken, token.AccessToken.Reveal())
		})
	}
}

func TestRefresh_ATokenThatIsAlreadyExpiredIsABadAnswer(t *testing.T) {
	t.Parallel()
	for name, life := range map[string]any{
		"zero": 0, "zero in a string": "0", "negative": -3600, "hugely negative": json.RawMessage("-1e300"), "too short for a lease": 3.9,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			failed := refused(t, answer(200, tokenJSON(map[string]any{"expires_in": life})))
			require.Equal(t, zoho.BadAnswer, failed.Kind)
			require.False(t, failed.NoToken(), "Zoho did mint one")
		})
	}
}

func TestRefresh_ReadsTheRestOfTheAnswer(t *testing.T) {
	t.Parallel()
	type members = map[string]any
	cases := map[string]struct {
		members members
		want    zoho.Token // without token and life
	}{
		"as documented":            {nil, zoho.Token{TokenType: "Bearer", APIDomain: "https://www.zohoapis.eu"}},
		"no api_domain":            {members{"api_domain": nil}, zoho.Token{TokenType: "Bearer"}},
		"api_domain is null":       {members{"api_domain": json.RawMessage("null")}, zoho.Token{TokenType: "Bearer"}},
		"api_domain is an object":  {members{"api_domain": members{"eu": 1}}, zoho.Token{TokenType: "Bearer"}},
		"api_domain with a slash":  {members{"api_domain": "https://www.zohoapis.com/"}, zoho.Token{TokenType: "Bearer", APIDomain: "https://www.zohoapis.com"}},
		"api_domain with slashes":  {members{"api_domain": "https://www.zohoapis.com//"}, zoho.Token{TokenType: "Bearer", APIDomain: "https://www.zohoapis.com"}},
		"no token_type":            {members{"token_type": nil}, zoho.Token{APIDomain: "https://www.zohoapis.eu"}},
		"scopes and commas":        {members{"scope": "ZohoCRM.modules.ALL,ZohoCRM.org.READ"}, zoho.Token{TokenType: "Bearer", APIDomain: "https://www.zohoapis.eu", Scopes: []string{"ZohoCRM.modules.ALL", "ZohoCRM.org.READ"}}},
		"scopes and spaces":        {members{"scope": "ZohoCRM.modules.ALL ZohoCRM.org.READ"}, zoho.Token{TokenType: "Bearer", APIDomain: "https://www.zohoapis.eu", Scopes: []string{"ZohoCRM.modules.ALL", "ZohoCRM.org.READ"}}},
		"scopes and both":          {members{"scope": " ZohoCRM.modules.ALL, ZohoCRM.org.READ,"}, zoho.Token{TokenType: "Bearer", APIDomain: "https://www.zohoapis.eu", Scopes: []string{"ZohoCRM.modules.ALL", "ZohoCRM.org.READ"}}},
		"one scope":                {members{"scope": "ZohoFSM.modules.all"}, zoho.Token{TokenType: "Bearer", APIDomain: "https://www.zohoapis.eu", Scopes: []string{"ZohoFSM.modules.all"}}},
		"an empty scope":           {members{"scope": ""}, zoho.Token{TokenType: "Bearer", APIDomain: "https://www.zohoapis.eu"}},
		"a scope of separators":    {members{"scope": " , "}, zoho.Token{TokenType: "Bearer", APIDomain: "https://www.zohoapis.eu"}},
		"a list of scopes":         {members{"scope": []string{"ZohoCRM.org.READ"}}, zoho.Token{TokenType: "Bearer", APIDomain: "https://www.zohoapis.eu"}},
		"members unknown to us":    {members{"refresh_token": "new", "id_token": "x", "x": []any{1, nil}}, zoho.Token{TokenType: "Bearer", APIDomain: "https://www.zohoapis.eu"}},
		"an empty error beside it": {members{"error": ""}, zoho.Token{TokenType: "Bearer", APIDomain: "https://www.zohoapis.eu"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			token, err := refresh(t, answer(200, tokenJSON(tc.members)))
			require.NoError(t, err)
			require.Equal(t, accessToken, token.AccessToken.Reveal())
			token.AccessToken, token.Life = tc.want.AccessToken, 0
			require.Equal(t, tc.want, token)
		})
	}
}

// All of it is shown to readers, in clear.
func TestRefresh_WhatDoesNotHaveZohosFormIsLeftOut(t *testing.T) {
	t.Parallel()
	cases := map[string][]string{
		"token_type": {
			"Bearer token", "Bearer\n", "Bearer:", "<b>", "1000.aa", strings.Repeat("a", 33), clientSecret, strings.ToLower(clientSecret), clientSecret[:6], "X-" + clientSecret, refreshToken,
		},
		"scope": {
			".modules.ALL", "ZohoCRM.modules.\n", "ZohoCRM.<b>", "1.2.3", "a." + strings.Repeat("b", 65), "a.b.c.d.e.f.g", "ZohoCRM." + clientSecret, clientSecret + ".modules.ALL", "x" + refreshToken,
		},
	}
	for member, values := range cases {
		for _, value := range values {
			t.Run(member+" "+value[:min(40, len(value))], func(t *testing.T) {
				t.Parallel()
				token, err := refresh(t, answer(200, tokenJSON(map[string]any{member: value})))
				require.NoError(t, err, "the token itself is good")
				want := map[string]any{"token_type": "Bearer", "scope": []string(nil)}
				want[member] = map[string]any{"token_type": "", "scope": []string(nil)}[member]
				require.Equal(t, want, map[string]any{"token_type": token.TokenType, "scope": token.Scopes})
			})
		}
	}
	token, err := refresh(t, answer(200, tokenJSON(map[string]any{"scope": "ZohoCRM.modules.ALL," + clientSecret + ".x ZohoCRM.org.READ"})))
	require.NoError(t, err)
	require.Equal(t, []string{"ZohoCRM.modules.ALL", "ZohoCRM.org.READ"}, token.Scopes, "the good ones stay")
}

func TestRefresh_TheBodyDecidesWhateverTheStatus(t *testing.T) {
	t.Parallel()
	for _, status := range []int{200, 201, 302, 400, 401, 403, 500, 503} {
		token, err := refresh(t, answer(status, "\n "+tokenJSON(nil)+"\r\n"))
		require.NoError(t, err, status)
		require.Equal(t, accessToken, token.AccessToken.Reveal())
	}
}

// It goes into headers, and into files that a shell reads.
func TestRefresh_AnAccessTokenOfAnotherFormIsABadAnswerAndComesToBeRevoked(t *testing.T) {
	t.Parallel()
	cases := map[string]any{
		"a newline at its end":   accessToken + "\n",
		"a header of its own":    accessToken + "\r\nX-Admin: true",
		"a space":                "1000.aa bb",
		"nothing but spaces":     "   ",
		"a NUL":                  "1000.\x00",
		"DEL":                    "1000.\x7f",
		"a letter beyond ASCII":  "1000.é",
		"bytes that are no text": json.RawMessage("\"1000.\xff\xfe\""),
		"more than 2048 bytes":   strings.Repeat("a", 2049),
		"a command":              "1000.$(touch${IFS}pwned)",
		"a command, again":       "1000.`id`",
		"a tilde in front":       "~root",
		"an equals sign":         "=ls",
		"an option":              "-rf",
	}
	for _, r := range "!\"#$%&'()*,:;<>?@[\\]^`{|}" {
		cases[string(r)] = "1000.aa" + string(r) + "bb"
	}
	for name, token := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			body := tokenJSON(map[string]any{"access_token": token})
			failed := refused(t, answer(200, body))
			require.Equal(t, zoho.BadAnswer, failed.Kind)
			require.False(t, failed.NoToken())
			requireNoSecret(t, failed)

			given, err := refresh(t, answer(200, body))
			require.Error(t, err)
			if text, isText := token.(string); isText {
				require.Equal(t, text, given.AccessToken.Reveal(), "Zoho has given it, so it can be revoked")
			}
		})
	}
	for _, good := range []string{strings.Repeat("a", 2048), "1000.AZaz09._~+/=-"} {
		token, err := refresh(t, answer(200, tokenJSON(map[string]any{"access_token": good})))
		require.NoError(t, err)
		require.Equal(t, good, token.AccessToken.Reveal())
	}
}

func TestRefresh_WhatRepeatsTheRequestIsNoAccessTokenThatCouldBeRevoked(t *testing.T) {
	t.Parallel()
	for _, echo := range []string{clientSecret, refreshToken, "x" + strings.ToLower(clientSecret)} {
		token, err := refresh(t, answer(200, tokenJSON(map[string]any{"access_token": echo})))
		require.Zero(t, token)
		require.Equal(t, zoho.BadAnswer, asError(t, err).Kind)
	}
}

func TestRefresh_AByteOrderMarkBeforeAnAnswerIsNoPartOfIt(t *testing.T) {
	t.Parallel()
	for _, mark := range []string{"\ufeff", "\ufeff\r\n ", " \ufeff"} {
		token, err := refresh(t, answer(200, mark+tokenJSON(nil)))
		require.NoError(t, err)
		require.Equal(t, accessToken, token.AccessToken.Reveal())
		failed := refused(t, answer(200, mark+`{"error":"invalid_code"}`))
		require.Equal(t, "invalid_code", failed.Code)
	}
	require.Contains(t, refused(t, answer(200, "\ufeff\ufeff"+tokenJSON(nil))).Error(), "not JSON")
	require.Contains(t, refused(t, answer(200, "\ufeff")).Error(), "an empty answer")
}

func TestRefresh_AnAnswerWithoutAnAccessTokenIsNeverAToken(t *testing.T) {
	t.Parallel()
	for name, token := range map[string]any{
		"missing": nil, "null": json.RawMessage("null"), "empty": "", "a number": 1000.5, "true": true, "a list": []string{accessToken}, "an object": map[string]any{"token": accessToken},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			failed := refused(t, answer(200, tokenJSON(map[string]any{"access_token": token})))
			require.Equal(t, zoho.BadAnswer, failed.Kind)
			require.False(t, failed.NoToken(), "it cannot be known")
		})
	}
}
