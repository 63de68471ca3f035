package backend

import (
	"context"
	"slices"
	"time"

	"vault-plugin-secrets-zoho/backend/quota"
)

// quotaRecord is one quota in memory: what Zoho counts together, token requests and live access tokens of
// a refresh token, or, where a request carries none, of a client. No secret of the client
// is part of it, so several grants can draw on one quota. What may be done with it is
// decided in package quota.
// Source: zoho.com/accounts/protocol/oauth/token-limits.html.
type quotaRecord struct {
	id string
	stored[quota.Record]
}

// quotaID names the quota of a role, and is empty if the role has nothing to
// mint from yet. It depends on nothing but the role.
func (e *Engine) quotaID(r *Role) string {
	switch {
	case !r.IsAuthorized():
		return ""
	case r.GrantType == GrantTypeClientCredentials:
		return e.clientQuotaID(r.Pin.AccountsURL, r.Pin.ClientID)
	default:
		return e.refreshTokenQuotaID(r.Pin.AccountsURL, r.RefreshToken.Reveal())
	}
}

func (e *Engine) refreshTokenQuotaID(accountsURL, refreshToken string) string {
	return e.fingerprint("quota", accountsURL, refreshToken)
}

// clientQuotaID names the quota of the requests that carry no refresh token:
// client_credentials, whatever the scopes, and the exchange of grant codes.
// Source: zoho.com/accounts/protocol/oauth/token-limits.html ("an app").
func (e *Engine) clientQuotaID(accountsURL, clientID string) string {
	return e.fingerprint("client quota", accountsURL, clientID)
}

// quotasOf returns the quota of a grant, with its live tokens, and the one in which
// its token requests count: the same, or with count_requests_per=client that of the
// client.
func (e *Engine) quotasOf(ctx context.Context, g *grant, config *Config) (q, requests *quotaRecord, err error) {
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
func (e *Engine) quota(ctx context.Context, id string) (*quotaRecord, error) {
	return e.quotas.get(ctx, id, e.loadQuota)
}

func (e *Engine) loadQuota(ctx context.Context, id string) (*quotaRecord, error) {
	q := &quotaRecord{id: id, stored: stored[quota.Record]{key: prefixQuotas + id}}
	rec, err := get[quota.Record](ctx, e.store, q.key)
	switch {
	case IsBroken(err):
		e.log().Error("the record of a quota is damaged: Zoho is left alone for as long as its requests can count", "quota", id, "error", err)
		if q.rec, err = e.rebuildQuota(ctx, id); err != nil {
			return nil, err
		}
		q.kept = true
		// Otherwise whoever loads it next waits anew. A failure does no more than that.
		if err := e.store.put(ctx, q.key, q.rec); err != nil {
			e.log().Warn("could not store the record of a quota that was damaged", "quota", id, "error", err)
		}
	case err != nil:
		return nil, err
	case rec != nil:
		q.rec, q.kept = *rec, true
	}
	return q, nil
}

// rebuildQuota puts together what is known of a quota whose record is damaged:
// its live tokens. How many requests were sent is not known, so none is sent for
// the length of a window.
func (e *Engine) rebuildQuota(ctx context.Context, id string) (rec quota.Record, err error) {
	config, err := e.configForRevocation(ctx)
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
			rec.Requests = append(rec.Requests, quota.Request{At: t.rec.IssuedAt, Until: t.rec.ExpiresAt.Add(2 * margin), Token: tokenID})
		}
	}
	slices.SortFunc(rec.Requests, func(a, b quota.Request) int { return a.At.Compare(b.At) })
	const text = "Vault's record of the token requests was damaged. So that Zoho's limit is not exceeded, Vault sends none until the former ones no longer count."
	limits := config.limits()
	limits.Window += limits.Timeout
	rec.Throttled = quota.NewSilence(e.now(), "", text, nil, limits)
	return rec, nil
}

func (e *Engine) updateQuota(ctx context.Context, q *quotaRecord, change func(*quota.Record)) error {
	return update(ctx, e, &q.stored, func(rec *quota.Record) {
		*rec = rec.Clone()
		change(rec)
	})
}

// countRequest counts a token request that is about to be sent. config may be one that is
// only being tried: what counts by the stored one is not forgotten for it.
func (e *Engine) countRequest(ctx context.Context, q *quotaRecord, config *Config, sent quota.Request) error {
	stored, err := e.configForRevocation(ctx)
	if err != nil {
		return err
	}
	limits := config.limits()
	limits.Window = max(limits.Window, stored.RequestWindow)
	return e.updateQuota(ctx, q, func(rec *quota.Record) { rec.Count(sent, limits) })
}

// seeFuture notes of all times in the future when that was seen first. It is stored
// with the next change.
func (q *quotaRecord) seeFuture(now time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.rec = q.rec.Clone()
	q.rec.SeeFuture(now)
}

// limits are what the config says that Zoho allows.
func (c *Config) limits() quota.Limits {
	return quota.Limits{Budget: c.RequestBudget, Window: c.RequestWindow, Timeout: c.RequestTimeout, MaxLive: c.MaxLiveTokens}
}

// liveTokens returns the tokens of a quota that may still be alive, by token_id.
func (e *Engine) liveTokens(ctx context.Context, q *quotaRecord) (map[string]*token, error) {
	live := make(map[string]*token)
	rec := q.record()
	for _, sent := range rec.Live(e.now()) {
		t, err := e.token(ctx, sent.Token)
		if err != nil {
			return nil, err
		}
		if t != nil {
			live[t.rec.ID] = t
		}
	}
	return live, nil
}
