package backend

import (
	"errors"
	"fmt"
	"time"

	"vault-plugin-secrets-zoho/backend/zoho"
)

// UserError is a request that cannot be carried out as it is; the text says
// what to change. It becomes HTTP 400.
type UserError struct{ text string }

func (e *UserError) Error() string { return e.text }

func userErrorf(format string, args ...any) error {
	return &UserError{text: fmt.Sprintf(format, args...)}
}

// GrantError says why there is no token to be had from a grant. Kind decides
// the HTTP status. It is also the shape in which a failure is remembered.
type GrantError struct {
	Kind zoho.Kind
	Code string // Zoho's error word, if it sent one
	Text string
	// RetryAt is when it makes sense to ask again; zero if that depends on
	// somebody correcting something.
	RetryAt time.Time
}

func (e *GrantError) Error() string {
	if e.RetryAt.IsZero() {
		return e.Text
	}
	return fmt.Sprintf("%s The next attempt makes sense at %s.", e.Text, e.RetryAt.UTC().Format(time.RFC3339))
}

// inFront puts what a failure of the grant means before it.
func inFront(text string, err error) error {
	var failed *GrantError
	if errors.As(err, &failed) {
		named := *failed
		named.Text = text + failed.Text
		return &named
	}
	return err
}

// behind says after a failure what became of the rest.
func behind(err error, text string) error {
	var failed *GrantError
	if errors.As(err, &failed) {
		told := *failed
		told.Text = failed.Text + " " + text + "."
		return &told
	}
	return fmt.Errorf("%w. %s", err, text)
}

// asGrantError gives a failed call to Zoho its place among the engine's errors.
func asGrantError(err error) error {
	var failed *zoho.Error
	if errors.As(err, &failed) {
		return &GrantError{Kind: failed.Kind, Code: failed.Code, Text: failed.Error()}
	}
	return err
}

// errEnding: the token's revocation was decided after the reader had picked it.
var errEnding = errors.New("the access token is being revoked")

// errClosed: the mount is being unloaded.
var errClosed = &GrantError{Kind: zoho.Unreachable, Text: "The secrets engine is shutting down or being reloaded; try again."}

// errDropped: the grant's record was deleted as needless in that very moment.
var errDropped = &GrantError{Kind: zoho.Unreachable, Text: "The record of a grant was being tidied up at the same moment; try again."}

// errReserved: a mint ahead would spend what is left of the budget for readers.
var errReserved = errors.New("the rest of the budget is kept for readers")
