package backend

import (
	"errors"
	"fmt"
	"time"
	"unicode"
	"unicode/utf8"

	"vault-plugin-secrets-zoho/backend/quota"
	"vault-plugin-secrets-zoho/backend/refreshtoken"
	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/backend/zoho"
)

// GrantError says why there is no token to be had from a grant. Kind decides
// the HTTP status.
type GrantError struct {
	Kind zoho.Kind
	Code string // Zoho's error word, if it sent one
	Text string
	// RetryAt is when it makes sense to ask again; zero if that depends on
	// somebody correcting something.
	RetryAt time.Time

	// What was decided before Zoho was asked, for whoever can act on it.
	verdict quota.Verdict // Used, Reserved or Full; quota.Go: nothing of these
	window  time.Duration // with Used: of the budget
	kept    bool          // with Full: there are places, which are kept for readers who have no token
	onlyOf  string        // the role that alone is refused; empty: all

	postponed bool           // a consent came back when no code could be exchanged: it can come back again
	outcome   ConsentOutcome // of a consent; zero: Kind and Code say
}

func (e *GrantError) Error() string {
	if e.RetryAt.IsZero() {
		return e.Text
	}
	return fmt.Sprintf("%s The next attempt makes sense at %s.", e.Text, e.RetryAt.UTC().Format(time.RFC3339))
}

// prependText puts what a failure of the grant means before it.
func prependText(text string, err error) error {
	if failed, ok := errors.AsType[*GrantError](err); ok {
		named := *failed
		named.Text = text + failed.Text
		return &named
	}
	return err
}

// appendText says after a failure what became of the rest.
func appendText(err error, text string) error {
	if failed, ok := errors.AsType[*GrantError](err); ok {
		told := *failed
		told.Text = failed.Text + " " + text + "."
		return &told
	}
	return fmt.Errorf("%w. %s", err, text)
}

// asGrantError gives a failed call to Zoho its place among the engine's errors.
func asGrantError(err error) error {
	if failed, ok := errors.AsType[*zoho.Error](err); ok {
		return &GrantError{Kind: failed.Kind, Code: failed.Code, Text: failed.Error()}
	}
	return err
}

// errRoleChanged: the role was given another grant while a reader looked at it.
var errRoleChanged = errors.New("the role was changed meanwhile")

// errNoToken: the token that was minted for a reader has ended since.
var errNoToken = errors.New("the new access token has ended already")

// errClosed: the mount is being unloaded.
var errClosed = &GrantError{Kind: zoho.Unreachable, outcome: ConsentInterrupted, Text: "The secrets engine is shutting down or being reloaded; try again."}

// asUserError gives a change that package refreshtoken refuses its place among the engine's
// errors.
func asUserError(err error) error {
	if refused, ok := errors.AsType[*refreshtoken.RefusedError](err); ok {
		return settings.UserErrorf("%v", refused)
	}
	return err
}

// sentence is a text with a capital.
func sentence(text string) string {
	first, size := utf8.DecodeRuneInString(text)
	return string(unicode.ToUpper(first)) + text[size:]
}

// isReserved reports whether a mint was not admitted because the rest of the budget, or
// of the places for live tokens, is kept for others.
func isReserved(err error) bool {
	failed, ok := errors.AsType[*GrantError](err)
	return ok && (failed.verdict == quota.Reserved || failed.kept)
}

// isFull reports whether a mint was not admitted because too many tokens live.
func isFull(err error) bool {
	failed, ok := errors.AsType[*GrantError](err)
	return ok && failed.verdict == quota.Full
}

// isOfAnotherRole reports whether a mint was refused for what readers of another role have
// done.
func isOfAnotherRole(err error, role string) bool {
	failed, ok := errors.AsType[*GrantError](err)
	return ok && failed.onlyOf != "" && failed.onlyOf != role
}

// isPostponed reports whether a consent came back too early, and nothing was used up.
func isPostponed(err error) bool {
	failed, ok := errors.AsType[*GrantError](err)
	return ok && failed.postponed
}
