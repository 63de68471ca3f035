package backend

import (
	"context"
	"errors"

	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/backend/zoho"
)

// Callback is what Zoho sent the browser back with. All of it may be forged.
type Callback struct {
	State          string
	Code           string
	Error          string // instead of a code
	Location       string // data centre of the person's account; empty: not said
	AccountsServer string // Accounts server of that data centre; empty: not said
}

// Consent is what became of a person's consent: what the page in their browser tells.
type Consent struct {
	Outcome    ConsentOutcome
	Texts      ConsentTexts
	Cause      string // why it has failed, for the operator; empty: the log alone tells
	Role       string // empty: the callback belongs to no pending authorization
	DataCenter string // of the role; empty: not known

	// What a consent has brought that was given.
	Account zoho.Person // whose account it is; zero: Zoho did not say
	Granted []string    // the scopes that Zoho says it granted; empty: it did not say
	Asked   []string    // the scopes that were asked for
	SOID    string      // of the organisation that was asked for
	Doubts  []string    // for the operator
}

// CompleteConsent ends the authorization of the callback's state. A state is good for one
// attempt, unless it comes when no code can be exchanged. Beside an error the role is as it
// was; the Consent says what the person at the browser may know of it.
func (e *Engine) CompleteConsent(ctx context.Context, callback Callback) (Consent, error) {
	given, warnings, err := e.completeConsent(ctx, callback)
	c := Consent{Outcome: outcomeOf(err)}
	if given != nil {
		c.Role, c.DataCenter = given.Role, e.dataCenterOf(ctx, given.Role)
	}
	if err == nil {
		given.describe(&c)
		c.Doubts = e.doubtsOfRole(ctx, c.Role)
	} else {
		c.Cause = causeOf(err)
	}
	c.Texts = e.textsFor(c.Outcome, c.Role, err)
	e.reportConsent(c, warnings, err)
	return c, err
}

// EndedConsent is a consent that ended before it came to the engine. cause is why, for the
// operator.
func (e *Engine) EndedConsent(outcome ConsentOutcome, cause string) Consent {
	return Consent{Outcome: outcome, Texts: e.textsFor(outcome, "", nil), Cause: cause}
}

// completeConsent does so. It returns no authorization if the callback leads to none.
func (e *Engine) completeConsent(ctx context.Context, callback Callback) (given *givenConsent, warnings []string, err error) {
	if err := e.Open(ctx); err != nil {
		return nil, nil, err
	}
	key, err := e.findConsent(ctx, callback.State)
	if err != nil {
		return nil, nil, err
	}
	pending, err := orNone(get[consentEntry](ctx, e.store, key))
	if err != nil {
		return nil, nil, err
	}
	if pending == nil {
		return nil, nil, errStaleConsent()
	}
	given = &givenConsent{consentEntry: pending, key: key, callback: callback}
	warnings, err = e.writeGiven(ctx, pending.Role, given)
	return given, warnings, err
}

// reportConsent logs what became of a consent, and sends an event.
func (e *Engine) reportConsent(c Consent, warnings []string, err error) {
	_, bad := errors.AsType[*settings.UserError](err)
	switch {
	case err == nil:
		for _, warning := range settings.Distinct(append(warnings, c.Doubts...)) { // the page has the doubts alone: warnings name other roles
			e.log().Warn("a role was authorized, but", "role", c.Role, "warning", warning)
		}
		e.log().Info("a role was authorized", "role", c.Role)
	case c.Role == "" && bad, isPostponed(err): // somebody can send such a callback as often as they like
		e.log().Debug("a callback was refused", "role", c.Role, "error", err)
	default:
		e.log().Warn("an authorization failed", "role", c.Role, "error", err)
	}
	if c.Role != "" && !isPostponed(err) {
		e.reportRole(EventRoleAuthorize, c.Role, err)
	}
}

// describe says what a consent that was given has brought.
func (c *givenConsent) describe(consent *Consent) {
	consent.Account, consent.Granted, consent.Asked, consent.SOID = c.account, c.granted, c.asked, c.SOID
	if c.Consent == settings.ConsentOrg {
		consent.Outcome = ConsentGivenForOrg
	}
}

// dataCenterOf is empty if there is no such role, or storage fails: the page does without.
func (e *Engine) dataCenterOf(ctx context.Context, role string) string {
	overview, err := e.RoleOverview(ctx, role)
	if err != nil {
		return ""
	}
	return overview.DataCenter
}

func errStaleConsent() error {
	return consentErrorf(ConsentLinkInvalid, "This link is not valid: it was used already, is older than ten minutes, or was not begun here")
}
