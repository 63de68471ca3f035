package backend

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"vault-plugin-secrets-zoho/backend/ledger"
	"vault-plugin-secrets-zoho/backend/work"
	"vault-plugin-secrets-zoho/backend/zoho"
)

// Deauthorize revokes a role's refresh token at Zoho, and with it all its access
// tokens, whoever holds them, and forgets it. The role stays, to be authorised
// again. If Zoho cannot be asked, the error is a *GrantError, nobody gets the
// access tokens any more all the same, and Tick goes on asking; unless the refresh token
// has never worked, and then it is forgotten.
//
// Other roles of the grant would lose it, too, so force is needed if there are.
func (e *Engine) Deauthorize(ctx context.Context, name string, force bool, by Requester) (warnings []string, err error) {
	return work.Result(ctx, e.work, func(ctx context.Context) ([]string, error) {
		warnings, err := e.deauthorize(ctx, name, force, by)
		e.reportRole(EventRoleDeauthorize, name, err)
		return warnings, err
	})
}

func (e *Engine) deauthorize(ctx context.Context, name string, force bool, by Requester) (warnings []string, err error) {
	release, err := e.takeRole(ctx, name)
	if err != nil {
		return nil, err
	}
	defer release()
	role, config, err := e.roleAndConfig(ctx, name)
	if err != nil {
		return nil, err
	}
	switch {
	case role.GrantType != GrantTypeRefreshToken:
		return nil, userErrorf("role %q mints with client_credentials and has no refresh token; end its current token with <mount>/roles/%s/rotate, or delete the role", name, name)
	case !role.IsAuthorized():
		found, err := e.endFormerRefreshTokens(ctx, name, "", config)
		if err == nil && !found {
			err = userErrorf("role %q has no refresh token, so there is nothing to revoke", name)
		}
		return nil, err
	}
	others, err := e.otherRolesWithRefreshToken(ctx, role)
	if err != nil {
		return nil, err
	}
	if len(others) > 0 && !force {
		return nil, userErrorf("role %q has its refresh token in common with %s, which would lose it, too; if that is meant, write force=true", name, strings.Join(others, ", "))
	}
	if err := e.checkHasWorked(ctx, role, others, config); err != nil {
		return nil, err
	}
	if len(others) > 0 {
		warnings = append(warnings, fmt.Sprintf("%s had the same refresh token and cannot mint any more", strings.Join(others, ", ")))
	}
	updated := *role
	updated.forgetRefreshToken()
	updated.Deauthorized = &Deauthorization{At: e.now(), Requester: by.Bounded()}
	gone, err := e.revokeOf(ctx, role, &updated, others, config)
	if err != nil && !role.isForgotten(ctx, e) {
		return nil, err
	}
	// Those that it had before, and whose access tokens somebody still leases, go, too.
	if _, former := e.endFormerRefreshTokens(ctx, name, e.quotaID(role), config); err == nil {
		err = former
	}
	if err != nil {
		return nil, err
	}
	if gone {
		warnings = append(warnings, "Zoho answered that it does not know the refresh token: it was revoked before, or belongs to another client or data centre")
	}
	return warnings, nil
}

// checkHasWorked keeps a role whose credentials never worked from ending a refresh
// token that others have, too, or the access tokens that others got with it: whoever wrote it may know the refresh token, and not
// the client's secret. Zoho's older revocation endpoint does not ask for one.
func (e *Engine) checkHasWorked(ctx context.Context, role *Role, others []string, config *Config) error {
	_, worked, err := e.appForRevocation(ctx, role, config)
	if err != nil || worked {
		return err
	}
	first, own := "read a token of it first", e.grantID(role, config)
	if own == "" {
		first = fmt.Sprintf("write client %s to <mount>/config again, with its client_secret, and read a token of the role first", role.Pin.ClientID)
	}
	q, err := e.quota(ctx, e.quotaID(role))
	if err != nil {
		return err
	}
	live, err := e.liveTokens(ctx, q)
	if err != nil {
		return err
	}
	for _, t := range live {
		if t.rec.GrantID != own && !t.ledger.IsEnding() && t.isReadByOthersThan(role.Name) {
			return userErrorf("role %q has never got an access token with its credentials, but another role has handed out access token %s with the same refresh token. So role %q may not revoke the refresh token: %s, or end that access token (vault delete <mount>/tokens/%s)", role.Name, t.rec.ID, role.Name, first, t.rec.ID)
		}
	}
	if len(others) == 0 {
		return nil
	}
	return userErrorf("role %q has never got an access token with its credentials, so it may not revoke the refresh token that %s has, too: %s, or deauthorize another of these roles, or delete them", role.Name, strings.Join(others, ", "), first)
}

// isReadByOthersThan reports whether another role than one has handed out the token, or may
// have.
func (t *token) isReadByOthersThan(role string) bool {
	_, unnamed := t.ledger.Count()
	return unnamed > 0 || len(others(ledger.Roles(t.ledger.Readership()), role)) > 0
}

// revokeOf revokes the refresh token of a role, which is stored as updated. The
// decision is stored first, so from then on it is carried out, now or by Tick.
// expected are the other roles that lose the refresh token, too.
func (e *Engine) revokeOf(ctx context.Context, role, updated *Role, expected []string, config *Config) (gone bool, err error) {
	app, worked, err := e.appForRevocation(ctx, role, config)
	if err != nil {
		return false, err
	}
	quotaID := e.quotaID(role)
	release, err := e.takeTurn(ctx, quotaID)
	if err != nil {
		return false, err
	}
	defer release()
	// Roles enter the index in this turn (enterQuota): whoever has entered it by now keeps the
	// refresh token, and nobody else can once the revocation is decided.
	if now, err := e.otherRolesWithRefreshToken(ctx, role); err != nil {
		return false, err
	} else if added := slices.DeleteFunc(now, func(name string) bool { return slices.Contains(expected, name) }); len(added) > 0 {
		return false, userErrorf("while role %q was being deauthorized, %s was written with its refresh token, too; nothing was revoked. If that one is to lose it as well, deauthorize again with force=true", role.Name, strings.Join(added, ", "))
	}
	pending := e.newPendingRevocation(role, app, config)
	pending.Decided = true
	q, err := e.quota(ctx, quotaID)
	if err != nil {
		return false, err
	}
	pending.NeverWorked = !worked && !q.record().HasWorked
	if err := e.changeRevocation(ctx, quotaID, func(*pendingRevocation) *pendingRevocation { return &pending }); err != nil {
		return false, fmt.Errorf("role %q was not deauthorized, unless Vault's storage has carried out a write that it reported as failed; read its status in a few minutes: %w", role.Name, err)
	}
	if err := e.storeRole(ctx, updated); err != nil {
		return false, fmt.Errorf("the refresh token of role %q will be revoked at Zoho within minutes, but Vault could not store the role without it: %w; deauthorize the role again", role.Name, err)
	}
	defer e.leaveFormerGrant(context.WithoutCancel(ctx), role, updated)
	e.refuseOthers(ctx, role.Name, expected, config)
	gone, err = e.carryOutRevocation(ctx, quotaID, pending, config)
	return gone, notRevokedYet(role.Name, err)
}

// refuseOthers lets the other roles that lose a refresh token know it at once, and not
// at the cost of a token request. What fails here the next mint finds out.
func (e *Engine) refuseOthers(ctx context.Context, by string, others []string, config *Config) {
	for _, name := range others {
		role, err := e.existingRole(ctx, name)
		var g *grant
		if err == nil {
			g, err = e.grantOf(ctx, role, config)
		}
		if err == nil {
			err = e.updateGrant(ctx, g, func(rec *grantRecord) {
				rec.fails(&failure{At: e.now(), Kind: zoho.Refused, InARow: 1, Text: fmt.Sprintf(
					"The refresh token was revoked when role %q was deauthorized with force=true. Authorize the role again, or write another code or refresh_token to it.", by)})
			})
		}
		if err != nil {
			e.log().Debug("could not note that a role has lost its refresh token; its next mint finds out", "role", name, "error", err)
		}
	}
}

func notRevokedYet(role string, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, errGivenUp) {
		return appendText(asGrantError(err), fmt.Sprintf("Role %q has no refresh token any more. As the one that it had has never worked here, Vault forgets it; if it is a good one, remove it at Zoho, under Connected Apps of the user who consented", role))
	}
	return appendText(asGrantError(err), fmt.Sprintf("Role %q has no refresh token any more, and nobody gets its access tokens; but Zoho has not revoked the refresh token yet. That is tried again by itself: see pending_revocations in the role's status. To try it now, deauthorize the role again", role))
}

// isForgotten reports whether a role that was to be deauthorized has been stored
// without its refresh token, so that what failed was to tell Zoho.
func (r *Role) isForgotten(ctx context.Context, e *Engine) bool {
	now, err := e.Role(ctx, r.Name)
	return err == nil && now != nil && !now.IsAuthorized()
}

// endFormerRefreshTokens revokes at once the refresh tokens that were a role's: those
// whose end is decided, and those that wait until nobody leases their access tokens. One
// that another role has stays, and so does that of the quota except, which was tried
// just now. found reports whether there was one to revoke.
func (e *Engine) endFormerRefreshTokens(ctx context.Context, name, except string, config *Config) (found bool, failed error) {
	pending, err := e.pendingOf(ctx, name)
	if err != nil {
		return false, err
	}
	for _, former := range pending {
		if former.quotaID == except {
			continue
		}
		ends, err := e.endRefreshToken(ctx, former.quotaID, config, func(pending pendingRevocation) (bool, error) {
			if pending.Decided {
				return true, nil
			}
			roles, err := e.rolesWithRefreshToken(ctx, former.quotaID)
			return len(roles) == 0, err
		})
		found = found || ends
		failed = cmp.Or(failed, notRevokedYet(name, err))
	}
	return found, failed
}
