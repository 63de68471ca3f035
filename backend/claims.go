package backend

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"vault-plugin-secrets-zoho/backend/quota"
	"vault-plugin-secrets-zoho/backend/refreshtoken"
	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/backend/zoho"
)

// Requests that Zoho counts for a client and that anybody can make up who may write one role,
// or has the address of a consent. What they may use is decided in quota.Record.Claim.

// claimFor puts together what decides whether Zoho may be asked for a role: to exchange a
// grant code, or to mint with credentials that never worked.
func (e *Engine) claimFor(ctx context.Context, role string, app zoho.App, config *settings.Config) (quota.Claim, error) {
	readers, err := e.hasReaders(ctx, app, config)
	if err != nil {
		return quota.Claim{}, err
	}
	known, err := e.knowsSecret(ctx, app, config)
	return quota.Claim{Role: role, Readers: readers, Guess: !known}, err
}

// searchedTokens is among how many refresh tokens of a client one is searched that has worked
// with a secret.
const searchedTokens = 20

// knowsSecret reports whether a client's secret is more than a guess: an operator wrote it to
// the config, or a role has got a token with it.
func (e *Engine) knowsSecret(ctx context.Context, app zoho.App, config *settings.Config) (bool, error) {
	if config.ClientID == app.ClientID && config.AccountsURL() == app.AccountsURL && config.ClientSecret.Equal(app.ClientSecret) {
		return true, nil
	}
	worked := func(_ string, r *settings.Role) (bool, error) {
		if r == nil || !r.IsAuthorized() || r.Pin != pinOfApp(app) || !r.ClientSecret.Equal(app.ClientSecret) {
			return false, nil
		}
		return e.hasWorked(ctx, r, config)
	}
	listed, err := e.recordsOf(ctx, pinOfApp(app))
	if err != nil {
		return false, err
	}
	ids := slices.Sorted(maps.Keys(listed))
	for _, id := range append([]string{e.clientQuotaID(app.AccountsURL, app.ClientID)}, ids[:min(len(ids), searchedTokens)]...) {
		roles, err := e.rolesWhere(ctx, id, worked)
		if err != nil || len(roles) > 0 {
			return true, err
		}
	}
	return false, nil
}

// hasReaders reports whether a client has readers whose requests Zoho counts for it: of
// client_credentials roles or, where all requests are counted for the client, of its refresh
// tokens. Most clients have none, and then nothing has to be kept for them.
func (e *Engine) hasReaders(ctx context.Context, app zoho.App, config *settings.Config) (bool, error) {
	if config.CountRequestsPer == settings.CountPerClient {
		listed, err := e.recordsOf(ctx, pinOfApp(app))
		if err != nil || len(listed) > 0 {
			return true, err
		}
	}
	alone, err := e.isAloneOn(ctx, e.clientQuotaID(app.AccountsURL, app.ClientID), "")
	return !alone, err
}

// checkClaim decides whether a grant code may be exchanged. The error says when it may be.
func (e *Engine) checkClaim(client *refreshtoken.Usage, claim quota.Claim, config *settings.Config) error {
	now := e.now()
	return verdictError(client.Quota.Claim(now, config.Limits(), claim), client, &claim, config, now)
}

// verdictError is what a reader gets if package quota does not allow a request; nil if it does.
// claim is nil for one that is none.
func verdictError(decision quota.Decision, counted *refreshtoken.Usage, claim *quota.Claim, config *settings.Config, now time.Time) error {
	limits := config.Limits()
	refused := &GrantError{Kind: zoho.Throttled, RetryAt: decision.Until}
	switch decision.Verdict {
	case quota.Go, quota.Full:
		return nil
	case quota.Silent:
		return silenceError(decision.Silence, now)
	case quota.Used:
		return budgetError(config, decision.Until)
	case quota.Reserved:
		left, _ := counted.Quota.Left(now, limits)
		return reservedError(limits, left, decision.Until)
	case quota.CodesUsed:
		refused.Text = fmt.Sprintf("%d grant codes of this client have been exchanged in %s, and with one more Zoho may refuse all of them for ten minutes.", decision.Most, decision.In)
	case quota.RoleUsed:
		refused.onlyOf = claim.Role
		refused.Text = fmt.Sprintf("Role %q has used %d of the %d token requests that its client has in %s for grant codes, or for credentials that never worked. The others are kept for other roles. If these were not your own attempts, look who sends wrong codes for the role, or writes wrong credentials to it.", claim.Role, decision.Most, limits.Budget, decision.In)
	case quota.GuessesUsed:
		refused.Text = fmt.Sprintf("%d of the %d token requests that this client has in %s were made with client secrets that never worked. The others are kept for secrets that have. If these were not your own attempts, look which roles name this client_id with another client_secret.", decision.Most, limits.Budget, decision.In)
	}
	return refused
}
