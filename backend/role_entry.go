package backend

import (
	"context"
	"slices"

	"vault-plugin-secrets-zoho/backend/refreshtoken"
	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/backend/zoho"
)

// How a role enters the record of its refresh token or the entry of its client before it is
// stored, and leaves that of its former one after it: see package refreshtoken.

// entering is what the record of its refresh token has to know of a role.
func (e *Engine) entering(r *settings.Role, app zoho.App, grantID string, config *settings.Config) refreshtoken.EnteringRole {
	return refreshtoken.EnteringRole{
		Credential: refreshtoken.Credential{
			RefreshToken: r.RefreshToken, AccountsURL: r.Pin.AccountsURL, CACert: config.CACert, ClientID: r.Pin.ClientID, ClientSecret: app.ClientSecret,
		},
		Role: r.Name, Grant: grantID, Now: e.now(),
	}
}

// enteringRole is entering of a role whose client may have moved; then it has no secret.
func (e *Engine) enteringRole(r *settings.Role, config *settings.Config) refreshtoken.EnteringRole {
	app, err := r.App(config)
	if err != nil {
		app = zoho.App{}
	}
	return e.entering(r, app, e.grantID(r, config), config)
}

func (e *Engine) leaving(role string, config *settings.Config) refreshtoken.LeavingRole {
	return refreshtoken.LeavingRole{Role: role, Now: e.now(), Limits: config.Limits()}
}

// enterQuota makes known that a role is about to be stored, or is stored.
func (e *Engine) enterQuota(ctx context.Context, r *settings.Role, config *settings.Config) error {
	id := e.quotaID(r)
	switch {
	case id == "":
		return nil
	case isOfClient(id):
		_, _, err := e.clients.Change(ctx, recordID(id), refreshtoken.EnterClient(r.Pin.AccountsURL, r.Pin.ClientID, r.Name, e.grantID(r, config), e.now()))
		return asUserError(err)
	default:
		return asUserError(e.carryOut(ctx, refreshtoken.Enter(id, e.enteringRole(r, config)), &carrier{}))
	}
}

// leaveQuota takes back enterQuota of a role that was not stored; old is the role that is
// stored, nil for none.
func (e *Engine) leaveQuota(ctx context.Context, old, updated *settings.Role, config *settings.Config) {
	var err error
	switch id := e.quotaID(updated); {
	case old != nil && e.quotaID(old) == id:
		err = e.enterQuota(ctx, old, config)
	case isOfClient(id):
		err = e.leaveClient(ctx, id, updated.Name, config)
	case id != "":
		leaving := e.leaving(updated.Name, config)
		leaving.Unsaid = true
		err = e.carryOut(ctx, refreshtoken.Leave(id, leaving), &carrier{})
	}
	if err != nil {
		e.log().Warn("could not tidy up after a role that was not written; that is tried again", "role", updated.Name, "error", err)
	}
}

func (e *Engine) leaveClient(ctx context.Context, quotaID, role string, config *settings.Config) error {
	_, _, err := e.clients.Change(ctx, recordID(quotaID), refreshtoken.LeaveClient(e.now(), config.Limits(), role))
	return err
}

// formerOf returns the quota IDs of the refresh tokens that a role gives up. If its entry is
// damaged, old is nil, and the records tell.
func (e *Engine) formerOf(ctx context.Context, name string, old *settings.Role) (ids []string, err error) {
	if old != nil {
		if id := e.quotaID(old); id != "" && !isOfClient(id) {
			ids = append(ids, id)
			if e.directory.isUnsettled(recordID(id)) { // a write of another role may have come to nothing
				return ids, e.settleNames(ctx, id)
			}
		}
		return ids, nil
	}
	stored, err := e.store.Get(ctx, prefixRoles+name)
	if err != nil || stored == nil {
		return nil, err
	}
	named, err := e.recordsWhere(ctx, func(r *refreshtoken.Record) bool { return slices.Contains(r.Roles, name) })
	for id := range named {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids, err
}

// settleNames takes roles out of a record that are not stored with its refresh token.
func (e *Engine) settleNames(ctx context.Context, quotaID string) error {
	record, err := e.record(ctx, quotaID)
	if err != nil || record.IsEnding() || len(record.Named()) == 0 {
		return err
	}
	_, err = e.reconcileStep(ctx, quotaID)
	return err
}

// perhapsLost says, if a write has failed, what becomes of a refresh token that was written by
// hand if storage has carried the write out all the same.
func (e *Engine) perhapsLost(ctx context.Context, err error, role, now string, former []string) error {
	for _, id := range former {
		record, unread := e.record(ctx, id)
		if unread != nil || id == now || record == nil || record.Revoke || record.IsEnding() || !slices.Equal(record.Roles, []string{role}) {
			continue
		}
		return appendText(err, "If Vault's storage has carried that out although it reported a failure, the refresh token that the role had lives on at Zoho, and Vault no longer knows it: read the role, and if it is another by now, remove it there, under Connected Apps of the user who consented")
	}
	return err
}

// leaveFormerClient follows a role that minted with client_credentials and does not any more.
func (e *Engine) leaveFormerClient(ctx context.Context, old, updated *settings.Role, config *settings.Config) {
	if old == nil || !isOfClient(e.quotaID(old)) || updated != nil && e.quotaID(updated) == e.quotaID(old) {
		return
	}
	if err := e.leaveClient(ctx, e.quotaID(old), old.Name, config); err != nil {
		e.log().Warn("could not take a role out of the entry of its former client; the daily round does that", "role", old.Name, "error", err)
	}
}

// endUnused ends the current token of a grant that a role has given up, or that was kept for a
// role that wants it kept no longer, unless another role has it or somebody holds it. updated
// is nil if the role was deleted, and old if it is new. What fails here is left to Tick.
func (e *Engine) endUnused(slot *roleSlot, old, updated *settings.Role, config *settings.Config) {
	if old == nil || e.quotaID(old) == "" {
		return
	}
	grantID, quotaID := e.grantID(old, config), e.quotaID(old)
	if updated != nil && e.grantID(updated, config) == grantID && updated.RevokeDelay >= old.RevokeDelay || grantID == "" {
		return
	}
	slot.afterwards(func(ctx context.Context) {
		if err := e.tryEndUnused(ctx, grantID, quotaID); err != nil {
			e.log().Warn("could not look whether an access token is still needed; it is tried again", "grant", grantID, "error", err)
		}
	})
}

func (e *Engine) tryEndUnused(ctx context.Context, grantID, quotaID string) error {
	u, err := e.usage(ctx, quotaID)
	if err != nil {
		return err
	}
	t, err := e.token(ctx, u.Grants[grantID].Current)
	if err != nil || t == nil {
		return err
	}
	used, err := e.isUsed(ctx, grantID, quotaID)
	if err == nil && (!used || t.ledger.IsDue(e.now(), e.keepsOf(ctx, t))) {
		e.endIfUnheld(ctx, t)
	}
	return err
}
