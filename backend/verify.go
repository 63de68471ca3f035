package backend

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/backend/zoho"
)

// tryRole tries the credentials of a role that is about to be written. Only a
// definite refusal is an error; whatever else goes wrong says nothing about
// them, and becomes a warning.
func (e *Engine) tryRole(ctx context.Context, r *settings.Role, config *settings.Config) (warnings []string, err error) {
	g, err := e.grantOf(r, config)
	if err != nil {
		return nil, err
	}
	t, err := e.try(ctx, g, r, config)
	failed, ok := errors.AsType[*GrantError](err)
	switch {
	case err == nil:
		return append(r.ScopeWarnings(t.rec.Scopes), domainWarnings(t.foreignDomain)...), nil
	case ok && failed.Kind.Definite():
		return nil, tellWhoseClient(r, err)
	case ok:
		return []string{"the credentials were written without having been tried; the next read does that. " + failed.Error()}, nil
	default:
		return nil, err
	}
}

// blamesClient reports whether Zoho refuses the client, in a word of its own, and not what one
// role asks for.
func blamesClient(err error) bool {
	failed, ok := errors.AsType[*GrantError](err)
	return ok && failed.Kind == zoho.Misconfigured && failed.Code != "" && !zoho.IsOfRole(failed.Code)
}

// tellWhoseClient says, where Zoho blames the client, where it has to be corrected.
func tellWhoseClient(r *settings.Role, err error) error {
	switch {
	case !blamesClient(err):
		return err
	case r.ClientID == "":
		return appendText(err, "The client is the mount's: correct it in <mount>/config")
	default:
		return appendText(err, fmt.Sprintf("The client is role %q's own: correct it there", r.Name))
	}
}

// try proves a credential by a token that was minted with it: one that lives,
// or a new one, which is there for the first reader then.
func (e *Engine) try(ctx context.Context, g *grant, r *settings.Role, config *settings.Config) (*token, error) {
	var proof *token // looked for when it is our turn: of many writes at once the first one pays
	purpose := mintPurpose{trial: true, role: r.Name, config: config, needed: func(ctx context.Context) (bool, error) {
		state, err := e.stateOf(ctx, g)
		if err == nil && (state.Failure == nil || !state.Failure.Definite) {
			proof, _, err = e.currentToken(ctx, g, need{})
		}
		return proof == nil, err
	}}
	t, err := e.mint(ctx, g, purpose)
	if err != nil || proof != nil {
		return proof, purpose.explain(err)
	}
	if r.Exclusive { // its readers get tokens of their own
		e.endUnheldLater(t.rec.ID)
	}
	return t, nil
}

func domainWarnings(foreign bool) []string {
	if !foreign {
		return nil
	}
	return []string{"Zoho's answer named an api_domain that is none of Zoho's. It was dropped; if this stays, find out who answers in Zoho's place"}
}

const (
	// clientTrials is with how many roles a new secret of the mount's client is
	// tried until one proves it. More than one, or whoever may write a single role
	// would decide.
	clientTrials = 3

	// searchedRoles is among how many roles one is searched whose credentials have
	// worked with the former secret.
	searchedRoles = 200
)

// tryClient tries a new secret of the mount's client with roles that use that
// client, those first that have worked with the former one. If there is none, there
// is nothing to try it with.
func (e *Engine) tryClient(ctx context.Context, former, config *settings.Config) (warnings []string, err error) {
	roles, err := e.rolesToTry(ctx, former, config)
	if err != nil {
		return nil, err
	}
	var refused error
	for _, role := range roles {
		g, err := e.grantOf(role, config)
		if err != nil {
			return nil, err
		}
		_, err = e.try(ctx, g, role, config)
		_, failed := errors.AsType[*GrantError](err)
		switch {
		case err == nil:
			return nil, nil
		case blamesClient(err):
			refused = prependText(fmt.Sprintf("The config was not written; the former client secret stays in force. It was tried with role %q. ", role.Name), err)
		case failed:
			warnings = []string{fmt.Sprintf("the new client secret was written, but could not be tried with role %q: %v", role.Name, err)}
		default:
			return nil, err
		}
	}
	if refused != nil {
		return nil, refused
	}
	return warnings, nil
}

// rolesToTry picks the roles with which a new secret of the mount's client is
// tried.
func (e *Engine) rolesToTry(ctx context.Context, former, config *settings.Config) ([]*settings.Role, error) {
	names, err := e.RoleNames(ctx)
	if err != nil {
		return nil, err
	}
	var worked, others []*settings.Role
	for _, name := range names {
		role, err := orNone(e.Role(ctx, strings.TrimSuffix(name, "/")))
		if err != nil {
			return nil, err
		}
		if role == nil || role.ClientID != "" || !role.IsAuthorized() || role.Pin != (settings.Pin{AccountsURL: config.AccountsURL(), ClientID: config.ClientID}) {
			continue
		}
		has, err := e.hasWorked(ctx, role, former)
		if err != nil {
			return nil, err
		}
		if has {
			worked = append(worked, role)
		} else {
			others = append(others, role)
		}
		if len(worked) == clientTrials || len(worked)+len(others) == searchedRoles {
			break
		}
	}
	roles := append(worked, others...)
	return roles[:min(len(roles), clientTrials)], nil
}

// hasWorked reports whether the credentials of a role have ever got a token.
func (e *Engine) hasWorked(ctx context.Context, role *settings.Role, config *settings.Config) (bool, error) {
	u, err := e.usage(ctx, e.quotaID(role))
	return err == nil && !u.Grants[e.grantID(role, config)].LastMint.IsZero(), err
}
