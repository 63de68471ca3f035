package backend

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"vault-plugin-secrets-zoho/backend/ledger"
	"vault-plugin-secrets-zoho/backend/refreshtoken"
	"vault-plugin-secrets-zoho/backend/secret"
	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/backend/zoho"
)

// Reader is who asks for a token and what for.
type Reader struct {
	MinTTL time.Duration // 0: the role's
	TTL    time.Duration // caps the lease; 0: the role's alone
	Reject string        // token_id of a token that Zoho refused: any other one; empty: none
	settings.Requester
}

// Issued is an access token for one lease.
type Issued struct {
	AccessToken secret.Value
	TokenType   string
	APIDomain   string
	ZohoDomain  string // empty if the Accounts server is none of Zoho's
	DataCenter  string // of the Accounts server; empty if it is none of Zoho's
	Scopes      []string
	ExpiresAt   time.Time // of the token
	TokenID     string
	HolderID    string
	Role        string
	Metadata    map[string]string // of the role
	TTL         time.Duration     // of the lease: whole seconds, at least one
	Warnings    []string
}

// Issue hands out the access token of a role's grant to one more holder, and
// mints it first if need be. The error is a *UserError, a *GrantError, the
// context's, or the storage's.
func (e *Engine) Issue(ctx context.Context, roleName string, reader Reader) (*Issued, error) {
	for changes := 0; ; {
		issued, err := e.tryIssue(ctx, roleName, reader)
		if errors.Is(err, errRoleChanged) {
			if changes++; changes == mostChanges {
				err = settings.UserErrorf("role %q and the record of its refresh token do not fit together, as after a backup was restored in part: write its refresh_token again, or authorize it: vault write -f <mount>/roles/%s/authorize", roleName, roleName)
			}
		}
		if isWorthAnotherLook(err) {
			continue
		}
		e.countRead(roleName, err)
		if err != nil {
			e.log().Debug("a read was refused", "role", roleName, "entity_id", reader.EntityID, "request_id", reader.RequestID, "error", err)
		}
		return issued, err
	}
}

// mostChanges is how often a read meets a role that is being changed. Who meets more of them
// meets something else.
const mostChanges = 50

// isWorthAnotherLook reports whether a read met something that has changed by
// now, so that it begins anew.
func isWorthAnotherLook(err error) bool {
	return errors.Is(err, ledger.ErrEnding) || errors.Is(err, errRoleChanged) || errors.Is(err, errNoToken)
}

func (e *Engine) tryIssue(ctx context.Context, roleName string, reader Reader) (*Issued, error) {
	role, config, err := e.roleAndConfig(ctx, roleName)
	if err != nil {
		return nil, err
	}
	if err := cmp.Or(settings.CheckMinTTL(reader.MinTTL), settings.CheckTTL(reader.TTL), settings.CheckReject(reader.Reject)); err != nil {
		return nil, err
	}
	g, err := e.grantOf(role, config)
	if err != nil {
		return nil, err
	}
	t, warnings, err := e.tokenFor(ctx, role, config, g, reader)
	if err != nil && e.hasOtherGrant(ctx, role, g) {
		return nil, errRoleChanged // the refusal is of credentials that the role has no longer
	}
	if err != nil {
		return nil, prependText(fmt.Sprintf("No access token for role %q: ", role.Name), tellWhoseClient(role, err))
	}
	issued, err := e.lease(ctx, g, t, role, reader)
	if err != nil {
		return nil, prependText(fmt.Sprintf("No access token for role %q: ", role.Name), err)
	}
	doubts, err := e.doubtWarning(ctx, g, t, role.Name)
	if err != nil {
		e.log().Debug("could not look whether an access token is in doubt", "token_id", t.rec.ID, "error", err)
	}
	issued.Warnings = append(warnings, doubts...)
	return issued, nil
}

// hasOtherGrant reports whether a role was given another grant since it was looked at.
func (e *Engine) hasOtherGrant(ctx context.Context, role *settings.Role, from *grant) bool {
	now, config, err := e.roleAndConfig(ctx, role.Name)
	if err != nil {
		return false
	}
	id := e.grantID(now, config)
	return id != "" && id != from.id
}

// tokenFor is the token of a lease: the grant's, or one of its own.
func (e *Engine) tokenFor(ctx context.Context, role *settings.Role, config *settings.Config, g *grant, reader Reader) (*token, []string, error) {
	if !role.Exclusive {
		return e.usableToken(ctx, role, config, g, reader)
	}
	t, err := e.mintExclusive(ctx, g, role.Name)
	if err != nil {
		return nil, nil, err
	}
	return t, t.capWarning(cmp.Or(reader.MinTTL, role.MinTTL, config.MinTTL)), nil
}

// usableToken is the switch over the freshness of the grant's token: serve, serve
// and mint ahead, or wait for a mint.
func (e *Engine) usableToken(ctx context.Context, role *settings.Role, config *settings.Config, g *grant, reader Reader) (*token, []string, error) {
	own := need{minTTL: cmp.Or(role.MinTTL, config.MinTTL)}
	want := need{minTTL: cmp.Or(reader.MinTTL, own.minTTL), reject: reader.Reject}
	g.mu.Lock()
	g.read = e.now()
	g.mu.Unlock()

	t, state, err := e.currentToken(ctx, g, want)
	if err != nil {
		return nil, nil, err
	}
	switch state {
	case invalid:
	case fresh:
		return t, t.capWarning(want.minTTL), nil
	case stale:
		if config.RefreshAhead {
			e.mintAhead(g)
		}
		return t, t.capWarning(want.minTTL), nil
	}
	// Whoever asks for more than the role does, or rejects what its other readers get, is
	// not one of those for whom a part of the budget is kept.
	_, ownState, err := e.bestToken(ctx, g, own)
	if err != nil {
		return nil, nil, err
	}
	reserveRole := ""
	if ownState == invalid {
		reserveRole = role.Name
	}
	return e.tokenAfterMint(ctx, g, role, reserveRole, want)
}

// tokenAfterMint waits for a new token. If there is none to be had, a token that is
// comfortably alive is better than an error.
func (e *Engine) tokenAfterMint(ctx context.Context, g *grant, role *settings.Role, reserveRole string, want need) (*token, []string, error) {
	failed := e.mintForReader(ctx, g, role, reserveRole, want)
	if failed == nil {
		t, _, err := e.currentToken(ctx, g, want)
		if err == nil && t == nil {
			err = errNoToken
		}
		if err != nil {
			return nil, nil, err
		}
		return t, t.capWarning(want.minTTL), nil
	}
	if ctx.Err() != nil || errors.Is(failed, errRoleChanged) {
		return nil, nil, failed
	}
	t, state, err := e.bestToken(ctx, g, want)
	switch {
	case err != nil:
		return nil, nil, failed
	case t == nil || !t.comfortable(e.now()):
		return nil, nil, e.tellGivenUp(ctx, g, failed)
	case state != invalid: // a superseded one will do
		return t, t.capWarning(want.minTTL), nil
	}
	return t, t.fallbackWarning(e.now(), failed), nil
}

// tellGivenUp says after a failure that there would be a token, had it not been given up.
// In an outage that is mostly what somebody has done who revoked leases to make it better.
func (e *Engine) tellGivenUp(ctx context.Context, g *grant, failed error) error {
	u, err := e.usage(ctx, g.quotaID)
	if err != nil {
		return failed
	}
	live, err := e.liveTokens(ctx, u)
	if err != nil {
		return failed
	}
	for _, t := range live {
		if t.rec.GrantID == g.id && !t.rec.Exclusive && t.ledger.IsEnding() && t.comfortable(e.now()) {
			return appendText(failed, "The access token that there was has been given up, since its last lease was revoked or somebody has ended it, and what is given up nobody gets any more. Leave the other leases alone until Zoho answers again: programs that have one go on. A role with revoke_delay keeps its token for the next reader when the last lease is revoked")
		}
	}
	return failed
}

// lease enters the reader as a holder of t. TTL is a whole number of seconds,
// rounded down, so the lease never outlives the token.
func (e *Engine) lease(ctx context.Context, g *grant, t *token, role *settings.Role, reader Reader) (*Issued, error) {
	now := e.now()
	holderID, err := t.ledger.Hold(ctx, ledger.Holder{
		Role: role.Name, Requester: reader.Requester, Since: now, Until: now.Add(t.leaseTTL(now, role, reader)),
	})
	if err != nil {
		return nil, err
	}
	// Vault drops the answer for a reader who has hung up, so there is no lease.
	if err := cmp.Or(e.lookOnceMore(ctx, g, t, role), ctx.Err()); err != nil {
		t.ledger.Withdraw(holderID)
		return nil, err
	}
	ttl := t.leaseTTL(e.now(), role, reader)
	if ttl < time.Second {
		// The write took the rest of its life; Vault reads a TTL of 0 as 32 days.
		t.ledger.Withdraw(holderID)
		return nil, &GrantError{Kind: zoho.Unreachable, Text: "The access token expired while its lease was being recorded; Vault's storage is slow. Try again."}
	}
	dc, _ := zoho.ByAccountsURL(t.rec.App.AccountsURL) // of a server that is none of Zoho's only its operator knows who takes its tokens
	return &Issued{
		AccessToken: t.rec.AccessToken, TokenType: t.rec.TokenType, APIDomain: t.rec.APIDomain, ZohoDomain: dc.Domain(), DataCenter: dc.Name,
		Scopes: t.rec.Scopes, ExpiresAt: t.rec.ExpiresAt, TokenID: t.rec.ID,
		HolderID: holderID, Role: role.Name, Metadata: settings.Copied(role.Metadata), TTL: ttl,
	}, nil
}

// lookOnceMore fails if a role may not hand out an access token after all: what a reader has
// looked at before it was a holder may have changed.
func (e *Engine) lookOnceMore(ctx context.Context, g *grant, t *token, role *settings.Role) error {
	if isOfClient(g.quotaID) {
		c, err := e.client(ctx, g.quotaID)
		if err == nil && (c == nil || c.Roles[role.Name] == "" || !c.Counts(t.rec.ID) || e.hasOtherGrant(ctx, role, g)) {
			err = errRoleChanged
		}
		return err
	}
	record, err := e.record(ctx, g.quotaID)
	if err != nil {
		return err
	}
	err = record.MayHandOut(role.Name, t.rec.ID)
	if refused, ok := errors.AsType[*refreshtoken.RefusedError](err); ok && refused.Reason != refreshtoken.IsEnding && refused.Reason != refreshtoken.Gone {
		return errRoleChanged
	}
	return cmp.Or(endingError(record), asUserError(err))
}

func (t *token) leaseTTL(now time.Time, role *settings.Role, reader Reader) time.Duration {
	ttl := t.left(now).Truncate(time.Second)
	for _, limit := range []time.Duration{role.TTL, reader.TTL} {
		if limit > 0 {
			ttl = min(ttl, limit)
		}
	}
	return ttl
}
