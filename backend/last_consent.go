package backend

import (
	"cmp"
	"context"
	"strings"
	"time"

	"vault-plugin-secrets-zoho/backend/clock"
	"vault-plugin-secrets-zoho/backend/refreshtoken"
	"vault-plugin-secrets-zoho/backend/settings"
)

// ConsentState is what became of asking a person for consent.
type ConsentState string

// The states of the latest authorization of a role that has not succeeded.
const (
	ConsentPending ConsentState = "pending" // the person has not come back yet
	ConsentExpired ConsentState = "expired" // nobody came back in time
	ConsentFailed  ConsentState = "failed"  // something went wrong

	ConsentDeclined  ConsentState = "denied"    // the person has declined
	ConsentElsewhere ConsentState = "elsewhere" // the person's account is in another data centre
	ConsentGranted   ConsentState = "granted"   // the role works with it: no later one has ended otherwise
)

// HasFailed reports whether a consent has ended, and brought nothing although somebody came.
func (s ConsentState) HasFailed() bool {
	return s == ConsentFailed || s == ConsentDeclined || s == ConsentElsewhere
}

// How a person is asked.
const (
	MethodBrowser = "browser" // Zoho sends their browser back to the mount's callback
	MethodDevice  = "device"  // they type a code into a page of Zoho's, and the engine polls
)

// LastConsent is the latest authorization of a role, unless it has succeeded: what the
// person saw in the browser is nowhere else.
//
//	begun ───► pending ───► failed, denied, elsewhere
//	              │  ╰────► expired
//	              ╰───────► forgotten: it has succeeded (granted, as long as the role works
//	                        with it), or the role was deleted
type LastConsent struct {
	Key       string       `json:"key"` // of the pending authorization
	BegunAt   time.Time    `json:"begun_at"`
	ExpiresAt time.Time    `json:"expires_at"`
	EndedAt   time.Time    `json:"ended_at,omitzero"` // when it failed
	Error     string       `json:"error,omitempty"`   // why
	Method    string       `json:"method,omitempty"`  // MethodBrowser or MethodDevice
	How       ConsentState `json:"how,omitempty"`     // it ended; empty: ConsentFailed
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
		entry.EndedAt, entry.Error, entry.How = e.now(), e.consentErrorText(role, entry.Method, failed), stateOfOutcome(outcomeOf(failed))
		err = e.store.put(ctx, key, entry)
	}
	if err != nil {
		e.log().Warn("could not note what came of an authorization; the role's status does not tell it", "role", role, "error", err)
	}
}

// consentErrorText is what an operator reads of a failure: its cause, and what to do.
func (e *Engine) consentErrorText(role, method string, err error) string {
	cause := cmp.Or(strings.TrimSuffix(causeOf(err), "."), "internal error")
	todo := e.textsFor(outcomeOf(err), role, err).Operator
	if method == MethodDevice {
		todo = strings.NewReplacer("vault write -f <mount>/roles/"+role+"/authorize", "vault write <mount>/roles/"+role+"/authorize method=device",
			"a new link", "a new user code", "The link", "The code", "the link", "the code").Replace(todo)
	}
	return cause + ". " + todo
}

// stateOfOutcome is how a consent ended that has failed.
func stateOfOutcome(outcome ConsentOutcome) ConsentState {
	switch outcome { //nolint:exhaustive // all others are failures
	case ConsentDenied:
		return ConsentDeclined
	case ConsentOtherDataCenter:
		return ConsentElsewhere
	case ConsentLinkInvalid: // nobody came in time
		return ConsentExpired
	default:
		return ConsentFailed
	}
}

// lastConsent is the latest authorization of a role that has not succeeded; nil if
// there is none.
func (e *Engine) lastConsent(ctx context.Context, role string) (*LastConsent, error) {
	last, err := orNone(get[LastConsent](ctx, e.store, prefixLastConsents+role))
	switch {
	case err != nil || last == nil:
		return nil, err
	case last.Error != "":
		last.State = cmp.Or(last.How, ConsentFailed)
	case clock.IsWithin(e.now(), last.ExpiresAt, consentLife):
		last.State = ConsentPending
	default:
		last.State = ConsentExpired
	}
	last.Key, last.How = "", "" // nobody else's business
	return last, nil
}

// grantedConsent is the consent that a role works with; nil if its refresh token came otherwise.
// It is not stored apart: the record of the refresh token tells it.
func (e *Engine) grantedConsent(ctx context.Context, role *settings.Role) (*LastConsent, error) {
	if role.RefreshToken.IsZero() {
		return nil, nil
	}
	record, err := e.record(ctx, e.quotaID(role))
	if err != nil || record == nil || record.Origin != refreshtoken.Consent {
		return nil, err
	}
	return &LastConsent{State: ConsentGranted}, nil
}

// dropConsents deletes what is stored of a role's consents.
func (e *Engine) dropConsents(ctx context.Context, role string) error {
	if err := e.store.deleteWhere(ctx, e.consentPrefix(role), func(string) bool { return true }); err != nil {
		return err
	}
	if err := e.store.Delete(ctx, prefixDevices+role); err != nil {
		return err
	}
	return e.store.Delete(ctx, prefixLastConsents+role)
}
