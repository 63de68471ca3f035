package zoho

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"unicode"
)

// ScopeProfile lets a client ask whose Zoho account an access token belongs to.
const ScopeProfile = "AaaServer.profile.READ"

// MaxPersonLength bounds the name of a person, in bytes. An address has 254 at the
// most.
// Source: RFC 3696, erratum 1690.
const MaxPersonLength = 254

// ScopeEmail makes Zoho send an ID token with the answer to an exchange, which says whether
// the address of the account is verified.
// Source: zoho.com/accounts/protocol/oauth/sign-in-using-zoho.html.
const ScopeEmail = "email"

// Person is whose account a token belongs to, as the Accounts server says. The zero value
// says nothing.
type Person struct {
	Name string     `json:"name"` // in printable characters and MaxPersonLength bytes
	Kind PersonKind `json:"kind"`
}

// PersonKind is what the name of a person is worth.
type PersonKind string

// Kinds of names. Whoever has an account chooses its display name, and an address is theirs
// only if it was verified.
const (
	VerifiedAddress   PersonKind = "verified address"
	UnverifiedAddress PersonKind = "unverified address"
	Address           PersonKind = "address" // Zoho did not say whether it is verified
	DisplayName       PersonKind = "name"
)

// IsAddress reports whether the person is known by an address.
func (p Person) IsAddress() bool { return p.Name != "" && p.Kind != DisplayName }

// Person asks whose Zoho account the access token of exchanged belongs to, and needs
// ScopeProfile. It is no token request: Zoho does not count it, and net/http may repeat
// it if the server closes a connection that was used before. The answer is zero if the
// server did not say, or cannot be asked. Errors are *Error, of Kind Unreachable or
// BadAnswer.
// Source: the official SDKs (getUserInfoURL); a portal has no such page that a source
// names.
func (c *Client) Person(ctx context.Context, app App, exchanged Exchanged) (Person, error) {
	if isPortal(app.AccountsURL) {
		return Person{}, nil
	}
	call := call{app.AccountsURL, "the question whose account was authorized", url.Values{"client_secret": {app.ClientSecret.Reveal()}}}.andGot(exchanged)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, app.AccountsURL+"/oauth/user/info", nil)
	if err != nil {
		return Person{}, errorUnreachable(call, "the accounts URL cannot be used")
	}
	req.Header.Set("Authorization", "Zoho-oauthtoken "+exchanged.AccessToken.Reveal())
	got, err := c.send(ctx, call, req)
	if err != nil {
		return Person{}, err
	}
	var said profile
	if got.status != http.StatusOK || json.Unmarshal(trimmed(got.body), &said) != nil {
		return Person{}, errorBadAnswer(call, got.status, "no profile")
	}
	return said.person(call), nil
}

// personOf reads the person from the id_token of an answer to an exchange. Its
// signature is not checked: it came over TLS from the token endpoint itself, and not
// by way of a browser, so the server's certificate vouches for it.
// Source: OpenID Connect Core 1.0, section 3.1.3.7, point 6. That Zoho sends one with
// the scopes email, profile and openid: zoho.com/accounts/protocol/oauth/sign-in-using-zoho.html.
func (a answer) personOf(call call) Person {
	parts := strings.Split(string(a.IDToken), ".")
	if len(parts) != 3 {
		return Person{}
	}
	// Zoho's own example has the padding that the standard leaves out.
	payload, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	var said profile
	if err != nil || json.Unmarshal(payload, &said) != nil {
		return Person{}
	}
	return said.person(call)
}

// profile is what Zoho says of a person: Email and Display_Name in an answer of
// user/info, email and name in an id_token. encoding/json reads both spellings.
type profile struct {
	Email       text `json:"email"`
	DisplayName text `json:"display_name"`
	Name        text `json:"name"`
	Verified    word `json:"email_verified"`
}

// word is a JSON string, or true or false; anything else counts as absent. OpenID Connect
// has email_verified as true or false, and implementers have seen it as a string.
type word string

func (w *word) UnmarshalJSON(raw []byte) error {
	*w = word(strings.Trim(string(raw), `"`))
	return nil
}

func (p profile) kindOfAddress() PersonKind {
	switch p.Verified {
	case "true":
		return VerifiedAddress
	case "", "null":
		return Address
	default:
		return UnverifiedAddress
	}
}

// person is the first of what the profile has that can be shown. Whoever answered
// chose the texts, and operators read them in clear: nothing is taken that repeats a
// secret of the call, or that could look like something else on a terminal.
func (p profile) person(call call) Person {
	if address := strings.TrimSpace(string(p.Email)); IsAddress(address) && !call.repeatsSecret(address) {
		return Person{address, p.kindOfAddress()}
	}
	for _, said := range []text{p.DisplayName, p.Name} {
		name := strings.TrimSpace(string(said))
		if name != "" && !call.repeatsSecret(name) {
			return Person{clip(printable(name), MaxPersonLength-len("...")), DisplayName}
		}
	}
	return Person{}
}

// IsAddress reports whether a text can be shown as an e-mail address.
func IsAddress(s string) bool {
	invisible := func(r rune) bool {
		return !unicode.IsGraphic(r) || unicode.IsSpace(r) || r == unicode.ReplacementChar
	}
	return len(s) <= MaxPersonLength && strings.Contains(s, "@") && !strings.ContainsFunc(s, invisible)
}

// andGot adds what an exchange has given to what no answer may repeat.
func (c call) andGot(exchanged Exchanged) call {
	c.form = maps.Clone(c.form)
	c.form.Set("token", exchanged.AccessToken.Reveal())
	c.form.Set("refresh_token", exchanged.RefreshToken.Reveal())
	return c
}
