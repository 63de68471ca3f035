package backend

import (
	"context"
	"errors"
	"time"

	"vault-plugin-secrets-zoho/backend/metrics"
	"vault-plugin-secrets-zoho/backend/refreshtoken"
	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/backend/zoho"
)

// carrier carries out a plan of package refreshtoken: what its steps need of a use case, and
// what came of them.
type carrier struct {
	role   *settings.Role            // of StoreRole and DeleteRole, and as it is without its refresh token of ForgetInRoles
	token  *token                    // of StoreToken
	client refreshtoken.ClientChange // in place of a step's Change: the plan is about a client_credentials grant
	app    zoho.App                  // of AskRevokeNow
	config *settings.Config          // of AskRevokeNow
	cause  error                     // of TellGivenUp
	slot   *roleSlot                 // takes what nobody waits for; nil: the caller waits

	written    bool                 // the role is as it was to be: an error after that would deny it
	livesOn    bool                 // a refresh token was left to live on at Zoho
	outcome    refreshtoken.Outcome // of AskRevoke
	revoked    bool                 // of AskRevokeNow
	notRevoked error                // of AskRevokeNow: why it was not revoked
}

// carryOut carries out the steps of a plan, in order.
func (e *Engine) carryOut(ctx context.Context, plan refreshtoken.Plan, c *carrier) (late error) {
	for i, step := range plan {
		if step.Later && c.slot != nil {
			e.carryOutLater(plan[i:], c)
			return late
		}
		was, err := e.carryOutStep(ctx, step, c)
		if err == nil {
			c.written = c.written || step.Do == refreshtoken.StoreRole || step.Do == refreshtoken.DeleteRole
			continue
		}
		e.unsettle(plan)
		if _, refused := errors.AsType[*refreshtoken.RefusedError](err); c.written && refused {
			late = err // the role has to leave its former record all the same
			continue
		}
		if c.written {
			e.log().Warn("could not tidy up after a role that was written or deleted; that is tried again within a minute", "quota", step.Record, "error", err)
			continue
		}
		if step.GoOn {
			e.log().Warn("could not store an access token that came with a refresh token; the next read mints one", "quota", step.Record, "error", errors.Join(err, e.dropUnstored(ctx, step.Record, c)))
			continue
		}
		if step.IfFails != nil {
			err = errors.Join(err, e.carryOut(ctx, step.IfFails(was), c))
		}
		return err
	}
	return late
}

// dropUnstored ends an access token that is in a record and could not be stored.
func (e *Engine) dropUnstored(ctx context.Context, quotaID string, c *carrier) error {
	id := c.token.rec.ID
	if err := e.discardUnstored(ctx, c.token); err != nil {
		return err // it may live, so it counts
	}
	c.token = nil
	return e.changeUsage(ctx, quotaID, func(u *refreshtoken.Usage) { u.Ended(id) })
}

// unsettle lets Reconcile look at the records of a plan that was not carried out to its end.
func (e *Engine) unsettle(plan refreshtoken.Plan) {
	for _, step := range plan {
		if step.Record != "" && !isOfClient(step.Record) {
			e.directory.unsettle(recordID(step.Record), "")
		}
	}
}

func (e *Engine) carryOutLater(plan refreshtoken.Plan, c *carrier) {
	rest := *c
	rest.slot = nil
	c.slot.later(func(ctx context.Context) {
		if err := e.carryOut(ctx, plan, &rest); err != nil {
			e.log().Warn("could not tidy up after a change; that is tried again within a minute", "quota", plan[0].Record, "error", err)
		}
	})
}

// carryOutStep takes one step. was is the record before a change of it.
func (e *Engine) carryOutStep(ctx context.Context, step refreshtoken.Step, c *carrier) (was *refreshtoken.Record, err error) {
	switch step.Do {
	case refreshtoken.ChangeRecord:
		if c.client != nil {
			_, _, err := e.clients.Change(ctx, recordID(step.Record), c.client)
			return nil, err
		}
		was, after, err := e.changeRecord(ctx, step.Record, step.Change)
		if err == nil && refreshtoken.LivesOn(was, after) {
			c.livesOn = true
			e.log().Warn("a refresh token that was written by hand has no role any more, and lives on at Zoho: if nothing else uses it, remove it there, under Connected Apps of the user who consented", "quota", step.Record, "roles", was.Roles)
		}
		if err == nil && after != nil && after != was && len(after.Roles) == 0 {
			e.reconcileLater(step.Record)
		}
		return was, err
	case refreshtoken.StoreToken:
		return nil, e.storeToken(ctx, c.token)
	case refreshtoken.StoreRole:
		return nil, e.storeRole(ctx, c.role)
	case refreshtoken.DeleteRole:
		return nil, e.dropRole(ctx, c.role.Name)
	case refreshtoken.ForgetInRoles:
		return nil, e.forgetInRoles(ctx, step, c)
	case refreshtoken.CloseTokens:
		return nil, e.closeTokens(ctx, step.Tokens)
	case refreshtoken.DropTokens:
		return nil, e.dropTokens(ctx, step.Tokens)
	case refreshtoken.AskEndToken:
		return nil, e.discardUnstored(ctx, c.token)
	case refreshtoken.AskRevoke:
		c.outcome, err = e.askRevoke(ctx, step.Record)
		return nil, err
	case refreshtoken.AskRevokeNow:
		return nil, e.askRevokeNow(ctx, step.Record, c)
	case refreshtoken.TellGivenUp:
		return nil, e.tellGivenUpOn(ctx, step.Record, c.cause)
	case refreshtoken.Nothing, refreshtoken.AskMint:
	}
	return nil, nil
}

// forgetInRoles stores roles without the refresh token of a record that is ending, if they are
// stored with it. It waits for no role but the carrier's own, whose slot the caller has.
func (e *Engine) forgetInRoles(ctx context.Context, step refreshtoken.Step, c *carrier) error {
	record, err := e.record(ctx, step.Record)
	if err != nil || !record.IsEnding() {
		return err
	}
	by := record.Ending.By
	for _, name := range step.Roles {
		if c.role != nil && c.role.Name == name {
			if err := e.storeRole(ctx, c.role); err != nil {
				return err
			}
			continue
		}
		err := e.forgetInRole(ctx, step.Record, name, settings.Deauthorization{At: record.Ending.At, Requester: settings.Requester(by)})
		if err != nil {
			return err
		}
	}
	return nil
}

func (e *Engine) forgetInRole(ctx context.Context, quotaID, name string, by settings.Deauthorization) error {
	release, free := e.writes.TryAcquire(prefixRoles + name)
	if !free {
		return nil // it is being written; Reconcile looks again
	}
	defer release()
	role, err := orNone(e.Role(ctx, name))
	if err != nil || role == nil || e.quotaID(role) != quotaID {
		return err
	}
	updated := *role
	updated.ForgetRefreshToken()
	updated.Deauthorized = &by
	e.log().Warn("a role has lost its refresh token, which was revoked", "role", name, "quota", quotaID)
	return e.storeRole(ctx, &updated)
}

// closeTokens decides that access tokens end which nobody holds.
func (e *Engine) closeTokens(ctx context.Context, ids []string) (failed error) {
	for _, id := range ids {
		t, err := e.token(ctx, id)
		if err == nil && t != nil {
			var ending bool
			if ending, err = t.ledger.EndIfUnheld(ctx, e.now()); ending {
				e.endUnheldLater(id)
			}
		}
		failed = errors.Join(failed, err)
	}
	return failed
}

// dropTokens drops access tokens whose refresh token was revoked.
func (e *Engine) dropTokens(ctx context.Context, ids []string) (failed error) {
	for _, id := range ids {
		t, err := e.token(ctx, id)
		if err == nil && t != nil {
			err = e.work.Once(ctx, "revoke "+id, func(ctx context.Context) error { return e.deleteDeadWithRefreshToken(ctx, t) })
		}
		failed = errors.Join(failed, err)
	}
	return failed
}

// askRevoke asks Zoho to revoke a refresh token whose end is decided. Its access tokens die
// with it, whoever holds them. The caller has the turn.
func (e *Engine) askRevoke(ctx context.Context, quotaID string) (refreshtoken.Outcome, error) {
	record, err := e.record(ctx, quotaID)
	if err != nil || !record.IsEnding() || record.Ending.Outcome != "" {
		return "", err
	}
	config, err := e.configForRevocation(ctx)
	if err != nil {
		return "", err
	}
	outcome, err := e.revokeRefreshToken(ctx, record.Credential, config)
	role := record.Ending.Role
	e.report(EventRefreshTokenRevoke, "", err, "role", role, "quota", quotaID)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitLimit)
	defer cancel()
	if err != nil {
		failed := e.carryOut(ctx, refreshtoken.RevokeFailed(quotaID, record, e.now(), err.Error()), &carrier{cause: err})
		if failed == nil && record.Origin == refreshtoken.Hand && record.Worked.IsZero() {
			failed = errGivenUp
		}
		return "", errors.Join(err, failed)
	}
	e.log().Info("revoked a refresh token", "role", role, "quota", quotaID)
	if err := e.carryOut(ctx, refreshtoken.RevokeAnswered(quotaID, outcome), &carrier{}); err != nil { // it is revoked, which an error would deny
		e.log().Warn("could not note that a refresh token is revoked; it is revoked once more within a minute, which does no harm", "quota", quotaID, "error", err)
	}
	return outcome, nil
}

// errGivenUp: the engine has given up revoking a refresh token.
var errGivenUp = errors.New("it is not tried again")

// revokeRefreshToken asks Zoho, within the time that two endpoints may take.
func (e *Engine) revokeRefreshToken(ctx context.Context, cred refreshtoken.Credential, config *settings.Config) (refreshtoken.Outcome, error) {
	client, err := e.accountsClient(e.caCertFor(cred.AccountsURL, cred.CACert, config))
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*config.RequestTimeout)
	defer cancel()
	app := zoho.App{AccountsURL: cred.AccountsURL, ClientID: cred.ClientID, ClientSecret: cred.ClientSecret}
	how, err := client.RevokeRefreshToken(ctx, app, cred.RefreshToken)
	e.countRevocation(metrics.RefreshToken, how, err)
	switch {
	case err != nil:
		return "", err
	case how == zoho.AlreadyGone:
		return refreshtoken.AlreadyGone, nil
	default:
		return refreshtoken.Revoked, nil
	}
}

// askRevokeNow asks Zoho to revoke a refresh token that could not be stored, unless a record
// that can be read by now sees to it.
func (e *Engine) askRevokeNow(ctx context.Context, quotaID string, c *carrier) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitLimit+2*c.config.RequestTimeout)
	defer cancel()
	if record, err := e.record(ctx, quotaID); err == nil && record.IsTracked() {
		return nil
	}
	cred := refreshtoken.Credential{RefreshToken: c.role.RefreshToken, AccountsURL: c.app.AccountsURL, CACert: c.config.CACert, ClientID: c.app.ClientID, ClientSecret: c.app.ClientSecret}
	if _, err := e.revokeRefreshToken(ctx, cred, c.config); err != nil {
		e.log().Error("a refresh token could neither be stored nor revoked", "accounts_url", c.app.AccountsURL, "client_id", c.app.ClientID, "error", err)
		c.notRevoked = err
		return nil
	}
	c.revoked = true
	return nil
}

// tellGivenUpOn tells the log and the events that a refresh token may live on, before nobody
// knows it any more.
func (e *Engine) tellGivenUpOn(ctx context.Context, quotaID string, cause error) error {
	record, err := e.record(ctx, quotaID)
	if err != nil || !record.IsEnding() {
		return err
	}
	role, since := record.Ending.Role, record.Ending.At.UTC().Format(time.RFC3339)
	if record.Origin == refreshtoken.Hand && record.Worked.IsZero() {
		e.log().Warn("a refresh token that has never worked could not be revoked, and was forgotten", "role", role, "quota", quotaID, "error", cause)
		return nil
	}
	e.metrics.Revocation(metrics.RefreshToken, metrics.Abandoned)
	e.log().Error("gave up revoking a refresh token, and forgot it: it may live on at Zoho. Remove it there, under Connected Apps of the user who consented, or delete the client in the API console",
		"role", role, "quota", quotaID, "accounts_url", record.AccountsURL, "client_id", record.ClientID, "since", since, "error", cause)
	e.report(EventRefreshTokenAbandon, "", nil, "role", role, "quota", quotaID, "accounts_url", record.AccountsURL, "client_id", record.ClientID, "since", since)
	return nil
}
