package backend

import (
	"context"

	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/backend/zoho"
)

// askWhoConsented returns whose Zoho account a grant code came from; zero if nobody
// says. That Zoho does not answer is no error, since most roles work without. The name
// is personal data: it is stored with the role's refresh token, and is in no log line
// and no event.
//
// The caller has the role's slot and no turn, so that a server that does not answer
// keeps no reader waiting, and the write no longer than one request.
func (e *Engine) askWhoConsented(ctx context.Context, x *exchange) zoho.Person {
	if x.Person.IsAddress() || !x.mayAskWhoConsented() {
		return x.Person
	}
	accounts, err := e.accountsClient(x.config.CACert)
	if err != nil {
		e.log().Debug("could not ask Zoho who consented", "role", x.role.Name, "error", err)
		return x.Person
	}
	ctx, cancel := context.WithTimeout(ctx, x.config.RequestTimeout)
	defer cancel()
	person, err := accounts.Person(ctx, x.app, x.Exchanged)
	if err != nil {
		e.log().Debug("could not ask Zoho who consented", "role", x.role.Name, "error", err)
	}
	if person.Name == "" { // the ID token has told a name at least
		return x.Person
	}
	return person
}

// mayAskWhoConsented reports whether an exchange gave an access token with which
// Zoho says whose account it belongs to. Where Zoho does not say which scopes it
// granted, those that were asked for have to do.
func (x *exchange) mayAskWhoConsented() bool {
	scopes := x.Scopes
	if len(scopes) == 0 {
		scopes = x.role.Scopes
	}
	return !x.AccessToken.IsZero() && settings.AsksForScope(scopes, zoho.ScopeProfile)
}
