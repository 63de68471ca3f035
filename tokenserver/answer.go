package tokenserver

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"time"
)

// The answers have the form, the words and the status of Zoho's.
// Source: zoho.com/accounts/protocol/oauth/web-apps/access-token-expiry.html, and
// for the throttle zoho.com/accounts/protocol/oauth/token-limits.html.
const (
	wordInvalidClient       = "invalid_client"
	wordInvalidClientSecret = "invalid_client_secret" // #nosec G101 -- a word
	wordInvalidCode         = "invalid_code"
	wordInvalidToken        = "invalid_token"
	wordGeneralError        = "general_error"
	wordThrottled           = "Access Denied"
)

// How long callers are told to wait where Vault has not said so.
const (
	retryAfterThrottle = 30 * time.Second
	retryAfterOutage   = 5 * time.Second
)

const throttledText = "You have made too many requests continuously. Please try again after some time."

// tokenAnswer is that of a refresh.
type tokenAnswer struct {
	AccessToken string `json:"access_token"`
	APIDomain   string `json:"api_domain,omitempty"`
	TokenType   string `json:"token_type"`
	ExpiresIn   int    `json:"expires_in"`
}

// refusal is an answer without a token.
type refusal struct {
	status int

	Description string `json:"error_description,omitempty"`
	Word        string `json:"error"`
	Failure     string `json:"status,omitempty"`

	retryAfter time.Duration // 0: asking again does not help
}

// refuse is how Zoho refuses what was sent: with HTTP 200 and one word.
func refuse(word string) refusal { return refusal{status: http.StatusOK, Word: word} }

func badRequest(text string) refusal {
	return refusal{status: http.StatusBadRequest, Word: wordGeneralError, Description: text}
}

func throttled() refusal {
	return refusal{
		status: http.StatusBadRequest, Word: wordThrottled, Description: throttledText, Failure: "failure", retryAfter: retryAfterThrottle,
	}
}

func unavailable(text string) refusal {
	return refusal{status: http.StatusServiceUnavailable, Word: wordGeneralError, Description: text, retryAfter: retryAfterOutage}
}

// refusalOf is what a caller is told when there is no token for it.
func refusalOf(err error, now time.Time) refusal {
	var failure *Error
	if !errors.As(err, &failure) {
		return unavailable("Vault has not answered in time.")
	}
	var r refusal
	switch failure.Kind {
	case Refused:
		return refuse(wordInvalidCode)
	case Throttled:
		r = throttled()
	case BadAnswer:
		r = refusal{status: http.StatusBadGateway, Word: wordGeneralError, Description: failure.Text}
	case NotLetIn:
		r = unavailable("The token server is not let in: " + failure.Text)
	default:
		r = unavailable(failure.Text)
	}
	if wait := failure.RetryAt.Sub(now); wait > 0 {
		r.retryAfter = wait
	}
	return r
}

// notRevoked is what a caller is told whose token is still alive. It is never Zoho's
// HTTP 200 or 400 with a word: programs take these for done.
func notRevoked(err error) refusal {
	var failure *Error
	if !errors.As(err, &failure) {
		return unavailable("The token was not revoked yet: Vault has not answered in time.")
	}
	return unavailable("The token was not revoked yet: " + failure.Text)
}

// withPort names the port of an API's address, which changes nothing for those who call it.
// Zoho's SDKs compare api_domain with the addresses that they know, and where
// one is the same they ask Zoho's own Accounts server from then on, with the role's
// name and the pair.
// Source: zoho/zohocrm-nodejs-sdk-8.0, updateAPIDomain of class OAuthToken.
func withPort(apiDomain string) string {
	u, err := url.Parse(apiDomain)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.Port() != "" {
		return apiDomain
	}
	u.Host += ":443"
	return u.String()
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	encoded, err := json.Marshal(body)
	if err != nil { // of strings and numbers there is none
		status, encoded = http.StatusInternalServerError, []byte(`{"error":"general_error"}`)
	}
	w.Header().Set("Content-Type", "application/json;charset=UTF-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(encoded) // a caller that has left does not want it
}
