package settings

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"vault-plugin-secrets-zoho/backend/zoho"
)

// A grant code lives for two minutes, and people copy it with what is around it: the
// address that their browser was sent to, the file of the API console, a line of an
// environment file. Where it is certain what is meant, that is taken, with a warning;
// otherwise the write is refused before Zoho is asked. No text of it is repeated.

// pasted is a grant code or a refresh token as it was found in what was written.
type pasted struct {
	token       string
	around      string // what it was taken out of; empty: nothing was around it
	location    string // the data centre that its address named; empty: none
	redirectURI string // the address without what Zoho has added; empty: it was no address
}

// Unwrapped returns the change with its code and its refresh token taken out of what was
// written around them.
func (ch RoleChange) Unwrapped() (RoleChange, []string, error) {
	if ch.FromConsent { // it came from Zoho's own page, and not by hand
		return ch, nil, nil
	}
	var warnings []string
	take := func(field string, written *string) (*string, error) {
		if written == nil || *written == "" {
			return written, nil
		}
		found, err := findPasted(field, *written)
		if err != nil {
			return nil, err
		}
		if found.around != "" {
			warnings = append(warnings, fmt.Sprintf("%s was written in %s, and was taken out of it", field, found.around))
		}
		if field == "code" {
			ch.codeHome = found.location
		}
		if field == "code" && ch.RedirectURI == nil && found.redirectURI != "" {
			ch.RedirectURI = &found.redirectURI
		}
		return &found.token, nil
	}
	var err error
	if ch.Code, err = take("code", ch.Code); err == nil {
		ch.RefreshToken, err = take("refresh_token", ch.RefreshToken)
	}
	return ch, warnings, err
}

// findPasted looks for the token in the text of a field.
func findPasted(field, text string) (pasted, error) {
	const layers = 4 // such as quotes around a name and a value of a line in quotes
	p := pasted{token: text}
	if err := CheckLength(field, text, MaxFieldLength); err != nil {
		return p, err
	}
	for range layers {
		inner, err := p.unwrap(field)
		if err != nil || inner == p.token {
			return p, err
		}
		p.token = inner
	}
	return p, nil
}

// unwrap takes off one thing that is around the token.
func (p *pasted) unwrap(field string) (inner string, err error) {
	text := strings.TrimRight(strings.TrimSpace(p.token), ",;")
	switch name, value := named(text); {
	case strings.HasPrefix(text, "{"):
		return p.fromJSON(field, text)
	case strings.HasPrefix(text, "https://"), strings.HasPrefix(text, "http://"):
		return p.fromAddress(field, text)
	case authorizationForm.MatchString(text):
		return "", UserErrorf("%s is the value of an Authorization header, which has an access token: %s", field, WhereIsA(field))
	case strings.Contains(text, "&"):
		return p.fromQuery(field, strings.TrimLeft(text, "?&#"))
	case name != "" && !fits(field, name):
		return "", UserErrorf("%s was written with the name of something else before it: %s", field, WhereIsA(field))
	case name != "":
		p.around = cmp.Or(p.around, "a line with a name before it")
		return value, nil
	case isQuoted(text):
		p.around = cmp.Or(p.around, "quotes")
		return strings.Trim(text, quotes), nil
	default:
		return strings.TrimRight(p.token, ",;"), nil
	}
}

func (p *pasted) fromJSON(field, text string) (string, error) {
	var object map[string]any
	err := json.Unmarshal([]byte(text), &object)
	token, _ := object[field].(string)
	switch {
	case err != nil:
		return "", UserErrorf("%s begins like a JSON object, and is none: %s", field, WhereIsA(field))
	case token == "":
		return "", UserErrorf("%s is a JSON object without a text named %q: %s", field, field, WhereIsA(field))
	}
	p.around = cmp.Or(p.around, "a JSON object")
	return token, nil
}

// fromAddress reads where Zoho has sent the browser. What Zoho has not added is the
// address that the code was sent to, and the exchange needs it.
func (p *pasted) fromAddress(field, text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil {
		return "", UserErrorf("%s is a web address, and a broken one: %s", field, WhereIsA(field))
	}
	query := u.Query()
	if query.Get(field) == "" {
		return "", UserErrorf("%s is a web address without %s= in it: %s", field, field, WhereIsA(field))
	}
	token := query.Get(field)
	p.location = query.Get("location")
	for _, added := range []string{"code", "location", "accounts-server", "state", "refresh_token"} {
		query.Del(added)
	}
	u.RawQuery, u.Fragment, u.ForceQuery = query.Encode(), "", false
	p.redirectURI, p.around = u.String(), "a web address"
	return token, nil
}

// fromQuery reads the part of an address behind its question mark, whether it begins
// with a name or with the token itself.
func (p *pasted) fromQuery(field, text string) (string, error) {
	query, err := url.ParseQuery(text)
	if err != nil {
		return "", UserErrorf("%s has an & in it, as an address has: %s", field, WhereIsA(field))
	}
	p.location, p.around = query.Get("location"), cmp.Or(p.around, "a part of a web address")
	if token := query.Get(field); token != "" {
		return token, nil
	}
	first, _, _ := strings.Cut(text, "&")
	return first, nil
}

const quotes = "\"'`\u201c\u201d\u2018\u2019"

// isQuoted reports whether a text is in quotes, of whatever kind and whether they match:
// no token has one.
func isQuoted(text string) bool {
	trimmed := strings.Trim(text, quotes)
	return trimmed != "" && trimmed != text
}

var (
	nameForm          = regexp.MustCompile(`^(?:export\s+|-)?["']?([A-Za-z_][\w-]*)["']?\s*(?:=|:)\s*([^=\s].*)$`)
	authorizationForm = regexp.MustCompile(`(?i)^["']?(authorization\s*:\s*)?(zoho-oauthtoken|bearer)\s`)
)

// named splits a name from the value behind it, as in NAME=value and "name": "value".
func named(text string) (name, value string) {
	if found := nameForm.FindStringSubmatch(strings.TrimLeft(text, "?")); found != nil {
		return found[1], found[2]
	}
	return "", ""
}

// fits reports whether something of a name can be meant by a field: code is not what
// others call a refresh token, and neither is an access token.
func fits(field, name string) bool {
	name = strings.ToLower(name)
	switch {
	case strings.Contains(name, "access"), strings.Contains(name, "client"), strings.Contains(name, "secret"):
		return false
	case field == "code":
		return !strings.Contains(name, "refresh")
	default:
		return !strings.Contains(name, "code") && !strings.Contains(name, "grant")
	}
}

// WhereIsA says where what a field wants is to be found.
func WhereIsA(field string) string {
	if field == "code" {
		return "write the grant code alone, as Zoho's API console shows it, or what is in the address between code= and the next &; it begins with 1000. and lives a few minutes"
	}
	return "write the refresh token alone; it begins with 1000. and is the refresh_token of the answer to a grant code"
}

// checkToken looks at the form of a grant code or refresh token before it is sent.
func checkToken(field, token, accountsURL string) error {
	switch {
	case isPlaceholder(token):
		return UserErrorf("%s is a placeholder, as pages have it where the value has to go: %s", field, WhereIsA(field))
	case clientIDOnly.MatchString(token):
		return UserErrorf("%s is a client_id: %s", field, WhereIsA(field))
	case !zoho.IsToken(token):
		return UserErrorf("%s has a character that is in none of Zoho's tokens: %s", field, WhereIsA(field))
	case zoho.IsZohos(accountsURL) && !clientIDForm.MatchString(token):
		return UserErrorf("%s does not begin with 1000., or four other digits and a dot, as Zoho's do: %s", field, WhereIsA(field))
	default:
		return nil
	}
}

// clientIDOnly is the form of Zoho's client IDs, which no token has.
var clientIDOnly = regexp.MustCompile(`^\d{4}\.[A-Z0-9]{30}$`)

// isPlaceholder finds what was copied from a page with the place for a value still in it.
func isPlaceholder(text string) bool {
	return strings.Contains(text, "...") || strings.ContainsAny(text, "\u2026<>")
}

// checkCodeHome holds the data centre in the address of a code against the role's: a
// code is good in its own only.
func (ch RoleChange) checkCodeHome(role string, accountsURL string) error {
	home, err := zoho.LookupDataCenter(ch.codeHome)
	if known := err == nil; !known || !zoho.IsZohos(accountsURL) || home.AccountsURL == accountsURL {
		return nil
	}
	return UserErrorf("the code comes from data centre %s, as its address says, and role %q belongs to %s: write data_center=%s with client_id and client_secret of that data centre in the same request", home.Name, role, accountsURL, home.Name)
}
