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

// Person asks whose Zoho account the access token of exchanged belongs to, and needs
// ScopeProfile. It is no token request: Zoho does not count it, and net/http may repeat
// it if the server closes a connection that was used before. The answer is an
// address or, without one, a name, in printable characters and MaxPersonLength bytes;
// empty: the server did not say, or cannot be asked. Errors are *Error, of Kind Unreachable or
// BadAnswer.
// Source: the official SDKs (getUserInfoURL); a portal has no such page that a source
// names.
func (c *Client) Person(ctx context.Context, app App, exchanged Exchanged) (string, error) {
	if isPortal(app.AccountsURL) {
		return "", nil
	}
	call := call{app.AccountsURL, "the question whose account was authorized", url.Values{"client_secret": {app.ClientSecret.Reveal()}}}.andGot(exchanged)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, app.AccountsURL+"/oauth/user/info", nil)
	if err != nil {
		return "", errorUnreachable(call, "the accounts URL cannot be used")
	}
	req.Header.Set("Authorization", "Zoho-oauthtoken "+exchanged.AccessToken.Reveal())
	got, err := c.send(ctx, call, req)
	if err != nil {
		return "", err
	}
	var said profile
	if got.status != http.StatusOK || json.Unmarshal(trimmed(got.body), &said) != nil {
		return "", errorBadAnswer(call, got.status, "no profile")
	}
	return said.person(call), nil
}

// personOf reads the person from the id_token of an answer to an exchange. Its
// signature is not checked: it came over TLS from the token endpoint itself, and not
// by way of a browser, so the server's certificate vouches for it.
// Source: OpenID Connect Core 1.0, section 3.1.3.7, point 6. That Zoho sends one with
// the scopes email, profile and openid: zoho.com/accounts/protocol/oauth/sign-in-using-zoho.html.
func (a answer) personOf(call call) string {
	parts := strings.Split(string(a.IDToken), ".")
	if len(parts) != 3 {
		return ""
	}
	// Zoho's own example has the padding that the standard leaves out.
	payload, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	var said profile
	if err != nil || json.Unmarshal(payload, &said) != nil {
		return ""
	}
	return said.person(call)
}

// profile is what Zoho says of a person: Email and Display_Name in an answer of
// user/info, email and name in an id_token. encoding/json reads both spellings.
type profile struct {
	Email       text `json:"email"`
	DisplayName text `json:"display_name"`
	Name        text `json:"name"`
}

// person is the first of what the profile has that can be shown. Whoever answered
// chose the texts, and operators read them in clear: nothing is taken that repeats a
// secret of the call, or that could look like something else on a terminal.
func (p profile) person(call call) string {
	if address := strings.TrimSpace(string(p.Email)); isAddress(address) && !call.repeatsSecret(address) {
		return address
	}
	for _, said := range []text{p.DisplayName, p.Name} {
		name := strings.TrimSpace(string(said))
		if name != "" && !call.repeatsSecret(name) {
			return clip(printable(name), MaxPersonLength-len("..."))
		}
	}
	return ""
}

func isAddress(s string) bool {
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
