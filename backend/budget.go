package backend

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"vault-plugin-secrets-zoho/backend/quota"
	"vault-plugin-secrets-zoho/backend/refreshtoken"
	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/backend/zoho"
)

// checkAllowed decides whether a token request may be sent now: a failure that is remembered,
// credentials of the role that were refused again and again, and what package quota says
// of the requests. The error is a *GrantError that says when it makes sense to ask
// again. sent says what the request has to be counted as.
func (e *Engine) checkAllowed(ctx context.Context, a *attempt) (sent quota.Request, err error) {
	now, limits := e.now(), a.config.Limits()
	if a.usages, err = e.usagesOf(ctx, a.grant.quotaID, a.requestsID, e.presentUsage); err != nil {
		return sent, err
	}
	// A trial is how a refusal is overcome that is for good, or that may be.
	if f := a.own.Grants[a.grant.id].Failure; f.Forbids(now) && (!a.purpose.trial || !yieldsToTrial(f)) {
		return sent, failureError(f)
	}
	var asked quota.Mint
	switch unproven := a.purpose.role != "" && !a.hasWorked(); {
	case unproven && !a.own.Quota.Throttled.Forbids(now, limits):
		if err := e.checkRefusals(ctx, a.purpose.role, a.config); err != nil {
			return sent, err
		}
		if a.countsForClient() {
			claim, err := e.claimFor(ctx, a.purpose.role, a.grant.credential().App, a.config)
			if err != nil {
				return sent, err
			}
			asked.Claim = &claim
		}
	case a.hasWorked():
		asked.Waiting = a.grant.waitingRoles()
	}
	decision, sent, err := e.decideMint(ctx, a.grant, a.usages, asked, a.config, a.requestsID)
	if err == nil {
		err = verdictError(decision, a.requests, asked.Claim, a.config, now)
	}
	return sent, err
}

// decideMint asks package quota about a mint.
func (e *Engine) decideMint(ctx context.Context, g *grant, u usages, asked quota.Mint, config *settings.Config, requestsID string) (quota.Decision, quota.Request, error) {
	var failed error
	asked.Alone = func(role string) bool {
		alone, err := e.isAlone(ctx, g.quotaID, requestsID, role, pinOfApp(g.credential().App))
		failed = errors.Join(failed, err)
		return alone
	}
	decision, sent := u.quotas().Mint(e.now(), config.Limits(), asked)
	return decision, sent, failed
}

// usages are what counts where the requests of a grant count: see quota.Quotas.
type usages struct{ own, requests *refreshtoken.Usage }

func (u usages) quotas() quota.Quotas {
	return quota.Quotas{Own: &u.own.Quota, Requests: &u.requests.Quota}
}

func (e *Engine) usagesOf(ctx context.Context, quotaID, requestsID string, look func(context.Context, string) (*refreshtoken.Usage, error)) (u usages, err error) {
	if u.own, err = look(ctx, quotaID); err != nil {
		return u, err
	}
	if u.requests = u.own; requestsID != quotaID {
		u.requests, err = look(ctx, requestsID)
	}
	return u, err
}

func silenceError(s *quota.Silence, now time.Time) *GrantError {
	return &GrantError{Kind: zoho.Throttled, Code: s.Code, Text: s.Text, RetryAt: s.Until(now)}
}

// outOfBudget is until when a reader of a role gets no token, because there is none for it
// and the budget allows no request; zero if a reader gets one.
func (e *Engine) outOfBudget(ctx context.Context, r *settings.Role, config *settings.Config, seen *seenGrant) (until time.Time, err error) {
	asked := quota.Mint{Waiting: []string{r.Name}}
	decision, _, err := e.decideMint(ctx, seen.grant, seen.usages, asked, config, e.requestsID(seen.grant, config))
	if err != nil || decision.Verdict != quota.Used && decision.Verdict != quota.Reserved {
		return until, err
	}
	if !r.Exclusive {
		t, _, err := e.bestToken(ctx, seen.grant, need{minTTL: cmp.Or(r.MinTTL, config.MinTTL)})
		if err != nil || t != nil && t.comfortable(e.now()) { // with a warning, if it has less than min_ttl
			return until, err
		}
	}
	return decision.Until, nil
}

// checkRefusals limits the credentials that never worked and were refused, for each
// role. Each refresh token and each client has a quota of its own, so somebody who
// writes ever new ones into a role would otherwise ask Zoho without a limit. (A limit
// for each client could be used up by others than those who have its secret.)
func (e *Engine) checkRefusals(ctx context.Context, role string, config *settings.Config) error {
	refused, err := e.refused.Get(ctx, role)
	if err != nil || refused == nil {
		return err
	}
	left, free := refused.Left(e.now(), config.Limits())
	if left > 0 {
		return nil
	}
	return &GrantError{Kind: zoho.Throttled, RetryAt: free, onlyOf: role, Text: fmt.Sprintf(
		"Zoho has refused %d different credentials of role %q in %s. Until that is over Vault tries no new ones of this role. Look who writes wrong credentials to it.",
		config.RequestBudget, role, config.RequestWindow)}
}

// countRefusal notes that Zoho has refused credentials of a role that never
// worked.
func (e *Engine) countRefusal(ctx context.Context, role string, config *settings.Config) error {
	if role == "" {
		return nil
	}
	limits, err := e.countingLimits(ctx, config)
	if err != nil {
		return err
	}
	_, _, err = e.refused.Change(ctx, role, func(was *quota.Record) (*quota.Record, error) {
		refused := &quota.Record{}
		if was != nil {
			*refused = was.Clone()
		}
		refused.SeeFuture(e.now())
		refused.Count(quota.Request{At: e.now(), NoLiveToken: true}, limits)
		return refused, nil
	})
	return err
}

// forgetRefusals forgets those of a role that count no more.
func (e *Engine) forgetRefusals(ctx context.Context, role string, config *settings.Config) error {
	_, _, err := e.refused.Change(ctx, role, func(was *quota.Record) (*quota.Record, error) {
		if was == nil || was.IsNeedless(e.now(), config.Limits(), 0) {
			return nil, nil
		}
		return was, nil
	})
	return err
}

// budgetError is completed by mintPurpose.explain.
func budgetError(config *settings.Config, free time.Time) error {
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
	failed, ok := errors.AsType[*GrantError](err)
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
