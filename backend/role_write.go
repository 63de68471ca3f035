package backend

import (
	"context"
	"fmt"
	"strings"
)

// WriteRole creates or changes a role. The error is a *UserError if the change
// cannot be made, a *GrantError if Zoho refuses the credentials or could not
// exchange the code, and then nothing has changed.
//
// The order is: try the credentials, note in the grant that the role uses it,
// store the role, leave the former grant. So a crash leaves the former role or
// the new one, and a grant that knows all its roles.
func (e *Engine) WriteRole(ctx context.Context, name string, change RoleChange) (warnings []string, err error) {
	return detached(ctx, e, func(ctx context.Context) ([]string, error) {
		warnings, err := e.writeRole(ctx, name, change)
		e.tellRole(EventRoleWrite, name, err)
		return warnings, err
	})
}

func (e *Engine) writeRole(ctx context.Context, name string, change RoleChange) (warnings []string, err error) {
	if err := CheckRoleName(name); err != nil {
		return nil, err
	}
	release, err := e.writes.acquire(ctx, prefixRoles+name)
	if err != nil {
		return nil, err
	}
	defer release()
	config, _, err := e.Config(ctx)
	if err != nil {
		return nil, err
	}
	old, err := orNone(e.Role(ctx, name))
	if err != nil {
		return nil, err
	}
	if change.consent != nil {
		if err := e.checkConsent(ctx, change.consent, old); err != nil {
			return nil, err
		}
	}
	if old == nil && change.MustExist {
		return nil, userErrorf("role %q does not exist, and a patch changes only what is there; create it with: vault write <mount>/roles/%s refresh_token=...", name, name)
	}
	updated, warnings, err := change.apply(name, old, config)
	if err != nil {
		return nil, err
	}
	more, err := e.replaceRole(ctx, old, updated, change, config)
	if err != nil {
		return nil, inFront(fmt.Sprintf("Role %q was not written. ", name), err)
	}
	return append(warnings, more...), nil
}

func (e *Engine) checkConsent(ctx context.Context, consent *consentEntry, role *Role) error {
	grantID := ""
	if role != nil {
		var err error
		if grantID, err = e.grantID(ctx, role); err != nil {
			return err
		}
	}
	return consent.fits(role, grantID)
}

// replaceRole puts updated in the place of old, which is nil for a new role.
func (e *Engine) replaceRole(ctx context.Context, old, updated *Role, change RoleChange, config *Config) (warnings []string, err error) {
	if change.Code != nil {
		warnings, err = e.exchangeCode(ctx, old, updated, change, config)
	} else {
		warnings, err = e.tryAndStore(ctx, old, updated, change, config)
	}
	if err != nil {
		return nil, err
	}
	e.leaveFormerGrant(ctx, old, updated)
	sharing, err := e.sharingWarning(ctx, updated)
	if err != nil { // the role is written, which an error would deny
		e.log().Warn("could not look which roles share the grant of one that was written", "role", updated.Name, "error", err)
	}
	return append(warnings, sharing...), nil
}

func (e *Engine) tryAndStore(ctx context.Context, old, updated *Role, change RoleChange, config *Config) (warnings []string, err error) {
	retired := false
	if change.RefreshToken != nil {
		if retired, err = e.reprieve(ctx, updated); err != nil {
			return nil, err
		}
	}
	wanted := change.Verify == nil && (old == nil || change.namesCredential() || updated.Pin != old.Pin)
	if (wanted || (change.Verify != nil && *change.Verify)) && updated.IsAuthorized() {
		if warnings, err = e.tryRole(ctx, updated, config); err != nil {
			return nil, err
		}
	}
	if err := e.joinGrant(ctx, updated, change.namesCredential()); err != nil {
		return nil, err
	}
	if old != nil && !old.RefreshToken.IsZero() && !updated.RefreshToken.Equal(old.RefreshToken) {
		warnings = append(warnings, "the role's former refresh token lives on at Zoho, since something else may use it; if nothing does, remove it there, under Connected Apps of the user who consented")
	}
	if err := e.storeRole(ctx, updated); err != nil {
		return nil, err
	}
	if retired {
		e.takeUp(ctx, updated)
	}
	return warnings, nil
}

// sharingWarning names the other roles of the same grant.
func (e *Engine) sharingWarning(ctx context.Context, r *Role) ([]string, error) {
	others, err := e.otherClaimants(ctx, r)
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

// leaveFormerGrant follows a change of a role's credentials. updated is nil if
// the role was deleted, and old if it is new. The role is written as it should
// be by now, so what fails here is no error of the write: it is left to Tick.
func (e *Engine) leaveFormerGrant(ctx context.Context, old, updated *Role) {
	if old == nil {
		return
	}
	former, err := e.grantID(ctx, old)
	now := ""
	if err == nil && updated != nil {
		now, err = e.grantID(ctx, updated)
	}
	if err == nil && former != "" && former != now {
		err = e.leaveGrant(ctx, former, old.Name)
	}
	if err != nil {
		e.log().Warn("could not tidy up after a role; it is tried again", "role", old.Name, "grant", former, "error", err)
	}
}

// DeleteRole forgets a role. Leases on its tokens stay, and stay revocable; a
// token that nobody holds and no other role hands out is ended. A refresh token
// that no other role has is lost to Vault, of which it warns.
func (e *Engine) DeleteRole(ctx context.Context, name string) (warnings []string, err error) {
	defer func() { e.tellRole(EventRoleDelete, name, err) }()
	if err := CheckRoleName(name); err != nil {
		return nil, err
	}
	release, err := e.writes.acquire(ctx, prefixRoles+name)
	if err != nil {
		return nil, err
	}
	defer release()
	role, err := orNone(e.Role(ctx, name))
	if err != nil {
		return nil, err
	}
	if role != nil && !role.RefreshToken.IsZero() {
		others, err := e.otherClaimants(ctx, role)
		if err != nil {
			return nil, err
		}
		if len(others) == 0 {
			warnings = []string{fmt.Sprintf("the refresh token of role %q lives on at Zoho, and Vault no longer knows it: remove it there, under Connected Apps of the user who consented. Next time, deauthorize the role before it is deleted", name)}
		}
	}
	// A consent that was begun must not complete a role of the same name.
	if err := e.dropConsents(ctx, func(c *consentEntry) bool { return c.Role == name }); err != nil {
		return nil, err
	}
	if err := e.dropRole(ctx, name); err != nil {
		return nil, err
	}
	e.leaveFormerGrant(ctx, role, nil)
	return warnings, nil
}
