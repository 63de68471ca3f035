package backend

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"vault-plugin-secrets-zoho/backend/zoho"
)

// tryRole tries the credentials of a role that is about to be written. Only a
// definite refusal is an error; whatever else goes wrong says nothing about
// them, and becomes a warning.
func (e *Engine) tryRole(ctx context.Context, r *Role, config *Config) (warnings []string, err error) {
	g, err := e.grantOf(ctx, r, config)
	if err != nil {
		return nil, err
	}
	t, err := e.try(ctx, g, r, config)
	var failed *GrantError
	switch {
	case err == nil:
		return append(r.scopeWarnings(t.rec.Scopes), t.domainWarnings()...), nil
	case errors.As(err, &failed) && failed.Kind.Definite():
		return nil, err
	case errors.As(err, &failed):
		return []string{"the credentials were written without having been tried; the next read does that. " + failed.Error()}, nil
	default:
		return nil, err
	}
}

// try proves a credential by a token that was minted with it: one that lives,
// or a new one, which is there for the first reader then.
func (e *Engine) try(ctx context.Context, g *grant, r *Role, config *Config) (*token, error) {
	var proof *token // looked for when it is our turn: of many writes at once the first one pays
	t, err := e.mint(ctx, g, mintPurpose{trial: true, role: r.Name, config: config, needed: func() bool {
		if proof = nil; !g.record().Failure.isDefinite() {
			proof, _ = g.currentToken(e.now(), 0)
		}
		return proof == nil
	}})
	if err != nil || proof != nil {
		return proof, err
	}
	if r.Exclusive { // its readers get tokens of their own
		e.spawn(func() { e.endIfUnheld(e.life, t) })
	}
	return t, nil
}

func (t *token) domainWarnings() []string {
	if !t.foreignDomain {
		return nil
	}
	return []string{"Zoho's answer named an api_domain that is none of Zoho's. It was dropped; if this stays, find out who answers in Zoho's place"}
}

// tryClient tries a new secret of the mount's client with the first role that
// uses that client. If there is none, there is nothing to try it with.
func (e *Engine) tryClient(ctx context.Context, config *Config) (warnings []string, err error) {
	names, err := e.RoleNames(ctx)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		role, err := orNone(e.Role(ctx, strings.TrimSuffix(name, "/")))
		if err != nil {
			return nil, err
		}
		if role == nil || role.ClientID != "" || !role.IsAuthorized() || role.Pin != (Pin{AccountsURL: config.AccountsURL(), ClientID: config.ClientID}) {
			continue
		}
		g, err := e.grantOf(ctx, role, config)
		if err != nil {
			return nil, err
		}
		_, err = e.try(ctx, g, role, config)
		var failed *GrantError
		switch {
		case err == nil:
			return nil, nil
		case errors.As(err, &failed) && failed.Kind == zoho.Misconfigured && !zoho.IsOfRole(failed.Code):
			return nil, prependText(fmt.Sprintf("The config was not written; the former client secret stays in force. It was tried with role %q. ", name), err)
		case errors.As(err, &failed):
			return []string{fmt.Sprintf("the new client secret was written, but could not be tried with role %q: %v", name, err)}, nil
		default:
			return nil, err
		}
	}
	return nil, nil
}
