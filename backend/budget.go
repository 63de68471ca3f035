package backend

import (
	"context"

	"fmt"
	"time"

	"vault-plugin-secrets-zoho/backend/zoho"
)

// readerReserve is the part of the budget that is kept for readers who have no
// token that their role's own min_ttl accepts, with credentials that have worked.
func readerReserve(budget int) int { return min(max(1, budget*3/10), budget-1) }

const longestBackoff = 2 * time.Minute

// backoff is how long the engine leaves Zoho alone after n failures in a row
// that may pass. It reaches two minutes, so an outage of any length costs
// about the budget at the most, and is noticed to be over soon.
func backoff(n int) time.Duration {
	const first = 4 * time.Second
	return min(first<<min(n-1, 10), longestBackoff)
}

// window is how long a request counts. It is a request timeout longer than
// Zoho's window, because a request may reach Zoho that much later than it was
// counted here.
// Source: zoho.com/accounts/protocol/oauth/token-limits.html.
func (c *Config) window() time.Duration { return c.RequestWindow + c.RequestTimeout }

// admit decides whether a token request may be sent now. Everything that
// forbids one is here: a remembered failure, the budget, the cap on live
// tokens. The error is a *GrantError that says when it makes sense to ask
// again. reserveOf is the role for whose readers the request is taken from the
// reserve; empty if it is not. Live tokens count in q, requests in requests.
func (e *Engine) admit(ctx context.Context, g *grant, q, requests *quota, config *Config, purpose mintPurpose) (reserveOf string, err error) {
	now := e.now()
	q.seeFuture(now)
	requests.seeFuture(now)
	rec := requests.record()
	// A trial is how a definite refusal is overcome.
	if f := g.record().Failure; f.isDefinite() && !purpose.trial || f.forbids(now, config) {
		return "", f.err()
	}
	for _, f := range []*failure{rec.Throttled, q.record().Throttled} {
		if f.forbids(now, config) {
			return "", f.err()
		}
	}
	if purpose.role != "" && !g.record().hasWorked() {
		if err := e.checkRefusals(ctx, purpose.role, config); err != nil {
			return "", err
		}
	}
	if used, free := rec.used(now, config, config.RequestBudget); used >= config.RequestBudget {
		return "", budgetError(config, purpose, free)
	}
	if used, free := rec.used(now, config, unreserved(config)); used >= unreserved(config) {
		reserveOf, err = e.entitledRole(ctx, g, q, requests, &rec, config)
		if err != nil {
			return "", err
		}
		if reserveOf == "" {
			return "", reservedError(config, free)
		}
	}
	room := config.MaxLiveTokens
	if len(g.waitingRoles()) == 0 {
		room -= room * 3 / 10 // of the live tokens a part is kept for those readers, too
	}
	return reserveOf, e.makeRoom(ctx, q.record(), now, config, room)
}

func unreserved(config *Config) int {
	return config.RequestBudget - readerReserve(config.RequestBudget)
}

// entitledRole picks the role for whose waiting readers a request may be taken
// from the reserve; empty if there is none. Of the readers of many roles each gets
// a part: in one window a role has one request of the reserve, unless no other role
// on the quota has ever got a token. So nobody who reads one role uses up what is kept
// for others.
func (e *Engine) entitledRole(ctx context.Context, g *grant, q, requests *quota, rec *quotaRecord, config *Config) (string, error) {
	waiting := g.waitingRoles()
	if len(waiting) == 0 || !g.record().hasWorked() {
		return "", nil
	}
	for _, role := range waiting {
		if !rec.hasTakenReserve(role, e.now(), config) {
			return role, nil
		}
	}
	for _, role := range waiting {
		alone, err := e.isAloneOn(ctx, q, role, config)
		if err == nil && alone && requests != q {
			alone, err = e.isAloneOfClient(ctx, requests.id, role, config)
		}
		if err != nil || alone {
			return role, err
		}
	}
	return "", nil
}

// isAloneOfClient reports whether no other refresh token of a client has worked, and
// no role that mints with client_credentials.
func (e *Engine) isAloneOfClient(ctx context.Context, clientID, role string, config *Config) (bool, error) {
	ids, err := e.store.List(ctx, prefixClientTokens+clientID+"/")
	if err != nil || len(ids) > 1 {
		return false, err
	}
	client, err := e.quota(ctx, clientID)
	if err != nil {
		return false, err
	}
	return e.isAloneOn(ctx, client, role, config)
}

// isAloneOn reports whether no other role that draws on a quota has credentials
// that have worked.
func (e *Engine) isAloneOn(ctx context.Context, q *quota, role string, config *Config) (bool, error) {
	others, err := e.rolesWhere(ctx, q.id, func(name string, r *Role) (bool, error) {
		if r == nil || name == role || !r.IsAuthorized() {
			return false, nil
		}
		if id, err := e.quotaID(ctx, r); err != nil || id != q.id {
			return false, err
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
	trials, err := e.trialsOf(ctx, role)
	if err != nil {
		return err
	}
	now := e.now()
	rec := trials.record()
	used, free := rec.used(now, config, config.RequestBudget)
	if used < config.RequestBudget {
		return nil
	}
	return &GrantError{Kind: zoho.Throttled, RetryAt: free, Text: fmt.Sprintf(
		"Zoho has refused %d different credentials of role %q in %s. Until that is over Vault tries no new ones of this role. Look who writes wrong credentials to it.",
		used, role, config.RequestWindow)}
}

// countRefusal notes that Zoho has refused credentials of a role that never
// worked.
func (e *Engine) countRefusal(ctx context.Context, role string, config *Config) error {
	if role == "" {
		return nil
	}
	trials, err := e.trialsOf(ctx, role)
	if err != nil {
		return err
	}
	return e.countRequest(ctx, trials, config, request{At: e.now(), Over: true})
}

// trialsOf is the record of a role's credentials that were refused. It has a
// quota's form, since it counts requests in a window as well, and is none of Zoho's.
func (e *Engine) trialsOf(ctx context.Context, role string) (*quota, error) {
	id, err := e.fingerprint(ctx, "trials", role)
	if err != nil {
		return nil, err
	}
	return e.quota(ctx, id)
}

// clientQuota is the quota of a client: see clientQuotaID.
func (e *Engine) clientQuota(ctx context.Context, app zoho.App) (*quota, error) {
	id, err := e.clientQuotaID(ctx, app.AccountsURL, app.ClientID)
	if err != nil {
		return nil, err
	}
	return e.quota(ctx, id)
}

func budgetError(config *Config, purpose mintPurpose, free time.Time) error {
	return &GrantError{Kind: zoho.Throttled, RetryAt: free, Text: fmt.Sprintf(
		"The budget of %d token requests in %s is used up, trials of credentials included, and Zoho would refuse for longer if Vault asked again. %s",
		config.RequestBudget, config.RequestWindow, purpose.cause(config))}
}

// cause says what of a role or of a read makes token requests frequent.
func (p mintPurpose) cause(config *Config) string {
	const long = zoho.MaxLife / 2
	switch {
	case p.exclusive:
		return fmt.Sprintf("Role %q is exclusive, so each read of it is a token request: let its readers keep their token, or share one (exclusive=false).", p.role)
	case p.asked >= long:
		return fmt.Sprintf("This read asks for a token with min_ttl=%s, so a token is of use to it for the first %s of its life only: ask for less.", p.asked, zoho.MaxLife-p.asked)
	case p.ttl > 0 && p.ttl < config.RequestWindow:
		return fmt.Sprintf("Role %q has a ttl of %s: when its only lease ends, its access token ends as well, and the next read is a token request. Write a longer ttl, or none.", p.role, p.ttl)
	default:
		return "Look for what needs many new tokens: readers that give their token back after each call, a role with exclusive=true, a short ttl or a long min_ttl, in this role or in others that share the budget (see the role's status)."
	}
}

func reservedError(config *Config, free time.Time) error {
	return &GrantError{Kind: zoho.Throttled, RetryAt: free, reserved: true, Text: fmt.Sprintf(
		"%d of the %d token requests in %s have been made. The other %d are kept for readers who have no token that their role's own min_ttl accepts, with credentials that have worked, one for each role in that time.",
		unreserved(config), config.RequestBudget, config.RequestWindow, readerReserve(config.RequestBudget))}
}

// makeRoom enforces invariant 5. At the cap Zoho silently kills the oldest
// token of a quota, which may only be one that nobody holds. A request whose
// outcome is unknown counts as a token that may live.
//
// So it goes from the oldest on: what nobody holds is ended, so that no reader
// gets a token that Zoho is about to kill; the first one that is held must not
// be reached by the eviction. After that only tokens that are certainly gone
// make room.
// Source: zoho.com/accounts/protocol/oauth/token-limits.html.
//
// room is how many tokens may live: the cap, less what is kept for readers who have
// no token if nobody of those waits.
func (e *Engine) makeRoom(ctx context.Context, rec quotaRecord, now time.Time, config *Config, room int) error {
	live := rec.live(now)
	missing := len(live) + 1 - room
	var oldestHeld *request
	for i, r := range live {
		if missing <= 0 {
			return nil
		}
		t, err := e.token(ctx, r.Token)
		if err != nil {
			return err
		}
		if t == nil { // an outcome that is unknown
			if oldestHeld == nil {
				missing--
			}
			continue
		}
		ending, err := t.ledger.EndIfUnheld(ctx, now)
		if err != nil {
			return err
		}
		if !ending {
			if oldestHeld == nil {
				oldestHeld = &live[i]
			}
			continue
		}
		if err := e.finish(ctx, t); err == nil || oldestHeld == nil {
			missing--
		}
	}
	if missing <= 0 {
		return nil
	}
	retryAt := now.Add(config.RequestTimeout)
	if oldestHeld != nil {
		retryAt = oldestHeld.until(now)
	}
	return &GrantError{Kind: zoho.Throttled, RetryAt: retryAt, Text: fmt.Sprintf(
		"This refresh token, or this client with client_credentials, may have %d live access tokens, and beyond max_live_tokens (%d) Zoho kills the oldest, which somebody still leases. Revoke leases that are no longer needed, or spread the readers over several refresh tokens.", len(live), config.MaxLiveTokens)}
}
