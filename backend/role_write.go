package backend

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"vault-plugin-secrets-zoho/backend/refreshtoken"
	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/backend/work"
)

// WriteRole creates or changes a role. The error is a *UserError if the change
// cannot be made, a *GrantError if Zoho refuses the credentials or could not
// exchange the code, and then nothing has changed.
//
// The order is: enter the record of the refresh token, try the credentials, store the role,
// leave the record of the former refresh token. So a crash leaves the former role or the new
// one, and records that name all roles that have a refresh token.
func (e *Engine) WriteRole(ctx context.Context, name string, change settings.RoleChange) (warnings []string, err error) {
	return e.doWriteRole(ctx, name, roleChange{RoleChange: change})
}

// writeGiven writes what a person has consented to.
func (e *Engine) writeGiven(ctx context.Context, name string, given *givenConsent) (warnings []string, err error) {
	return e.doWriteRole(ctx, name, roleChange{RoleChange: settings.RoleChange{FromConsent: true}, consent: given})
}

// roleChange is a change with the consent that it comes of; nil if an operator writes it.
type roleChange struct {
	settings.RoleChange
	consent *givenConsent
}

func (e *Engine) doWriteRole(ctx context.Context, name string, change roleChange) (warnings []string, err error) {
	return work.Result(ctx, e.work, func(ctx context.Context) ([]string, error) {
		warnings, err := e.writeRole(ctx, name, change)
		if !isPostponed(err) {
			e.reportRole(EventRoleWrite, name, err)
		}
		return warnings, err
	})
}

func (e *Engine) writeRole(ctx context.Context, name string, change roleChange) (warnings []string, err error) {
	slot, err := e.takeRole(ctx, name)
	if err != nil {
		return nil, err
	}
	defer slot.release()
	config, err := e.Config(ctx)
	if err != nil {
		return nil, err
	}
	old, err := e.Role(ctx, name)
	if IsBroken(err) && change.MustExist {
		return nil, settings.UserErrorf("the stored entry of role %q is damaged, so there is nothing that a patch could keep: write the role in full with vault write, or delete it", name)
	}
	if old, err = orNone(old, err); err != nil {
		return nil, err
	}
	if change.consent != nil {
		defer func() { e.endConsent(context.WithoutCancel(ctx), name, change.consent, err) }()
		if err := e.acceptConsent(ctx, &change, old, config); err != nil {
			return nil, err
		}
	}
	if old == nil && change.MustExist {
		return nil, settings.UserErrorf("role %q does not exist, and a patch changes only what is there; create it with: vault write <mount>/roles/%s refresh_token=...", name, name)
	}
	var taken []string
	change.RoleChange, taken, err = change.Unwrapped()
	if err != nil {
		return nil, err
	}
	updated, warnings, err := change.Apply(name, old, config)
	if err != nil {
		return nil, err
	}
	warnings = append(taken, warnings...)
	if err := e.checkIsNew(ctx, change, updated); err != nil {
		return nil, err
	}
	more, err := e.replaceRole(ctx, slot, old, updated, change, config)
	if err != nil && change.consent == nil {
		err = prependText(fmt.Sprintf("Role %q was not written. ", name), err)
	}
	if err != nil {
		return nil, err
	}
	return append(warnings, more...), nil
}

// acceptConsent makes the callback's code the change's, if what came back is what the role
// asked for.
func (e *Engine) acceptConsent(ctx context.Context, change *roleChange, role *settings.Role, config *settings.Config) (err error) {
	consent := change.consent
	if err := consent.find(ctx, e); err != nil {
		return err
	}
	if consent.device != nil {
		return e.acceptDevice(ctx, change, role, config)
	}
	if err := consent.check(consent.callback, role); err != nil {
		return err
	}
	change.Code, change.RedirectURI = &consent.callback.Code, &consent.RedirectURI
	return e.stillFits(consent.consentEntry, role, config)
}

// replaceRole puts updated in the place of old, which is nil for a new role.
func (e *Engine) replaceRole(ctx context.Context, slot *roleSlot, old, updated *settings.Role, change roleChange, config *settings.Config) (warnings []string, err error) {
	if change.Code != nil {
		warnings, err = e.exchangeCode(ctx, slot, old, updated, change, config)
	} else {
		warnings, err = e.tryAndStore(ctx, old, updated, change, config)
	}
	if err != nil {
		return nil, err
	}
	e.leaveFormerClient(ctx, old, updated, config)
	e.endUnused(slot, old, updated, config)
	more, err := e.warningsOf(ctx, old, updated, change, config)
	if err != nil { // the role is written, which an error would deny
		e.log().Warn("could not look what a role that was written shares with others", "role", updated.Name, "error", err)
	}
	return append(warnings, more...), nil
}

// warningsOf tells of a role that was written what it shares with others.
func (e *Engine) warningsOf(ctx context.Context, old, r *settings.Role, change roleChange, config *settings.Config) (warnings []string, err error) {
	if change.Code != nil || change.RefreshToken != nil {
		if warnings, err = e.manyRefreshTokensWarning(ctx, r); err != nil {
			return nil, err
		}
	}
	if old != nil && !old.RefreshToken.IsZero() && old.RefreshToken.Equal(r.RefreshToken) && !slices.Equal(old.Scopes, r.Scopes) {
		warnings = append(warnings, fmt.Sprintf("the new scopes are what the next consent asks for; role %q goes on with those that were granted to its refresh token, until it is authorized again: vault write -f <mount>/roles/%s/authorize", r.Name, r.Name))
	}
	warnings = append(warnings, r.AccountWarnings()...)
	sharing, err := e.sharingWarning(ctx, r, config)
	return append(warnings, sharing...), err
}

func (e *Engine) tryAndStore(ctx context.Context, old, updated *settings.Role, change roleChange, config *settings.Config) (warnings []string, err error) {
	former, err := e.formerOf(ctx, updated.Name, old)
	if err != nil {
		return nil, err
	}
	named, err := e.namesOf(ctx, e.quotaID(updated))
	if err != nil {
		return nil, err
	}
	if old == nil || change.NamesCredential() || e.grantID(old, config) != e.grantID(updated, config) || !slices.Contains(named, updated.Name) {
		if err := e.enterQuota(ctx, updated, config); err != nil { // otherwise it is named already
			return nil, err
		}
	}
	if change.WantsTrial(old, updated, config) {
		if warnings, err = e.tryRole(ctx, updated, config); err != nil {
			e.leaveQuota(ctx, old, updated, config) // it was not written, so it leaves what it has entered
			return nil, err
		}
	}
	if change.NamesCredential() {
		if err := e.forgiveRole(ctx, updated, config); err != nil {
			e.leaveQuota(ctx, old, updated, config)
			return nil, err
		}
	}
	id := e.quotaID(updated)
	if isOfClient(id) {
		id = ""
	}
	c := &carrier{role: updated}
	if err := e.carryOut(ctx, refreshtoken.Write(id, e.enteringRole(updated, config), e.leaving(updated.Name, config), former...), c); err != nil {
		if c.written { // its refresh token ends, which was decided meanwhile
			return nil, settings.UserErrorf("role %q was written, and hands out nothing: %v%s", updated.Name, err, c.formerLivesOn(". The"))
		}
		return nil, e.perhapsLost(ctx, asUserError(err), updated.Name, id, former)
	}
	if c.livesOn {
		warnings = append(warnings, c.formerLivesOn("the"))
	}
	return warnings, nil
}

// formerLivesOn tells of a former refresh token that is left at Zoho; empty if there is none.
// the is how the sentence begins.
func (c *carrier) formerLivesOn(the string) string {
	if !c.livesOn {
		return ""
	}
	return the + " role's former refresh token lives on at Zoho, since something else may use it; if nothing does, remove it there, under Connected Apps of the user who consented"
}

// forgiveRole forgets that Zoho has refused the credentials of a role that an
// operator has just written. A throttle answer is not forgotten: Zoho counts
// requests, not reasons.
func (e *Engine) forgiveRole(ctx context.Context, r *settings.Role, config *settings.Config) error {
	if !r.CanMint(config) {
		return nil
	}
	g, err := e.grantOf(r, config)
	if err != nil {
		return err
	}
	return e.forgive(ctx, g)
}

func (e *Engine) forgive(ctx context.Context, g *grant) error {
	state, err := e.stateOf(ctx, g)
	if err != nil || !yieldsToTrial(state.Failure) {
		return err
	}
	return e.changeUsage(ctx, g.quotaID, func(u *refreshtoken.Usage) { u.Forgive(g.id) })
}

// sharingWarning names the other roles of the same grant.
func (e *Engine) sharingWarning(ctx context.Context, r *settings.Role, config *settings.Config) ([]string, error) {
	if !r.CanMint(config) {
		return nil, nil
	}
	others, err := e.otherUsers(ctx, r, config)
	if err != nil || len(others) == 0 {
		return nil, err
	}
	const shown = 10
	more := ""
	if len(others) > shown {
		others, more = others[:shown], fmt.Sprintf(" and %d more", len(others)-shown)
	}
	return []string{fmt.Sprintf("role %q mints from the same grant as %s%s: they share its access token, its budget of token requests and its failures", r.Name, strings.Join(others, ", "), more)}, nil
}

// DeleteRole forgets a role. Leases on its tokens stay, and stay revocable; a
// token that nobody holds and no other role hands out is ended. A refresh token that no other
// role has is revoked when nobody leases its access tokens, if Zoho gave it to this mount. One
// that was written by hand lives on, of which it warns.
func (e *Engine) DeleteRole(ctx context.Context, name string) (warnings []string, err error) {
	return work.Result(ctx, e.work, func(ctx context.Context) ([]string, error) {
		warnings, err := e.deleteRole(ctx, name)
		e.reportRole(EventRoleDelete, name, err)
		return warnings, err
	})
}

func (e *Engine) deleteRole(ctx context.Context, name string) (warnings []string, err error) {
	slot, err := e.takeRole(ctx, name)
	if err != nil {
		return nil, err
	}
	defer slot.release()
	role, err := e.Role(ctx, name)
	if role == nil && err == nil {
		return nil, nil
	}
	if role, err = orNone(role, err); err != nil {
		return nil, err
	}
	config, err := e.configForRevocation(ctx)
	if err != nil {
		return nil, err
	}
	former, err := e.formerOf(ctx, name, role)
	if err != nil {
		return nil, err
	}
	dead, err := e.isKnownDead(ctx, role, config)
	if err != nil {
		dead = false // in doubt it lives on
	}
	// A consent that was begun must not complete a role of the same name.
	if err := e.dropConsents(ctx, name); err != nil {
		return nil, err
	}
	c := &carrier{role: &settings.Role{Name: name}}
	if err := e.carryOut(ctx, refreshtoken.Delete(e.leaving(name, config), former...), c); err != nil {
		return nil, e.perhapsLost(ctx, err, name, "", former)
	}
	e.leaveFormerClient(ctx, role, nil, config)
	e.endUnused(slot, role, nil, config)
	if c.livesOn && !dead {
		warnings = []string{fmt.Sprintf("the refresh token of role %q lives on at Zoho, and Vault no longer knows it: remove it there, under Connected Apps of the user who consented. Next time, deauthorize the role before it is deleted", name)}
	}
	return warnings, nil
}
