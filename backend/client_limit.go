package backend

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"vault-plugin-secrets-zoho/backend/refreshtoken"
	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/backend/zoho"
)

// How close a client is to Zoho's twenty refresh tokens for a user: the twenty-first makes Zoho
// delete the oldest without a word, whether or not that is in use. The engine knows clients and
// no users, so it counts by client.
// Source: zoho.com/accounts/protocol/oauth/token-limits.html; per user, or per user and client,
// depending on the page.

const (
	mostRefreshTokens = 20

	// manyRefreshTokens is from how many on a write warns.
	manyRefreshTokens = 18
)

// ClientTokens are the refresh tokens of one client that the mount knows.
type ClientTokens struct {
	AccountsURL string
	ClientID    string
	Count       int
	Limit       int       // of Zoho, for one user
	OneOwner    bool      // there were grant codes of the client, and all of them without a redirect_uri: it is a Self Client
	Oldest      string    // role of the one that is known for longest; empty: not looked for
	OldestSince time.Time // since when it is known
	Pending     int       // of Count, those that wait to be revoked
	manyUsers   bool      // they are of several users, for all that the engine knows
}

// refreshTokensOf counts the refresh tokens of a client. As long as there are few, or if people
// have consented, whom nobody can tell apart, or if they are many more than one user can have,
// it only counts them. The others it looks at, one by one.
func (e *Engine) refreshTokensOf(ctx context.Context, client settings.Pin) (*ClientTokens, error) {
	records, err := e.recordsOf(ctx, client)
	if err != nil {
		return &ClientTokens{}, err
	}
	return e.countIfMany(ctx, records)
}

// countIfMany is refreshTokensOf for records that are at hand.
func (e *Engine) countIfMany(ctx context.Context, records map[string]*refreshtoken.Record) (*ClientTokens, error) {
	if len(records) < manyRefreshTokens {
		return &ClientTokens{Count: len(records)}, nil
	}
	manyUsers := len(records) > 2*mostRefreshTokens
	for _, r := range records {
		manyUsers = manyUsers || r.Origin == refreshtoken.Consent
	}
	if manyUsers {
		return &ClientTokens{Count: len(records), manyUsers: true}, nil
	}
	return e.countTokens(ctx, records)
}

// countTokens looks at the refresh tokens of one client. One that Zoho has refused as dead does
// not count.
func (e *Engine) countTokens(ctx context.Context, records map[string]*refreshtoken.Record) (*ClientTokens, error) {
	tokens := &ClientTokens{Limit: mostRefreshTokens}
	code := false
	for _, id := range slices.Sorted(maps.Keys(records)) {
		r := records[id]
		tokens.AccountsURL, tokens.ClientID = r.AccountsURL, r.ClientID
		tokens.manyUsers = tokens.manyUsers || r.Origin == refreshtoken.Consent
		code = code || r.Origin == refreshtoken.Code
		dead, err := e.isDead(ctx, id)
		if err != nil {
			return nil, err
		}
		if dead {
			continue
		}
		tokens.Count++
		role := r.Holder()
		if len(r.Roles) == 0 || r.IsEnding() {
			tokens.Pending++
		}
		if since := r.Known(); tokens.Oldest == "" || since.Before(tokens.OldestSince) {
			tokens.Oldest, tokens.OldestSince = role, since
		}
	}
	tokens.OneOwner = code && !tokens.manyUsers
	return tokens, nil
}

// isDead reports whether Zoho has answered to all roles of a refresh token that it is dead.
func (e *Engine) isDead(ctx context.Context, quotaID string) (bool, error) {
	record, err := e.record(ctx, quotaID)
	if err != nil || record == nil || len(record.Roles) == 0 {
		return false, err
	}
	config, err := e.configForRevocation(ctx)
	if err != nil {
		return false, err
	}
	role, err := orNone(e.Role(ctx, record.Roles[0]))
	if err != nil || role == nil {
		return false, err
	}
	return e.isKnownDead(ctx, role, config)
}

// isKnownDead reports whether Zoho has answered that a role's refresh token is dead; role may be
// nil.
func (e *Engine) isKnownDead(ctx context.Context, role *settings.Role, config *settings.Config) (bool, error) {
	if role == nil {
		return false, nil
	}
	record, err := e.record(ctx, e.quotaID(role))
	if err != nil || record == nil {
		return false, err
	}
	return needsPerson(record.Grants[e.grantID(role, config)].Failure), nil
}

// manyRefreshTokensWarning says, from manyRefreshTokens on, how close the client of a
// role is to Zoho's limit.
func (e *Engine) manyRefreshTokensWarning(ctx context.Context, r *settings.Role) ([]string, error) {
	tokens, err := e.refreshTokensOf(ctx, r.Pin)
	if err != nil || tokens.Count < manyRefreshTokens {
		return nil, err
	}
	text := fmt.Sprintf("this mount knows %d refresh tokens of client %s, and Zoho lets a user have %d", tokens.Count, r.Pin.ClientID, mostRefreshTokens)
	switch {
	case tokens.manyUsers:
		text += "; for one more of the same user it deletes that user's oldest, whether or not it is in use. Vault does not know which of them are of one user"
	case tokens.Count > mostRefreshTokens:
		text += fmt.Sprintf("; Zoho has deleted the oldest, or will: as far as this mount knows that of role %q", tokens.Oldest)
	default:
		text += fmt.Sprintf("; beyond that it deletes the oldest, whether or not it is in use: as far as this mount knows that of role %q", tokens.Oldest)
	}
	return []string{text + ". Deauthorize roles that are no longer needed"}, nil
}

// selfClientWarning says that a consent cannot come back if all grant codes of a client
// came without a redirect_uri, as those of a Self Client do.
func (e *Engine) selfClientWarning(ctx context.Context, r *settings.Role) ([]string, error) {
	records, err := e.recordsOf(ctx, r.Pin)
	if err != nil {
		return nil, err
	}
	code := false
	for _, known := range records {
		if known.Origin == refreshtoken.Consent {
			return nil, nil
		}
		code = code || known.Origin == refreshtoken.Code
	}
	if !code {
		return nil, nil
	}
	return []string{fmt.Sprintf("grant codes of client %s came without a redirect_uri, as those of a Self Client do, and a Self Client has no redirect URI: if it is one, Zoho refuses the consent. Give the role a server-based client", r.Pin.ClientID)}, nil
}

// groupByClient sorts the refresh tokens that count by client.
func groupByClient(records map[string]*refreshtoken.Record) map[settings.Pin]map[string]*refreshtoken.Record {
	byClient := make(map[settings.Pin]map[string]*refreshtoken.Record)
	for id, r := range records {
		if !r.CountsForClient() {
			continue
		}
		pin := pinOf(r)
		if byClient[pin] == nil {
			byClient[pin] = make(map[string]*refreshtoken.Record)
		}
		byClient[pin][id] = r
	}
	return byClient
}

// Clients tells of all clients how many refresh tokens of theirs the mount knows.
func (e *Engine) Clients(ctx context.Context) (clients []*ClientTokens, err error) {
	records, err := e.recordsWhere(ctx, (*refreshtoken.Record).CountsForClient)
	if err != nil {
		return nil, err
	}
	byClient := groupByClient(records)
	for _, pin := range slices.SortedFunc(maps.Keys(byClient), func(a, b settings.Pin) int {
		return cmp.Or(cmp.Compare(a.AccountsURL, b.AccountsURL), cmp.Compare(a.ClientID, b.ClientID))
	}) {
		tokens, err := e.countTokens(ctx, byClient[pin])
		if err != nil {
			return nil, err
		}
		clients = append(clients, tokens)
	}
	return clients, nil
}

// refuseTwentyFirst refuses a code of a Self Client whose refresh token would make Zoho delete
// the oldest one of the same owner.
func (t *ClientTokens) refuseTwentyFirst(code grantCode, app zoho.App) error {
	if t.Count < mostRefreshTokens || t.manyUsers || code.redirectURI != "" || code.consent != nil || code.force {
		return nil
	}
	return settings.UserErrorf("The grant code was not used. This mount knows %d refresh tokens of client %s, Zoho lets a user have %d, and all of these are of one user: the code came without a redirect_uri, so the client is a Self Client, which has one owner. For one more Zoho would delete the oldest, whether or not it is in use: as far as this mount knows that of role %q, which it has had since %s. Deauthorize a role that is no longer needed (vault list -detailed <mount>/roles; vault write -f <mount>/roles/<name>/deauthorize), and get a new code; a role that is to get another refresh token can be that role itself. If the oldest one may die, write the code with force=true",
		t.Count, app.ClientID, mostRefreshTokens, t.Oldest, t.OldestSince.UTC().Format(time.DateOnly))
}
