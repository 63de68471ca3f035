package tokenserver

import (
	"encoding/json"
	"errors"
	"net/http"
)

// The answers have the form, the words and the status of Zoho's.
// Source: zoho.com/accounts/protocol/oauth/web-apps/access-token-expiry.html, and
// for the throttle zoho.com/accounts/protocol/oauth/token-limits.html.
const (
	wordInvalidClient = "invalid_client"
	wordInvalidCode   = "invalid_code"
	wordInvalidToken  = "invalid_token"
	wordGeneralError  = "general_error"
	wordThrottled     = "Access Denied"
)

const throttledText = "You have made too many requests continuously. Please try again after some time."

// tokenAnswer is that of a refresh.
type tokenAnswer struct {
	AccessToken string `json:"access_token"`
	APIDomain   string `json:"api_domain"`
	TokenType   string `json:"token_type"`
	ExpiresIn   int    `json:"expires_in"`
}

// refusal is an answer without a token.
type refusal struct {
	status int

	Description string `json:"error_description,omitempty"`
	Word        string `json:"error"`
	Failure     string `json:"status,omitempty"`
}

// refuse is how Zoho refuses what was sent: with HTTP 200 and one word.
func refuse(word string) refusal { return refusal{status: http.StatusOK, Word: word} }

func badRequest(text string) refusal {
	return refusal{status: http.StatusBadRequest, Word: wordGeneralError, Description: text}
}

func throttled() refusal {
	return refusal{status: http.StatusBadRequest, Word: wordThrottled, Description: throttledText, Failure: "failure"}
}

// refusalOf is what a caller is told when there is no token for it.
func refusalOf(err error) refusal {
	var failure *Error
	if !errors.As(err, &failure) {
		return refusal{status: http.StatusServiceUnavailable, Word: wordGeneralError, Description: "Vault has not answered in time."}
	}
	switch failure.Kind {
	case Refused:
		return refuse(wordInvalidCode)
	case Throttled:
		return throttled()
	case BadAnswer:
		return refusal{status: http.StatusBadGateway, Word: wordGeneralError, Description: failure.Text}
	case NotLetIn:
		return refusal{status: http.StatusServiceUnavailable, Word: wordGeneralError, Description: "The token server is not let in: " + failure.Text}
	default:
		return refusal{status: http.StatusServiceUnavailable, Word: wordGeneralError, Description: failure.Text}
	}
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
