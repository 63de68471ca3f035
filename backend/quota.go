package backend

import (
	"context"
	"errors"
	"slices"
	"time"

	"vault-plugin-secrets-zoho/backend/zoho"
)

// quota is what Zoho counts together: token requests and live access tokens of
// a refresh token, or, where a request carries none, of a client. No secret of the client
// is part of it, so several grants can draw on one quota.
// Source: zoho.com/accounts/protocol/oauth/token-limits.html.
type quota struct {
	id string
	stored[quotaRecord]
}

// quotaRecord is a quota as it is stored.
type quotaRecord struct {
	Requests  []request `json:"requests,omitempty"`   // the oldest first
	Throttled *failure  `json:"throttled,omitempty"`  // Zoho's latest throttle answer; nil after a success
	Denied    *failure  `json:"denied,omitempty"`     // Zoho's latest "Access Denied" to a grant code, without a reason; nil after a success
	HasWorked bool      `json:"has_worked,omitempty"` // an access token was minted that counts here
	Listed    bool      `json:"listed,omitempty"`     // the refresh token is in the list of its client
}

// clone copies what a change would otherwise write through to the original.
func (rec quotaRecord) clone() quotaRecord {
	rec.Requests = slices.Clone(rec.Requests)
	return rec
}

// request is one token request: it counts against the budget for the window,
// and, unless it is over, against the live tokens until its token has expired.
type request struct {
	At    time.Time `json:"at"`
	Until time.Time `json:"until"`           // no token of it lives longer
	Token string    `json:"token,omitempty"` // token_id; empty if none is known to have come of it
	Over  bool      `json:"over,omitempty"`  // it left no live token at Zoho
	// Exchange: it was the exchange of a grant code.
	Exchange bool      `json:"exchange,omitempty"`
	Seen     time.Time `json:"seen,omitzero"` // when At was first seen in the future
	// ReserveOf is the role for whose readers it was taken from the reserve.
	ReserveOf string `json:"reserve_of,omitempty"`
}

// quotaID names the quota of a role, and is empty if the role has nothing to
// mint from yet. It depends on nothing but the role.
func (e *Engine) quotaID(ctx context.Context, r *Role) (string, error) {
	switch {
	case !r.IsAuthorized():
		return "", nil
	case r.GrantType == GrantTypeClientCredentials:
		return e.clientQuotaID(ctx, r.Pin.AccountsURL, r.Pin.ClientID)
	default:
		return e.fingerprint(ctx, "quota", r.Pin.AccountsURL, r.RefreshToken.Reveal())
	}
}

// clientQuotaID names the quota of the requests that carry no refresh token:
// client_credentials, whatever the scopes, and the exchange of grant codes.
// Source: zoho.com/accounts/protocol/oauth/token-limits.html ("an app").
func (e *Engine) clientQuotaID(ctx context.Context, accountsURL, clientID string) (string, error) {
	return e.fingerprint(ctx, "client quota", accountsURL, clientID)
}

// quotasOf returns the quota of a grant, with its live tokens, and the one in which
// its token requests count: the same, or with count_requests_per=client that of the
// client.
func (e *Engine) quotasOf(ctx context.Context, g *grant, config *Config) (q, requests *quota, err error) {
	if q, err = e.quota(ctx, g.quotaID()); err != nil || config.CountRequestsPer != CountPerClient {
		return q, q, err
	}
	requests, err = e.clientQuota(ctx, g.credential().app)
	if err == nil && requests.id == q.id {
		requests = q
	}
	return q, requests, err
}

// quota returns the quota of id, from storage if it is not in memory.
func (e *Engine) quota(ctx context.Context, id string) (*quota, error) {
	for {
		e.mu.Lock()
		q := e.quotas[id]
		if q != nil {
			q.touch(e.now()) // with mu held: see dropUnused
		}
		e.mu.Unlock()
		if q != nil {
			return q, nil
		}
		if err := e.work.Once(ctx, "load "+prefixQuotas+id, func(ctx context.Context) error {
			return e.loadQuota(ctx, id)
		}); err != nil {
			return nil, err
		}
	}
}

func (e *Engine) loadQuota(ctx context.Context, id string) error {
	e.mu.Lock()
	known := e.quotas[id] != nil
	e.mu.Unlock()
	if known {
		return nil
	}
	q := &quota{id: id, stored: stored[quotaRecord]{key: prefixQuotas + id, used: e.now()}}
	rec, err := get[quotaRecord](ctx, e.store, q.key)
	var broken *undecodable
	switch {
	case errors.As(err, &broken):
		if q.rec, err = e.rebuildQuota(ctx, id); err != nil {
			return err
		}
		q.kept = true
		// Otherwise whoever loads it next waits anew. A failure does no more than that.
		if err := e.store.put(ctx, q.key, q.rec); err != nil {
			e.log().Warn("could not store the record of a quota that was damaged", "quota", id, "error", err)
		}
		e.log().Error("the record of a quota is damaged: Zoho is left alone for as long as its requests can count", "quota", id, "error", broken)
	case err != nil:
		return err
	case rec != nil:
		q.rec, q.kept = *rec, true
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.quotas[id] = q
	return nil
}

// rebuildQuota puts together what is known of a quota whose record is damaged:
// its live tokens. How many requests were sent is not known, so none is sent for
// the length of a window.
func (e *Engine) rebuildQuota(ctx context.Context, id string) (rec quotaRecord, err error) {
	config, _, err := e.Config(ctx)
	if err != nil {
		return rec, err
	}
	tokenIDs, err := e.store.List(ctx, prefixTokens)
	if err != nil {
		return rec, err
	}
	for _, tokenID := range tokenIDs {
		t, err := e.token(ctx, tokenID)
		if err != nil {
			return rec, err
		}
		if t != nil && t.rec.QuotaID == id {
			rec.Requests = append(rec.Requests, request{At: t.rec.IssuedAt, Until: t.rec.ExpiresAt.Add(2 * margin), Token: tokenID})
		}
	}
	slices.SortFunc(rec.Requests, func(a, b request) int { return a.At.Compare(b.At) })
	now := e.now()
	rec.Throttled = &failure{At: now, Kind: zoho.Throttled, InARow: 1, RetryAt: now.Add(config.RequestWindow + config.RequestTimeout),
		Text: "Vault's record of the token requests was damaged. So that Zoho's limit is not exceeded, Vault sends none until the former ones no longer count."}
	return rec, nil
}

func (e *Engine) updateQuota(ctx context.Context, q *quota, change func(*quotaRecord)) error {
	return update(ctx, e, &q.stored, func(rec *quotaRecord) {
		*rec = rec.clone()
		change(rec)
	})
}

// countRequest counts a token request that is about to be sent; it is the
// record's latest one until the turn ends.
func (e *Engine) countRequest(ctx context.Context, q *quota, config *Config, sent request) error {
	return e.updateQuota(ctx, q, func(rec *quotaRecord) {
		now := sent.At
		rec.Requests = prune(rec.Requests, now, config)
		// A clock that is behind for a moment must not make it look old later.
		if latest := rec.latestRequest().At; latest.After(now) {
			sent.At, sent.Seen = latest, now
		}
		sent.Until = sent.At.Add(zoho.MaxLife)
		rec.Requests = append(rec.Requests, sent)
	})
}

// prune drops the requests that count for nothing any more.
func prune(requests []request, now time.Time, config *Config) []request {
	keep := max(config.window(), zoho.MaxLife)
	return slices.DeleteFunc(requests, func(r request) bool { return !r.at(now).Add(keep).After(now) })
}

// answered enters the token that came of the latest request.
func (rec *quotaRecord) answered(t *token) {
	sent := rec.latestRequest()
	sent.Token, sent.Until = t.rec.ID, sent.At.Add(t.life()+2*margin)
	rec.Throttled = nil
}

// latestRequest is the one whose turn it is: nobody else could have added a
// later one.
func (rec *quotaRecord) latestRequest() *request {
	if len(rec.Requests) == 0 {
		return &request{}
	}
	return &rec.Requests[len(rec.Requests)-1]
}

// over notes that Zoho no longer counts a token among the living.
func (rec *quotaRecord) over(tokenID string) {
	for i := range rec.Requests {
		if rec.Requests[i].Token == tokenID {
			rec.Requests[i].Over = true
		}
	}
}

// live returns the requests that may have left a living token, oldest first.
func (rec *quotaRecord) live(now time.Time) []request {
	var live []request
	for _, r := range rec.Requests {
		if !r.Over && r.until(now).After(now) {
			live = append(live, r)
		}
	}
	return live
}

// used counts the requests in the window, up to limit. If there are that many,
// free is when the first of them leaves it.
func (rec *quotaRecord) used(now time.Time, config *Config, limit int) (used int, free time.Time) {
	return rec.sent(now, config.window(), limit, func(request) bool { return true })
}

// sent is used for any window, and the requests that match.
func (rec *quotaRecord) sent(now time.Time, window time.Duration, limit int, matches func(request) bool) (sent int, free time.Time) {
	for _, r := range slices.Backward(rec.Requests) {
		leaves := r.at(now).Add(window)
		if !leaves.After(now) || !matches(r) {
			continue
		}
		if sent++; sent >= limit {
			return sent, leaves
		}
	}
	return sent, time.Time{}
}

func (r request) isExchange() bool { return r.Exchange }

// hasTakenReserve reports whether a request of the window was taken from the
// reserve for the readers of a role.
func (rec *quotaRecord) hasTakenReserve(role string, now time.Time, config *Config) bool {
	return slices.ContainsFunc(rec.Requests, func(r request) bool {
		return r.ReserveOf == role && r.at(now).Add(config.window()).After(now)
	})
}

// liveTokens returns the tokens of a quota that may still be alive.
func (e *Engine) liveTokens(ctx context.Context, q *quota) ([]*token, error) {
	var live []*token
	rec := q.record()
	for _, r := range rec.live(e.now()) {
		t, err := e.token(ctx, r.Token)
		if err != nil {
			return nil, err
		}
		if t != nil {
			live = append(live, t)
		}
	}
	return live, nil
}
