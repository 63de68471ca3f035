package backend

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"vault-plugin-secrets-zoho/backend/quota"
	"vault-plugin-secrets-zoho/backend/refreshtoken"
	"vault-plugin-secrets-zoho/backend/secret"
	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/backend/store"
	"vault-plugin-secrets-zoho/backend/zoho"
)

// What Zoho counts together - token requests and living access tokens - has a quota ID: the
// key in storage of the record of a refresh token or, where a request carries none, of the
// entry of a client. No secret of the client is part of it, so several grants can draw on one
// quota.
// Source: zoho.com/accounts/protocol/oauth/token-limits.html.

// quotaID is the quota of a role, and is empty if the role has nothing to mint from yet. It
// depends on nothing but the role.
func (e *Engine) quotaID(r *settings.Role) string {
	switch {
	case !r.IsAuthorized():
		return ""
	case r.GrantType == settings.GrantTypeClientCredentials:
		return e.clientQuotaID(r.Pin.AccountsURL, r.Pin.ClientID)
	default:
		return e.refreshTokenQuotaID(r.Pin.AccountsURL, r.RefreshToken.Reveal())
	}
}

func (e *Engine) refreshTokenQuotaID(accountsURL, refreshToken string) string {
	return prefixRefreshTokens + e.fingerprint("refresh token", accountsURL, refreshToken)
}

// clientQuotaID is the quota of the requests that carry no refresh token: client_credentials,
// whatever the scopes, and the exchange of grant codes.
func (e *Engine) clientQuotaID(accountsURL, clientID string) string {
	return prefixClients + e.fingerprint("client", accountsURL, clientID)
}

func isOfClient(quotaID string) bool { return strings.HasPrefix(quotaID, prefixClients) }

func (e *Engine) makeRecords(s *store.Storage) {
	e.refreshTokens = store.NewEntries(s, prefixRefreshTokens, store.Codec[refreshtoken.Record]{
		Encode: refreshtoken.Encode, Decode: refreshtoken.Decode, Rebuild: e.rebuildRecord, Written: e.directory.written,
	}, e.now)
	e.clients = store.NewEntries(s, prefixClients, store.Codec[refreshtoken.Client]{
		Encode: refreshtoken.EncodeClient, Decode: refreshtoken.DecodeClient, Rebuild: e.rebuildClient,
	}, e.now)
	e.refused = store.NewEntries(s, prefixRefused, store.Codec[quota.Record]{
		Encode: func(r *quota.Record) ([]byte, error) { return json.Marshal(r) },
		Decode: func(stored []byte, now time.Time) (*quota.Record, error) {
			r := &quota.Record{}
			if err := json.Unmarshal(stored, r); err != nil {
				return nil, refreshtoken.ErrDamaged // the decoder's error may quote what it read
			}
			r.SeeFuture(now)
			return r, nil
		},
		Rebuild: func(context.Context, string) (*quota.Record, error) { return &quota.Record{}, nil }, // a window without refusals
	}, e.now)
}

// record returns the record of a refresh token; nil if there is none.
func (e *Engine) record(ctx context.Context, quotaID string) (*refreshtoken.Record, error) {
	if quotaID == "" || isOfClient(quotaID) {
		return nil, nil
	}
	return e.refreshTokens.Get(ctx, recordID(quotaID))
}

// client returns the entry of a client; nil if there is none.
func (e *Engine) client(ctx context.Context, quotaID string) (*refreshtoken.Client, error) {
	return e.clients.Get(ctx, recordID(quotaID))
}

// usage returns what counts for a quota, which must not be changed. Nothing does if nothing is
// stored.
func (e *Engine) usage(ctx context.Context, quotaID string) (*refreshtoken.Usage, error) {
	if isOfClient(quotaID) {
		c, err := e.client(ctx, quotaID)
		return usageOf(c), err
	}
	r, err := e.record(ctx, quotaID)
	if err != nil || r == nil {
		return &refreshtoken.Usage{}, err
	}
	return &r.Usage, nil
}

func usageOf(c *refreshtoken.Client) *refreshtoken.Usage {
	if c == nil {
		return &refreshtoken.Usage{}
	}
	return &c.Usage
}

// presentUsage is usage for those who decide by its times: if some are in the future, it is
// stored when that was seen.
func (e *Engine) presentUsage(ctx context.Context, quotaID string) (*refreshtoken.Usage, error) {
	if isOfClient(quotaID) {
		_, c, err := e.clients.Change(ctx, recordID(quotaID), refreshtoken.SeeClient(e.now()))
		return usageOf(c), err
	}
	_, r, err := e.changeRecord(ctx, quotaID, refreshtoken.See(e.now()))
	if err != nil || r == nil {
		return &refreshtoken.Usage{}, err
	}
	return &r.Usage, nil
}

// changeRecord changes the record of a refresh token. The directory hears of the write.
func (e *Engine) changeRecord(ctx context.Context, quotaID string, change refreshtoken.Change) (was, after *refreshtoken.Record, err error) {
	was, after, err = e.refreshTokens.Change(ctx, recordID(quotaID), change)
	if _, refused := errors.AsType[*refreshtoken.RefusedError](err); err != nil && !refused {
		e.directory.unsettle(recordID(quotaID), "")
	}
	return was, after, err
}

// changeUsage changes what counts for a quota, if it is known.
func (e *Engine) changeUsage(ctx context.Context, quotaID string, change func(*refreshtoken.Usage)) error {
	if isOfClient(quotaID) {
		_, _, err := e.clients.Change(ctx, recordID(quotaID), refreshtoken.InKnownClient(e.now(), change))
		return err
	}
	_, _, err := e.changeRecord(ctx, quotaID, refreshtoken.InRecord(e.now(), change))
	return err
}

// changeClient changes what counts for a client, which may be new.
func (e *Engine) changeClient(ctx context.Context, app zoho.App, change func(*refreshtoken.Usage)) error {
	id := recordID(e.clientQuotaID(app.AccountsURL, app.ClientID))
	_, _, err := e.clients.Change(ctx, id, refreshtoken.InClient(app.AccountsURL, app.ClientID, e.now(), change))
	return err
}

// countingLimits are by which a token request is counted. config may be one that is only being
// tried: what counts by the stored one is not forgotten for it.
func (e *Engine) countingLimits(ctx context.Context, config *settings.Config) (quota.Limits, error) {
	stored, err := e.configForRevocation(ctx)
	if err != nil {
		return quota.Limits{}, err
	}
	limits := config.Limits()
	limits.Window = max(limits.Window, stored.RequestWindow)
	return limits, nil
}

// liveTokens returns the tokens of a quota that may still be alive, by token_id.
func (e *Engine) liveTokens(ctx context.Context, u *refreshtoken.Usage) (map[string]*token, error) {
	live := make(map[string]*token)
	for _, sent := range u.Quota.Live(e.now()) {
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

// rebuildRecord puts together what is known of a refresh token whose record is damaged. It
// reads no record and no ledger.
func (e *Engine) rebuildRecord(ctx context.Context, id string) (*refreshtoken.Record, error) {
	quotaID := prefixRefreshTokens + id
	found, roles, err := e.findRebuilding(ctx, quotaID)
	if err != nil {
		return nil, err
	}
	for _, r := range roles {
		found.Roles = append(found.Roles, r.Name)
		found.RefreshToken, found.AccountsURL = r.RefreshToken, r.Pin.AccountsURL
		if found.ClientID == "" {
			found.ClientID, found.ClientSecret = r.Pin.ClientID, r.ClientSecret
		}
	}
	record := refreshtoken.Rebuild(found)
	if record == nil {
		e.log().Error("the record of a refresh token is damaged, and no role has the refresh token: it is forgotten, and may live on at Zoho. Compare Connected Apps at Zoho with the roles", "quota", quotaID)
		return nil, e.store.Delete(ctx, quotaID)
	}
	e.log().Error("the record of a refresh token is damaged. It was rebuilt from the roles and the access tokens; Zoho is left alone for as long as former requests can count. If one of the roles was deauthorized shortly before, deauthorize it again", "quota", quotaID, "roles", record.Roles)
	return record, nil
}

func (e *Engine) rebuildClient(ctx context.Context, id string) (*refreshtoken.Client, error) {
	quotaID := prefixClients + id
	found, roles, err := e.findRebuilding(ctx, quotaID)
	if err != nil {
		return nil, err
	}
	config, err := e.configForRevocation(ctx)
	if err != nil {
		return nil, err
	}
	e.log().Error("the entry of a client is damaged: Zoho is left alone for as long as its requests can count", "quota", quotaID)
	if len(roles) == 0 {
		return nil, e.store.Delete(ctx, quotaID)
	}
	grants := make(map[string]string, len(roles))
	for _, r := range roles {
		grants[r.Name] = e.grantID(r, config)
	}
	return refreshtoken.RebuildClient(roles[0].Pin.AccountsURL, roles[0].Pin.ClientID, grants, found), nil
}

// findRebuilding looks through all roles and access tokens for those of a quota. It goes
// around memory, in which a token comes with its ledger.
func (e *Engine) findRebuilding(ctx context.Context, quotaID string) (found refreshtoken.Found, roles []*settings.Role, err error) {
	config, err := e.configForRevocation(ctx)
	if err != nil {
		return found, nil, err
	}
	found = refreshtoken.Found{Now: e.now(), Limits: config.Limits()}
	names, err := e.RoleNames(ctx)
	if err != nil {
		return found, nil, err
	}
	for _, name := range names {
		r, err := orNone(e.peekRole(ctx, name))
		if err != nil {
			return found, nil, err
		}
		if r != nil && e.quotaID(r) == quotaID {
			withSecret := *r
			if app, err := r.App(config); err == nil {
				withSecret.ClientSecret = app.ClientSecret
			}
			roles = append(roles, &withSecret)
		}
	}
	ids, err := e.store.List(ctx, prefixTokens)
	if err != nil {
		return found, nil, err
	}
	for _, tokenID := range ids {
		t, err := orNone(get[tokenEntry](ctx, e.store, prefixTokens+tokenID))
		if err != nil {
			return found, nil, err
		}
		if t != nil && t.QuotaID == quotaID {
			found.Live = append(found.Live, quota.Request{At: t.IssuedAt, Until: t.ExpiresAt.Add(2 * margin), Token: tokenID})
			found.CACert, found.ClientID, found.ClientSecret = t.CACert, t.App.ClientID, secret.New(t.ClientSecret)
		}
	}
	return found, roles, nil
}
