package backend

import (
	"context"
	"fmt"

	"vault-plugin-secrets-zoho/backend/zoho"
)

// What becomes of a refresh token that Zoho has given for a code, and whose role could
// not be stored, and what is said of an exchange that came to nothing.

// another is how one comes to another grant code: this one is used up. Who was asked for
// consent has none that they could write, and no API console that makes one.
func (x *exchange) another() string {
	if x.code.consent != nil {
		return fmt.Sprintf("begin again with: vault write -f <mount>/roles/%s/authorize", x.role.Name)
	}
	return "get a new code"
}

func (x *exchange) revokedAgain() string {
	return "Zoho had exchanged the grant code already; its refresh token has been revoked there. Correct the cause, and " + x.another()
}

func (x *exchange) unstoredYet() string {
	return "Zoho had exchanged the grant code already; its refresh token is revoked by itself in a few minutes. Correct the cause, and " + x.another()
}

// afterNoRefreshToken says what to do when the connection that stands in the way is
// removed. Of an address that the engine has made nobody need look at the parameters.
func (x *exchange) afterNoRefreshToken() string {
	text := "Then " + x.another()
	if x.code.consent == nil && x.code.redirectURI != "" {
		text += ". If you have made the address of the consent page yourself: it needs access_type=offline and prompt=consent"
	}
	return text
}

// maybeExchanged tells of a refresh token that an answer may have carried which
// did not arrive.
func (x *exchange) maybeExchanged(err error) error {
	if failed, ok := asError[*zoho.Error](err); !ok || failed.NoToken() {
		return asGrantError(err)
	}
	return appendText(asGrantError(err), "To try again, "+x.another()+". If Zoho has exchanged the code all the same, a refresh token that Vault does not know lives there: remove it under Connected Apps of the user who consented")
}

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
	return appendText(cause, x.revokedAgain())
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
		return appendText(cause, fmt.Sprintf("Zoho had exchanged the grant code already, and its refresh token could not be revoked yet (%v); that is tried again in a few minutes. Correct the cause, and %s", err, x.another()))
	case shared:
		return cause
	default:
		return appendText(cause, x.revokedAgain())
	}
}
