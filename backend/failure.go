package backend

import (
	"context"
	"errors"
	"time"

	"vault-plugin-secrets-zoho/backend/zoho"
)

// failure is the latest failed mint, remembered so that retrying readers
// neither spend the budget nor break Zoho's silence.
type failure struct {
	At       time.Time `json:"at"`
	Kind     zoho.Kind `json:"kind"`
	Code     string    `json:"code,omitempty"`
	Text     string    `json:"text"`
	RetryAt  time.Time `json:"retry_at,omitzero"` // zero: not before the credential changes
	InARow   int       `json:"in_a_row"`
	SecretID string    `json:"secret_id"` // of the client secret that was refused
}

// isDefiniteFor reports whether asking again with cred is useless.
func (f *failure) isDefiniteFor(cred credential) bool {
	return f.Kind.Definite() && f.SecretID == cred.secretID
}

func (f *failure) isThrottle() bool { return f.Kind == zoho.Throttled }

// needsPerson: only somebody's consent brings a new refresh token.
func (f *failure) needsPerson() bool { return f.Kind == zoho.Refused }

func (f *failure) err() error {
	return &GrantError{Kind: f.Kind, Code: f.Code, Text: f.Text, RetryAt: f.RetryAt}
}

// noteFailure remembers why there is no token, and returns it. A trial that is
// refused says nothing about what the grant's readers use.
func (e *Engine) noteFailure(ctx context.Context, g, limits *grant, cred credential, config *Config, use use, cause error) error {
	var refused *zoho.Error
	if !errors.As(cause, &refused) {
		return cause
	}
	f := failure{At: e.now(), Kind: refused.Kind, Code: refused.Code, Text: refused.Error(), InARow: 1, SecretID: cred.secretID}
	former := g.record().Failure
	err := e.updateGrant(ctx, g, func(rec *grantRecord) {
		f.follow(rec.Failure, config)
		if !use.trial || !refused.Kind.Definite() {
			rec.Failure = &f
		}
		if g == limits {
			rec.latestRequest().Over = refused.NoToken()
		}
	})
	if err == nil && g != limits {
		err = e.updateGrant(ctx, limits, func(rec *grantRecord) {
			rec.latestRequest().Over = refused.NoToken()
			if refused.Kind == zoho.Throttled {
				rec.Failure = &f
			}
		})
	}
	if use.trial {
		e.idleGrant(g.id)
	}
	roles := g.rolesFor(use)
	e.tellFailure(g, &f, former, roles, use.trial)
	e.log().Warn("could not mint an access token", "roles", roles, "grant", g.id, "kind", refused.Kind, "code", refused.Code, "http_status", refused.Status, "error", refused)
	if err != nil {
		return err
	}
	return f.err()
}

// follow counts the failures in a row, and says when Zoho may be asked again.
func (f *failure) follow(former *failure, config *Config) {
	if former != nil {
		f.InARow = former.InARow + 1
	}
	switch {
	case f.Kind == zoho.Throttled:
		f.RetryAt = f.At.Add(config.RequestWindow)
	case !f.Kind.Definite():
		f.RetryAt = f.At.Add(backoff(f.InARow))
	}
}
