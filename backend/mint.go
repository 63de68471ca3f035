package backend

import (
	"context"
	"errors"
	"fmt"
	"time"

	"vault-plugin-secrets-zoho/backend/quota"
	"vault-plugin-secrets-zoho/backend/work"
	"vault-plugin-secrets-zoho/backend/zoho"
)

// margin is taken off the life of every token. Zoho counts it by its own
// clock from the moment of minting; Vault counts a lease from a little after
// the answer. The lease has to end first.
const margin = time.Second

// mintPurpose is what a token is minted for.
type mintPurpose struct {
	exclusive bool          // for one lease, not to become the grant's current token
	trial     bool          // to try the credential: a refusal is told, not remembered
	role      string        // whose credentials these are; empty: a mint ahead
	asked     time.Duration // min_ttl of the read, or of its role or mount
	ttl       time.Duration // of the role
	config    *Config       // of a trial: the one that is being written; nil: the stored one
	needed    func() bool   // asked when it is the mint's turn; nil: needed
}

// mintForReader waits for a new access token, unless the grant's token is good
// enough for minTTL. At most one mint runs per grant; a caller whose context
// ends stops waiting and nothing else. entitled is the role of a reader who has no
// token that the role's own min_ttl accepts; empty for others.
func (e *Engine) mintForReader(ctx context.Context, g *grant, role *Role, entitled string, minTTL time.Duration) error {
	if entitled != "" {
		defer g.addWaiter(entitled)()
	}
	mint := func() error {
		return e.work.Once(ctx, "mint "+g.id, func(ctx context.Context) error {
			_, err := e.mint(ctx, g, mintPurpose{role: role.Name, ttl: role.TTL, asked: minTTL, needed: func() bool {
				_, state := g.currentToken(e.now(), minTTL)
				return state == invalid
			}})
			return err
		})
	}
	err := mint()
	if entitled != "" && isReserved(err) {
		// It was decided before we waited: by a mint ahead, or for somebody who may
		// not have what is kept in reserve. The next decision counts us.
		err = mint()
	}
	return err
}

// mintAhead replaces a stale token in the background. Nobody waits for it: a
// failure is remembered and logged by the mint.
func (e *Engine) mintAhead(g *grant) {
	e.work.Go(func() {
		_ = e.work.Once(e.work.Life(), "mint "+g.id, func(ctx context.Context) error {
			_, err := e.mint(ctx, g, mintPurpose{needed: func() bool {
				_, state := g.currentToken(e.now(), 0)
				return state != fresh
			}})
			return err
		})
	})
}

// mintExclusive waits for a new access token that is nobody else's.
func (e *Engine) mintExclusive(ctx context.Context, g *grant, role string) (*token, error) {
	defer g.addWaiter(role)()
	return work.Result(ctx, e.work, func(ctx context.Context) (*token, error) {
		return e.mint(ctx, g, mintPurpose{exclusive: true, role: role})
	})
}

// takeTurn waits until nothing else is asked of Zoho that counts for the quota.
// So there is one such request in flight, and what is counted is counted before
// the next one looks at it.
func (e *Engine) takeTurn(ctx context.Context, quotaID string) (release func(), err error) {
	release, err = e.turns.Acquire(ctx, quotaID)
	if err != nil {
		return nil, &GrantError{Kind: zoho.Unreachable, Text: "Other requests to Zoho with the same refresh token or client took too long, and this one had to wait for them. Try again."}
	}
	return release, nil
}

// mint asks Zoho for an access token, if it may be asked. Without an error and
// without a token none was needed any more.
func (e *Engine) mint(ctx context.Context, g *grant, purpose mintPurpose) (*token, error) {
	config := purpose.config
	if config == nil {
		var err error
		if config, _, err = e.Config(ctx); err != nil {
			return nil, err
		}
	}
	client, err := e.accountsClient(config.CACert)
	if err != nil {
		return nil, err
	}
	q, requests, err := e.quotasOf(ctx, g, config)
	if err != nil {
		return nil, err
	}
	release, err := e.takeTurn(ctx, q.id)
	if err != nil {
		return nil, err
	}
	defer release()
	if g.isDropped() || q.isDropped() || requests.isDropped() {
		return nil, errDropped
	}
	if purpose.needed != nil && !purpose.needed() {
		return nil, nil
	}
	if err := e.checkNotEnding(ctx, q.id); err != nil {
		return nil, err
	}
	asked, err := e.admitAndCount(ctx, g, q, requests, config, purpose)
	if err != nil {
		return nil, err // not counted, so not sent
	}
	callCtx, cancel := context.WithTimeout(ctx, config.RequestTimeout)
	defer cancel()
	minted, err := g.credential().mint(callCtx, client)

	// What came of it has to be written down, also while the mount shuts down.
	ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), commitLimit)
	defer cancel()
	if err != nil {
		return nil, e.noteFailure(ctx, g, q, requests, config, purpose, err)
	}
	t, err := e.newToken(ctx, g, minted, config, asked, purpose.exclusive)
	if err != nil {
		return nil, errors.Join(err, e.revokeUnknown(ctx, g, minted, config, err))
	}
	if err := e.adopt(ctx, g, q, t); err != nil {
		return nil, err
	}
	if requests != q && requests.record().Throttled != nil {
		if err := e.updateQuota(ctx, requests, func(rec *quota.Record) { rec.Throttled = nil }); err != nil {
			return nil, err
		}
	}
	e.tellMint(t, e.rolesFor(ctx, g, purpose))
	return t, nil
}

// admitAndCount decides whether a token request may be sent, and counts it. The caller
// has the turn of q. Where requests are counted for the client, other refresh tokens
// of it wait until this one has been counted.
func (e *Engine) admitAndCount(ctx context.Context, g *grant, q, requests *quotaRecord, config *Config, purpose mintPurpose) (asked time.Time, err error) {
	if requests != q {
		release, err := e.takeTurn(ctx, requests.id)
		if err != nil {
			return time.Time{}, err
		}
		defer release()
	}
	reserveOf, err := e.admit(ctx, g, q, requests, config, purpose)
	if err != nil {
		return time.Time{}, err
	}
	if err := e.makeRoom(ctx, g, q, config); err != nil {
		return time.Time{}, err
	}
	asked = e.now()
	if requests != q {
		if err := e.countRequest(ctx, requests, config, quota.Request{At: asked, ReserveOf: reserveOf, Over: true}); err != nil {
			return time.Time{}, err
		}
	}
	return asked, e.countRequest(ctx, q, config, quota.Request{At: asked, ReserveOf: reserveOf})
}

// makeRoom ends the tokens that have to go before one more may live: package quota
// says which. The caller has the turn of q.
func (e *Engine) makeRoom(ctx context.Context, g *grant, q *quotaRecord, config *Config) error {
	limits := config.limits()
	room := limits.MaxLive
	if len(g.waitingRoles()) == 0 {
		room = limits.UnreservedLive() // a part is kept for readers who have no token
	}
	staying := make(map[string]bool) // somebody holds it by now, or Zoho could not be made to end it
	for {
		live, err := e.liveTokens(ctx, q)
		if err != nil {
			return err
		}
		rec := q.record()
		decision := rec.Room(e.now(), limits, room, func(id string) (exists, held bool) {
			t := live[id]
			return t != nil, t != nil && (staying[id] || t.ledger.IsHeld())
		})
		if decision.Verdict == quota.Full {
			return fullError(config, decision)
		}
		done, err := e.endAll(ctx, live, decision.End, staying)
		if err != nil || done {
			return err
		}
	}
}

// endAll ends tokens. It reports false if not all of them could be ended, and adds those
// to staying.
func (e *Engine) endAll(ctx context.Context, live map[string]*token, endings []quota.Ending, staying map[string]bool) (done bool, err error) {
	done = true
	for _, ending := range endings {
		t := live[ending.Token]
		ends, err := t.ledger.EndIfUnheld(ctx, e.now())
		if err != nil {
			return false, err
		}
		if ends {
			err = e.finish(ctx, t)
		}
		if !ends || err != nil && ending.MustDie {
			staying[ending.Token], done = true, false
		}
	}
	return done, nil
}

func fullError(config *Config, full quota.Decision) error {
	return &GrantError{Kind: zoho.Throttled, RetryAt: full.Until, Text: fmt.Sprintf(
		"This refresh token, or this client with client_credentials, may have %d live access tokens, and beyond max_live_tokens (%d) Zoho kills the oldest, which somebody still leases. Revoke leases that are no longer needed, or spread the readers over several refresh tokens.", full.Live, config.MaxLiveTokens)}
}

// adopt stores t and, unless it is exclusive, makes it current, and ends the
// former current token if nobody holds it. If it fails, t is handed out to nobody,
// and ends.
func (e *Engine) adopt(ctx context.Context, g *grant, q *quotaRecord, t *token) error {
	// Before it is stored: whoever finds it in storage must not load a second
	// one, with a ledger that knows nothing of this one's holders.
	e.mu.Lock()
	_, known := e.tokens[t.rec.ID] // a server may answer with a token that it gave before
	e.tokens[t.rec.ID] = t
	e.mu.Unlock()
	if err := e.store.put(ctx, prefixTokens+t.rec.ID, t.rec.entry()); err != nil {
		if known {
			return err
		}
		return errors.Join(err, e.discardUnstored(ctx, t))
	}
	if err := e.publish(ctx, g, q, t); err != nil {
		return errors.Join(err, e.discardStored(ctx, t))
	}
	if t.rec.Exclusive {
		return nil
	}
	g.mu.Lock()
	former := g.current
	g.current = t
	g.mu.Unlock()
	if former != nil && former != t {
		e.work.Go(func() { e.endIfUnheld(e.work.Life(), former) })
	}
	return nil
}

// publish enters a stored token in the records by which readers find it. The
// quota is first: a token that is handed out and not counted could push Zoho over
// its cap.
func (e *Engine) publish(ctx context.Context, g *grant, q *quotaRecord, t *token) error {
	lists := !q.record().Listed && !g.credential().refreshToken.IsZero()
	if lists {
		if err := e.listRefreshToken(ctx, t.rec.App, q.id, ""); err != nil {
			return err
		}
	}
	if err := e.updateQuota(ctx, q, func(rec *quota.Record) {
		rec.Succeeded(t.rec.ID, t.life()+2*margin)
		rec.Listed = rec.Listed || lists
	}); err != nil {
		return err
	}
	return e.updateGrant(ctx, g, func(rec *grantRecord) { rec.succeeded(t) })
}

// revokeUnknown revokes an access token that could not even be looked up, because
// storage has failed. One that the server gave before is left alone.
func (e *Engine) revokeUnknown(ctx context.Context, g *grant, minted zoho.Token, config *Config, cause error) error {
	var refused *GrantError
	if errors.As(cause, &refused) {
		return nil
	}
	client, err := e.accountsClient(config.CACert)
	if err == nil {
		_, err = client.RevokeAccessToken(ctx, g.credential().app, minted.AccessToken)
	}
	e.log().Warn("an access token was minted, could not be stored, and was revoked again unless there is an error here", "grant", g.id, "error", err)
	return err
}

// discardUnstored revokes a token whose own record could not be stored. No other
// record names it, so nobody can be given it, and nobody could revoke it later.
func (e *Engine) discardUnstored(ctx context.Context, t *token) error {
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

// discardStored ends a token that could not be published. A write that failed
// may have been carried out all the same, and another node may find the token by it:
// so the decision has to be stored before Zoho is asked. What fails here is
// left to Tick.
func (e *Engine) discardStored(ctx context.Context, t *token) error {
	ending, err := t.ledger.EndIfUnheld(ctx, e.now())
	if err == nil && ending {
		err = e.finish(ctx, t)
	}
	e.log().Warn("an access token was minted, and could not be noted as the current one; it is given to nobody, and revoked", "grant", t.rec.GrantID, "token_id", t.rec.ID, "expires_at", t.rec.ExpiresAt, "error", err)
	return err
}
