package backend

import (
	"context"
	"maps"
	"slices"
	"time"

	"vault-plugin-secrets-zoho/backend/secret"
	"vault-plugin-secrets-zoho/backend/zoho"
)

// credential is what a grant's tokens are minted with. All of it is part of the
// grant's ID, so who cannot name all of it has another grant.
type credential struct {
	app          zoho.App
	refreshToken secret.Value // zero: client_credentials
	soid         string       // of client_credentials
	scopes       []string     // likewise
}

// mint asks Zoho for an access token, once.
func (c credential) mint(ctx context.Context, client *zoho.Client) (zoho.Token, error) {
	if c.refreshToken.IsZero() {
		return client.ClientCredentials(ctx, c.app, c.soid, c.scopes)
	}
	return client.Refresh(ctx, c.app, c.refreshToken)
}

// grant is one grant in memory.
type grant struct {
	id string
	stored[grantRecord]

	// Guarded by mu.
	current *token         // nil, or the token of rec.Current
	waiting map[string]int // readers who have no token that their role's min_ttl accepts, by role
	cred    credential     // zero until a role that has the grant is looked at
	read    time.Time      // when somebody read a token last
	doubted time.Time      // the time of the refusal that was logged when a token was handed out in spite of it
}

// grantRecord is a grant as it is stored.
type grantRecord struct {
	QuotaID   string    `json:"quota_id"`
	Current   string    `json:"current,omitempty"`    // token_id
	Failure   *failure  `json:"failure,omitempty"`    // of the latest mint; nil after a success, or when an operator has it tried again
	Refusal   *failure  `json:"refusal,omitempty"`    // Zoho's latest definite one; nil after a success
	LastMint  time.Time `json:"last_mint,omitzero"`   // zero: these credentials have never worked
	APIDomain string    `json:"api_domain,omitempty"` // for refreshes that omit it
	Scopes    []string  `json:"scopes,omitempty"`     // likewise
}

// hasWorked reports whether an access token was ever minted with the grant's
// credentials.
func (rec grantRecord) hasWorked() bool { return !rec.LastMint.IsZero() }

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

func (g *grant) credential() credential {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.cred
}

func (g *grant) quotaID() string { return g.record().QuotaID }

// grantOf finds the grant of a role: what its tokens are minted from now. The
// error is *clientMovedError if the mount's client is no longer the role's.
func (e *Engine) grantOf(ctx context.Context, r *Role, config *Config) (*grant, error) {
	if !r.IsAuthorized() {
		return nil, r.errUnauthorized()
	}
	cred, err := r.credential(config)
	if err != nil {
		return nil, err
	}
	g, err := e.grant(ctx, e.fingerprint("grant", cred.parts()...), e.quotaID(r))
	if err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.cred = cred
	return g, nil
}

// grantID names the grant of a role, and is empty if the role has none: nothing
// to mint from, or no client any more.
func (e *Engine) grantID(r *Role, config *Config) string {
	cred, err := r.credential(config)
	if err != nil || !r.IsAuthorized() {
		return ""
	}
	return e.fingerprint("grant", cred.parts()...)
}

// parts are what makes the grant a different one.
func (c credential) parts() []string {
	client := []string{c.app.AccountsURL, c.app.ClientID, c.app.ClientSecret.Reveal()}
	if c.refreshToken.IsZero() {
		return slices.Concat(client, []string{GrantTypeClientCredentials, c.soid}, slices.Sorted(slices.Values(c.scopes)))
	}
	return append(client, GrantTypeRefreshToken, c.refreshToken.Reveal())
}

// grant returns the grant of id, from storage if it is not in memory.
func (e *Engine) grant(ctx context.Context, id, quotaID string) (*grant, error) {
	return e.grants.get(ctx, id, func(ctx context.Context, id string) (*grant, error) { return e.loadGrant(ctx, id, quotaID) })
}

func (e *Engine) loadGrant(ctx context.Context, id, quotaID string) (*grant, error) {
	g := &grant{id: id, stored: stored[grantRecord]{key: prefixGrants + id}}
	rec, err := get[grantRecord](ctx, e.store, g.key)
	switch {
	case IsBroken(err):
		// Tick ends the token that the record named. Nothing else is lost that the
		// next mint does not bring again.
		e.log().Error("the record of a grant is damaged, and begins anew", "grant", id, "error", err)
		g.kept = true
	case err != nil:
		return nil, err
	case rec != nil:
		g.rec, g.kept = *rec, true
		if g.current, err = e.token(ctx, rec.Current); err != nil {
			return nil, err
		}
		if g.current == nil {
			g.rec.Current = ""
		}
	}
	g.rec.QuotaID = quotaID
	return g, nil
}

func (e *Engine) updateGrant(ctx context.Context, g *grant, change func(*grantRecord)) error {
	return update(ctx, e, &g.stored, change)
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

// currentToken returns the current token, nil if there is none to hand out, and
// how fresh it is for a reader.
func (g *grant) currentToken(now time.Time, want need) (*token, freshness) {
	g.mu.Lock()
	t := g.current
	g.mu.Unlock()
	return t.ifUsable(now, want)
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
	q, err := e.quota(ctx, g.quotaID())
	if err != nil {
		return nil, invalid, err
	}
	tokens, err := e.liveTokens(ctx, q)
	if err != nil {
		return nil, invalid, err
	}
	now, rejected := e.now(), tokens[want.reject]
	for _, t := range tokens {
		if t.rec.GrantID != g.id || t.rec.Exclusive {
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
