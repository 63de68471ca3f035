package zoho

import (
	"bytes"
	"encoding/json"
	"math"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

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

	// Of the device flow.
	DeviceCode      text   `json:"device_code"`
	UserCode        text   `json:"user_code"`
	VerificationURL text   `json:"verification_url"`
	Interval        number `json:"interval"`
	UserLocation    text   `json:"user_location"`

	Error       text `json:"error"`
	Description text `json:"error_description"`
	Status      text `json:"status"`
}

// parseToken reads the answer of the token endpoint. It returns the answer also
// beside an error, and the access token in it, with nothing else of it: Zoho has given
// it, so whoever asked has to revoke it.
func parseToken(call call, got reply) (Token, answer, error) {
	ans, err := decode(call, got)
	if err != nil {
		return Token{}, answer{}, err
	}
	if ans.AccessToken == "" {
		return Token{}, ans, ans.failure(call, got)
	}
	if call.repeatsSecret(string(ans.AccessToken)) {
		return Token{}, ans, errorBadAnswer(call, got.status, "an access token that repeats the request")
	}
	given := Token{AccessToken: secret.New(string(ans.AccessToken))}
	if !IsToken(string(ans.AccessToken)) {
		return given, ans, errorBadAnswer(call, got.status, "an access token that cannot be one")
	}
	life, ok := ans.life()
	if !ok {
		return given, ans, errorBadAnswer(call, got.status, "an access token that has expired, or is about to")
	}
	domain, foreign, ok := ans.apiDomain(call)
	if !ok {
		return given, ans, errorBadAnswer(call, got.status, "an api_domain that is not the address of a server")
	}
	given.TokenType, given.APIDomain, given.Scopes = ans.tokenType(call), domain, ans.scopes(call)
	given.Life, given.ForeignDomain = life, foreign
	return given, ans, nil
}

// trimmed takes white space off both ends, and a byte order mark off the beginning: a
// proxy that writes an answer anew may put one there, and what follows is as good.
// Source: RFC 8259, section 8.1.
func trimmed(body []byte) []byte {
	return bytes.TrimSpace(bytes.TrimPrefix(bytes.TrimSpace(body), []byte("\ufeff")))
}

func decode(call call, got reply) (answer, error) {
	var ans answer
	switch body := trimmed(got.body); {
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
		if got.status >= http.StatusInternalServerError {
			return errorBadAnswer(call, got.status, "the unknown error word "+word)
		}
		return errorUnknownWord(call, got.status, word)
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
