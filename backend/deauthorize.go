package backend

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"vault-plugin-secrets-zoho/backend/ledger"
	"vault-plugin-secrets-zoho/backend/refreshtoken"
	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/backend/work"
)

// Deauthorize revokes a role's refresh token at Zoho, and with it all its access
// tokens, whoever holds them, and forgets it. The role stays, to be authorised
// again. If Zoho cannot be asked, the error is a *GrantError, nobody gets the
// access tokens any more all the same, and Tick goes on asking; unless the refresh token
// has never worked, and then it is forgotten.
//
// Other roles of the grant would lose it, too, so force is needed if there are.
func (e *Engine) Deauthorize(ctx context.Context, name string, force bool, by settings.Requester) (warnings []string, err error) {
	return work.Result(ctx, e.work, func(ctx context.Context) ([]string, error) {
		warnings, err := e.deauthorize(ctx, name, force, by)
		e.reportRole(EventRoleDeauthorize, name, err)
		return warnings, err
	})
}

func (e *Engine) deauthorize(ctx context.Context, name string, force bool, by settings.Requester) (warnings []string, err error) {
	slot, err := e.takeRole(ctx, name)
	if err != nil {
		return nil, err
	}
	defer slot.release()
	role, config, err := e.roleAndConfig(ctx, name)
	if err != nil {
		return nil, err
	}
	switch {
	case role.GrantType != settings.GrantTypeRefreshToken:
		return nil, settings.UserErrorf("role %q mints with client_credentials and has no refresh token; end its current token with <mount>/roles/%s/rotate, or delete the role", name, name)
	case !role.IsAuthorized():
		former, err := e.pendingOf(ctx, name)
		if err != nil {
			return nil, err
		}
		found, err := e.endAllOf(ctx, slot, name, former, by)
		if err == nil && !found {
			err = settings.UserErrorf("role %q has no refresh token, so there is nothing to revoke", name)
		}
		return nil, err
	}
	former, err := e.pendingOf(ctx, name)
	if err != nil {
		return nil, err
	}
	outcome, losers, err := e.revokeOf(ctx, slot, role, config, refreshtoken.Deauthorization{
		Role: name, By: refreshtoken.Requester(by), Force: force, Now: e.now(),
	})
	if err != nil && !isDecided(err) {
		return nil, err
	}
	// Those that it had before, and whose access tokens somebody still leases, go, too.
	if _, failed := e.endAllOf(ctx, slot, name, former, by); err == nil {
		err = failed
	}
	if err != nil {
		return nil, err
	}
	if len(losers) > 0 {
		warnings = append(warnings, fmt.Sprintf("%s had the same refresh token and cannot mint any more", strings.Join(losers, ", ")))
	}
	if outcome == refreshtoken.AlreadyGone {
		warnings = append(warnings, "Zoho answered that it does not know the refresh token: it was revoked before, or belongs to another client or data centre")
	}
	return warnings, nil
}

// decidedError is why a refresh token whose end is decided is not revoked yet.
type decidedError struct{ error }

func (e *decidedError) Unwrap() error { return e.error }

func isDecided(err error) bool {
	_, decided := errors.AsType[*decidedError](err)
	return decided
}

// revokeOf ends the refresh token of a role: see refreshtoken.Deauthorize. Reconcile does what
// is left. losers are the other roles that had it.
func (e *Engine) revokeOf(ctx context.Context, slot *roleSlot, role *settings.Role, config *settings.Config, d refreshtoken.Deauthorization) (outcome refreshtoken.Outcome, losers []string, err error) {
	id := e.quotaID(role)
	record, err := e.record(ctx, id)
	if err != nil {
		return "", nil, err
	}
	if !record.Names(role.Name) { // its record was lost
		if err := e.enterQuota(ctx, role, config); err != nil {
			return "", nil, err
		}
		if record, err = e.record(ctx, id); err != nil {
			return "", nil, err
		}
	}
	release, err := e.takeTurn(ctx, id)
	if err != nil {
		return "", nil, err
	}
	defer release()
	slot.afterwards(func(ctx context.Context) { e.reconcile(ctx, id) })
	readByOthers, err := e.readByOthers(ctx, role, config)
	if err != nil {
		return "", nil, err
	}
	d.OthersLease = readByOthers != ""
	var free func()
	d.Holds, free = e.holdsOf(ctx, id, others(slices.Clone(record.Roles), role.Name))
	defer free()
	for name, presence := range d.Holds {
		if presence.Counts() {
			losers = append(losers, name)
		}
	}
	slices.Sort(losers)
	updated := *role
	updated.ForgetRefreshToken()
	updated.Deauthorized = &settings.Deauthorization{At: d.Now, Requester: settings.Requester(d.By).Bounded()}
	plan, c := refreshtoken.Deauthorize(id, d), &carrier{role: &updated}
	if err := e.carryOut(ctx, plan[:1], c); err != nil {
		return "", nil, e.notDeauthorized(role, config, err, losers, readByOthers)
	}
	free()
	if err := e.carryOut(ctx, plan[1:2], c); err != nil {
		return "", losers, fmt.Errorf("the refresh token of role %q will be revoked at Zoho within minutes, but Vault could not store the role without it: %w; deauthorize the role again", role.Name, err)
	}
	err = e.carryOut(ctx, plan[2:], c)
	return c.outcome, losers, notRevokedYet(role.Name, err)
}

// readByOthers is an access token of a role's refresh token that another role has handed out,
// or may have, and that was got with other credentials than the role's; empty if there is none.
func (e *Engine) readByOthers(ctx context.Context, role *settings.Role, config *settings.Config) (tokenID string, err error) {
	u, err := e.usage(ctx, e.quotaID(role))
	if err != nil {
		return "", err
	}
	live, err := e.liveTokens(ctx, u)
	if err != nil {
		return "", err
	}
	own := e.grantID(role, config)
	for id, t := range live {
		if t.rec.GrantID != own && !t.ledger.IsEnding() && t.isReadByOthersThan(role.Name) {
			return id, nil
		}
	}
	return "", nil
}

// isReadByOthersThan reports whether another role than one has handed out the token, or may
// have.
func (t *token) isReadByOthersThan(role string) bool {
	_, unnamed := t.ledger.Count()
	return unnamed > 0 || len(others(ledger.Roles(t.ledger.Readership()), role)) > 0
}

// notDeauthorized explains why the end of a refresh token was not decided.
func (e *Engine) notDeauthorized(role *settings.Role, config *settings.Config, err error, losers []string, readByOthers string) error {
	refused, ok := errors.AsType[*refreshtoken.RefusedError](err)
	if !ok {
		return fmt.Errorf("role %q was not deauthorized, unless Vault's storage has carried out a write that it reported as failed; read its status in a few minutes: %w", role.Name, err)
	}
	first := "read a token of it first"
	if e.grantID(role, config) == "" {
		first = fmt.Sprintf("write client %s to <mount>/config again, with its client_secret, and read a token of the role first", role.Pin.ClientID)
	}
	switch {
	case refused.Reason == refreshtoken.OthersHaveIt:
		return settings.UserErrorf("role %q has its refresh token in common with %s, which would lose it, too; if that is meant, write force=true", role.Name, strings.Join(refused.Roles, ", "))
	case refused.Reason != refreshtoken.NeverMinted:
		return asUserError(err)
	case readByOthers != "":
		return settings.UserErrorf("role %q has never got an access token with its credentials, but another role has handed out access token %s with the same refresh token. So role %q may not revoke the refresh token: %s, or end that access token (vault delete <mount>/tokens/%s)", role.Name, readByOthers, role.Name, first, readByOthers)
	default:
		return settings.UserErrorf("role %q has never got an access token with its credentials, so it may not revoke the refresh token that %s has, too: %s, or deauthorize another of these roles, or delete them", role.Name, strings.Join(losers, ", "), first)
	}
}

func notRevokedYet(role string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errGivenUp):
		return &decidedError{appendText(asGrantError(err), fmt.Sprintf("Role %q has no refresh token any more. As the one that it had has never worked here, Vault forgets it; if it is a good one, remove it at Zoho, under Connected Apps of the user who consented", role))}
	default:
		return &decidedError{appendText(asGrantError(err), fmt.Sprintf("Role %q has no refresh token any more, and nobody gets its access tokens; but Zoho has not revoked the refresh token yet. That is tried again by itself: see pending_revocations in the role's status. To try it now, deauthorize the role again", role))}
	}
}

// endAllOf revokes at once the refresh tokens that were a role's: those whose end is decided,
// and those that wait until nobody leases their access tokens. found reports whether there was
// one to revoke.
func (e *Engine) endAllOf(ctx context.Context, slot *roleSlot, name string, pending []PendingRevocation, by settings.Requester) (found bool, failed error) {
	for _, former := range pending {
		err := e.endOne(ctx, former.quotaID, by)
		slot.afterwards(func(ctx context.Context) { e.reconcile(ctx, former.quotaID) })
		if _, refused := errors.AsType[*refreshtoken.RefusedError](err); refused { // a role has it again
			continue
		}
		found = true
		failed = cmp.Or(failed, notRevokedYet(name, err))
	}
	return found, failed
}

func (e *Engine) endOne(ctx context.Context, quotaID string, by settings.Requester) error {
	release, err := e.takeTurn(ctx, quotaID)
	if err != nil {
		return err
	}
	defer release()
	record, err := e.record(ctx, quotaID)
	if err != nil {
		return err
	}
	d := refreshtoken.Deauthorization{By: refreshtoken.Requester(by), Now: e.now()}
	var free func()
	d.Holds, free = e.holdsOf(ctx, quotaID, record.Named())
	defer free()
	plan := refreshtoken.Deauthorize(quotaID, d)
	if err := e.carryOut(ctx, plan[:1], &carrier{}); err != nil {
		return err
	}
	free()
	return e.carryOut(ctx, plan[1:], &carrier{})
}

// holdsOf tells which roles have a refresh token. Until free is called, which has to be when its
// end is decided, nobody writes one that does not have it.
func (e *Engine) holdsOf(ctx context.Context, quotaID string, names []string) (holds map[string]refreshtoken.Presence, free func()) {
	holds = make(map[string]refreshtoken.Presence)
	var slots []func()
	for _, name := range names {
		presence, release := e.presence(ctx, quotaID, name)
		if holds[name] = presence; presence.Counts() {
			release()
		} else {
			slots = append(slots, release)
		}
	}
	return holds, sync.OnceFunc(func() {
		for _, release := range slots {
			release()
		}
	})
}

// PendingRevocation is a refresh token that was a role's, and that waits to be
// revoked at Zoho.
type PendingRevocation struct {
	Since     time.Time
	Decided   bool      // otherwise somebody still leases its access tokens
	Failures  int       // attempts so far that failed
	LastError string    // of the latest one
	RetryAt   time.Time // of the next one; zero: within a minute
	quotaID   string
}

// pendingOf lists the pending revocations of refresh tokens that were a role's.
func (e *Engine) pendingOf(ctx context.Context, role string) (pending []PendingRevocation, err error) {
	found, err := e.recordsWhere(ctx, func(r *refreshtoken.Record) bool { return r.WaitsFor(role) })
	for _, id := range slices.Sorted(maps.Keys(found)) {
		p := PendingRevocation{quotaID: id}
		if r := found[id]; r.IsEnding() {
			p.Since, p.Decided, p.Failures, p.LastError, p.RetryAt = r.Ending.At, true, r.Ending.Failures, r.Ending.LastError, r.Ending.RetryAt
		} else {
			p.Since = r.Former.At
		}
		pending = append(pending, p)
	}
	return pending, err
}
