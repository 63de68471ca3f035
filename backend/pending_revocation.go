package backend

import (
	"context"
	"errors"
	"fmt"
	"path"
	"time"

	"golang.org/x/sync/errgroup"

	"vault-plugin-secrets-zoho/backend/secret"
	"vault-plugin-secrets-zoho/backend/zoho"
)

// pendingRevocation is the write-ahead entry for the end of a refresh token,
// with all that is needed to revoke it.
//
//	                    noted ──── a role that is stored has it, or is written with it ────► void
//	                      │
//	                      │ no role has it, nobody leases its access tokens
//	                      ▼
//	deauthorize ───► decided ──── Zoho: revoked, or already gone ────► gone
//	                      ╰────── Zoho has refused for about a week ─────► given up
//	                              (once, if it never worked)
//
// It is noted before a role that gets another refresh token gives this one up, and
// before a role that gets this one is stored: a crash in the middle leaves nothing
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
	// longestRevocationPause is the pause after the tenth failure and later ones; the
	// first is a minute, and each is twice as long as the one before.
	longestRevocationPause = 1024 * time.Minute

	// mostRevocationFailures is when the engine gives up: after six days and a half.
	mostRevocationFailures = 18
)

func (p pendingRevocation) app() zoho.App {
	return zoho.App{AccountsURL: p.AccountsURL, ClientID: p.ClientID, ClientSecret: secret.New(p.ClientSecret)}
}

func (e *Engine) newPendingRevocation(r *Role, app zoho.App, config *Config) pendingRevocation {
	return pendingRevocation{
		Role: r.Name, At: e.now(), RefreshToken: r.RefreshToken.Reveal(), AccountsURL: app.AccountsURL,
		ClientID: app.ClientID, ClientSecret: app.ClientSecret.Reveal(), CACert: config.CACert,
	}
}

func (e *Engine) pendingRevocation(ctx context.Context, quotaID string) (*pendingRevocation, error) {
	return orNone(get[pendingRevocation](ctx, e.store, prefixRevocations+quotaID))
}

// changeRevocation changes an entry: change gets what is there, nil if there is
// none, and returns what is to be there, nil for none. What is decided stays decided.
func (e *Engine) changeRevocation(ctx context.Context, quotaID string, change func(*pendingRevocation) *pendingRevocation) error {
	release, err := e.writes.acquire(ctx, prefixRevocations+quotaID)
	if err != nil {
		return err
	}
	defer release()
	pending, err := e.pendingRevocation(ctx, quotaID)
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

// deleteRevocation deletes an entry that has been carried out, or given up.
func (e *Engine) deleteRevocation(ctx context.Context, quotaID string) error {
	return e.changeRevocation(ctx, quotaID, func(*pendingRevocation) *pendingRevocation { return nil })
}

// voidNote deletes a note that was found void, unless it is decided or another one
// by now.
func (e *Engine) voidNote(ctx context.Context, quotaID string, void pendingRevocation) error {
	return e.changeRevocation(ctx, quotaID, func(pending *pendingRevocation) *pendingRevocation {
		if pending != nil && (pending.Decided || pending.Role != void.Role || !pending.At.Equal(void.At)) {
			return pending
		}
		return nil
	})
}

// noteRevocation notes the refresh token of a role that is about to get another.
func (e *Engine) noteRevocation(ctx context.Context, former *Role, config *Config) error {
	id, err := e.quotaID(ctx, former)
	if err != nil {
		return err
	}
	app, err := former.app(config)
	var moved *clientMovedError
	if err != nil && !errors.As(err, &moved) {
		return err
	}
	if moved != nil { // the secret is gone; the older endpoint wants none
		app = zoho.App{AccountsURL: former.Pin.AccountsURL, ClientID: former.Pin.ClientID}
	}
	return e.changeRevocation(ctx, id, func(pending *pendingRevocation) *pendingRevocation {
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
func (e *Engine) noteUnstored(ctx context.Context, updated *Role, app zoho.App, config *Config) (quotaID string, err error) {
	id, err := e.quotaID(ctx, updated)
	if err != nil {
		return "", err
	}
	p := e.newPendingRevocation(updated, app, config)
	p.RetryAt = p.At.Add(settled)
	return id, e.changeRevocation(ctx, id, func(*pendingRevocation) *pendingRevocation { return &p })
}

// claimQuota enters a role that is about to be written into the index of its
// quota. A refresh token that waits for its revocation is left alone while the
// role is being written, and noted reports that there is such a note.
func (e *Engine) claimQuota(ctx context.Context, r *Role) (noted bool, err error) {
	id, err := e.quotaID(ctx, r)
	if err != nil || id == "" {
		return false, err
	}
	if r.RefreshToken.IsZero() {
		return false, e.enterIndex(ctx, id, r.Name)
	}
	// In its turn: whoever revokes a refresh token looks at the claims in the same
	// turn in which Zoho is asked.
	release, err := e.takeTurn(ctx, id)
	if err != nil {
		return false, err
	}
	defer release()
	pending, err := e.pendingRevocation(ctx, id)
	switch {
	case err != nil:
		return false, err
	case pending != nil && pending.Decided:
		return false, userErrorf("this refresh token is being revoked at Zoho: that was decided for role %q at %s. Get another one, with a grant code or the role's authorize", pending.Role, pending.At.UTC().Format(time.RFC3339))
	case pending != nil:
		if err := e.changeRevocation(ctx, id, func(pending *pendingRevocation) *pendingRevocation {
			if pending != nil {
				pending.RetryAt = e.now().Add(settled)
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
	id, err := e.quotaID(ctx, r)
	if err != nil || r.RefreshToken.IsZero() {
		return err
	}
	pending, err := e.pendingRevocation(ctx, id)
	if err != nil || pending == nil {
		return err
	}
	return e.voidNote(ctx, id, *pending)
}

// checkNotEnding refuses to mint from a refresh token whose revocation is decided.
// The caller has its turn.
func (e *Engine) checkNotEnding(ctx context.Context, quotaID string) error {
	pending, err := e.pendingRevocation(ctx, quotaID)
	if err != nil || pending == nil || !pending.Decided {
		return err
	}
	return &GrantError{Kind: zoho.Refused, Text: fmt.Sprintf(
		"The refresh token is being revoked at Zoho: that was decided for role %q at %s. Authorize the role again, or write another code or refresh_token to it.", pending.Role, pending.At.UTC().Format(time.RFC3339))}
}

// continueRevocations looks at every pending revocation.
func (e *Engine) continueRevocations(ctx context.Context) error {
	ids, err := e.store.List(ctx, prefixRevocations)
	if err != nil {
		return err
	}
	var group errgroup.Group
	group.SetLimit(revocationsAtOnce)
	for _, id := range ids {
		_, err := get[pendingRevocation](ctx, e.store, prefixRevocations+path.Base(id))
		var broken *undecodable
		if errors.As(err, &broken) {
			e.log().Error("the note of a refresh token that was to be revoked is damaged, and was deleted: compare Connected Apps at Zoho with the roles", "quota", id, "error", broken)
			if err := e.store.Delete(ctx, prefixRevocations+path.Base(id)); err != nil {
				return err
			}
		}
		group.Go(func() error {
			if ctx.Err() == nil {
				e.continueRevocation(ctx, path.Base(id))
			}
			return nil
		})
	}
	return group.Wait()
}

// continueRevocation revokes a refresh token if that is pending and nobody needs
// it any more. What fails here is tried again by Tick.
func (e *Engine) continueRevocation(ctx context.Context, quotaID string) {
	if err := e.tryContinueRevocation(ctx, quotaID); err != nil {
		e.log().Warn("could not revoke a refresh token that nobody needs; it is tried again", "quota", quotaID, "error", err)
	}
}

func (e *Engine) tryContinueRevocation(ctx context.Context, quotaID string) error {
	if pending, err := e.pendingRevocation(ctx, quotaID); err != nil || pending == nil {
		return err // no need to wait for a turn
	}
	release, err := e.takeTurn(ctx, quotaID)
	if err != nil {
		return err
	}
	defer release()
	pending, err := e.pendingRevocation(ctx, quotaID)
	if err != nil || pending == nil || isWithin(e.now(), pending.RetryAt, longestRevocationPause) {
		return err
	}
	if !pending.Decided {
		needed, err := e.isRefreshTokenNeeded(ctx, quotaID, *pending)
		if err != nil || needed {
			return err
		}
		if pending, err = e.decideRevocation(ctx, quotaID); err != nil || pending == nil {
			return err
		}
	}
	config, err := e.configForRevocation(ctx)
	if err != nil {
		return err
	}
	_, err = e.carryOutRevocation(ctx, quotaID, *pending, config)
	return err
}

// isRefreshTokenNeeded reports whether a role has a refresh token or somebody
// leases an access token of it. A note that is void is deleted. If it is not
// needed, no access token of it gets a holder any more: a reader who is just about to
// become one, because the read began before the role was written, takes a newer token.
func (e *Engine) isRefreshTokenNeeded(ctx context.Context, quotaID string, pending pendingRevocation) (bool, error) {
	claimants, err := e.claimants(ctx, quotaID)
	if err != nil {
		return true, err
	}
	if len(claimants) > 0 {
		for _, name := range claimants {
			if name == pending.Role && elapsed(e.now(), pending.At) > settled {
				return true, e.voidNote(ctx, quotaID, pending)
			}
		}
		return true, nil
	}
	return e.endUnheldTokens(ctx, quotaID)
}

// endUnheldTokens decides that the access tokens of a quota end which nobody
// holds, and reports whether one is held.
func (e *Engine) endUnheldTokens(ctx context.Context, quotaID string) (held bool, err error) {
	q, err := e.quota(ctx, quotaID)
	if err != nil {
		return true, err
	}
	tokens, err := e.liveTokens(ctx, q)
	if err != nil {
		return true, err
	}
	for _, t := range tokens {
		ending, err := t.ledger.endIfUnheld(ctx, e.now())
		if err != nil {
			return true, err
		}
		held = held || !ending
	}
	return held, nil
}

// carryOutRevocation asks Zoho to revoke a refresh token. The decision is stored,
// and the caller has its turn. Its access tokens die with it, whoever holds them, so
// that is noted first: a lost answer leaves none that is handed out. Leases on them
// stay until they end; there is nothing left for them to give up.
func (e *Engine) carryOutRevocation(ctx context.Context, quotaID string, pending pendingRevocation, config *Config) (gone bool, err error) {
	q, err := e.quota(ctx, quotaID)
	if err != nil {
		return false, err
	}
	tokens, err := e.liveTokens(ctx, q)
	if err != nil {
		return false, err
	}
	for _, t := range tokens {
		if err := t.ledger.end(ctx, e.now()); err != nil {
			return false, err
		}
	}
	how, err := e.revokeRefreshToken(ctx, pending.app(), e.caCertFor(pending.AccountsURL, pending.CACert, config), secret.New(pending.RefreshToken), config)
	e.tell(EventRefreshTokenRevoke, "", err, "role", pending.Role, "quota", quotaID)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitLimit)
	defer cancel()
	if err != nil {
		return false, errors.Join(err, e.postponeRevocation(ctx, quotaID, pending, err))
	}
	e.log().Info("revoked a refresh token", "role", pending.Role, "quota", quotaID)
	for _, t := range tokens {
		err = errors.Join(err, e.fly(ctx, "finish "+t.rec.ID, func(ctx context.Context) error { return e.diedWithRefreshToken(ctx, t) }))
	}
	if err != nil {
		e.log().Warn("could not forget the access tokens of a refresh token that is revoked; they are dead, handed out to nobody, and forgotten later", "quota", quotaID, "error", err)
	}
	return how == zoho.AlreadyGone, e.deleteRevocation(ctx, quotaID)
}

// errAbandoned: the engine has given up revoking a refresh token, and forgot it.
var errAbandoned = errors.New("it is not tried again")

// postponeRevocation notes that Zoho could not be made to revoke a refresh
// token, and gives up after some days: what Zoho has always refused till then, it
// will go on refusing. One that never worked has one attempt: a role can be
// written with ever new ones.
func (e *Engine) postponeRevocation(ctx context.Context, quotaID string, pending pendingRevocation, cause error) error {
	pause := time.Minute << min(pending.Failures, 10)
	pending.Failures++
	pending.LastError = cause.Error()
	pending.RetryAt = e.now().Add(pause)
	if pending.Failures < mostRevocationFailures && !pending.NeverWorked {
		return e.changeRevocation(ctx, quotaID, func(*pendingRevocation) *pendingRevocation { return &pending })
	}
	if err := e.deleteRevocation(ctx, quotaID); err != nil {
		return err
	}
	if pending.NeverWorked {
		return errAbandoned
	}
	e.log().Error("gave up revoking a refresh token, and forgot it: it may live on at Zoho. Remove it there, under Connected Apps of the user who consented, or delete the client in the API console",
		"role", pending.Role, "quota", quotaID, "accounts_url", pending.AccountsURL, "client_id", pending.ClientID, "since", pending.At.UTC().Format(time.RFC3339), "error", cause)
	e.tell(EventRefreshTokenAbandon, "", nil, "role", pending.Role, "quota", quotaID,
		"accounts_url", pending.AccountsURL, "client_id", pending.ClientID, "since", pending.At.UTC().Format(time.RFC3339))
	return errAbandoned
}

// revokeRefreshToken asks Zoho, within the time that two endpoints may take.
func (e *Engine) revokeRefreshToken(ctx context.Context, app zoho.App, caCert string, refreshToken secret.Value, config *Config) (zoho.Revocation, error) {
	client, err := e.accountsClient(caCert)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*config.RequestTimeout)
	defer cancel()
	return client.RevokeRefreshToken(ctx, app, refreshToken)
}

// diedWithRefreshToken drops an access token whose refresh token was revoked.
func (e *Engine) diedWithRefreshToken(ctx context.Context, t *token) error {
	roles := rolesOf(t.ledger.readership())
	e.log().Info("an access token was revoked with its refresh token", "roles", roles, "grant", t.rec.GrantID, "token_id", t.rec.ID)
	e.tellToken(EventTokenRevoke, t, roles, nil)
	return e.forget(ctx, t, "its refresh token was revoked")
}

// PendingRevocation is a refresh token that was a role's, and that waits to be
// revoked at Zoho.
type PendingRevocation struct {
	Since     time.Time
	Decided   bool      // otherwise somebody still leases its access tokens
	Failures  int       // attempts so far that failed
	LastError string    // of the latest one
	RetryAt   time.Time // of the next one; zero: within a minute
}

// pendingOf lists the pending revocations of refresh tokens that were a role's.
func (e *Engine) pendingOf(ctx context.Context, role string) (pending []PendingRevocation, err error) {
	ids, err := e.store.List(ctx, prefixRevocations)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		p, err := e.pendingRevocation(ctx, path.Base(id))
		if err != nil {
			return nil, err
		}
		if p != nil && p.Role == role {
			pending = append(pending, PendingRevocation{Since: p.At, Decided: p.Decided, Failures: p.Failures, LastError: p.LastError, RetryAt: p.RetryAt})
		}
	}
	return pending, nil
}
