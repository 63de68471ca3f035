package backend

import (
	"cmp"
	"context"
	"fmt"
	"hash/fnv"
	"sync/atomic"
	"time"

	"vault-plugin-secrets-zoho/backend/clock"
	"vault-plugin-secrets-zoho/backend/ledger"
	"vault-plugin-secrets-zoho/backend/secret"
	"vault-plugin-secrets-zoho/backend/zoho"
)

// tokenRecord is one access token with all that is needed to revoke it after
// its role and the config are gone. It is written once, and never changed.
type tokenRecord struct {
	ID          string       `json:"-"` // fingerprint of the access token
	GrantID     string       `json:"grant_id"`
	QuotaID     string       `json:"quota_id"`            // where Zoho counts it among the live tokens
	Exclusive   bool         `json:"exclusive,omitempty"` // minted for one lease
	AccessToken secret.Value `json:"-"`
	zoho.App
	CACert    string             `json:"ca_cert,omitempty"`
	Places    ledger.Reservation `json:"places,omitzero"` // of its first readers
	TokenType string             `json:"token_type,omitempty"`
	APIDomain string             `json:"api_domain,omitempty"`
	Scopes    []string           `json:"scopes,omitempty"`
	IssuedAt  time.Time          `json:"issued_at"`
	ExpiresAt time.Time          `json:"expires_at"` // whole seconds; margin is off already
}

// tokenEntry is a token as it is stored: with its secrets.
type tokenEntry struct {
	tokenRecord
	AccessToken  string `json:"access_token"`
	ClientSecret string `json:"client_secret"`
}

func (r tokenRecord) entry() tokenEntry {
	return tokenEntry{r, r.AccessToken.Reveal(), r.ClientSecret.Reveal()}
}

func (s tokenEntry) record(id string) tokenRecord {
	r := s.tokenRecord
	r.ID, r.AccessToken, r.ClientSecret = id, secret.New(s.AccessToken), secret.New(s.ClientSecret)
	return r
}

// token is a live access token in memory.
type token struct {
	rec           tokenRecord
	ledger        *ledger.Ledger // who holds it
	foreignDomain bool           // see zoho.Token; known to the one who minted it alone

	// misdated is when it was first seen that a wrong clock dated the token, in Unix
	// nanoseconds: nobody gets it any more. Zero: it was not. The record has it, too.
	misdated atomic.Int64
}

// newLedger returns the ledger of a token, without what is stored of it.
func (e *Engine) newLedger(tokenID string, first ledger.Reservation) (*ledger.Ledger, error) {
	return ledger.New(ledger.Options{
		Storage: e.store, Prefix: prefixHolders + tokenID + "/", TokenID: tokenID, First: first, Log: e.log,
		Go: e.work.Go, Now: e.now, After: e.after, Closing: e.work.Closing(), Closed: errClosed,
	})
}

// left is the token's remaining life.
func (t *token) left(now time.Time) time.Duration {
	return min(t.rec.ExpiresAt.Sub(now), zoho.MaxLife)
}

func (t *token) life() time.Duration { return t.rec.ExpiresAt.Sub(t.rec.IssuedAt) }

// refreshBelow is the remaining life at which the next token is minted ahead:
// half, give or take a tenth. The tenth depends on the token, so that grants
// which were minted together do not all come back together.
func (t *token) refreshBelow() time.Duration {
	h := fnv.New32a()
	_, _ = h.Write([]byte(t.rec.ID)) // a hash.Hash never fails
	perMille := 400 + int64(h.Sum32()%201)
	return time.Duration(t.life().Milliseconds()*perMille/1000) * time.Millisecond
}

// effectiveMinTTL is how much of its life the token must have left: what was
// asked for, or a sixth of its life. More than this token ever had cannot be
// asked for, so it falls back to the sixth, too.
func (t *token) effectiveMinTTL(asked time.Duration) (minTTL time.Duration, capped bool) {
	const part = 6
	switch {
	case asked == 0:
		return t.life() / part, false
	case asked >= t.life():
		return t.life() / part, true
	default:
		return asked, false
	}
}

// comfortable reports whether the token is still worth handing out when no
// other is to be had: a thirtieth of its life, two minutes of an hour, lets
// the reader finish what it is doing.
func (t *token) comfortable(now time.Time) bool {
	const part = 30
	return t.left(now) >= max(t.life()/part, time.Second)
}

// isOfWrongClock reports whether a wrong clock wrote when the token was minted.
// How long it lives is not known then, so nobody gets it any more, also when its
// times look right again later.
func (t *token) isOfWrongClock(now time.Time) bool {
	if t.isInFuture(now) {
		t.misdated.CompareAndSwap(0, now.UnixNano())
	}
	return t.misdated.Load() != 0
}

func (t *token) isInFuture(now time.Time) bool {
	return clock.IsFuture(now, t.rec.IssuedAt) || t.rec.ExpiresAt.Sub(now) > zoho.MaxLife+clock.Tolerance
}

// isOver reports whether the token has expired. While its times are in the future
// they say nothing, and it is over a token's life after that was seen. When they are
// past again, it was the clock of that moment that was wrong, and they count.
func (t *token) isOver(now time.Time) bool {
	seen := t.misdated.Load()
	if !t.isInFuture(now) || seen == 0 {
		return !t.rec.ExpiresAt.After(now)
	}
	at := time.Unix(0, seen)
	return !clock.IsFuture(now, at) && now.Sub(at) >= zoho.MaxLife
}

func (e *Engine) newToken(ctx context.Context, a *attempt, minted zoho.Token) (*token, error) {
	g, purpose, app := a.grant, a.purpose, a.grant.credential().App
	id := e.fingerprint("token", minted.AccessToken.Reveal())
	known, err := e.token(ctx, id)
	switch {
	case err != nil:
		return nil, err
	case known != nil && !known.ledger.CanBeHeld():
		return nil, &GrantError{Kind: zoho.BadAnswer, Text: fmt.Sprintf("The Accounts server (%s) answered with an access token that is given to nobody any more. This is not how Zoho behaves; check accounts_url.", app.AccountsURL)}
	case known != nil && (known.rec.GrantID != g.id || known.rec.Exclusive || purpose.exclusive):
		return nil, &GrantError{Kind: zoho.BadAnswer, Text: fmt.Sprintf("The Accounts server (%s) answered with an access token that it has given for other credentials or another lease. This is not how Zoho behaves; check accounts_url.", app.AccountsURL)}
	case known != nil && known.left(e.now()) < time.Second:
		return nil, &GrantError{Kind: zoho.BadAnswer, Text: fmt.Sprintf("The Accounts server (%s) answered with an access token that it has given before, and that has expired. This is not how Zoho behaves; check accounts_url.", app.AccountsURL)}
	case known != nil && id == purpose.want.reject:
		return nil, &GrantError{Kind: zoho.BadAnswer, Text: fmt.Sprintf("The Accounts server (%s) answered with the access token that this read rejects, so there is no other one. This is not how Zoho behaves; check accounts_url.", app.AccountsURL)}
	case known != nil:
		return known, nil // a server may answer with the token that it gave before
	}
	holders, err := e.newLedger(id, ledger.Reservation{})
	if err != nil {
		return nil, err
	}
	rec := tokenRecord{
		ID: id, GrantID: g.id, QuotaID: g.quotaID, Exclusive: purpose.exclusive, AccessToken: minted.AccessToken, App: app, CACert: a.config.CACert,
		TokenType: minted.TokenType, Scopes: minted.Scopes,
		IssuedAt: a.asked, ExpiresAt: a.asked.Add(minted.Life - margin).Truncate(time.Second),
	}
	if readers := a.readers(); readers > 0 {
		rec.Places = holders.Reserve(readers)
	}
	former := a.own.Grants[g.id]
	rec.APIDomain = apiDomain(minted.APIDomain, former.APIDomain, app.AccountsURL)
	if rec.Scopes == nil {
		rec.Scopes = former.Scopes
	}
	if minted.ForeignDomain {
		e.log().Warn("Zoho's answer named an API domain that is none of Zoho's; it was dropped", "grant", g.id, "token_id", id, "api_domain", rec.APIDomain)
	}
	return &token{rec: rec, ledger: holders, foreignDomain: minted.ForeignDomain}, nil
}

// apiDomain is where the APIs are that take a token: what its answer said, or else the
// one before, or else that of the data centre. Nobody knows that of an Accounts server
// that is none of Zoho's.
func apiDomain(said, former, accountsURL string) string {
	dc, _ := zoho.ByAccountsURL(accountsURL)
	return cmp.Or(said, former, dc.APIDomain)
}

// token returns the token of id, from storage if it is not in memory; nil if
// there is none: it was revoked, or it expired.
func (e *Engine) token(ctx context.Context, id string) (*token, error) {
	if id == "" {
		return nil, nil
	}
	return e.tokens.get(ctx, id, e.loadToken)
}

func (e *Engine) loadToken(ctx context.Context, id string) (*token, error) {
	entry, err := get[tokenEntry](ctx, e.store, prefixTokens+id)
	if IsBroken(err) {
		e.log().Error("the record of an access token is damaged: it cannot be handed out or revoked any more, and expires by itself", "token_id", id, "error", err)
		return nil, nil
	}
	if err != nil || entry == nil {
		return nil, err
	}
	t := &token{rec: entry.record(id)}
	if t.ledger, err = e.newLedger(id, t.rec.Places); err != nil {
		return nil, err
	}
	u, err := e.usage(ctx, t.rec.QuotaID)
	if err != nil {
		return nil, err
	}
	if seen := u.Misdated[id]; !seen.IsZero() {
		t.misdated.Store(seen.UnixNano())
	}
	return t, t.ledger.Load(ctx)
}
