package backend

import (
	"context"
	"errors"
	"time"

	"vault-plugin-secrets-zoho/backend/zoho"
)

// margin is taken off the life of every token. Zoho counts it by its own
// clock from the moment of minting; Vault counts a lease from a little after
// the answer. The lease has to end first.
const margin = time.Second

// mintForReader waits for a new access token, unless the grant's token is good
// enough for minTTL. At most one mint runs per grant; a caller whose context
// ends stops waiting and nothing else.
func (e *Engine) mintForReader(ctx context.Context, g *grant, cred credential, minTTL time.Duration) error {
	g.await(1)
	defer g.await(-1)
	for {
		err := e.fly(ctx, "mint "+g.id, func(ctx context.Context) error {
			if _, state := g.look(e.now(), minTTL); state != invalid {
				return nil
			}
			return e.mint(ctx, g, cred)
		})
		// A mint ahead was under way, and stopped at what is reserved for us.
		if !errors.Is(err, errReserved) {
			return err
		}
	}
}

// mintAhead replaces a stale token in the background. Nobody waits for it: a
// failure is remembered and logged by the mint.
func (e *Engine) mintAhead(g *grant, cred credential) {
	e.spawn(func() {
		_ = e.fly(e.life, "mint "+g.id, func(ctx context.Context) error {
			if _, state := g.look(e.now(), 0); state == fresh {
				return nil
			}
			return e.mint(ctx, g, cred)
		})
	})
}

func (e *Engine) mint(ctx context.Context, g *grant, cred credential) error {
	config, _, err := e.Config(ctx)
	if err != nil {
		return err
	}
	client, err := e.accountsClient(cred.caCert)
	if err != nil {
		return err
	}
	if err := e.admit(ctx, g, cred, config); err != nil {
		return err
	}
	asked := e.now()
	if err := e.updateGrant(ctx, g, func(rec *grantRecord) {
		rec.Requests = append(prune(rec.Requests, asked, config), request{At: asked})
	}); err != nil {
		return err // not counted, so not sent
	}

	callCtx, cancel := context.WithTimeout(ctx, config.RequestTimeout)
	defer cancel()
	minted, err := client.Refresh(callCtx, cred.app, cred.refreshToken)

	// What came of it has to be written down, also while the mount shuts down.
	ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), commitLimit)
	defer cancel()
	if err != nil {
		return e.noteFailure(ctx, g, cred, config, asked, err)
	}
	t, err := e.newToken(ctx, g, cred, minted, asked)
	if err != nil {
		return err
	}
	if err := e.adopt(ctx, g, t, asked); err != nil {
		// A token that no record leads to could never be revoked again.
		return errors.Join(err, e.discard(ctx, t))
	}
	e.log.Info("minted an access token", "grant", g.id, "token_id", t.rec.ID, "expires_at", t.rec.ExpiresAt)
	return nil
}

// adopt stores t and makes it current, and ends the former current token if
// nobody holds it: no role can hand it out any more.
func (e *Engine) adopt(ctx context.Context, g *grant, t *token, asked time.Time) error {
	if err := e.store.put(ctx, prefixTokens+t.rec.ID, t.rec.entry()); err != nil {
		return err
	}
	if err := e.updateGrant(ctx, g, func(rec *grantRecord) {
		rec.Current, rec.LastMint, rec.Failure = t.rec.ID, asked, nil
		rec.APIDomain, rec.Scopes = t.rec.APIDomain, t.rec.Scopes
		eachRequest(rec, asked, func(r *request) { r.Token = t.rec.ID })
	}); err != nil {
		return err
	}
	e.mu.Lock()
	e.tokens[t.rec.ID] = t
	e.mu.Unlock()
	g.mu.Lock()
	former := g.current
	g.current = t
	g.mu.Unlock()
	if former != nil && former != t {
		e.spawn(func() { e.endSuperseded(e.life, former) })
	}
	return nil
}

// discard revokes a token that could not be stored.
func (e *Engine) discard(ctx context.Context, t *token) error {
	client, err := e.accountsClient(t.rec.CACert)
	if err != nil {
		return err
	}
	if _, err := client.RevokeAccessToken(ctx, t.rec.App, t.rec.AccessToken); err != nil {
		return err
	}
	return e.store.Delete(ctx, prefixTokens+t.rec.ID)
}

// noteFailure remembers why there is no token, and returns it.
func (e *Engine) noteFailure(ctx context.Context, g *grant, cred credential, config *Config, asked time.Time, cause error) error {
	var refused *zoho.Error
	if !errors.As(cause, &refused) {
		return cause
	}
	f := failure{At: e.now(), Kind: refused.Kind, Code: refused.Code, Text: refused.Error(), InARow: 1, SecretID: cred.secretID}
	err := e.updateGrant(ctx, g, func(rec *grantRecord) {
		if rec.Failure != nil {
			f.InARow = rec.Failure.InARow + 1
		}
		switch {
		case refused.Kind == zoho.Throttled:
			f.RetryAt = f.At.Add(config.RequestWindow)
		case !refused.Kind.Definite():
			f.RetryAt = f.At.Add(backoff(f.InARow))
		}
		rec.Failure = &f
		eachRequest(rec, asked, func(r *request) { r.Over = refused.NoToken() })
	})
	e.log.Warn("could not mint an access token", "grant", g.id, "kind", refused.Kind, "code", refused.Code, "http_status", refused.Status, "error", refused)
	if err != nil {
		return err
	}
	return f.err()
}

// eachRequest applies change to the request that was sent at the given time.
func eachRequest(rec *grantRecord, at time.Time, change func(*request)) {
	for i := range rec.Requests {
		if rec.Requests[i].At.Equal(at) {
			change(&rec.Requests[i])
		}
	}
}
