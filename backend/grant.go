package backend

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"vault-plugin-secrets-zoho/backend/clock"
	"vault-plugin-secrets-zoho/backend/refreshtoken"
	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/backend/zoho"
)

// mint asks Zoho for an access token, once.
func mintWith(ctx context.Context, client *zoho.Client, c settings.Credential) (zoho.Token, error) {
	if c.RefreshToken.IsZero() {
		return client.ClientCredentials(ctx, c.App, c.SOID, c.Scopes)
	}
	return client.Refresh(ctx, c.App, c.RefreshToken)
}

// grant is one grant in memory: who waits for its tokens. What is stored of it is in the
// record of its refresh token, or in the entry of its client: see stateOf.
type grant struct {
	id      string
	quotaID string

	mu      sync.Mutex
	waiting map[string]int      // readers who have no token that their role's min_ttl accepts, by role
	cred    settings.Credential // as of the role that was looked at last
	used    time.Time           // when it was looked at last
	read    time.Time           // when somebody read a token last
	doubted time.Time           // the time of the refusal that was logged when a token was handed out in spite of it
}

// addWaiter counts a reader of a role who waits for a mint and has no other
// token; the function that it returns takes the reader off again.
func (g *grant) addWaiter(role string) (leave func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.waiting == nil {
		g.waiting = make(map[string]int)
	}
	g.waiting[role]++
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.waiting[role]--; g.waiting[role] == 0 {
			delete(g.waiting, role)
		}
	}
}

// waitingRoles names the roles whose readers wait, in a fixed order.
func (g *grant) waitingRoles() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Sorted(maps.Keys(g.waiting))
}

func (g *grant) credential() settings.Credential {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.cred
}

// grantOf finds the grant of a role: what its tokens are minted from now. The
// error is *clientMovedError if the mount's client is no longer the role's.
func (e *Engine) grantOf(r *settings.Role, config *settings.Config) (*grant, error) {
	if !r.IsAuthorized() {
		return nil, r.ErrUnauthorized()
	}
	cred, err := r.Credential(config)
	if err != nil {
		return nil, err
	}
	id := e.fingerprint("grant", cred.Parts()...)
	e.mu.Lock()
	g := e.grants[id]
	if g == nil {
		g = &grant{id: id, quotaID: e.quotaID(r)}
		e.grants[id] = g
	}
	e.mu.Unlock()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.cred, g.used = cred, e.now()
	return g, nil
}

// grantID names the grant of a role, and is empty if the role has none: nothing
// to mint from, or no client any more.
func (e *Engine) grantID(r *settings.Role, config *settings.Config) string {
	cred, err := r.Credential(config)
	if err != nil || !r.IsAuthorized() {
		return ""
	}
	return e.fingerprint("grant", cred.Parts()...)
}

// stateOf is what is stored of a grant.
func (e *Engine) stateOf(ctx context.Context, g *grant) (refreshtoken.Grant, error) {
	u, err := e.usage(ctx, g.quotaID)
	if err != nil {
		return refreshtoken.Grant{}, err
	}
	return u.Grants[g.id], nil
}

func (e *Engine) allGrants() []*grant {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Collect(maps.Values(e.grants))
}

// unusedAfter is for how long nobody asks for what then leaves memory.
const unusedAfter = 2 * time.Hour

// dropUnused drops from memory what nobody has asked for lately.
func (e *Engine) dropUnused() {
	e.refreshTokens.DropUnused(unusedAfter)
	e.clients.DropUnused(unusedAfter)
	e.refused.DropUnused(unusedAfter)
	e.mu.Lock()
	defer e.mu.Unlock()
	maps.DeleteFunc(e.grants, func(_ string, g *grant) bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		limit := unusedAfter
		if g.read.IsZero() { // somebody has only asked for its state
			limit = flightLimit
		}
		return len(g.waiting) == 0 && clock.Elapsed(e.now(), g.used) > limit
	})
}

// freshness is what a reader sees of a grant's token.
type freshness int

const (
	invalid freshness = iota // none, ending, or not enough left
	stale                    // good, and past half of its life
	fresh
)

// need is what a reader needs of a token. The zero value takes any token that has a sixth
// of its life left.
type need struct {
	minTTL time.Duration // it must live at least this much longer
	reject string        // the token_id of one that Zoho refused; empty: none
}

// currentToken returns the current token of a grant, nil if there is none to hand out, and
// how fresh it is for a reader.
func (e *Engine) currentToken(ctx context.Context, g *grant, want need) (*token, freshness, error) {
	u, err := e.usage(ctx, g.quotaID)
	if err != nil {
		return nil, invalid, err
	}
	id := u.Grants[g.id].Current
	if id == "" || u.IsMisdated(id) {
		return nil, invalid, nil
	}
	t, err := e.token(ctx, id)
	if err != nil {
		return nil, invalid, err
	}
	t, state := t.ifUsable(e.now(), want)
	return t, state, nil
}

// ifUsable returns t and how fresh it is for a reader; nil if it is nil, nobody may get
// it, or the reader rejects it.
func (t *token) ifUsable(now time.Time, want need) (*token, freshness) {
	if t == nil || t.rec.ID == want.reject || !t.ledger.CanBeHeld() || t.isOfWrongClock(now) || t.left(now) < time.Second {
		return nil, invalid
	}
	needed, _ := t.effectiveMinTTL(want.minTTL)
	switch left := t.left(now); {
	case left < needed:
		return t, invalid
	case left < t.refreshBelow():
		return t, stale
	default:
		return t, fresh
	}
}

// bestToken is the token of the grant that lives longest, superseded ones
// included. It is for when no new one can be had: somebody may have asked for a
// new one because Zoho did not take the one before.
func (e *Engine) bestToken(ctx context.Context, g *grant, want need) (best *token, state freshness, err error) {
	u, err := e.usage(ctx, g.quotaID)
	if err != nil {
		return nil, invalid, err
	}
	tokens, err := e.liveTokens(ctx, u)
	if err != nil {
		return nil, invalid, err
	}
	now, rejected := e.now(), tokens[want.reject]
	for _, t := range tokens {
		if t.rec.GrantID != g.id || t.rec.Exclusive || u.IsMisdated(t.rec.ID) {
			continue
		}
		// Zoho ends the oldest first, and whoever rejects one after the other must not be
		// sent round in a circle.
		if rejected != nil && rejected.rec.GrantID == g.id && !t.rec.IssuedAt.After(rejected.rec.IssuedAt) {
			continue
		}
		if t, fresh := t.ifUsable(now, want); t != nil && (best == nil || t.rec.ExpiresAt.After(best.rec.ExpiresAt)) {
			best, state = t, fresh
		}
	}
	return best, state, nil
}
