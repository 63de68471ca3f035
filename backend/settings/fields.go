package settings

import (
	"net/url"
	"regexp"
	"strings"
	"time"
	"unicode"

	"vault-plugin-secrets-zoho/backend/secret"
	"vault-plugin-secrets-zoho/backend/zoho"
)

// Longest accepted texts, in bytes. Zoho's IDs, secrets and tokens have less
// than a hundred. IDs and addresses are bounded more closely than secrets: the
// records of grants, tokens and consents have copies of them.
const (
	maxIDLength    = 256
	maxURLLength   = 1 << 10
	MaxFieldLength = 4 << 10
	maxCertLength  = 64 << 10
	maxRoleName    = 128
)

// Set takes a value over if it is given.
func Set[T any](field *T, value *T) {
	if value != nil {
		*field = *value
	}
}

func setSecret(field *secret.Value, value *string) {
	if value != nil {
		*field = secret.New(*value)
	}
}

// CheckLength fails if a value has more bytes than limit.
func CheckLength(field, value string, limit int) error {
	if len(value) > limit {
		return UserErrorf("%s has %d bytes, and at most %d make sense; was a whole file pasted into it?", field, len(value), limit)
	}
	return nil
}

// CheckText catches what goes wrong in copying: line breaks, blanks around the
// value, binary. Zoho would answer such a client ID with invalid_client.
func CheckText(field, value string, limit int) error {
	if err := CheckLength(field, value, limit); err != nil {
		return err
	}
	for _, r := range value {
		if !unicode.IsGraphic(r) || unicode.IsSpace(r) || r == unicode.ReplacementChar {
			return UserErrorf("%s contains a blank, a line break or an invisible character: write it again without that. (If it comes from echo, use echo -n, which adds no line break.)", field)
		}
	}
	return nil
}

// errNoDataCenter is what a client without a data centre is refused with: a secret is
// sent to the Accounts server of one, and each has its own secret.
const errNoDataCenter = "data_center is missing: each of Zoho's data centres has a client secret of its own. Write the one that is in the address bar when you are signed in to Zoho, for example data_center=eu for crm.zoho.eu and data_center=us for crm.zoho.com; or accounts_url, for a portal or an on-premises server"

var (
	clientIDForm  = regexp.MustCompile(`^\d{4}\.`)
	shortClientID = regexp.MustCompile(`^\d{4}\..{0,9}$`) // real ones have 30 characters behind the dot
)

// checkClient finds a client ID and secret that were swapped: the ID can be read back,
// and is in log lines. Zoho's client IDs begin with 1000., those of clients for the
// consent of an organisation with 1005., and secrets with nothing like that.
// Source: Zoho's API console, and configurations for Zoho Payments and SalesIQ in public
// repositories.
func checkClient(clientID string, clientSecret secret.Value, accountsURL string) error {
	const begin = "1000."
	switch {
	case clientID == "":
		return nil
	case isPlaceholder(clientID) || zoho.IsZohos(accountsURL) && shortClientID.MatchString(clientID):
		return UserErrorf("client_id is a placeholder, as pages have it where the value has to go: copy it from Zoho's API console; behind the dot it has 30 letters and digits")
	case isPlaceholder(clientSecret.Reveal()):
		return UserErrorf("client_secret is a placeholder, as pages have it where the value has to go: copy it from Zoho's API console")
	case clientIDForm.MatchString(clientID):
		return nil
	case clientIDForm.MatchString(clientSecret.Reveal()):
		return UserErrorf("client_id and client_secret are swapped: the one that begins with four digits and a dot is the client_id")
	case zoho.IsZohos(accountsURL):
		return UserErrorf("client_id does not begin with %s, or 1005., as Zoho's client IDs do; copy it from the API console once more, and see that it is not the client_secret", begin)
	default:
		return nil
	}
}

// checkRedirectURI admits an address that Zoho can send a browser to.
func checkRedirectURI(redirectURI string) error {
	if redirectURI == "" {
		return nil
	}
	u, err := url.Parse(redirectURI)
	if err != nil || u.Hostname() == "" || u.User != nil || u.Fragment != "" || (u.Scheme != "https" && u.Scheme != "http") {
		return UserErrorf("redirect_uri is not a web address; write the one registered in Zoho's API console, for example https://vault.example.com/v1/<mount>/callback")
	}
	return CheckText("redirect_uri", redirectURI, maxURLLength)
}

func checkRange[T int | time.Duration](field string, value, low, high T) error {
	if value < low || value > high {
		return UserErrorf("%s is %v; write a value from %v to %v", field, value, low, high)
	}
	return nil
}

// CheckMinTTL refuses what no token can satisfy.
func CheckMinTTL(minTTL time.Duration) error {
	switch {
	case minTTL < 0:
		return UserErrorf("min_ttl is negative; write 0 for the default, a sixth of a token's life, or a duration such as 10m")
	case minTTL >= zoho.MaxLife:
		return UserErrorf("min_ttl is %s, but Zoho's access tokens live %s: no token could ever have that much left. Write less, for example 10m", minTTL, zoho.MaxLife)
	default:
		return nil
	}
}

// CheckTTL checks the ttl of a role or of a read.
func CheckTTL(ttl time.Duration) error {
	if ttl < 0 {
		return UserErrorf("ttl is negative; write 0 for the token's life, or a duration such as 15m")
	}
	return nil
}

var tokenIDForm = regexp.MustCompile(`^[[:xdigit:]]{32}$`)

// CheckReject admits the form of a token_id, so that a typing error is not taken in silence
// for a token that is not known. Whether there is such a token is not told: that would be
// news of other roles.
func CheckReject(tokenID string) error {
	switch {
	case tokenID == "" || tokenIDForm.MatchString(tokenID):
		return nil
	case TokenForm.MatchString(tokenID):
		return UserErrorf("reject has an access token in it. Write the token_id that came with it. If this was a read, the token is now in clear in Vault's audit log, which has the addresses of requests with their parameters, and perhaps in the logs of proxies: have it revoked below <mount>/tokens/")
	default:
		return UserErrorf("reject is not a token_id: write the field token_id of the read that brought the token, 32 hexadecimal digits")
	}
}

var roleName = regexp.MustCompile(`^\w(([\w.-]+)?\w)?$`)

// CheckRoleName admits what Vault's own engines admit: letters, digits,
// underscores, and dots and hyphens inside.
func CheckRoleName(name string) error {
	if len(name) > maxRoleName || !roleName.MatchString(name) || strings.Contains(name, "..") {
		return UserErrorf("this is not a role name: use letters, digits and '_', with '-' and '.' only between them and no two dots in a row, %d characters at the most; for example crm-sync", maxRoleName)
	}
	return nil
}

// CallbackWarnings tells of an address that browsers may not reach this mount by.
func CallbackWarnings(redirectURI string) (warnings []string) {
	u, err := url.Parse(redirectURI)
	if err != nil || redirectURI == "" {
		return nil
	}
	if !strings.Contains(u.Path, "/v1/") {
		warnings = append(warnings, "redirect_uri has no /v1/ in it, with which all paths of Vault's API begin; it works only if a proxy adds that")
	}
	if u.Scheme == "http" && !zoho.IsLoopback(u.Hostname()) {
		warnings = append(warnings, "redirect_uri begins with http://, so that the grant code travels in clear from the browser to Vault; write https:// if Vault can be reached so")
	}
	return warnings
}
