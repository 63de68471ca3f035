package zohosim

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// A Profile is what a user has made of their account. Who has an account chooses its
// display name, and can have an address that is not verified.
type Profile struct {
	DisplayName     string // default: made up from the user's name
	NoEmail         bool   // of an account with a telephone number
	EmailUnverified bool
}

// SetProfile changes a user's account, in all data centres. By default the user's
// name is their address, and it is verified.
func (s *Sim) SetProfile(user string, p Profile) { s.set(func() { s.profiles[user] = p }) }

// A profile is what Zoho knows of a user. It is made up from the user's name,
// and always the same for the same name in the same data centre.
type profile struct {
	First   string `json:"First_Name"`
	Last    string `json:"Last_Name"`
	Display string `json:"Display_Name"`
	Email   string `json:"Email"`
	ZUID    uint32 `json:"ZUID"`

	verified bool
}

func (s *Sim) profileOf(of owner) profile {
	chosen := s.profiles[of.name]
	out := madeUpProfile(of)
	out.Display = orDefault(chosen.DisplayName, out.Display)
	if out.verified = !chosen.EmailUnverified; chosen.NoEmail {
		out.Email = ""
	}
	return out
}

func madeUpProfile(of owner) profile {
	local, _, _ := strings.Cut(of.name, "@")
	first, last, _ := strings.Cut(local, ".")
	sum := sha256.Sum256([]byte(of.key()))
	out := profile{First: capitalized(first), Last: capitalized(last), Email: of.name}
	out.Display = strings.TrimSpace(out.First + " " + out.Last)
	out.ZUID = 600_000_000 + binary.BigEndian.Uint32(sum[:])%100_000_000
	return out
}

func capitalized(word string) string {
	if word == "" {
		return ""
	}
	return strings.ToUpper(word[:1]) + word[1:]
}

// userInfo answers GET /oauth/user/info: with the user to whom the access token
// belongs. An organisation's token is refused like one without the scope: no
// document says what it gets.
// Sources: github.com/zoho/zcrm-python-sdk, pull request 10, for the word
// INVALID_OAUTHSCOPE, and many public clients for the names of the fields. Both
// refusals' status and the rest of their bodies are guesses. In 2018 a token
// without the scope was answered with HTTP 200 and {"status_code":405}:
// github.com/zoho/zcrm-php-sdk, issue 5.
func (s *Sim) userInfo(c *call) answer {
	if c.r.Method != http.MethodGet {
		return bareBadRequest("server error")
	}
	_, value := c.bearer()
	token := s.tokens.access[value]
	if token == nil || token.dc != c.dc.location {
		return noUserInfo("INVALID_OAUTHTOKEN")
	}
	// Public clients ask for it as READ, Read and read.
	readsProfiles := func(scope string) bool { return strings.EqualFold(scope, "AaaServer.profile.READ") }
	if token.owner.organisation || !slices.ContainsFunc(token.scopes, readsProfiles) {
		return noUserInfo("INVALID_OAUTHSCOPE")
	}
	return jsonAnswer(http.StatusOK, s.profileOf(token.owner))
}

func noUserInfo(cause string) answer {
	out := jsonAnswer(http.StatusUnauthorized, map[string]string{"cause": cause, "status": "error"})
	out.word = cause
	return out
}

// idToken returns the ID token of an exchange, or "" without a scope of OpenID
// Connect for it. The e-mail address is in it only with the scope email, and the
// display name with profile. It is signed with a key that nobody has, since the
// caller has it from Zoho itself.
// Sources: zoho.com/accounts/protocol/oauth/sign-in-using-zoho.html;
// appwrite.io/integrations/oauth-zoho for whether the address is verified. That
// profile alone gives no ID token is the stricter reading.
func (s *Sim) idToken(c *call, token *accessToken) string {
	withEmail := slices.Contains(token.scopes, "email")
	if token.owner.organisation || !withEmail && !slices.Contains(token.scopes, "openid") {
		return ""
	}
	issuer, _ := s.accountsURL(c, c.dc)
	user := s.profileOf(token.owner)
	claims := map[string]any{
		"iss": issuer,
		"sub": strconv.FormatUint(uint64(user.ZUID), 10),
		"aud": token.client.ID,
		"iat": c.now.Unix(),
		"exp": token.expires.Unix(),
	}
	if withEmail && user.Email != "" {
		claims["email"], claims["email_verified"] = user.Email, user.verified
	}
	if slices.Contains(token.scopes, "profile") {
		claims["name"] = user.Display
	}
	signed := jwtPart(map[string]string{"alg": "HS256", "typ": "JWT"}) + "." + jwtPart(claims)
	mac := hmac.New(sha256.New, s.idTokenKey)
	mac.Write([]byte(signed))
	return signed + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func jwtPart(body any) string {
	encoded, err := json.Marshal(body)
	if err != nil {
		panic("zohosim: " + err.Error()) // only our own maps come here
	}
	return base64.RawURLEncoding.EncodeToString(encoded)
}
