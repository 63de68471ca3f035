package backend

import (
	"context"
	"errors"
	"path"
	"time"

	"vault-plugin-secrets-zoho/backend/zoho"
)

// Zoho lets a user have twenty refresh tokens; the twenty-first makes it delete the
// oldest without a word, whether or not that is in use. So the refresh tokens of each
// client are listed in storage, with an entry for each:
// client-refresh-tokens/<client>/<quota_id>.
//
//	Zoho gave it for a code, or a role minted from it first ───► listed
//	    listed ──── revoked, or given up ────► not listed
//	    listed ──── no role has it any more, and no revocation of it is pending ───► not listed
//
// What was written by hand and never worked is not listed: somebody who may write one
// role could otherwise fill the list of a client that others use, too. The list may
// name a refresh token that is gone after a crash, until the daily round. Of those that
// have worked it misses none.
// Source: zoho.com/accounts/protocol/oauth/token-limits.html; per user, or per user and
// client, depending on the page. The engine knows clients, so it counts by client.

const (
	mostRefreshTokens = 20

	// manyRefreshTokens is from how many on a write warns.
	manyRefreshTokens = 18
)

// listedToken is the entry of a refresh token in the list of its client.
type listedToken struct {
	AccountsURL string    `json:"accounts_url"`
	ClientID    string    `json:"client_id"`
	Since       time.Time `json:"since"`            // when the mount got it, or first minted from it
	Origin      string    `json:"origin,omitempty"` // see the constants
}

// How the mount came to a refresh token; empty: it was written by hand.
const (
	originCode    = "code"    // a grant code without a redirect_uri: of a Self Client, which has one owner
	originConsent = "consent" // a grant code with one: of whoever consented
)

func listKey(clientQuotaID, quotaID string) string {
	return prefixClientTokens + clientQuotaID + "/" + quotaID
}

// listRefreshToken enters a refresh token in the list of its client, unless it is
// there.
func (e *Engine) listRefreshToken(ctx context.Context, app zoho.App, quotaID, origin string) error {
	key := listKey(e.clientQuotaID(app.AccountsURL, app.ClientID), quotaID)
	if known, err := orNone(get[listedToken](ctx, e.store, key)); err != nil || known != nil {
		return err
	}
	return e.store.put(ctx, key, listedToken{AccountsURL: app.AccountsURL, ClientID: app.ClientID, Since: e.now(), Origin: origin})
}

// unlistUnknown takes a refresh token out of the list of its client if the mount
// knows it no longer.
func (e *Engine) unlistUnknown(ctx context.Context, clientQuotaID, quotaID string) error {
	// Most often there is nothing to do, and no need to wait for a turn.
	listed, err := e.store.Get(ctx, listKey(clientQuotaID, quotaID))
	if err != nil || listed == nil {
		return err
	}
	if owner, err := e.ownerOf(ctx, quotaID); err != nil || owner != (tokenOwner{}) {
		return err
	}
	release, err := e.takeTurn(ctx, quotaID)
	if err != nil {
		return err
	}
	defer release()
	owner, err := e.ownerOf(ctx, quotaID)
	if err != nil || owner != (tokenOwner{}) {
		return err
	}
	return e.store.Delete(ctx, listKey(clientQuotaID, quotaID))
}

// sweepList goes through the list of a client for what the mount knows no longer.
func (e *Engine) sweepList(ctx context.Context, clientQuotaID string) error {
	ids, err := e.store.List(ctx, prefixClientTokens+clientQuotaID+"/")
	if err != nil {
		return err
	}
	var failed []error
	for _, id := range ids {
		failed = append(failed, e.unlistUnknown(ctx, clientQuotaID, path.Base(id)))
	}
	return errors.Join(failed...)
}

// tokenOwner is what makes the mount know a refresh token; zero if nothing does.
type tokenOwner struct {
	Role    string
	Pending bool // the role has given it up, and it waits to be revoked
}

func (e *Engine) ownerOf(ctx context.Context, quotaID string) (tokenOwner, error) {
	roles, err := e.rolesWithRefreshToken(ctx, quotaID)
	if err != nil {
		return tokenOwner{}, err
	}
	if len(roles) > 0 {
		return tokenOwner{Role: roles[0]}, nil
	}
	pending, err := e.loadRevocation(ctx, quotaID)
	if err != nil || pending == nil {
		return tokenOwner{}, err
	}
	return tokenOwner{Role: pending.Role, Pending: true}, nil
}
