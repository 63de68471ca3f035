package backend

import (
	"context"
	"fmt"
	"path"
	"time"

	"vault-plugin-secrets-zoho/backend/clock"
	"vault-plugin-secrets-zoho/backend/secret"
	"vault-plugin-secrets-zoho/backend/zoho"
)

// pendingRevocation is the write-ahead entry for the end of a refresh token,
// with all that is needed to revoke it.
//
//	                    noted ──── a role that is stored has it, or is written with it ────► void
//	                      │  ╰──── an operator has written over it, or deleted its role,
//	                      │        and was told that it lives on ─────────────────────────► void
//	                      │
//	                      │ no role has it, nobody leases its access tokens
//	                      ▼
//	deauthorize ───► decided ──── Zoho: revoked, or already gone ────► gone
//	                      ╰────── no success for about a week ───────────► given up
//	                              (once, if it never worked)
//
// It is noted before a role that is authorized again gives this one up, and before a role
// that gets this one for a grant code is stored: a crash in the middle leaves nothing
// that nobody knows. Zoho is asked only when the decision is stored. From then on no
// role can be written with it, and nothing is minted from it.
//
// An entry changes through changeRevocation alone, and what is decided stays so. To
// decide, and to carry out, takes the turn of the quota as well; to note does not, so
// who authorizes a role again does not wait for a mint with the former refresh token.
type pendingRevocation struct {
	Role         string    `json:"role"`
	At           time.Time `json:"at"`
	Decided      bool      `json:"decided,omitempty"`
	NeverWorked  bool      `json:"never_worked,omitempty"` // no access token was ever minted from it: one attempt is enough
	RefreshToken string    `json:"refresh_token"`
	AccountsURL  string    `json:"accounts_url"`
	ClientID     string    `json:"client_id"`
	ClientSecret string    `json:"client_secret"`
	CACert       string    `json:"ca_cert,omitempty"`
	Failures     int       `json:"failures,omitempty"`
	LastError    string    `json:"last_error,omitempty"`
	RetryAt      time.Time `json:"retry_at,omitzero"`
}

const (
	// longestRevocationPause is the pause after the eleventh failure and later ones; the
	// first is a minute, and each is twice as long as the one before.
	longestRevocationPause = 1024 * time.Minute

	// mostRevocationFailures is when the engine gives up: after seven days.
	mostRevocationFailures = 20
)

func (p pendingRevocation) app() zoho.App {
	return zoho.App{AccountsURL: p.AccountsURL, ClientID: p.ClientID, ClientSecret: secret.New(p.ClientSecret)}
}

// isDue reports whether the pause after the latest attempt is over.
func (p pendingRevocation) isDue(now time.Time) bool {
	return !clock.IsWithin(now, p.RetryAt, longestRevocationPause)
}

func (e *Engine) newPendingRevocation(r *Role, app zoho.App, config *Config) pendingRevocation {
	return pendingRevocation{
		Role: r.Name, At: e.now(), RefreshToken: r.RefreshToken.Reveal(), AccountsURL: app.AccountsURL,
		ClientID: app.ClientID, ClientSecret: app.ClientSecret.Reveal(), CACert: config.CACert,
	}
}

func (e *Engine) loadRevocation(ctx context.Context, quotaID string) (*pendingRevocation, error) {
	return orNone(get[pendingRevocation](ctx, e.store, prefixRevocations+quotaID))
}

// changeRevocation changes an entry: change gets what is there, nil if there is
// none, and returns what is to be there, nil for none. What is decided stays decided.
func (e *Engine) changeRevocation(ctx context.Context, quotaID string, change func(*pendingRevocation) *pendingRevocation) error {
	release, err := e.writes.Acquire(ctx, prefixRevocations+quotaID)
	if err != nil {
		return err
	}
	defer release()
	pending, err := e.loadRevocation(ctx, quotaID)
	if err != nil {
		return err
	}
	decided := pending != nil && pending.Decided
	switch changed := change(pending); {
	case changed == nil && pending == nil:
		return nil
	case changed == nil:
		return e.store.Delete(ctx, prefixRevocations+quotaID)
	default:
		changed.Decided = changed.Decided || decided
		return e.store.put(ctx, prefixRevocations+quotaID, changed)
	}
}

// deleteRevocation deletes an entry whatever it says: it has been carried out, or given
// up, or the role of a refresh token that Zoho has just given is stored.
func (e *Engine) deleteRevocation(ctx context.Context, quotaID string) error {
	return e.changeRevocation(ctx, quotaID, func(*pendingRevocation) *pendingRevocation { return nil })
}

// voidNote deletes a note for which isVoid holds, unless the revocation is decided.
func (e *Engine) voidNote(ctx context.Context, quotaID string, isVoid func(pendingRevocation) bool) error {
	return e.changeRevocation(ctx, quotaID, func(pending *pendingRevocation) *pendingRevocation {
		if pending == nil || !pending.Decided && isVoid(*pending) {
			return nil
		}
		return pending
	})
}

// noteRevocation notes the refresh token of a role that is about to get another.
func (e *Engine) noteRevocation(ctx context.Context, former *Role, config *Config) error {
	app, _, err := e.appForRevocation(ctx, former, config)
	if err != nil {
		return err
	}
	return e.changeRevocation(ctx, e.quotaID(former), func(pending *pendingRevocation) *pendingRevocation {
		if pending != nil && pending.Decided {
			return pending
		}
		noted := e.newPendingRevocation(former, app, config)
		return &noted
	})
}

// decideRevocation turns a note into a decision. The caller has the turn. It
// returns nil if there is no note any more.
func (e *Engine) decideRevocation(ctx context.Context, quotaID string) (decided *pendingRevocation, err error) {
	err = e.changeRevocation(ctx, quotaID, func(pending *pendingRevocation) *pendingRevocation {
		if pending != nil {
			pending.Decided = true
		}
		decided = pending
		return pending
	})
	return decided, err
}

// noteUnstored notes a refresh token that Zoho has just given, until its role is
// stored: a crash before that leaves it to Tick, which lets the write be first.
func (e *Engine) noteUnstored(ctx context.Context, updated *Role, app zoho.App, config *Config) error {
	p := e.newPendingRevocation(updated, app, config)
	p.RetryAt = p.At.Add(leftoverAfter)
	return e.changeRevocation(ctx, e.quotaID(updated), func(*pendingRevocation) *pendingRevocation { return &p })
}

// enterQuota enters a role that is about to be written into the index of its
// quota. A refresh token that waits for its revocation is left alone while the
// role is being written, and noted reports that there is such a note.
func (e *Engine) enterQuota(ctx context.Context, r *Role) (noted bool, err error) {
	id := e.quotaID(r)
	if r.RefreshToken.IsZero() {
		return false, e.enterIndex(ctx, id, r.Name)
	}
	// In its turn: whoever revokes a refresh token looks at the index in the same turn in
	// which Zoho is asked.
	release, err := e.takeTurn(ctx, id)
	if err != nil {
		return false, err
	}
	defer release()
	pending, err := e.loadRevocation(ctx, id)
	switch {
	case err != nil:
		return false, err
	case pending != nil && pending.Decided:
		return false, userErrorf("this refresh token is being revoked at Zoho: that was decided for role %q at %s. Get another one, with a grant code or the role's authorize", pending.Role, pending.At.UTC().Format(time.RFC3339))
	case pending != nil:
		if err := e.changeRevocation(ctx, id, func(pending *pendingRevocation) *pendingRevocation {
			if pending != nil {
				pending.RetryAt = e.now().Add(leftoverAfter)
			}
			return pending
		}); err != nil {
			return false, err
		}
	}
	return pending != nil, e.enterIndex(ctx, id, r.Name)
}

// cancelRevocation forgets a note, unless the revocation is decided: a role
// that is stored has the refresh token, or had it until it was written over by hand,
// and the operator was told that it lives on.
func (e *Engine) cancelRevocation(ctx context.Context, r *Role) error {
	if r.RefreshToken.IsZero() {
		return nil
	}
	return e.voidNote(ctx, e.quotaID(r), func(pendingRevocation) bool { return true })
}

// checkNotEnding refuses to mint from a refresh token whose revocation is decided.
// The caller has its turn.
func (e *Engine) checkNotEnding(ctx context.Context, quotaID string) error {
	pending, err := e.loadRevocation(ctx, quotaID)
	if err != nil || pending == nil || !pending.Decided {
		return err
	}
	return &GrantError{Kind: zoho.Refused, Text: fmt.Sprintf(
		"The refresh token is being revoked at Zoho: that was decided for role %q at %s. Authorize the role again, or write another code or refresh_token to it.", pending.Role, pending.At.UTC().Format(time.RFC3339))}
}

// PendingRevocation is a refresh token that was a role's, and that waits to be
// revoked at Zoho.
type PendingRevocation struct {
	Since     time.Time
	Decided   bool      // otherwise somebody still leases its access tokens
	Failures  int       // attempts so far that failed
	LastError string    // of the latest one
	RetryAt   time.Time // of the next one; zero: within a minute
	quotaID   string
}

// pendingOf lists the pending revocations of refresh tokens that were a role's.
func (e *Engine) pendingOf(ctx context.Context, role string) (pending []PendingRevocation, err error) {
	ids, err := e.store.List(ctx, prefixRevocations)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		p, err := e.loadRevocation(ctx, path.Base(id))
		if err != nil {
			return nil, err
		}
		if p != nil && p.Role == role {
			pending = append(pending, PendingRevocation{Since: p.At, Decided: p.Decided, Failures: p.Failures, LastError: p.LastError, RetryAt: p.RetryAt, quotaID: path.Base(id)})
		}
	}
	return pending, nil
}
