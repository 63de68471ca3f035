package backend

import (
	"context"
	"fmt"
	"slices"
	"time"

	"vault-plugin-secrets-zoho/backend/zoho"
)

// reserve is the part of the budget that background mints leave to readers
// who have no usable token.
func reserve(budget int) int { return max(1, budget*3/10) }

// backoff is how long the engine leaves Zoho alone after n failures in a row
// that may pass. It reaches two minutes, so an outage of any length costs
// about the budget at the most, and is noticed to be over soon.
func backoff(n int) time.Duration {
	const first, longest = 4 * time.Second, 2 * time.Minute
	return min(first<<min(n-1, 10), longest)
}

// admit decides whether a token request may be sent now. Everything that
// forbids one is here: a remembered failure, the budget, the cap on live
// tokens. The error is a *GrantError that says when it makes sense to ask
// again.
func (e *Engine) admit(ctx context.Context, g, limits *grant, cred credential, config *Config, use use) error {
	now, rec := e.now(), limits.record()
	for _, f := range []*failure{g.record().Failure, rec.Failure} {
		if f == nil {
			continue
		}
		// A trial is how a definite refusal is overcome. Another client secret
		// may be accepted where the last one was not.
		definite := f.isDefiniteFor(cred) && !use.trial
		if definite || now.Before(f.RetryAt) {
			return f.err()
		}
	}
	if err := rec.withinBudget(now, config, config.RequestBudget); err != nil {
		return err
	}
	if !g.isAwaited() && rec.withinBudget(now, config, config.RequestBudget-reserve(config.RequestBudget)) != nil {
		return errReserved
	}
	return e.makeRoom(ctx, rec, now, config)
}

// withinBudget counts the requests of the sliding window, whatever became of
// them. The window is a request timeout longer than Zoho's, because a request
// may reach Zoho that much later than it was counted here.
// Source: zoho.com/accounts/protocol/oauth/token-limits.html.
func (rec *grantRecord) withinBudget(now time.Time, config *Config, allowed int) error {
	used, free := rec.used(now, config, allowed)
	if used < allowed {
		return nil
	}
	return &GrantError{Kind: zoho.Throttled, RetryAt: free, Text: fmt.Sprintf(
		"This grant has used its budget of %d token requests in %s, and Zoho would block it for longer if Vault asked again. Look for readers that need many new tokens: a short ttl, a long min_ttl, many revocations.",
		config.RequestBudget, config.RequestWindow)}
}

// used counts the requests in the window, up to limit. If there are that many,
// free is when the first of them leaves it.
func (rec *grantRecord) used(now time.Time, config *Config, limit int) (used int, free time.Time) {
	window := config.RequestWindow + config.RequestTimeout
	for _, r := range slices.Backward(rec.Requests) {
		leaves := r.At.Add(window)
		if !leaves.After(now) {
			break
		}
		if used++; used >= limit {
			return used, leaves
		}
	}
	return used, time.Time{}
}

// makeRoom enforces invariant 5. At the cap Zoho silently kills the oldest
// token of a grant, which may only be one that nobody holds. A request whose
// outcome is unknown counts as a token that may live.
//
// So it goes from the oldest on: what nobody holds is ended, so that no reader
// gets a token that Zoho is about to kill; the first one that is held must not
// be reached by the eviction. After that only tokens that are certainly gone
// make room.
// Source: zoho.com/accounts/protocol/oauth/token-limits.html.
func (e *Engine) makeRoom(ctx context.Context, rec grantRecord, now time.Time, config *Config) error {
	live := rec.live(now)
	missing := len(live) + 1 - config.MaxLiveTokens
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
		ending, err := t.ledger.endIfUnheld(ctx, now)
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
		retryAt = oldestHeld.Until
	}
	return &GrantError{Kind: zoho.Throttled, RetryAt: retryAt, Text: fmt.Sprintf(
		"This grant may have %d live access tokens, and beyond max_live_tokens (%d) Zoho kills the oldest, which somebody still leases. Revoke leases that are no longer needed, or spread the readers over several refresh tokens.", len(live), config.MaxLiveTokens)}
}

// live returns the requests that may have left a living token, oldest first.
func (rec *grantRecord) live(now time.Time) []request {
	var live []request
	for _, r := range rec.Requests {
		if !r.Over && r.Until.After(now) {
			live = append(live, r)
		}
	}
	return live
}

// prune drops the requests that count for nothing any more.
func prune(requests []request, now time.Time, config *Config) []request {
	keep := max(config.RequestWindow+config.RequestTimeout, zoho.MaxLife)
	for len(requests) > 0 && !requests[0].At.Add(keep).After(now) {
		requests = requests[1:]
	}
	return requests
}
