package backend

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"time"

	"vault-plugin-secrets-zoho/backend/ledger"
	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/backend/zoho"
)

// TokenState is where an access token is in its life: see the package comment.
type TokenState string

// The states of an access token.
const (
	TokenCurrent    TokenState = "current"    // the next reader gets it
	TokenSuperseded TokenState = "superseded" // it lives on for those who hold it
	TokenExclusive  TokenState = "exclusive"  // it belongs to one lease
	TokenEnding     TokenState = "ending"     // its revocation was decided, and Zoho is being asked
	TokenEnded      TokenState = "ended"      // it was revoked, or has expired
)

// TokenInfo is what is known of an access token, without the token. A part of it is
// kept when the token has died.
type TokenInfo struct {
	ID          string              `json:"-"`
	State       TokenState          `json:"-"`
	GrantID     string              `json:"grant_id"`
	AccountsURL string              `json:"accounts_url"`
	DataCenter  string              `json:"-"` // empty for an Accounts server that has no name
	Scopes      []string            `json:"scopes,omitempty"`
	Roles       []string            `json:"-"` // that handed it out, or, as long as nobody has read it, that can
	IssuedAt    time.Time           `json:"issued_at"`
	ExpiresAt   time.Time           `json:"expires_at"`
	EndedAt     time.Time           `json:"ended_at,omitzero"` // zero while it lives
	EndedBy     string              `json:"ended_by"`          // in words
	Holders     int                 `json:"-"`                 // leases on it
	Unnamed     int                 `json:"-"`                 // of these: what may be leases whose names a crash kept from being written
	Readers     []ledger.Readership `json:"readers,omitempty"` // everybody who was given it and has a name
}

// TokenIDs lists the live access tokens, in a fixed order, from the one that
// follows after on, and at most limit of them; 0 is all.
func (e *Engine) TokenIDs(ctx context.Context, after string, limit int) ([]string, error) {
	ids, err := e.store.List(ctx, prefixTokens)
	if err != nil {
		return nil, err
	}
	slices.Sort(ids)
	return pageOf(ids, after, limit, func(id string) string { return id }), nil
}

// pageOf cuts a page out of items that are sorted by key. It does not matter if
// the item of the key after is gone meanwhile.
func pageOf[T any](items []T, after string, limit int, key func(T) string) []T {
	if after != "" {
		items = items[sort.Search(len(items), func(i int) bool { return key(items[i]) > after }):]
	}
	if limit > 0 && len(items) > limit {
		items = items[:limit]
	}
	return items
}

// Token tells of a live access token; nil if there is none of that ID.
func (e *Engine) Token(ctx context.Context, id string) (*TokenInfo, error) {
	t, err := e.token(ctx, id)
	if err != nil || t == nil || t.isOver(e.now()) {
		return nil, err
	}
	u, err := e.usage(ctx, t.rec.QuotaID)
	if err != nil {
		return nil, err
	}
	record, err := e.record(ctx, t.rec.QuotaID)
	if err != nil {
		return nil, err
	}
	users, err := e.users(ctx, t.rec.GrantID, t.rec.QuotaID)
	if err != nil {
		return nil, err
	}
	info := t.info()
	switch {
	case t.ledger.IsEnding() || record.IsEnding():
		info.State = TokenEnding
	case u.Grants[t.rec.GrantID].Current == id && len(users) > 0:
		info.State = TokenCurrent
	case t.rec.Exclusive:
		info.State = TokenExclusive
	default:
		info.State = TokenSuperseded
	}
	if len(info.Roles) == 0 && info.State == TokenCurrent { // nobody has read it yet
		info.Roles = users
	}
	return info, nil
}

func (t *token) info() *TokenInfo {
	info := &TokenInfo{
		ID: t.rec.ID, GrantID: t.rec.GrantID, AccountsURL: t.rec.App.AccountsURL, DataCenter: dataCenterOf(t.rec.App.AccountsURL), Scopes: t.rec.Scopes,
		IssuedAt: t.rec.IssuedAt, ExpiresAt: t.rec.ExpiresAt,
		Readers: t.ledger.Readership(),
	}
	info.Holders, info.Unnamed = t.ledger.Count()
	info.Roles = ledger.Roles(info.Readers)
	return info
}

// dataCenterOf names the region of an Accounts server; empty if it is none of
// Zoho's: what its operator has called the mount's data_center says nothing of it then. All
// that names a data centre beside an Accounts server asks this.
func dataCenterOf(accountsURL string) string {
	dc, _ := zoho.ByAccountsURL(accountsURL)
	return dc.Name
}

// Holders lists the leases on a live access token, the oldest first: at most limit of
// them, 0 is all, beginning with the one that follows the cursor after. next is the cursor
// of the following page, empty if this is the last. There are none if there is
// no such token.
func (e *Engine) Holders(ctx context.Context, tokenID, after string, limit int) (holders []ledger.Holder, next string, err error) {
	t, err := e.token(ctx, tokenID)
	if err != nil || t == nil || t.isOver(e.now()) {
		return nil, "", err
	}
	all := t.ledger.Holders()
	holders = pageOf(all, after, limit, ledger.Holder.Cursor)
	if last := len(holders) - 1; last >= 0 && holders[last].ID != all[len(all)-1].ID {
		next = holders[last].Cursor()
	}
	return holders, next, nil
}

// KillToken revokes an access token at Zoho now, whoever holds it. The next
// reader gets a new one. If Zoho cannot be asked, the error is a *GrantError,
// the token is handed out to nobody any more, and Tick goes on asking.
func (e *Engine) KillToken(ctx context.Context, id string) (warnings []string, err error) {
	t, err := e.token(ctx, id)
	if err != nil {
		return nil, err
	}
	if t != nil && !t.isOver(e.now()) {
		return nil, e.work.Do(ctx, func(ctx context.Context) error { return e.endNow(ctx, t) })
	}
	ended, err := e.endedToken(ctx, id)
	switch {
	case err != nil:
		return nil, err
	case ended == nil:
		return nil, settings.UserErrorf("there is no access token of that token_id: neither a live one, nor one that ended in the last %s. Look the token itself up with <mount>/tokens/lookup", keptAfterEnd)
	default:
		return []string{fmt.Sprintf("this access token is dead already: %s at %s", ended.EndedBy, ended.EndedAt.UTC().Format(time.RFC3339))}, nil
	}
}

// KnownToken tells of an access token, also if it ended less than a day ago;
// nil if there is none of that ID.
func (e *Engine) KnownToken(ctx context.Context, id string) (*TokenInfo, error) {
	if info, err := e.Token(ctx, id); err != nil || info != nil {
		return info, err
	}
	return e.endedToken(ctx, id)
}
