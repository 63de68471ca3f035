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
	"vault-plugin-secrets-zoho/backend/work"
	"vault-plugin-secrets-zoho/backend/zoho"
)

// margin is taken off the life of every token. Zoho counts it by its own
// clock from the moment of minting; Vault counts a lease from a little after
// the answer. The lease has to end first.
const margin = time.Second

// mintPurpose is what a token is minted for.
type mintPurpose struct {
	exclusive bool                                // for one lease, not to become the grant's current token
	rotation  bool                                // the other tokens of the grant end when this one is there
	trial     bool                                // to try the credential: a refusal is told, not remembered
	role      string                              // whose credentials these are; empty: nobody waits for the token
	want      need                                // of the read, with the min_ttl of its role or mount
	ttl       time.Duration                       // of the role
	config    *settings.Config                    // of a trial: the one that is being written; nil: the stored one
	needed    func(context.Context) (bool, error) // asked when it is the mint's turn; nil: needed
}

// mintForReader waits for a new access token, unless the grant's token is what the
// reader needs. At most one mint runs per grant; a caller whose context
// ends stops waiting and nothing else. reserveRole is the role of a reader who
// has no token that the role's own min_ttl accepts; empty for others.
func (e *Engine) mintForReader(ctx context.Context, g *grant, role *settings.Role, reserveRole string, want need) error {
	if reserveRole != "" {
		defer g.addWaiter(reserveRole)()
	}
	purpose := mintPurpose{role: role.Name, ttl: role.TTL, want: want, needed: func(ctx context.Context) (bool, error) {
		_, state, err := e.currentToken(ctx, g, want)
		return state == invalid, err
	}}
	err := e.mintOnce(ctx, g, purpose)
	if reserveRole != "" && isReserved(err) || isOfAnotherRole(err, role.Name) {
		// It was decided before we waited: by a mint ahead, or for somebody who may
		// not have what is kept in reserve, or may not ask. The next decision counts us.
		err = e.mintOnce(ctx, g, purpose)
	}
	return err
}

// mintOnce mints a token for the grant, or waits for a mint that is in flight.
func (e *Engine) mintOnce(ctx context.Context, g *grant, purpose mintPurpose) error {
	return purpose.explain(e.work.Once(ctx, "mint "+g.id, func(ctx context.Context) error {
		_, err := e.mint(ctx, g, purpose)
		return err
	}))
}

// mintAhead replaces a stale token in the background. Nobody waits for it: a
// failure is remembered and logged by the mint.
func (e *Engine) mintAhead(g *grant) {
	e.work.Go(func() {
		_ = e.mintOnce(e.work.Life(), g, mintPurpose{needed: func(ctx context.Context) (bool, error) {
			_, state, err := e.currentToken(ctx, g, need{})
			return state != fresh, err
		}})
	})
}

// mintExclusive waits for a new access token that is nobody else's.
func (e *Engine) mintExclusive(ctx context.Context, g *grant, role string) (*token, error) {
	defer g.addWaiter(role)()
	purpose := mintPurpose{exclusive: true, role: role}
	t, err := work.Result(ctx, e.work, func(ctx context.Context) (*token, error) { return e.mint(ctx, g, purpose) })
	return t, purpose.explain(err)
}

// attempt is one mint that is under way.
type attempt struct {
	grant      *grant
	requestsID string // the quota of its token requests: the grant's, or the client's
	config     *settings.Config
	purpose    mintPurpose
	usages               // as they were in its turn
	asked      time.Time // when Zoho was asked
}

// requestsID is the quota in which the token requests of a grant count: its own, or with
// count_requests_per=client that of the client.
func (e *Engine) requestsID(g *grant, config *settings.Config) string {
	if config.CountRequestsPer != settings.CountPerClient {
		return g.quotaID
	}
	app := g.credential().App
	return e.clientQuotaID(app.AccountsURL, app.ClientID)
}

// isApart reports whether its request counts for the client, and its token for a refresh token.
func (a *attempt) isApart() bool { return a.requestsID != a.grant.quotaID }

// changeApart changes what counts for the client, if the request isApart.
func (e *Engine) changeApart(ctx context.Context, a *attempt, change func(*refreshtoken.Usage)) error {
	if !a.isApart() {
		return nil
	}
	return e.changeUsage(ctx, a.requestsID, change)
}

// countsForClient reports whether Zoho counts the request for the client.
func (a *attempt) countsForClient() bool { return isOfClient(a.requestsID) }

// readers is how many readers wait for the token at least.
func (a *attempt) readers() int {
	if a.purpose.trial || a.purpose.rotation || a.purpose.role == "" {
		return 0
	}
	if a.purpose.exclusive {
		return 1
	}
	a.grant.mu.Lock()
	defer a.grant.mu.Unlock()
	n := 0
	for _, waiting := range a.grant.waiting {
		n += waiting
	}
	return max(n, 1)
}

// hasWorked reports whether an access token was ever minted with the grant's credentials.
func (a *attempt) hasWorked() bool { return !a.own.Grants[a.grant.id].LastMint.IsZero() }

// errNotNeeded: a token that was to be minted is there by now.
var errNotNeeded = errors.New("no access token was needed any more")

// mint asks Zoho for an access token, if it may be asked. Without an error and
// without a token none was needed any more.
func (e *Engine) mint(ctx context.Context, g *grant, purpose mintPurpose) (t *token, err error) {
	config := purpose.config
	if config == nil {
		if config, err = e.Config(ctx); err != nil {
			return nil, err
		}
	}
	a := &attempt{grant: g, config: config, purpose: purpose, requestsID: e.requestsID(g, config)}
	var minted zoho.Token
	err = e.askZoho(ctx, config, question{
		turn:  g.quotaID,
		admit: func(ctx context.Context) error { return e.admitMint(ctx, a) },
		ask: func(ctx context.Context, client *zoho.Client) (err error) {
			minted, err = mintWith(ctx, client, g.credential())
			return err
		},
		note: func(ctx context.Context, failed error) error {
			if failed != nil {
				e.endRefused(ctx, g.credential().App, config, minted.AccessToken, "grant", g.id)
				return e.noteFailure(ctx, a, failed)
			}
			t, err = e.noteMint(ctx, a, minted)
			return err
		},
	})
	if errors.Is(err, errNotNeeded) {
		err = nil
	}
	return t, err
}

// admitMint decides whether Zoho may be asked for an access token, makes room for it,
// and counts the request. The caller has the turn of the quota. Where requests are
// counted for the client, other refresh tokens of it wait until this one has been
// counted.
func (e *Engine) admitMint(ctx context.Context, a *attempt) error {
	if a.purpose.needed != nil {
		if needed, err := a.purpose.needed(ctx); err != nil || !needed {
			return cmp.Or(err, errNotNeeded)
		}
	}
	if record, err := e.record(ctx, a.grant.quotaID); err != nil || record.IsEnding() {
		return cmp.Or(err, endingError(record))
	}
	if a.isApart() {
		release, err := e.takeTurn(ctx, a.requestsID)
		if err != nil {
			return err
		}
		defer release()
	}
	sent, err := e.checkAllowed(ctx, a)
	if err != nil {
		return err
	}
	if err := e.makeRoom(ctx, a); err != nil {
		return err
	}
	a.asked = e.now()
	sent.At = a.asked
	return e.countMint(ctx, a, sent)
}

// countMint counts the request of a mint, before it is sent.
func (e *Engine) countMint(ctx context.Context, a *attempt, sent quota.Request) error {
	limits, err := e.countingLimits(ctx, a.config)
	if err != nil {
		return err
	}
	app := a.grant.credential().App
	if a.countsForClient() {
		forClient := sent
		forClient.NoLiveToken = a.isApart() // then its token lives in the other quota
		if err := e.changeClient(ctx, app, func(u *refreshtoken.Usage) { u.Quota.Count(forClient, limits) }); err != nil {
			return err
		}
	}
	if isOfClient(a.grant.quotaID) {
		return e.nameAgain(ctx, a, app)
	}
	count := refreshtoken.Mint(a.grant.quotaID, refreshtoken.Sending{Role: a.purpose.role, Sent: sent, Limits: limits})[:1]
	err = e.carryOut(ctx, count, &carrier{})
	if refused, ok := errors.AsType[*refreshtoken.RefusedError](err); ok {
		return a.refusedBy(refused)
	}
	return err
}

// nameAgain enters a role into the entry of its client if that was lost, as after a backup was
// restored in part: nobody could hand out the token otherwise.
func (e *Engine) nameAgain(ctx context.Context, a *attempt, app zoho.App) error {
	c, err := e.client(ctx, a.grant.quotaID)
	if err != nil || a.purpose.role == "" || c != nil && c.Roles[a.purpose.role] != "" {
		return err
	}
	_, _, err = e.clients.Change(ctx, recordID(a.grant.quotaID), refreshtoken.EnterClient(app.AccountsURL, app.ClientID, a.purpose.role, a.grant.id, e.now()))
	return asUserError(err)
}

// refusedBy is what a reader gets if the record of the refresh token does not allow a mint.
func (a *attempt) refusedBy(refused *refreshtoken.RefusedError) error {
	if refused.Reason == refreshtoken.NotNamed {
		return errRoleChanged
	}
	return &GrantError{Kind: zoho.Refused, Text: sentence(refused.Error())}
}

// endingError is what readers get of a refresh token whose end is decided; nil if it is not.
func endingError(record *refreshtoken.Record) error {
	if !record.IsEnding() {
		return nil
	}
	return &GrantError{Kind: zoho.Refused, Text: fmt.Sprintf(
		"The refresh token is being revoked at Zoho: that was decided for role %q at %s. Authorize the role again, or write another code or refresh_token to it.", record.Ending.Role, record.Ending.At.UTC().Format(time.RFC3339))}
}

// noteMint stores a new access token, and publishes it.
func (e *Engine) noteMint(ctx context.Context, a *attempt, minted zoho.Token) (*token, error) {
	t, err := e.keepMinted(ctx, a, minted)
	if err == nil {
		if err := e.changeApart(ctx, a, func(u *refreshtoken.Usage) { u.Quota.EndSilence(a.asked) }); err != nil {
			e.log().Warn("could not note that Zoho throttles a client no more; the next mint does that", "quota", a.requestsID, "error", err)
		}
	}
	return t, err
}
