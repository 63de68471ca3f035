package backend

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"vault-plugin-secrets-zoho/backend/ledger"
	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/backend/work"
)

// Rotated is what came of a rotation.
type Rotated struct {
	TokenID   string // of the new access token
	ExpiresAt time.Time
	Ended     []string // the token_ids of those that were revoked
	Warnings  []string
}

// Rotate mints a new access token for a role's grant, and revokes every other one
// of it at Zoho, whoever holds it, and those that the role has handed out with former
// credentials. It is also the explicit retry after Zoho has refused
// the credentials. If no new one can be had, nothing is revoked, unless force is set:
// a rotation out of habit must not take away the tokens that still work.
func (e *Engine) Rotate(ctx context.Context, name string, force bool) (*Rotated, error) {
	return work.Result(ctx, e.work, func(ctx context.Context) (*Rotated, error) { return e.rotate(ctx, name, force) })
}

func (e *Engine) rotate(ctx context.Context, name string, force bool) (*Rotated, error) {
	role, config, err := e.roleAndConfig(ctx, name)
	if err != nil {
		return nil, err
	}
	if role.Exclusive {
		return nil, settings.UserErrorf("role %q is exclusive: each lease has an access token of its own, so there is none to rotate. Revoke leases instead, or read a token under <mount>/tokens/ and delete it", name)
	}
	g, err := e.grantOf(role, config)
	if err != nil {
		return nil, err
	}
	former, _, err := e.currentToken(ctx, g, need{})
	if err != nil {
		return nil, err
	}
	t, failed := e.mintAnother(ctx, g, name, former)
	if failed != nil && !force {
		return nil, prependText(fmt.Sprintf("No new access token for role %q, and so none was revoked: readers keep what they have. If a token has leaked, write force=true, or delete it below <mount>/tokens/; readers then get none until one can be minted. ", name), failed)
	}
	ended, warnings, err := e.revokeOthers(ctx, g, name, t)
	if isFull(failed) && err == nil && len(ended) > 0 { // there is room now
		t, failed = e.mintAnother(ctx, g, name, nil)
	}
	if failed != nil {
		text := "No access token of it was alive. "
		if len(ended) > 0 {
			text = fmt.Sprintf("These are given to nobody any more: %s. ", strings.Join(ended, ", "))
		}
		text = fmt.Sprintf("No new access token for role %q. %s", name, text)
		if err != nil { // what matters most, since the tokens live on at Zoho
			return nil, prependText(text+failed.Error()+" ", err)
		}
		return nil, prependText(text, failed)
	}
	return &Rotated{TokenID: t.rec.ID, ExpiresAt: t.rec.ExpiresAt, Ended: ended, Warnings: warnings}, err
}

// revokeOthers revokes all living access tokens of a role but one, nil for none, and
// names them: those of its grant, and those that it has handed out with its former
// credentials. Of these it leaves, with a warning, what another role has handed out or can.
func (e *Engine) revokeOthers(ctx context.Context, g *grant, role string, but *token) (ended, warnings []string, failed error) {
	ids, err := e.store.List(ctx, prefixTokens)
	if err != nil {
		return nil, nil, err
	}
	for _, id := range ids {
		t, err := e.token(ctx, id)
		if err != nil || t == nil || t == but || t.isOver(e.now()) {
			failed = cmp.Or(failed, err)
			continue
		}
		if t.rec.GrantID != g.id {
			had, also, err := e.handedOutBy(ctx, t, role)
			if err != nil || !had {
				failed = cmp.Or(failed, err)
				continue
			}
			if len(also) > 0 {
				warnings = append(warnings, fmt.Sprintf("access token %s, which role %q has handed out with its former credentials, lives on, since it is one of %s as well; to end it, delete it below <mount>/tokens/", id, role, strings.Join(also, ", ")))
				continue
			}
		}
		failed = cmp.Or(failed, e.endNow(ctx, t))
		if t.ledger.IsEnding() { // also if Zoho could not be asked
			ended = append(ended, id)
		}
	}
	return ended, warnings, failed
}

// handedOutBy reports whether a role has handed out a token, and which others have or can.
func (e *Engine) handedOutBy(ctx context.Context, t *token, role string) (had bool, also []string, err error) {
	readers := ledger.Roles(t.ledger.Readership())
	if !slices.Contains(readers, role) {
		return false, nil, nil
	}
	users, err := e.users(ctx, t.rec.GrantID, t.rec.QuotaID)
	also = others(append(readers, users...), role)
	slices.Sort(also)
	return true, slices.Compact(also), err
}

// mintAnother makes another token than former the current one, and gives refused
// credentials another chance. The requests that are kept in reserve are for readers. The
// places for live tokens that are kept for them are not: when the new token is there, the
// others of the grant end, so that a rotation takes one place for a moment only.
func (e *Engine) mintAnother(ctx context.Context, g *grant, role string, former *token) (*token, error) {
	if err := e.forgive(ctx, g); err != nil {
		return nil, err
	}
	const tries = 3 // a reader's mint may be under way, find that none is needed, or may do less
	for try := range tries {
		err := e.mintOnce(ctx, g, mintPurpose{rotation: true, role: role, needed: func(ctx context.Context) (bool, error) {
			t, _, err := e.currentToken(ctx, g, need{})
			return t == nil || t == former, err
		}})
		if try+1 < tries && (isReserved(err) || isOfAnotherRole(err, role)) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if t, _, err := e.currentToken(ctx, g, need{}); err != nil || t != nil && t != former {
			return t, err
		}
	}
	return nil, errors.New("the new access token was revoked as soon as it was there; try again")
}

// endNow ends a token at Zoho now, whoever holds it. If Zoho cannot be asked, the
// decision stands: nobody gets the token any more, and Tick goes on.
func (e *Engine) endNow(ctx context.Context, t *token) error {
	if err := t.ledger.End(ctx, e.now()); err != nil {
		return err
	}
	return tokenNotRevoked(t, asGrantError(e.revokeAtZoho(ctx, t)))
}

// tokenNotRevoked tells beside why Zoho has not ended a token that nobody gets it any more.
func tokenNotRevoked(t *token, err error) error {
	return prependText(fmt.Sprintf("Access token %s is not handed out any more, but could not be revoked at Zoho yet; that is tried again every few minutes until it expires at %s. ", t.rec.ID, t.rec.ExpiresAt.UTC().Format(time.RFC3339)), err)
}
