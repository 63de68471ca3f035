package tokenserver

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"
)

// A Kind of error decides what a caller is told, and whether a token that is
// still good is handed out all the same.
type Kind string

const (
	// Refused: Vault gives no token for this role, and will not by itself.
	Refused Kind = "refused"
	// Throttled: the limits of Zoho are reached.
	Throttled Kind = "throttled"
	// NotLetIn: Vault does not accept the server's Vault token.
	NotLetIn Kind = "Vault token refused"
	// BadAnswer: Zoho or Vault answers with what makes no sense.
	BadAnswer Kind = "bad answer"
	// Unavailable: Vault cannot be reached, is sealed, or cannot reach Zoho.
	Unavailable Kind = "unavailable"
)

// An Error is why there is no token. Its text has no secret in it, and no name
// of a role.
type Error struct {
	Kind   Kind
	Status int // Vault's; 0 where it has not answered
	Text   string
	// RetryAt is when it makes sense to ask again; zero if Vault has not said so.
	RetryAt time.Time

	cause error
}

func (e *Error) Error() string { return e.Text }
func (e *Error) Unwrap() error { return e.cause }

func isRefused(err error) bool { return isOfKind(err, Refused) }

// endsLease reports whether a lease is not to be handed out any more: the role is
// refused, or Vault knows the Vault token no more, and with that ends what was leased.
func endsLease(err error) bool { return isRefused(err) || isOfKind(err, NotLetIn) }

func isOfKind(err error, kind Kind) bool {
	var failure *Error
	return errors.As(err, &failure) && failure.Kind == kind
}

// nextAttempt is the time with which the secrets engine ends a message, if it knows it.
func nextAttempt(said string) time.Time {
	_, after, _ := strings.Cut(said, "The next attempt makes sense at ")
	text, _, _ := strings.Cut(after, ".")
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}
	}
	return at
}

// maxText bounds what is passed on of Vault's messages.
const maxText = 500

// explain makes an Error of one of Vault's client. The role's name is taken out: it
// is what a caller has sent, and that may be a secret.
func explain(err error, role string) *Error {
	var answer *api.ResponseError
	if !errors.As(err, &answer) {
		var failed *url.Error // with an address that has the role in it
		if errors.As(err, &failed) {
			err = failed.Err
		}
		return &Error{Kind: Unavailable, Text: tidy("Vault cannot be reached: "+err.Error(), role), cause: err}
	}
	said := strings.Join(answer.Errors, " ")
	e := &Error{Status: answer.StatusCode, Text: tidy(fmt.Sprintf("Vault answers HTTP %d: %s", answer.StatusCode, said), role), cause: err}
	e.RetryAt = nextAttempt(said)
	switch answer.StatusCode {
	case http.StatusBadRequest:
		e.Kind = Refused
		if strings.Contains(said, "missing client token") { // as older servers of Vault say it
			e.Kind = NotLetIn
		}
	case http.StatusForbidden:
		e.Kind = NotLetIn
	case http.StatusTooManyRequests:
		e.Kind = Throttled
	case http.StatusNotFound, http.StatusBadGateway:
		e.Kind = BadAnswer
	default:
		e.Kind = Unavailable
	}
	return e
}

// tidy makes one line of bounded length of a message.
func tidy(text, role string) string {
	if role != "" {
		text = strings.ReplaceAll(text, role, "ROLE")
	}
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > maxText {
		text = strings.ToValidUTF8(text[:maxText], "") + " ..."
	}
	return text
}
