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
			_, err := e.mint(ctx, g, cred, use{needed: func() bool {
				_, state := g.look(e.now(), minTTL)
				return state == invalid
			}})
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
			_, err := e.mint(ctx, g, cred, use{needed: func() bool {
				_, state := g.look(e.now(), 0)
				return state != fresh
			}})
			return err
		})
	})
}

// mintExclusive waits for a new access token that is nobody else's.
func (e *Engine) mintExclusive(ctx context.Context, g *grant, cred credential) (*token, error) {
	g.await(1)
	defer g.await(-1)
	return detached(ctx, e, func(ctx context.Context) (*token, error) { return e.mint(ctx, g, cred, use{exclusive: true}) })
}

// use is what a token is minted for.
type use struct {
	exclusive bool        // for one lease, not to become the grant's current token
	trial     bool        // to try the credential: a refusal is told, not remembered
	role      string      // of a trial: it may not be in the grant's record yet
	needed    func() bool // asked when it is the mint's turn; nil: needed
}

// takeTurn waits until nothing else is asked of Zoho in the name of limits. So
// there is one mint in flight, and what is counted is counted before the next
// one looks at it.
func (e *Engine) takeTurn(ctx context.Context, limits *grant) (release func(), err error) {
	release, err = e.turns.acquire(ctx, limits.id)
	if err != nil {
		return nil, &GrantError{Kind: zoho.Unreachable, Text: "Other requests to Zoho for the same grant took too long, and this one had to wait for them. Try again."}
	}
	return release, nil
}

// mint asks Zoho for an access token, if it may be asked. Without an error and
// without a token none was needed any more.
func (e *Engine) mint(ctx context.Context, g *grant, cred credential, use use) (*token, error) {
	config, _, err := e.Config(ctx)
	if err != nil {
		return nil, err
	}
	client, err := e.accountsClient(cred.caCert)
	if err != nil {
		return nil, err
	}
	limits, err := e.grant(ctx, cred.limitsID)
	if err != nil {
		return nil, err
	}
	release, err := e.takeTurn(ctx, limits)
	if err != nil {
		return nil, err
	}
	defer release()
	if use.needed != nil && !use.needed() {
		return nil, nil
	}
	if err := e.admit(ctx, g, limits, cred, config, use); err != nil {
		return nil, err
	}
	asked := e.now()
	if err := e.countRequest(ctx, limits, config, asked); err != nil {
		return nil, err // not counted, so not sent
	}
	callCtx, cancel := context.WithTimeout(ctx, config.RequestTimeout)
	defer cancel()
	minted, err := cred.mint(callCtx, client)

	// What came of it has to be written down, also while the mount shuts down.
	ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), commitLimit)
	defer cancel()
	if err != nil {
		return nil, e.noteFailure(ctx, g, limits, cred, config, use, err)
	}
	t, err := e.newToken(ctx, g, cred, minted, asked, use)
	if err != nil {
		return nil, err
	}
	if err := e.adopt(ctx, g, limits, t, use); err != nil {
		// A token that no record leads to could never be revoked again.
		return nil, errors.Join(err, e.discard(ctx, t))
	}
	e.tellMint(t, g.rolesFor(use))
	return t, nil
}

// countRequest counts a token request that is about to be sent; it is the
// record's latest one until the turn ends.
func (e *Engine) countRequest(ctx context.Context, limits *grant, config *Config, asked time.Time) error {
	return e.updateGrant(ctx, limits, func(rec *grantRecord) {
		rec.Requests = append(prune(rec.Requests, asked, config), request{At: asked, Until: asked.Add(zoho.MaxLife)})
	})
}

// adopt stores t and, if it is to be shared, makes it current, and ends the
// former current token if nobody holds it: no role can hand it out any more.
func (e *Engine) adopt(ctx context.Context, g, limits *grant, t *token, use use) error {
	// Before it is stored: whoever finds it in storage must not load a second
	// one, with a ledger that knows nothing of this one's holders.
	e.mu.Lock()
	e.tokens[t.rec.ID] = t
	e.mu.Unlock()
	if err := e.store.put(ctx, prefixTokens+t.rec.ID, t.rec.entry()); err != nil {
		return err
	}
	// Before it is current: a token that is handed out is counted, or Zoho could
	// be made to evict it.
	if g != limits {
		if err := e.updateGrant(ctx, limits, func(rec *grantRecord) {
			rec.Failure = nil
			rec.answered(t)
		}); err != nil {
			return err
		}
	}
	if err := e.updateGrant(ctx, g, func(rec *grantRecord) {
		rec.LastMint, rec.Failure = t.rec.IssuedAt, nil
		rec.APIDomain, rec.Scopes = t.rec.APIDomain, t.rec.Scopes
		if !use.exclusive {
			rec.Current = t.rec.ID
		}
		if g == limits {
			rec.answered(t)
		}
	}); err != nil {
		return err
	}
	if use.exclusive {
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
	if t.ledger.isHeld() { // a server has answered with a token that it gave before
		return nil
	}
	e.mu.Lock()
	delete(e.tokens, t.rec.ID)
	e.mu.Unlock()
	log := e.log().With("grant", t.rec.GrantID, "token_id", t.rec.ID, "expires_at", t.rec.ExpiresAt)
	client, err := e.accountsClient(t.rec.CACert)
	if err != nil {
		return err
	}
	if _, err := client.RevokeAccessToken(ctx, t.rec.App, t.rec.AccessToken); err != nil {
		log.Warn("an access token was minted, and could be neither stored nor revoked; it was given to nobody", "error", err)
		return err
	}
	log.Warn("an access token was minted, could not be stored, and was revoked again")
	return e.store.Delete(ctx, prefixTokens+t.rec.ID)
}

// answered enters the token that came of the latest request.
func (rec *grantRecord) answered(t *token) {
	sent := rec.latestRequest()
	sent.Token, sent.Until = t.rec.ID, t.rec.ExpiresAt.Add(2*margin)
}

// latestRequest is the one whose turn it is: nobody else could have added a
// later one.
func (rec *grantRecord) latestRequest() *request {
	if len(rec.Requests) == 0 {
		return &request{}
	}
	return &rec.Requests[len(rec.Requests)-1]
}
