package backend

import (
	"context"
)

// leaveFormerGrant follows a change of a role's credentials. updated is nil if
// the role was deleted, and old if it is new. The role is written as it should
// be by now, so what fails here is no error of the write: it is left to Tick.
func (e *Engine) leaveFormerGrant(ctx context.Context, old, updated *Role) {
	if old == nil {
		return
	}
	if err := e.tryLeaveFormerGrant(ctx, old, updated); err != nil {
		e.log().Warn("could not tidy up after a role; it is tried again", "role", old.Name, "error", err)
	}
}

func (e *Engine) tryLeaveFormerGrant(ctx context.Context, old, updated *Role) error {
	config, err := e.Config(ctx)
	if err != nil {
		return err
	}
	if updated == nil {
		updated = &Role{Name: old.Name}
	}
	formerQuota := e.quotaID(old)
	if formerQuota == "" {
		return nil
	}
	if formerQuota != e.quotaID(updated) {
		if err := e.leaveIndex(ctx, formerQuota, old.Name); err != nil {
			return err
		}
	}
	former := e.grantID(old, config)
	if former == e.grantID(updated, config) {
		if updated.RevokeDelay < old.RevokeDelay {
			e.work.Go(func() { e.endUnusedToken(e.work.Life(), former, formerQuota) })
		}
		return nil
	}
	e.work.Go(func() {
		if former != "" {
			e.endUnusedToken(e.work.Life(), former, formerQuota)
		}
		e.continueRevocation(e.work.Life(), formerQuota)
		if err := e.unlistUnknown(e.work.Life(), e.clientQuotaID(old.Pin.AccountsURL, old.Pin.ClientID), formerQuota); err != nil {
			e.log().Warn("could not take a refresh token that no role has any more out of the list of its client; the daily round does that", "role", old.Name, "error", err)
		}
	})
	return nil
}

// endUnusedToken ends the current token of a grant that no role has any more, or that was
// kept for a role that wants it kept no longer, unless somebody holds it. What fails here is
// left to Tick.
func (e *Engine) endUnusedToken(ctx context.Context, grantID, quotaID string) {
	g, err := e.grant(ctx, grantID, quotaID)
	var users []string
	if err == nil {
		users, err = e.users(ctx, g)
	}
	var t *token
	if err == nil {
		t, err = e.token(ctx, g.record().Current)
	}
	switch {
	case err != nil:
		e.log().Warn("could not look whether an access token is still needed; it is tried again", "grant", grantID, "error", err)
	case t != nil && (len(users) == 0 || t.ledger.IsDue(e.now(), e.keepsOf(ctx, t))):
		e.endIfUnheld(ctx, t)
	}
}
