package backend

import (
	"context"
	"maps"
	"slices"
	"strings"

	"vault-plugin-secrets-zoho/backend/ledger"
	"vault-plugin-secrets-zoho/backend/secret"
	"vault-plugin-secrets-zoho/backend/zoho"
)

// IsClosing reports whether Close was called.
func (e *Engine) IsClosing() bool {
	select {
	case <-e.work.Closing():
		return true
	default:
		return false
	}
}

// IsRetrying reports whether what a Tick has begun in the background still runs.
func (e *Engine) IsRetrying() bool { return e.retry.Busy() }

// Holding returns the holders that memory has, written or not.
func (e *Engine) Holding(tokenID string) []ledger.Holder {
	t := e.tokens.find(tokenID)
	if t == nil {
		return nil
	}
	return t.ledger.Holders()
}

// Queued counts the changes to a token's ledger that wait for the writer.
func (e *Engine) Queued(tokenID string) int {
	t := e.tokens.find(tokenID)
	return t.ledger.Pending().Changes
}

// IsWritten reports whether all that is known of who holds a token is in storage.
func (e *Engine) IsWritten(tokenID string) bool {
	p := e.tokens.find(tokenID).ledger.Pending()
	return p.Changes == 0 && !p.Writing
}

// IsClosed reports whether the ledger of a token that is gone is being erased.
func (e *Engine) IsClosed(tokenID string) bool {
	t := e.tokens.find(tokenID)
	if t == nil {
		return false
	}
	return t.ledger.Pending().Closed
}

// Deciding counts those who wait for the decision to end a token to be stored.
func (e *Engine) Deciding(tokenID string) int {
	t := e.tokens.find(tokenID)
	return t.ledger.Pending().Deciding
}

// Writing counts the writes of roles that are under way.
func (e *Engine) Writing() int {
	return e.writes.Waiting(func(key string) bool { return strings.HasPrefix(key, prefixRoles) })
}

// WaitingForRole counts those who wait for, or are in, the write of a role.
func (e *Engine) WaitingForRole(name string) int {
	return e.writes.Waiting(func(key string) bool { return key == prefixRoles+name })
}

// Hold makes h a holder of a token that is in memory, as it is.
func (e *Engine) Hold(ctx context.Context, tokenID string, h ledger.Holder) (string, error) {
	t := e.tokens.find(tokenID)
	return t.ledger.Hold(ctx, h)
}

// FailedReleases counts the releases that are remembered since they failed.
func (e *Engine) FailedReleases() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.failing)
}

// CanBeHeld reports whether a token that is in memory may get new holders.
func (e *Engine) CanBeHeld(tokenID string) bool {
	t := e.tokens.find(tokenID)
	return t.ledger.CanBeHeld()
}

// Remembered counts the grants and records in memory.
func (e *Engine) Remembered() int {
	return len(e.allGrants()) + len(e.refreshTokens.Cached()) + len(e.clients.Cached())
}

// CACertsInUse lists the CA certificates for which there is a client.
func (e *Engine) CACertsInUse() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Sorted(maps.Keys(e.accounts))
}

// ForgetAccountsClients lets them be made anew.
func (e *Engine) ForgetAccountsClients() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for key, client := range e.accounts {
		client.Close()
		delete(e.accounts, key)
	}
}

// RevokeUnstored revokes an access token that no record names.
func (e *Engine) RevokeUnstored(ctx context.Context, accountsURL, clientID, clientSecret string, token secret.Value) error {
	app := zoho.App{AccountsURL: accountsURL, ClientID: clientID, ClientSecret: secret.New(clientSecret)}
	return e.revokeUnstored(ctx, app, "", token, "a test wants it")
}

// WaitingForTurns counts those who have, or wait for, a turn at Zoho.
func (e *Engine) WaitingForTurns() int {
	return e.turns.Waiting(func(string) bool { return true })
}

// WaitingForRecords counts those who change, or wait to change, records of refresh tokens.
func (e *Engine) WaitingForRecords() int { return e.refreshTokens.Waiting() }

// APIDomain is where the APIs are that take a token.
func APIDomain(said, former, accountsURL string) string { return apiDomain(said, former, accountsURL) }

// WaitingRoles names the roles whose readers wait for a mint of a grant, and have no token.
func (e *Engine) WaitingRoles(grantID string) []string {
	e.mu.Lock()
	g := e.grants[grantID]
	e.mu.Unlock()
	if g == nil {
		return nil
	}
	return g.waitingRoles()
}
