package backend

import (
	"context"
	"fmt"
	"path"
	"time"

	"vault-plugin-secrets-zoho/backend/zoho"
)

// How close a client is to Zoho's twenty refresh tokens for a user.

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

// refreshTokensOf counts the refresh tokens of a client. As long as there are few, or
// if people have consented, whom nobody can tell apart, it only counts the list. The
// others it looks at, one by one.
func (e *Engine) refreshTokensOf(ctx context.Context, clientQuotaID string) (*ClientTokens, error) {
	ids, err := e.store.List(ctx, prefixClientTokens+clientQuotaID+"/")
	if err != nil || len(ids) < manyRefreshTokens {
		return &ClientTokens{Count: len(ids)}, err
	}
	tokens := &ClientTokens{}
	for _, id := range ids {
		if err := e.addListed(ctx, tokens, clientQuotaID, path.Base(id)); err != nil {
			return nil, err
		}
		if tokens.manyUsers {
			return &ClientTokens{Count: len(ids), manyUsers: true}, nil
		}
	}
	return tokens, nil
}

// refreshTokensBeside counts the refresh tokens of a role's client. If they are many
// more than one user can have, it only counts the list: to look at each of them takes
// several reads of storage, and a client can have thousands of users.
func (e *Engine) refreshTokensBeside(ctx context.Context, r *Role) (*ClientTokens, error) {
	clientQuotaID := e.clientQuotaID(r.Pin.AccountsURL, r.Pin.ClientID)
	ids, err := e.store.List(ctx, prefixClientTokens+clientQuotaID+"/")
	if err != nil || len(ids) > 2*mostRefreshTokens {
		return &ClientTokens{Count: len(ids), manyUsers: true}, err
	}
	return e.refreshTokensOf(ctx, clientQuotaID)
}

// manyRefreshTokensWarning says, from manyRefreshTokens on, how close the client of a
// role is to Zoho's limit.
func (e *Engine) manyRefreshTokensWarning(ctx context.Context, r *Role) ([]string, error) {
	tokens, err := e.refreshTokensBeside(ctx, r)
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
func (e *Engine) selfClientWarning(ctx context.Context, r *Role) ([]string, error) {
	clientQuotaID := e.clientQuotaID(r.Pin.AccountsURL, r.Pin.ClientID)
	ids, err := e.store.List(ctx, prefixClientTokens+clientQuotaID+"/")
	if err != nil {
		return nil, err
	}
	for _, id := range ids[:min(len(ids), mostRefreshTokens)] {
		listed, err := orNone(get[listedToken](ctx, e.store, listKey(clientQuotaID, path.Base(id))))
		if err != nil || listed != nil && listed.Origin == originConsent {
			return nil, err
		}
		if listed != nil && listed.Origin == originCode {
			return []string{fmt.Sprintf("grant codes of client %s came without a redirect_uri, as those of a Self Client do, and a Self Client has no redirect URI: if it is one, Zoho refuses the consent. Give the role a server-based client", r.Pin.ClientID)}, nil
		}
	}
	return nil, nil
}

// Clients tells of all clients how many refresh tokens of theirs the mount knows.
func (e *Engine) Clients(ctx context.Context) (clients []*ClientTokens, err error) {
	names, err := e.store.List(ctx, prefixClientTokens)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		ids, err := e.store.List(ctx, prefixClientTokens+name)
		if err != nil {
			return nil, err
		}
		tokens := &ClientTokens{Limit: mostRefreshTokens}
		for _, id := range ids {
			if err := e.addListed(ctx, tokens, path.Base(name), path.Base(id)); err != nil {
				return nil, err
			}
		}
		if tokens.ClientID != "" {
			clients = append(clients, tokens)
		}
	}
	return clients, nil
}

// addListed looks at one refresh token in the list of a client. One that Zoho has
// refused as dead does not count.
func (e *Engine) addListed(ctx context.Context, tokens *ClientTokens, clientQuotaID, quotaID string) error {
	listed, err := orNone(get[listedToken](ctx, e.store, listKey(clientQuotaID, quotaID)))
	if err != nil || listed == nil {
		return err
	}
	tokens.AccountsURL, tokens.ClientID = listed.AccountsURL, listed.ClientID
	tokens.manyUsers = tokens.manyUsers || listed.Origin == originConsent
	tokens.OneOwner = !tokens.manyUsers && (tokens.OneOwner || listed.Origin == originCode)
	owner, err := e.ownerOf(ctx, quotaID)
	if err != nil || owner == (tokenOwner{}) {
		return err
	}
	if dead, err := e.isKnownDead(ctx, owner); err != nil || dead {
		return err
	}
	tokens.Count++
	if owner.Pending {
		tokens.Pending++
	}
	if tokens.Oldest == "" || listed.Since.Before(tokens.OldestSince) {
		tokens.Oldest, tokens.OldestSince = owner.Role, listed.Since
	}
	return nil
}

// isKnownDead reports whether Zoho has answered that a role's refresh token is dead.
func (e *Engine) isKnownDead(ctx context.Context, owner tokenOwner) (bool, error) {
	role, err := orNone(e.Role(ctx, owner.Role))
	if err != nil || role == nil || owner.Pending {
		return false, err
	}
	config, err := e.Config(ctx)
	if err != nil {
		return false, err
	}
	g, err := e.grantOf(ctx, role, config)
	if _, bad := asError[*UserError](err); bad { // the role has no client any more, or no refresh token
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return g.record().Failure.needsPerson(), nil
}

// refuseTwentyFirst refuses a code of a Self Client whose refresh token would make Zoho delete
// the oldest one of the same owner.
func (t *ClientTokens) refuseTwentyFirst(code grantCode, app zoho.App) error {
	if t.Count < mostRefreshTokens || t.manyUsers || code.redirectURI != "" || code.force {
		return nil
	}
	return userErrorf("The grant code was not used. This mount knows %d refresh tokens of client %s, Zoho lets a user have %d, and all of these are of one user: the code came without a redirect_uri, so the client is a Self Client, which has one owner. For one more Zoho would delete the oldest, whether or not it is in use: as far as this mount knows that of role %q, which it has had since %s. Deauthorize a role that is no longer needed (vault list -detailed <mount>/roles; vault write -f <mount>/roles/<name>/deauthorize), and get a new code; a role that is to get another refresh token can be that role itself. If the oldest one may die, write the code with force=true",
		t.Count, app.ClientID, mostRefreshTokens, t.Oldest, t.OldestSince.UTC().Format(time.DateOnly))
}
