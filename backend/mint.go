package backend

import (
	"context"
	"errors"
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
	rotation  bool          // the other tokens of the grant end when this one is there
	trial     bool          // to try the credential: a refusal is told, not remembered
	role      string        // whose credentials these are; empty: nobody waits for the token
	want      need          // of the read, with the min_ttl of its role or mount
	ttl       time.Duration // of the role
	config    *Config       // of a trial: the one that is being written; nil: the stored one
	needed    func() bool   // asked when it is the mint's turn; nil: needed
}

// mintForReader waits for a new access token, unless the grant's token is what the
// reader needs. At most one mint runs per grant; a caller whose context
// ends stops waiting and nothing else. entitled is the role of a reader who has no
// token that the role's own min_ttl accepts; empty for others.
func (e *Engine) mintForReader(ctx context.Context, g *grant, role *Role, entitled string, want need) error {
	if entitled != "" {
		defer g.addWaiter(entitled)()
	}
	purpose := mintPurpose{role: role.Name, ttl: role.TTL, want: want, needed: func() bool {
		_, state := g.currentToken(e.now(), want)
		return state == invalid
	}}
	err := e.mintOnce(ctx, g, purpose)
	if entitled != "" && isReserved(err) || isOfAnotherRole(err, role.Name) {
		// It was decided before we waited: by a mint ahead, or for somebody who may
		// not have what is kept in reserve, or may not ask. The next decision counts us.
		err = e.mintOnce(ctx, g, purpose)
	}
	return err
}

// mintOnce mints a token for the grant, or waits for a mint that is in flight.
func (e *Engine) mintOnce(ctx context.Context, g *grant, purpose mintPurpose) error {
	return purpose.explain(e.work.Once(ctx, "mint "+g.id, func(ctx context.Context) error {
		_, err := e.mint(ctx, g, purpose)
		return err
	}))
}

// mintAhead replaces a stale token in the background. Nobody waits for it: a
// failure is remembered and logged by the mint.
func (e *Engine) mintAhead(g *grant) {
	e.work.Go(func() {
		_ = e.mintOnce(e.work.Life(), g, mintPurpose{needed: func() bool {
			_, state := g.currentToken(e.now(), need{})
			return state != fresh
		}})
	})
}

// mintExclusive waits for a new access token that is nobody else's.
func (e *Engine) mintExclusive(ctx context.Context, g *grant, role string) (*token, error) {
	defer g.addWaiter(role)()
	purpose := mintPurpose{exclusive: true, role: role}
	t, err := work.Result(ctx, e.work, func(ctx context.Context) (*token, error) { return e.mint(ctx, g, purpose) })
	return t, purpose.explain(err)
}

// attempt is one mint that is under way.
type attempt struct {
	grant    *grant
	q        *quotaRecord // of its live tokens
	requests *quotaRecord // of its token requests: q, or the client's
	config   *Config
	purpose  mintPurpose
	asked    time.Time // when Zoho was asked
}

// countsForClient reports whether Zoho counts the request for the client.
func (a *attempt) countsForClient() bool {
	return a.requests != a.q || a.grant.credential().refreshToken.IsZero()
}

// errNotNeeded: a token that was to be minted is there by now.
var errNotNeeded = errors.New("no access token was needed any more")

// mint asks Zoho for an access token, if it may be asked. Without an error and
// without a token none was needed any more.
func (e *Engine) mint(ctx context.Context, g *grant, purpose mintPurpose) (t *token, err error) {
	config := purpose.config
	if config == nil {
		if config, err = e.Config(ctx); err != nil {
			return nil, err
		}
	}
	a := &attempt{grant: g, config: config, purpose: purpose}
	if a.q, a.requests, err = e.quotasOf(ctx, g, config); err != nil {
		return nil, err
	}
	var minted zoho.Token
	err = e.askZoho(ctx, config, question{
		turn:  a.q,
		admit: func(ctx context.Context) error { return e.admitMint(ctx, a) },
		ask: func(ctx context.Context, client *zoho.Client) (err error) {
			minted, err = g.credential().mint(ctx, client)
			return err
		},
		note: func(ctx context.Context, failed error) error {
			if failed != nil {
				e.endRefused(ctx, g.credential().app, config, minted.AccessToken, "grant", g.id)
				return e.noteFailure(ctx, a, failed)
			}
			t, err = e.noteMint(ctx, a, minted)
			return err
		},
	})
	if errors.Is(err, errNotNeeded) {
		err = nil
	}
	return t, err
}

// admitMint decides whether Zoho may be asked for an access token, makes room for it,
// and counts the request. The caller has the turn of the quota. Where requests are
// counted for the client, other refresh tokens of it wait until this one has been
// counted.
func (e *Engine) admitMint(ctx context.Context, a *attempt) error {
	if a.grant.isDropped() || a.requests.isDropped() {
		return errDropped
	}
	if a.purpose.needed != nil && !a.purpose.needed() {
		return errNotNeeded
	}
	if err := e.checkNotEnding(ctx, a.q.id); err != nil {
		return err
	}
	if a.requests != a.q {
		release, err := e.takeTurn(ctx, a.requests.id)
		if err != nil {
			return err
		}
		defer release()
	}
	sent, err := e.checkAllowed(ctx, a)
	if err != nil {
		return err
	}
	if err := e.makeRoom(ctx, a); err != nil {
		return err
	}
	a.asked = e.now()
	sent.At = a.asked
	if a.requests != a.q {
		elsewhere := sent
		elsewhere.NoLiveToken = true // its token lives in the other quota
		if err := e.countRequest(ctx, a.requests, a.config, elsewhere); err != nil {
			return err
		}
	}
	return e.countRequest(ctx, a.q, a.config, sent)
}

// noteMint stores a new access token, and publishes it.
func (e *Engine) noteMint(ctx context.Context, a *attempt, minted zoho.Token) (*token, error) {
	t, err := e.keepMinted(ctx, a.grant, a.q, minted, a.config, a.asked, a.purpose)
	if err == nil && a.requests != a.q && a.requests.record().Throttled != nil {
		if err := e.updateQuota(ctx, a.requests, func(rec *quota.Record) { rec.EndSilence(a.asked) }); err != nil {
			e.log().Warn("could not note that Zoho throttles a client no more; the next mint does that", "quota", a.requests.id, "error", err)
		}
	}
	return t, err
}
