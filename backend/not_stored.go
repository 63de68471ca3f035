package backend

import (
	"context"
	"fmt"
)

// What becomes of a refresh token that Zoho has given for a code, and whose role could
// not be stored.

const (
	revokedAgain = "Zoho had exchanged the grant code already; its refresh token has been revoked there. Correct the cause, and get a new code"
	unstoredYet  = "Zoho had exchanged the grant code already; its refresh token is revoked by itself in a few minutes. Correct the cause, and get a new code"
)

// revokeNotStored revokes a refresh token that could not be stored: no write of its role
// was begun.
func (e *Engine) revokeNotStored(ctx context.Context, x *exchange, cause error) error {
	if x.RefreshToken.IsZero() {
		return cause
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitLimit+2*x.config.RequestTimeout) // the cause may be a time that is up
	defer cancel()
	if x.quotaID != "" {
		return e.revokeNoted(ctx, x, cause)
	}
	if _, err := e.revokeRefreshToken(ctx, x.app, x.config.CACert, x.RefreshToken, x.config); err != nil {
		e.log().Error("a refresh token could neither be stored nor revoked", "accounts_url", x.app.AccountsURL, "client_id", x.app.ClientID, "error", err)
		return appendText(cause, fmt.Sprintf("Zoho had exchanged the grant code already, and its refresh token could be neither stored nor revoked (%v): it lives on at Zoho, unknown to Vault; remove it there, under Connected Apps of the user who consented", err))
	}
	return appendText(cause, revokedAgain)
}

// revokeNoted revokes a refresh token that is noted, unless a server has given one that
// a role has already.
func (e *Engine) revokeNoted(ctx context.Context, x *exchange, cause error) error {
	shared := false
	_, err := e.endRefreshToken(ctx, x.quotaID, x.config, func(pending pendingRevocation) (bool, error) {
		roles, err := e.rolesWithRefreshToken(ctx, x.quotaID)
		if err != nil {
			return false, err
		}
		own, err := e.isStoredWith(ctx, pending.Role, x.quotaID)
		shared = own || len(others(roles, pending.Role)) > 0
		return !shared, err
	})
	switch {
	case err != nil:
		return appendText(cause, fmt.Sprintf("Zoho had exchanged the grant code already, and its refresh token could not be revoked yet (%v); that is tried again in a few minutes. Correct the cause, and get a new code", err))
	case shared:
		return cause
	default:
		return appendText(cause, revokedAgain)
	}
}
