package backend

import (
	"cmp"
	"context"
	"strings"
	"time"

	"vault-plugin-secrets-zoho/backend/clock"
)

// ConsentState is what became of asking a person for consent.
type ConsentState string

// The states of the latest authorization of a role that has not succeeded.
const (
	ConsentPending ConsentState = "pending" // the person has not come back yet
	ConsentExpired ConsentState = "expired" // nobody came back in time
	ConsentFailed  ConsentState = "failed"  // the person has declined, or something went wrong
)

// LastConsent is the latest authorization of a role, unless it has succeeded: what the
// person saw in the browser is nowhere else.
//
//	begun ───► pending ───► failed
//	              │  ╰────► expired
//	              ╰───────► forgotten: it has succeeded, or the role was deleted
type LastConsent struct {
	Key       string       `json:"key"` // of the pending authorization
	BegunAt   time.Time    `json:"begun_at"`
	ExpiresAt time.Time    `json:"expires_at"`
	EndedAt   time.Time    `json:"ended_at,omitzero"` // when it failed
	Error     string       `json:"error,omitempty"`   // why
	State     ConsentState `json:"-"`
}

// noteConsentEnded notes what came of an authorization, unless it has failed and another
// one was begun since.
// The caller has the role's slot. The role is as it should be by now, so a failure here is
// no error.
func (e *Engine) noteConsentEnded(ctx context.Context, role, pending string, failed error) {
	key := prefixLastConsents + role
	entry, err := orNone(get[LastConsent](ctx, e.store, key))
	switch {
	case err != nil || entry == nil:
	case failed == nil: // no other link that was begun before can succeed any more
		err = e.store.Delete(ctx, key)
	case entry.Key != pending:
	default:
		entry.EndedAt, entry.Error = e.now(), e.consentErrorText(role, failed)
		err = e.store.put(ctx, key, entry)
	}
	if err != nil {
		e.log().Warn("could not note what came of an authorization; the role's status does not tell it", "role", role, "error", err)
	}
}

// consentErrorText is what an operator reads of a failure: its cause, and what to do.
func (e *Engine) consentErrorText(role string, err error) string {
	cause := cmp.Or(strings.TrimSuffix(causeOf(err), "."), "internal error")
	return cause + ". " + e.textsFor(outcomeOf(err), role, err).Operator
}

// lastConsent is the latest authorization of a role that has not succeeded; nil if
// there is none.
func (e *Engine) lastConsent(ctx context.Context, role string) (*LastConsent, error) {
	last, err := orNone(get[LastConsent](ctx, e.store, prefixLastConsents+role))
	switch {
	case err != nil || last == nil:
		return nil, err
	case last.Error != "":
		last.State = ConsentFailed
	case clock.IsWithin(e.now(), last.ExpiresAt, consentLife):
		last.State = ConsentPending
	default:
		last.State = ConsentExpired
	}
	last.Key = "" // nobody else's business
	return last, nil
}
