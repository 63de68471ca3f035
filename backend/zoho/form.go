package zoho

import (
	"net"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// What an answer says goes to every reader, in clear, and from there into headers,
// URLs and files that a shell reads. So a token or a host of another form than these
// makes the whole answer a bad one, and the rest is dropped if it has not the form that
// Zoho gives it, or repeats something of the request: a broken proxy may echo the
// client's secret.

// IsToken reports whether text can be an access token, a refresh token or a grant code:
// it has the characters of a bearer token (RFC 6750, section 2.1), and begins with none
// that a shell expands. Those of Zoho begin with 1000.
func IsToken(text string) bool { return len(text) <= MaxToken && tokenForm.MatchString(text) }

// MaxToken bounds a token, in bytes. Those of Zoho have some 70.
const MaxToken = 2048

var (
	tokenForm     = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._~+/=-]*$`)
	tokenTypeWord = regexp.MustCompile(`^[A-Za-z][A-Za-z-]{0,31}$`)
	scopeWord     = regexp.MustCompile(`^[A-Za-z]\w*(\.[\w-]{1,64}){0,5}$`)
)

func (a answer) tokenType(call call) string {
	word := string(a.TokenType)
	if !tokenTypeWord.MatchString(word) || call.sent(word) || call.repeatsSecret(word) {
		return ""
	}
	return word
}

// apiDomain is the origin of the APIs, without a trailing slash; empty if the answer
// names none. Applications send their access token there, so one of Zoho's own Accounts
// servers may only name one of Zoho's own domains: another one is foreign, and dropped.
// A server of the operator's may name any. ok: it names none, or an origin.
func (a answer) apiDomain(call call) (domain string, foreign, ok bool) {
	domain = strings.TrimRight(string(a.APIDomain), "/")
	switch {
	case a.APIDomain == "":
		return "", false, true
	case !isOrigin(domain) || call.repeatsSecret(domain):
		return "", false, false
	case IsZohos(call.accounts) && !isZohoOrigin(domain):
		return "", true, true
	default:
		return domain, false, true
	}
}

// scopes takes commas between them, as Zoho wants them, and blanks, as it
// answers them; nil if there are none. Beyond MaxScopes the rest is dropped.
func (a answer) scopes(call call) []string {
	var scopes []string
	for scope := range strings.FieldsFuncSeq(string(a.Scope), func(r rune) bool { return r == ',' || r == ' ' }) {
		if len(scopes) == MaxScopes {
			break
		}
		if len(scope) <= MaxScopeLength && scopeWord.MatchString(scope) && !call.repeatsSecret(scope) {
			scopes = append(scopes, scope)
		}
	}
	return scopes
}

// isOrigin reports whether text is a scheme, a host and perhaps a port, and nothing
// else. Access tokens are sent there, so the scheme is https; http is for a loopback
// address, where the simulator listens.
func isOrigin(text string) bool {
	const longest = 255
	scheme, server, _ := strings.Cut(text, "://")
	u, err := url.Parse(text)
	return len(text) <= longest && err == nil && u.Host == server && isServer(server) &&
		(scheme == "https" || scheme == "http" && IsLoopback(u.Hostname()))
}

// isZohoOrigin reports whether an origin is one of Zoho's own.
func isZohoOrigin(origin string) bool {
	u, err := url.Parse(origin)
	return err == nil && u.Scheme == "https" && isZohoDomain(u.Hostname())
}

// isServer reports whether text is a host with or without a port, in characters that
// mean nothing to a shell, and that no HTTP client turns into another host: for
// evil.example／.zohoapis.eu, with a full-width slash, some go to evil.example.
func isServer(text string) bool {
	host := text
	if withPort := portForm.FindStringSubmatch(text); withPort != nil {
		if port, err := strconv.Atoi(withPort[2]); err != nil || port < 1 || port > 65535 {
			return false
		}
		host = withPort[1]
	}
	if address, inBrackets := strings.CutPrefix(host, "["); inBrackets {
		address, closed := strings.CutSuffix(address, "]")
		return closed && strings.Contains(address, ":") && net.ParseIP(address) != nil
	}
	return hostForm.MatchString(host)
}

var (
	portForm = regexp.MustCompile(`^(.*):(\d{1,5})$`)
	hostForm = regexp.MustCompile(`^[\w-]+(\.[\w-]+)*$`)
)
