package zoho_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend/secret"
	"vault-plugin-secrets-zoho/backend/zoho"
)

const personPath = "/oauth/user/info"

var afterExchange = zoho.Exchanged{Token: zoho.Token{AccessToken: secret.New(accessToken)}, RefreshToken: secret.New(refreshToken)}

// person asks a server that gives one answer who consented.
func person(t *testing.T, answer http.HandlerFunc) (zoho.Person, error) {
	t.Helper()
	server := serve(t, answer)
	name, err := newClient(t, "").Person(t.Context(), server.app(), afterExchange)
	require.Len(t, server.arrivals(), 1, "one call, one request")
	return name, err
}

// idToken is an ID token with this payload; nothing checks its signature.
func idToken(payload string) string {
	part := base64.RawURLEncoding.EncodeToString
	return part([]byte(`{"alg":"RS256"}`)) + "." + part([]byte(payload)) + "." + part([]byte("signature"))
}

func exchangedWith(t *testing.T, idToken any) zoho.Exchanged {
	t.Helper()
	exchanged, err := exchange(t, answer(200, tokenJSON(map[string]any{"refresh_token": refreshToken, "id_token": idToken})))
	require.NoError(t, err, "the tokens are good, whatever the ID token is")
	require.Equal(t, accessToken, exchanged.AccessToken.Reveal())
	require.Equal(t, refreshToken, exchanged.RefreshToken.Reveal())
	return exchanged
}

// profiles are what a server may say of a person, and what is to be shown of it. All
// of it is also the payload of an ID token.
func profiles() map[string]zoho.Person {
	long := strings.Repeat("a", zoho.MaxPersonLength)
	return map[string]zoho.Person{
		`{"Email":"anna@example.com","Display_Name":"Anna","ZUID":675925609}`: {"anna@example.com", zoho.Address},
		`{"email":"anna@example.com","name":"Anna","sub":"675925609"}`:        {"anna@example.com", zoho.Address},
		`{"Email":" anna@example.com "}`:                                      {"anna@example.com", zoho.Address},
		`{"Email":"älva@exämple.com"}`:                                        {"älva@exämple.com", zoho.Address},
		`{"Email":"","Display_Name":"Anna Öberg"}`:                            {"Anna Öberg", zoho.DisplayName},
		`{"name":"Anna Öberg"}`:                                               {"Anna Öberg", zoho.DisplayName},
		`{"Email":42,"Display_Name":{"a":1},"name":"Anna"}`:                   {"Anna", zoho.DisplayName},
		`{"Email":"no address","Display_Name":"Anna"}`:                        {"Anna", zoho.DisplayName},
		`{"Email":"two@example.com lines\n","name":"Anna"}`:                   {"Anna", zoho.DisplayName},
		`{"Email":"evil\u202e@example.com","name":"Anna"}`:                    {"Anna", zoho.DisplayName},
		`{"Email":"evil\u001b[31m@example.com","name":"Anna"}`:                {"Anna", zoho.DisplayName},
		`{"name":"Anna\u0000\u001b[31m\nroot"}`:                               {"Anna??[31m?root", zoho.DisplayName},
		`{"name":"Anna\u202etoor"}`:                                           {"Anna?toor", zoho.DisplayName},
		`{"Email":"` + long + `@example.com","name":"Anna"}`:                  {"Anna", zoho.DisplayName},
		`{"name":"` + long + `b"}`:                                            {long[:zoho.MaxPersonLength-3] + "...", zoho.DisplayName},
		`{"Email":"` + clientSecret + `@example.com","name":"Anna"}`:          {"Anna", zoho.DisplayName},
		`{"Email":"x@` + strings.ToLower(accessToken) + `"}`:                  {},
		`{"Email":"x@` + refreshToken + `","name":"` + accessToken + `"}`:     {},
		`{"name":"I know ` + strings.ToUpper(clientSecret) + `"}`:             {},
		`{"name":"ceo@example.com"}`:                                          {"ceo@example.com", zoho.DisplayName},
		`{"Email":"","Display_Name":"ceo@example.com"}`:                       {"ceo@example.com", zoho.DisplayName},
		`{"email":"anna@example.com","email_verified":true}`:                  {"anna@example.com", zoho.VerifiedAddress},
		`{"email":"anna@example.com","email_verified":"true"}`:                {"anna@example.com", zoho.VerifiedAddress},
		`{"email":"anna@example.com","email_verified":false}`:                 {"anna@example.com", zoho.UnverifiedAddress},
		`{"email":"anna@example.com","email_verified":"false"}`:               {"anna@example.com", zoho.UnverifiedAddress},
		`{"email":"anna@example.com","email_verified":"perhaps"}`:             {"anna@example.com", zoho.UnverifiedAddress},
		`{"email":"anna@example.com","email_verified":{"true":1}}`:            {"anna@example.com", zoho.UnverifiedAddress},
		`{"email":"anna@example.com","email_verified":null}`:                  {"anna@example.com", zoho.Address},
		`{"name":"Anna","email_verified":true}`:                               {"Anna", zoho.DisplayName},
		`{"name":" "}`:                                                        {},
		`{}`:                                                                  {},
		`null`:                                                                {},
	}
}

func TestPerson_IsTheAddressOrTheNameInPrintableCharacters(t *testing.T) {
	t.Parallel()
	for profile, want := range profiles() {
		name, err := person(t, answer(200, profile))
		require.NoError(t, err, profile)
		require.Equal(t, want, name, profile)
	}
}

func TestExchange_TellsThePersonOfItsIDToken(t *testing.T) {
	t.Parallel()
	for payload, want := range profiles() {
		require.Equal(t, want, exchangedWith(t, idToken(payload)).Person, payload)
	}
	// Zoho's own example, in its help on user authentication, is padded.
	padded := base64.URLEncoding.EncodeToString([]byte(`{"email":"anna@example.com" }`))
	require.Contains(t, padded, "=")
	require.Equal(t, "anna@example.com", exchangedWith(t, "e30=."+padded+".c2ln").Person.Name)
}

func TestExchange_AnIDTokenThatIsNoneIsLeftOut(t *testing.T) {
	t.Parallel()
	for _, bad := range []any{
		nil, "", ".", "..", "a.b", "a.b.c.d", "e30.!!.e30", "e30." + strings.Repeat("=", 40<<10) + ".e30", idToken("["), idToken(`["anna@example.com"]`),
		idToken(`"anna@example.com"`), 7, []string{idToken("{}")}, strings.Repeat(".", 60<<10),
	} {
		require.Empty(t, exchangedWith(t, bad).Person)
	}
}

func TestPerson_IsAskedOfTheAccountsServerWithTheAccessTokenInTheHeaderAlone(t *testing.T) {
	t.Parallel()
	server := serve(t, answer(200, `{"Email":"anna@example.com"}`))
	_, err := newClient(t, "").Person(t.Context(), server.app(), afterExchange)
	require.NoError(t, err)
	seen := server.arrivals()
	require.Len(t, seen, 1)
	require.Equal(t, http.MethodGet, seen[0].method)
	require.Equal(t, personPath, seen[0].path)
	require.Empty(t, seen[0].query)
	require.Empty(t, seen[0].form, "what must not be repeated is not sent")
	require.Equal(t, []string{"Zoho-oauthtoken " + accessToken}, seen[0].header["Authorization"])
	require.Equal(t, "application/json", seen[0].header.Get("Accept"))
	require.Contains(t, seen[0].header.Get("User-Agent"), "vault-plugin-secrets-zoho/")
}

func TestPerson_OfAPortalIsNotAsked(t *testing.T) {
	t.Parallel()
	server := serve(t, answer(200, `{"Email":"anna@example.com"}`))
	name, err := newClient(t, "").Person(t.Context(), appAt(server.URL+"/clientoauth/v2/10012345"), afterExchange)
	require.NoError(t, err)
	require.Empty(t, name)
	require.Empty(t, server.arrivals())
}

// The access token goes to the server that has given it, and to no other.
func TestPerson_IsNotLookedForWhereARedirectLeads(t *testing.T) {
	t.Parallel()
	elsewhere := serve(t, answer(200, `{"Email":"anna@example.com"}`))
	for _, status := range []int{301, 302, 303, 307, 308} {
		name, err := person(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL+personPath, status) })
		require.Equal(t, status, asError(t, err).Status)
		require.Empty(t, name)
	}
	require.Empty(t, elsewhere.arrivals())
}

func TestPerson_OfAnAnswerThatIsNoProfileIsAnErrorThatHoldsNoSecret(t *testing.T) {
	t.Parallel()
	answers := map[string]http.HandlerFunc{
		"unauthorized": answer(401, `{"error":"INVALID_OAUTHTOKEN"}`), "no content": answer(204, ""), "empty": answer(200, ""), "page": answer(200, loginPage),
		"list": answer(200, `[]`), "too much": answer(200, `{"Email":"anna@example.com","x":"`+strings.Repeat("x", 64<<10)+`"}`),
		"cut off": answer(200, `{"Email":"anna@example.com"`), "closed": closes(), "throttled": answer(429, "{}"), "down": answer(503, `{"Email":"anna@example.com"}`),
	}
	for name, text := range whatTheServerKnows() {
		for what, hostile := range hostileAnswers(text) {
			answers[name+" as "+what] = hostile
		}
	}
	for what, hostile := range answers {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			name, err := person(t, hostile)
			requireNoSecret(t, err)
			require.Empty(t, name)
			if !strings.Contains(what, " as ") { // some of those are profiles without a name
				require.ErrorContains(t, err, "the question whose account was authorized")
			}
		})
	}
}

// Whoever answers in Zoho's place chooses the text, and operators read it.
func FuzzPerson_IsShortAndPrintableAndNoSecret(f *testing.F) {
	for profile := range profiles() {
		f.Add(profile)
	}
	f.Fuzz(func(t *testing.T, profile string) {
		name := exchangedWith(t, idToken(profile)).Person.Name
		require.LessOrEqual(t, len(name), zoho.MaxPersonLength)
		require.True(t, utf8.ValidString(name))
		require.Equal(t, -1, strings.IndexFunc(name, func(r rune) bool { return !unicode.IsGraphic(r) }), "%q", name)
		for _, hidden := range []string{clientSecret, accessToken, refreshToken, grantCode} {
			require.NotContains(t, strings.ToLower(name), strings.ToLower(hidden))
		}
	})
}

// An exchange that is printed whole shows whose it is, and no token.
func TestExchange_PrintsNoIDToken(t *testing.T) {
	t.Parallel()
	token := idToken(`{"email":"anna@example.com"}`)
	exchanged := exchangedWith(t, token)
	for _, printed := range []string{fmt.Sprintf("%v", exchanged), fmt.Sprintf("%+v", exchanged), fmt.Sprintf("%#v", exchanged)} {
		require.NotContains(t, printed, token)
		require.NotContains(t, printed, accessToken)
	}
}
