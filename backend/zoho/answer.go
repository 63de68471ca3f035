package zoho

import (
	"bytes"
	"encoding/json"
	"math"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"

	"vault-plugin-secrets-zoho/backend/secret"
)

// answer is the union of what Zoho's endpoints send. The body decides, not the
// status: credential errors come with HTTP 200.
type answer struct {
	AccessToken  text   `json:"access_token"`
	RefreshToken text   `json:"refresh_token"`
	TokenType    text   `json:"token_type"`
	APIDomain    text   `json:"api_domain"`
	Scope        text   `json:"scope"`
	IDToken      text   `json:"id_token"`
	ExpiresIn    number `json:"expires_in"`
	ExpiresSec   number `json:"expires_in_sec"`

	Error       text `json:"error"`
	Description text `json:"error_description"`
	Status      text `json:"status"`
}

// parseToken reads the answer of the token endpoint. It returns the answer also
// beside an error.
func parseToken(call call, got reply) (Token, answer, error) {
	ans, err := decode(call, got)
	if err != nil {
		return Token{}, answer{}, err
	}
	if ans.AccessToken == "" {
		return Token{}, ans, ans.failure(call, got)
	}
	if !usableAsHeader(string(ans.AccessToken)) || call.repeatsSecret(string(ans.AccessToken)) {
		return Token{}, ans, errorBadAnswer(call, got.status, "an access token that cannot be one")
	}
	life, ok := ans.life()
	if !ok {
		return Token{}, ans, errorBadAnswer(call, got.status, "an access token that has expired, or is about to")
	}
	domain, foreign := ans.apiDomain(call)
	return Token{
		AccessToken:   secret.New(string(ans.AccessToken)),
		TokenType:     ans.tokenType(call),
		APIDomain:     domain,
		Scopes:        ans.scopes(call),
		Life:          life,
		ForeignDomain: foreign,
	}, ans, nil
}

func decode(call call, got reply) (answer, error) {
	var ans answer
	switch body := bytes.TrimSpace(got.body); {
	case got.status == http.StatusTooManyRequests:
		return ans, errorThrottled(call, got.status)
	case len(body) == 0:
		return ans, errorBadAnswer(call, got.status, "an empty answer")
	case isPage(body):
		return ans, errorBadAnswer(call, got.status, "a web page")
	case json.Unmarshal(body, &ans) != nil:
		return ans, errorBadAnswer(call, got.status, "something that is not JSON or is cut off")
	}
	return ans, nil
}

// failure classifies an answer without an access token.
func (a answer) failure(call call, got reply) *Error {
	word := strings.TrimSpace(string(a.Error))
	code := strings.ToLower(word)
	if strings.Contains(code, "scope") { // also seen: "Enter a valid scope", "Invalid OAuth scope"
		code = "invalid_scope"
	}
	_, known := lookupRemedy(code)
	switch {
	case known:
		return errorFromCode(call, code, got.status)
	case a.throttled():
		err := errorThrottled(call, got.status)
		err.Unexplained = !a.saysTooMany()
		return err
	case errorWord.MatchString(word) && !call.sent(word) && !call.repeatsSecret(word):
		return errorBadAnswer(call, got.status, "the unknown error word "+word)
	case got.status == http.StatusUnauthorized || got.status == http.StatusForbidden:
		return &Error{Kind: Misconfigured, Status: got.status,
			msg: "Zoho (" + call.accounts + ") denied " + call.what + " with HTTP " + strconv.Itoa(got.status) + " and no error word. Check client_id, client_secret and data_center, and whether a proxy between Vault and Zoho answered instead."}
	default:
		return errorBadAnswer(call, got.status, "JSON without an access token")
	}
}

// errorWord matches the form of Zoho's error words. It admits no digit, dot or
// capital, so a token or client ID that a broken server echoes is no match and
// is not repeated in a message; call.sent catches secrets of another form.
var errorWord = regexp.MustCompile(`^[a-z]{2,16}(_[a-z]{2,16}){0,3}$`)

// throttled recognises "Access Denied ... too many requests". Zoho translates
// both strings, so what counts is the "status":"failure" that no other token
// error has, or an error that is a phrase rather than a word.
// Source: zoho.com/accounts/protocol/oauth/token-limits.html; the Chinese text
// is a capture in guanguans/notify.
func (a answer) throttled() bool {
	switch word := strings.ToLower(strings.TrimSpace(string(a.Error))); {
	case strings.EqualFold(string(a.Status), "failure"),
		word == "access denied", word == "access_denied", a.saysTooMany():
		return true
	default:
		return word != "" && a.Description != "" && !errorWord.MatchString(word)
	}
}

func (a answer) saysTooMany() bool {
	return strings.Contains(strings.ToLower(string(a.Description)), "too many")
}

// life is how long the token lives. Zoho sends seconds; some clients got
// milliseconds, mostly but not always with expires_in_sec beside them; some
// answers leave it out.
// Source: the official SDKs ("if expires_in_sec exists, expires_in is in
// milliseconds") and the captures listed with Weble/ZohoClient issue 11.
func (a answer) life() (time.Duration, bool) {
	const (
		dayInSeconds = 86400
		shortestLife = 4 // less cannot be leased in whole seconds, with a margin
	)
	seconds := float64(a.ExpiresIn.value)
	switch {
	case a.ExpiresSec.set && a.ExpiresSec.value > 0:
		seconds = a.ExpiresSec.value
	case !a.ExpiresIn.set:
		return MaxLife, true
	case seconds > dayInSeconds:
		seconds /= 1000
	}
	seconds = math.Min(seconds, MaxLife.Seconds())
	return time.Duration(seconds * float64(time.Second)), seconds >= shortestLife
}

// What a good answer says beside the token goes to every reader, in clear. So
// it is taken only in the form that Zoho gives it, and dropped if it repeats
// something of the request: a broken proxy may echo the client's secret.

var (
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

// apiDomain is the origin of the APIs, without a trailing slash. Applications
// send their access token there, so one of Zoho's own Accounts servers may only
// name one of Zoho's own domains; a server of the operator's may name any.
func (a answer) apiDomain(call call) (domain string, foreign bool) {
	const longest = 255
	domain = strings.TrimRight(string(a.APIDomain), "/")
	u, err := url.Parse(domain)
	invisible := func(r rune) bool { return !unicode.IsGraphic(r) || unicode.IsSpace(r) }
	if err != nil || len(domain) > longest || strings.ContainsFunc(domain, invisible) || (u.Scheme != "https" && u.Scheme != "http") || domain != u.Scheme+"://"+u.Host {
		return "", a.APIDomain != "" && IsZohos(call.accounts)
	}
	switch {
	case call.repeatsSecret(domain):
		return "", false
	case IsZohos(call.accounts) && (u.Scheme != "https" || !isZohoDomain(u.Hostname())):
		return "", true
	default:
		return domain, false
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

// usableAsHeader keeps a broken or hostile server from putting line breaks
// into the header that applications build from the token.
func usableAsHeader(token string) bool {
	const longest = 2048
	for _, r := range token {
		if r <= ' ' || r > '~' {
			return false
		}
	}
	return len(token) <= longest
}

// text is a JSON string; anything else in its place counts as absent.
type text string

func (t *text) UnmarshalJSON(raw []byte) error {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		*t = text(s)
	}
	return nil
}

// number is a JSON number or a string that holds one; anything else counts as
// absent.
type number struct {
	value float64
	set   bool
}

func (n *number) UnmarshalJSON(raw []byte) error {
	value, err := strconv.ParseFloat(strings.Trim(string(raw), `"`), 64)
	if err == nil && !math.IsNaN(value) && !math.IsInf(value, 0) {
		*n = number{value: value, set: true}
	}
	return nil
}
