package backend

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"vault-plugin-secrets-zoho/backend/quota"
	"vault-plugin-secrets-zoho/backend/zoho"
)

// checkAllowed decides whether a token request may be sent now: a failure that is remembered,
// credentials of the role that were refused again and again, and what package quota says
// of the requests. The error is a *GrantError that says when it makes sense to ask
// again. sent says what the request has to be counted as.
func (e *Engine) checkAllowed(ctx context.Context, a *attempt) (sent quota.Request, err error) {
	now, limits := e.now(), a.config.limits()
	a.q.seeFuture(now)
	a.requests.seeFuture(now)
	// A trial is how a refusal is overcome that is for good, or that may be.
	if f := a.grant.record().Failure; (f.isDefinite() || f.forbids(now)) && (!a.purpose.trial || !f.yieldsToTrial()) {
		return sent, f.err()
	}
	if own := a.q.record(); own.Throttled.Forbids(now, limits) {
		return sent, silenceError(own.Throttled, now)
	}
	if a.purpose.role != "" && !a.grant.record().hasWorked() {
		if err := e.checkRefusals(ctx, a.purpose.role, a.config); err != nil {
			return sent, err
		}
		if a.countsForClient() {
			return e.checkUnproven(ctx, a)
		}
	}
	rec := a.requests.record()
	switch decision := rec.Request(now, limits); decision.Verdict {
	case quota.Silent:
		return sent, silenceError(decision.Silence, now)
	case quota.Used:
		return sent, budgetError(a.config, decision.Until)
	case quota.Reserved:
		sent.ReserveOf, err = e.entitledRole(ctx, a)
		if err == nil && sent.ReserveOf == "" {
			left, _ := rec.Left(now, limits)
			err = reservedError(limits, left, decision.Until)
		}
	case quota.Go, quota.Full, quota.RoleUsed, quota.GuessesUsed, quota.CodesUsed:
	}
	return sent, err
}

// checkUnproven is checkAllowed for credentials that never worked, whose requests Zoho
// counts for the client.
func (e *Engine) checkUnproven(ctx context.Context, a *attempt) (sent quota.Request, err error) {
	claim, err := e.claimFor(ctx, a.requests, a.purpose.role, a.grant.credential().app, a.config)
	if err == nil {
		err = e.checkClaim(a.requests, claim, a.config)
	}
	return quota.Request{ClaimOf: claim.Role, Guess: claim.Guess}, err
}

func silenceError(s *quota.Silence, now time.Time) *GrantError {
	return &GrantError{Kind: zoho.Throttled, Code: s.Code, Text: s.Text, RetryAt: s.Until(now)}
}

// entitledRole picks the role for whose waiting readers a request may be taken
// from the reserve; empty if there is none. Of the readers of many roles each gets
// a part: in one window a role has one request of the reserve, unless no other role
// on the quota has ever got a token. So nobody who reads one role uses up what is kept
// for others.
func (e *Engine) entitledRole(ctx context.Context, a *attempt) (string, error) {
	waiting := a.grant.waitingRoles()
	if len(waiting) == 0 || !a.grant.record().hasWorked() {
		return "", nil
	}
	rec := a.requests.record()
	for _, role := range waiting {
		if !rec.HasTakenReserve(role, e.now(), a.config.limits()) {
			return role, nil
		}
	}
	for _, role := range waiting {
		alone, err := e.isAlone(ctx, a.q, a.requests, role, a.config)
		if err != nil || alone {
			return role, err
		}
	}
	return "", nil
}

// isAlone reports whether no other role whose requests count with those of one has ever got
// a token.
func (e *Engine) isAlone(ctx context.Context, q, requests *quotaRecord, role string, config *Config) (bool, error) {
	alone, err := e.isAloneOn(ctx, q, role, config)
	if err == nil && alone && requests != q {
		return e.isAloneOfClient(ctx, requests.id, role, config)
	}
	return alone, err
}

// outOfBudget is until when a reader of a role gets no token, because there is none for it
// and the budget allows no request; zero if a reader gets one.
func (e *Engine) outOfBudget(ctx context.Context, r *Role, config *Config, g *grant, q, requests *quotaRecord) (until time.Time, err error) {
	now, limits, rec := e.now(), config.limits(), requests.record()
	decision := rec.Request(now, limits)
	switch decision.Verdict {
	case quota.Used:
	case quota.Reserved:
		if !rec.HasTakenReserve(r.Name, now, limits) {
			return until, nil
		}
		if alone, err := e.isAlone(ctx, q, requests, r.Name, config); err != nil || alone {
			return until, err
		}
	case quota.Go, quota.Silent, quota.Full, quota.RoleUsed, quota.GuessesUsed, quota.CodesUsed:
		return until, nil
	}
	if !r.Exclusive {
		t, _, err := e.bestToken(ctx, g, need{minTTL: cmp.Or(r.MinTTL, config.MinTTL)})
		if err != nil || t != nil && t.comfortable(now) { // with a warning, if it has less than min_ttl
			return until, err
		}
	}
	return decision.Until, nil
}

// isAloneOfClient reports whether no other refresh token of a client has worked, and
// no role that mints with client_credentials.
func (e *Engine) isAloneOfClient(ctx context.Context, clientQuotaID, role string, config *Config) (bool, error) {
	ids, err := e.store.List(ctx, prefixClientTokens+clientQuotaID+"/")
	if err != nil || len(ids) > 1 {
		return false, err
	}
	client, err := e.quota(ctx, clientQuotaID)
	if err != nil {
		return false, err
	}
	return e.isAloneOn(ctx, client, role, config)
}

// isAloneOn reports whether no other role that draws on a quota has credentials
// that have worked.
func (e *Engine) isAloneOn(ctx context.Context, q *quotaRecord, role string, config *Config) (bool, error) {
	others, err := e.rolesWhere(ctx, q.id, func(name string, r *Role) (bool, error) {
		if r == nil || name == role || e.quotaID(r) != q.id {
			return false, nil
		}
		return e.hasWorked(ctx, r, config)
	})
	return len(others) == 0, err
}

// checkRefusals limits the credentials that never worked and were refused, for each
// role. Each refresh token and each client has a quota of its own, so somebody who
// writes ever new ones into a role would otherwise ask Zoho without a limit. (A limit
// for each client could be used up by others than those who have its secret.)
func (e *Engine) checkRefusals(ctx context.Context, role string, config *Config) error {
	trials, err := e.refusalsOf(ctx, role)
	if err != nil {
		return err
	}
	rec := trials.record()
	left, free := rec.Left(e.now(), config.limits())
	if left > 0 {
		return nil
	}
	return &GrantError{Kind: zoho.Throttled, RetryAt: free, onlyOf: role, Text: fmt.Sprintf(
		"Zoho has refused %d different credentials of role %q in %s. Until that is over Vault tries no new ones of this role. Look who writes wrong credentials to it.",
		config.RequestBudget, role, config.RequestWindow)}
}

// countRefusal notes that Zoho has refused credentials of a role that never
// worked.
func (e *Engine) countRefusal(ctx context.Context, role string, config *Config) error {
	if role == "" {
		return nil
	}
	trials, err := e.refusalsOf(ctx, role)
	if err != nil {
		return err
	}
	return e.countRequest(ctx, trials, config, quota.Request{At: e.now(), NoLiveToken: true})
}

// refusalsOf is the record of a role's credentials that were refused. It has a
// quota's form, since it counts requests in a window as well, and is none of Zoho's.
func (e *Engine) refusalsOf(ctx context.Context, role string) (*quotaRecord, error) {
	return e.quota(ctx, e.fingerprint("trials", role))
}

// clientQuota is the quota of a client: see clientQuotaID.
func (e *Engine) clientQuota(ctx context.Context, app zoho.App) (*quotaRecord, error) {
	return e.quota(ctx, e.clientQuotaID(app.AccountsURL, app.ClientID))
}

// budgetError is completed by mintPurpose.explain.
func budgetError(config *Config, free time.Time) error {
	return &GrantError{Kind: zoho.Throttled, RetryAt: free, verdict: quota.Used, window: config.RequestWindow, Text: fmt.Sprintf(
		"The budget of %d token requests in %s is used up, trials of credentials included, and Zoho would refuse for longer if Vault asked again.",
		config.RequestBudget, config.RequestWindow)}
}

// cause says what of a role or of a read makes token requests frequent.
func (p mintPurpose) cause(window time.Duration) string {
	const long = zoho.MaxLife / 2
	switch {
	case p.exclusive:
		return fmt.Sprintf("Role %q is exclusive, so each read of it is a token request: let its readers keep their token, or share one (exclusive=false).", p.role)
	case p.want.reject != "":
		return "This read rejects a token, so it needs a new one: reject each token once, and only if Zoho says that the token itself is invalid."
	case p.want.minTTL >= long:
		return fmt.Sprintf("This read asks for a token with min_ttl=%s, so a token is of use to it for the first %s of its life only: ask for less.", p.want.minTTL, zoho.MaxLife-p.want.minTTL)
	case p.ttl > 0 && p.ttl < window:
		return fmt.Sprintf("Role %q has a ttl of %s: when its only lease ends, its access token ends as well, and the next read is a token request. Write a longer ttl, or none, or a revoke_delay, which keeps the token for the next reader.", p.role, p.ttl)
	default:
		return "Look for what needs many new tokens: readers that give their token back after each call (if they are jobs, write revoke_delay to their role, which keeps the token for the next one, or let them read with a short ttl and give nothing back), a role with exclusive=true, a short ttl or a long min_ttl, in this role or in others that share the budget (see the role's status)."
	}
}

// explain adds to the error of a mint what its reader can do about it. Others may wait for
// the same mint for other reasons.
func (p mintPurpose) explain(err error) error {
	failed, ok := asError[*GrantError](err)
	if !ok || failed.verdict != quota.Used {
		return err
	}
	told := *failed
	told.Text += " " + p.cause(failed.window)
	return &told
}

func reservedError(limits quota.Limits, left int, free time.Time) error {
	return &GrantError{Kind: zoho.Throttled, RetryAt: free, verdict: quota.Reserved, Text: fmt.Sprintf(
		"%d of the %d token requests in %s have been made. The other %d are kept for readers who have no token: in that time a role gets one of them, if its credentials have worked and all its tokens have less time left than its own min_ttl. If the readers are jobs that give their token back, write revoke_delay to their role, which keeps it for the next one, or let them read with a short ttl and give nothing back.",
		limits.Budget-left, limits.Budget, limits.Window, left)}
}
