package backend

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"vault-plugin-secrets-zoho/backend/ledger"
)

// keptAfterEnd is how long the memory of a dead token is kept.
const keptAfterEnd = 24 * time.Hour

// maxEnded bounds the readers in a dead token's entry, in bytes. Without it the
// entry of a token with very many would be refused by storage, and the token
// never swept.
const maxEnded = 256 << 10

const hourForm = "2006-01-02T15"

// endedKey begins with the hour of a token's death, so that old ones are found without
// reading any.
func endedKey(at time.Time, id string) string {
	return prefixEnded + at.UTC().Format(hourForm) + "/" + id
}

// writeTombstone keeps what an auditor may ask of a token that has died.
func (e *Engine) writeTombstone(ctx context.Context, t *token, how string) error {
	now, info := e.now(), t.info()
	info.EndedAt, info.EndedBy, info.Readers = now, how, latestReaders(info.Readers)
	if t.rec.ExpiresAt.Before(now) { // it is found out now only
		info.EndedAt = t.rec.ExpiresAt
	}
	return e.store.put(ctx, endedKey(now, t.rec.ID), info)
}

// latestReaders leaves out the earliest of readers, until the others have room in
// an entry.
func latestReaders(readers []ledger.Readership) []ledger.Readership {
	room := maxEnded
	for i, r := range slices.Backward(readers) {
		text, err := json.Marshal(r)
		if room -= len(text) + len(","); err != nil || room < 0 {
			return readers[i+1:]
		}
	}
	return readers
}

const byExpiry = "it expired"

// endedToken finds a token among the dead; nil if it is not there.
func (e *Engine) endedToken(ctx context.Context, id string) (*TokenInfo, error) {
	if strings.Contains(id, "/") {
		return nil, nil
	}
	now := e.now()
	if t, err := e.token(ctx, id); err != nil {
		return nil, err
	} else if t != nil && t.isOver(now) { // Tick has not come by yet
		info := t.info()
		info.State, info.EndedAt, info.EndedBy, info.Holders = TokenEnded, t.rec.ExpiresAt, byExpiry, 0
		return info, nil
	}
	for age := time.Duration(0); age <= keptAfterEnd; age += time.Hour {
		info, err := orNone(get[TokenInfo](ctx, e.store, endedKey(now.Add(-age), id)))
		if err != nil {
			return nil, err
		}
		if info != nil {
			info.ID, info.State, info.Roles, info.DataCenter = id, TokenEnded, ledger.Roles(info.Readers), dataCenterOf(info.AccountsURL)
			return info, nil
		}
	}
	return nil, nil
}

// sweepEnded forgets the tokens that ended too long ago.
func (e *Engine) sweepEnded(ctx context.Context) error {
	hours, err := e.store.List(ctx, prefixEnded)
	if err != nil {
		return err
	}
	oldest := e.now().Add(-keptAfterEnd).UTC().Format(hourForm)
	latest := e.now().Add(time.Hour).UTC().Format(hourForm) // a later one was written by a wrong clock
	var failed []error
	for _, hour := range hours {
		if name := strings.TrimSuffix(hour, "/"); name < oldest || name > latest {
			failed = append(failed, e.store.deleteWhere(ctx, prefixEnded+hour, func(string) bool { return true }))
		}
	}
	return errors.Join(failed...)
}
