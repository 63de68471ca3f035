package backend

import (
	"context"

	"vault-plugin-secrets-zoho/backend/settings"
)

// checkIsNew finds a token that the mount knows as something else: an access token that
// it has handed out, or, as a code, a refresh token that a role has. It is there to help:
// a record that cannot be read keeps nobody from a write.
func (e *Engine) checkIsNew(ctx context.Context, ch roleChange, updated *settings.Role) error {
	if ch.consent != nil {
		return nil
	}
	for field, token := range map[string]*string{"code": ch.Code, "refresh_token": ch.RefreshToken} {
		if token == nil {
			continue
		}
		known, err := e.KnownToken(ctx, e.fingerprint("token", *token))
		if err != nil {
			e.log().Debug("could not look whether a token is known as an access token", "role", updated.Name, "error", err)
		}
		if known != nil {
			return settings.UserErrorf("%s is an access token, which this mount has handed out (its token_id is %s): %s", field, known.ID, settings.WhereIsA(field))
		}
	}
	if ch.Code == nil {
		return nil
	}
	roles, err := e.rolesWithRefreshToken(ctx, e.refreshTokenQuotaID(updated.Pin.AccountsURL, *ch.Code))
	if err != nil {
		e.log().Debug("could not look whether a code is known as a refresh token", "role", updated.Name, "error", err)
	}
	if len(roles) > 0 {
		return settings.UserErrorf("code is a refresh token that a role of this mount has: write it as refresh_token")
	}
	return nil
}
