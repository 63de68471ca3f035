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
			_, err := e.mint(ctx, g, cred, shared)
			return err
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
			_, err := e.mint(ctx, g, cred, shared)
			return err
		})
	})
}

// mintExclusive waits for a new access token that is nobody else's. It takes
// its turn with the other mints of the grant.
func (e *Engine) mintExclusive(ctx context.Context, g *grant, cred credential) (*token, error) {
	g.await(1)
	defer g.await(-1)
	for {
		minted := make(chan *token, 1)
		err := e.fly(ctx, "mint "+g.id, func(ctx context.Context) error {
			t, err := e.mint(ctx, g, cred, exclusive)
			minted <- t
			return err
		})
		if err != nil && !errors.Is(err, errReserved) {
			return nil, err
		}
		select {
		case t := <-minted:
			if t != nil {
				return t, nil
			}
		default: // it was somebody else's mint that has ended
		}
	}
}

// use is what a token is minted for.
type use int

const (
	shared    use = iota // to become the grant's current token
	exclusive            // for one lease
)

func (e *Engine) mint(ctx context.Context, g *grant, cred credential, use use) (*token, error) {
	config, _, err := e.Config(ctx)
	if err != nil {
		return nil, err
	}
	client, err := e.accountsClient(cred.caCert)
	if err != nil {
		return nil, err
	}
	if err := e.admit(ctx, g, cred, config); err != nil {
		return nil, err
	}
	asked := e.now()
	if err := e.updateGrant(ctx, g, func(rec *grantRecord) {
		rec.Requests = append(prune(rec.Requests, asked, config), request{At: asked, Until: asked.Add(zoho.MaxLife)})
	}); err != nil {
		return nil, err // not counted, so not sent
	}

	callCtx, cancel := context.WithTimeout(ctx, config.RequestTimeout)
	defer cancel()
	minted, err := client.Refresh(callCtx, cred.app, cred.refreshToken)

	// What came of it has to be written down, also while the mount shuts down.
	ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), commitLimit)
	defer cancel()
	if err != nil {
		return nil, e.noteFailure(ctx, g, cred, config, err)
	}
	t, err := e.newToken(ctx, g, cred, minted, asked)
	if err != nil {
		return nil, err
	}
	if err := e.adopt(ctx, g, t, use); err != nil {
		// A token that no record leads to could never be revoked again.
		return nil, errors.Join(err, e.discard(ctx, t))
	}
	e.log.Info("minted an access token", "grant", g.id, "token_id", t.rec.ID, "expires_at", t.rec.ExpiresAt)
	return t, nil
}

// adopt stores t and, if it is to be shared, makes it current, and ends the
// former current token if nobody holds it: no role can hand it out any more.
func (e *Engine) adopt(ctx context.Context, g *grant, t *token, use use) error {
	// Before it is stored: whoever finds it in storage must not load a second
	// one, with a ledger that knows nothing of this one's holders.
	e.mu.Lock()
	e.tokens[t.rec.ID] = t
	e.mu.Unlock()
	if err := e.store.put(ctx, prefixTokens+t.rec.ID, t.rec.entry()); err != nil {
		return err
	}
	if err := e.updateGrant(ctx, g, func(rec *grantRecord) {
		rec.LastMint, rec.Failure = t.rec.IssuedAt, nil
		rec.APIDomain, rec.Scopes = t.rec.APIDomain, t.rec.Scopes
		if use == shared {
			rec.Current = t.rec.ID
		}
		sent := rec.latestRequest()
		sent.Token, sent.Until = t.rec.ID, t.rec.ExpiresAt.Add(2*margin)
	}); err != nil {
		return err
	}
	if use == exclusive {
		return nil
	}
	g.mu.Lock()
	former := g.current
	g.current = t
	g.mu.Unlock()
	if former != nil && former != t {
		e.spawn(func() { e.endIfUnheld(e.life, former) })
	}
	return nil
}

// discard revokes a token that could not be stored. If that fails, too, and
// its own record is in storage, Tick finds it there.
func (e *Engine) discard(ctx context.Context, t *token) error {
	e.mu.Lock()
	delete(e.tokens, t.rec.ID)
	e.mu.Unlock()
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
func (e *Engine) noteFailure(ctx context.Context, g *grant, cred credential, config *Config, cause error) error {
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
		rec.latestRequest().Over = refused.NoToken()
	})
	e.log.Warn("could not mint an access token", "grant", g.id, "kind", refused.Kind, "code", refused.Code, "http_status", refused.Status, "error", refused)
	if err != nil {
		return err
	}
	return f.err()
}

// latestRequest is the one that the grant's mint in flight has sent: there is
// no other mint that could have added a later one.
func (rec *grantRecord) latestRequest() *request {
	if len(rec.Requests) == 0 {
		return &request{}
	}
	return &rec.Requests[len(rec.Requests)-1]
}
