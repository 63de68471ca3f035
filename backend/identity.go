package backend

import (
	"context"
	"slices"
	"strings"

	"vault-plugin-secrets-zoho/backend/zoho"
)

// askWhoConsented returns whose Zoho account a grant code came from; empty if nobody
// says. That Zoho does not answer is no error, since the role works without. The name
// is personal data: it is stored with the role's refresh token, and is in no log line
// and no event.
//
// The caller has the role's slot and no turn, so that a server that does not answer
// keeps no reader waiting, and the write no longer than one request.
func (e *Engine) askWhoConsented(ctx context.Context, role *Role, app zoho.App, got exchanged, config *Config) string {
	if got.Person != "" || !mayAskWhoConsented(role, got) {
		return got.Person
	}
	accounts, err := e.accountsClient(config.CACert)
	if err != nil {
		e.log().Debug("could not ask Zoho who consented", "role", role.Name, "error", err)
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, config.RequestTimeout)
	defer cancel()
	person, err := accounts.Person(ctx, app, got.Exchanged)
	if err != nil {
		e.log().Debug("could not ask Zoho who consented", "role", role.Name, "error", err)
	}
	return person
}

// mayAskWhoConsented reports whether an exchange gave an access token with which
// Zoho says whose account it belongs to. Where Zoho does not say which scopes it
// granted, those that were asked for have to do. Zoho does not keep to one spelling
// of capitals.
func mayAskWhoConsented(role *Role, got exchanged) bool {
	scopes := got.Scopes
	if len(scopes) == 0 {
		scopes = role.Scopes
	}
	return !got.AccessToken.IsZero() && slices.ContainsFunc(scopes, func(scope string) bool {
		return strings.EqualFold(scope, zoho.ScopeProfile)
	})
}
