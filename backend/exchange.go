package backend

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"vault-plugin-secrets-zoho/backend/quota"
	"vault-plugin-secrets-zoho/backend/refreshtoken"
	"vault-plugin-secrets-zoho/backend/secret"
	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/backend/zoho"
)

// exchangeCode turns the change's grant code into the refresh token of updated, and stores that
// role: see refreshtoken.Exchanged. What Zoho gives is stored or revoked. A refresh token that
// Vault does not know can live at Zoho in three cases, which no order of writes helps against:
// a crash between Zoho's answer and the first write; an answer that was lost; and when neither
// storage nor Zoho's revocation works. The last two are told to the operator.
func (e *Engine) exchangeCode(ctx context.Context, slot *roleSlot, old, updated *settings.Role, change roleChange, config *settings.Config) (warnings []string, err error) {
	app, err := updated.App(config)
	if err != nil {
		return nil, err
	}
	x := &exchange{role: updated, app: app, code: change.grantCode(), config: config, clientID: e.clientQuotaID(app.AccountsURL, app.ClientID)}
	if err := e.askForRefreshToken(ctx, x); err != nil {
		if change.consent == nil || change.consent.device == nil { // of a poll doPollDevice tells
			e.log().Warn("could not exchange a grant code", "role", updated.Name, "error", err)
		}
		return nil, tellWhoseClient(updated, err)
	}
	// From here on nothing may stop halfway, also while the mount shuts down.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitLimit+config.RequestTimeout)
	defer cancel()
	updated.RefreshToken, updated.Given = x.RefreshToken, true
	x.quotaID = e.quotaID(updated)
	c := &carrier{role: updated, app: app, config: config, slot: slot}
	var plan refreshtoken.Plan
	g, err := e.grantOf(updated, config)
	if err == nil {
		plan, err = e.planExchanged(ctx, g, old, x, c)
	}
	if err != nil {
		plan = refreshtoken.Plan{{Do: refreshtoken.AskRevokeNow, Record: x.quotaID}}
		return nil, x.notStored(c, errors.Join(err, e.carryOut(ctx, plan, c)))
	}
	if err := e.carryOut(ctx, plan[:1], c); err != nil {
		e.endRefused(ctx, app, config, x.AccessToken, "role", updated.Name)
		return nil, x.notStored(c, err)
	}
	if err := x.checkScopes(); err != nil {
		return nil, e.refuseGiven(ctx, old, x, err)
	}
	updated.AuthorizedAs = e.askWhoConsented(ctx, x)
	if err := x.checkPerson(); err != nil {
		return nil, e.refuseGiven(ctx, old, x, err)
	}
	if err := e.carryOut(ctx, plan[1:], c); err != nil {
		// Storage may have carried out the write that it reported as failed. If it did not,
		// Reconcile finds a refresh token that no role has.
		return nil, appendText(asUserError(err), x.orNewCode("Zoho had exchanged the grant code already. If Vault's storage has carried the write out although it reported a failure, the role works; otherwise the new refresh token is revoked by itself in a few minutes", "Read the role then, and if need be get a new code"))
	}
	slot.later(func(ctx context.Context) { e.endSilence(ctx, x) })
	if c.token != nil {
		e.reportMint(c.token, e.rolesFor(ctx, g, mintPurpose{}))
		if updated.Exclusive { // its readers get tokens of their own
			e.endUnheldLater(c.token.rec.ID)
		}
	}
	if c := x.code.consent; c != nil {
		c.account, c.granted, c.asked = updated.AuthorizedAs, x.Scopes, updated.Scopes
	}
	warnings = append(x.warnings, updated.ScopeWarnings(x.Scopes)...)
	return append(warnings, domainWarnings(x.ForeignDomain)...), nil
}

// planExchanged plans what follows an answer with a refresh token. An access token that is not
// usable takes nothing from it: the next mint shows whether the refresh token works.
func (e *Engine) planExchanged(ctx context.Context, g *grant, old *settings.Role, x *exchange, c *carrier) (refreshtoken.Plan, error) {
	limits := x.config.Limits()
	former, err := e.formerOf(ctx, x.role.Name, old)
	if err != nil {
		return nil, err
	}
	a := &attempt{grant: g, config: x.config, purpose: mintPurpose{trial: true, role: x.role.Name}, usages: usages{own: &refreshtoken.Usage{}}, asked: x.asked}
	given := refreshtoken.Given{Minted: refreshtoken.Minted{EnteringRole: e.entering(x.role, x.app, g.id, x.config), Asked: x.asked, Limits: limits}, Origin: x.code.origin()}
	if !x.AccessToken.IsZero() {
		if t, err := e.newToken(ctx, a, x.Token); err != nil {
			if _, odd := errors.AsType[*GrantError](err); !odd { // a token that the server gave before is left alone
				_ = e.revokeUnstored(ctx, x.app, x.config.CACert, x.AccessToken, "it could not be stored", "grant", g.id)
			}
			e.log().Warn("the access token that came with a refresh token could not be kept; the next read mints one", "role", x.role.Name, "grant", g.id, "error", err)
		} else {
			given.Minted = a.minted(t, limits, e.now())
			given.Minted.Exclusive = x.role.Exclusive
			c.token = t
		}
	}
	return refreshtoken.Exchanged(x.quotaID, given, e.leaving(x.role.Name, x.config), former...), nil
}

// exchange is the exchange of one grant code.
type exchange struct {
	role     *settings.Role // as it is to be written
	app      zoho.App
	code     grantCode
	config   *settings.Config
	clientID string // the quota in which Zoho counts the request: there is no refresh token yet

	// What came of it.
	zoho.Exchanged
	asked    time.Time
	quotaID  string // of the refresh token
	warnings []string
}

// grantCode is a code with what decides about its exchange.
type grantCode struct {
	value       secret.Value
	redirectURI string        // empty: of a Self Client
	consent     *givenConsent // a person has agreed, or is asked with a user code; nil: it was written by hand
	force       bool          // also if Zoho deletes another refresh token for the new one
}

func (ch roleChange) grantCode() grantCode {
	code := grantCode{value: secret.New(*ch.Code), consent: ch.consent}
	settings.Set(&code.force, ch.Force)
	settings.Set(&code.redirectURI, ch.RedirectURI)
	return code
}

func (c grantCode) origin() refreshtoken.Origin {
	if c.redirectURI == "" && c.consent == nil {
		return refreshtoken.Code
	}
	return refreshtoken.Consent
}

// askForRefreshToken asks Zoho, once.
func (e *Engine) askForRefreshToken(ctx context.Context, x *exchange) (err error) {
	if c := x.code.consent; c != nil && c.device != nil {
		return e.pollForRefreshToken(ctx, x)
	}
	return e.askZoho(ctx, x.config, question{
		turn: x.clientID,
		admit: func(ctx context.Context) error {
			sent, err := e.admitExchange(ctx, x)
			if err != nil {
				return e.notExchanged(x.code, err)
			}
			if x.code.consent != nil { // only now: an attempt that is put off uses up no link
				if err := x.code.consent.take(ctx, e); err != nil {
					return err
				}
			}
			return e.countExchange(ctx, x, sent)
		},
		ask: func(ctx context.Context, accounts *zoho.Client) (err error) {
			x.Exchanged, err = accounts.Exchange(ctx, x.app, x.code.value, x.code.redirectURI)
			return err
		},
		note: func(ctx context.Context, failed error) error { return e.noteExchanged(ctx, x, failed) },
	})
}

// countExchange counts a request that is about to be sent.
func (e *Engine) countExchange(ctx context.Context, x *exchange, sent quota.Request) error {
	limits, err := e.countingLimits(ctx, x.config)
	if err != nil {
		return err
	}
	x.asked = e.now()
	sent.At = x.asked
	return e.changeClient(ctx, x.app, func(u *refreshtoken.Usage) { u.Quota.Count(sent, limits) })
}

// noteExchanged notes what came of an exchange. Beside a refresh token there is no error.
func (e *Engine) noteExchanged(ctx context.Context, x *exchange, failed error) error {
	if failed != nil {
		e.endRefused(ctx, x.app, x.config, x.AccessToken, "role", x.role.Name)
		x.Token = zoho.Token{}
	}
	if x.RefreshToken.IsZero() || x.OddRefreshToken {
		return e.noteNotExchanged(ctx, x, failed)
	}
	if failed != nil {
		e.log().Warn("a grant code gave a refresh token, and no access token that could be used", "role", x.role.Name, "error", failed)
		x.warnings = append(x.warnings, fmt.Sprintf("Zoho gave a refresh token, which is kept, and no access token that could be used: the next read mints one, and shows whether the refresh token works. %v", failed))
	}
	return nil
}

// noteNotExchanged notes that Zoho has given no refresh token that could be stored, and
// explains why.
func (e *Engine) noteNotExchanged(ctx context.Context, x *exchange, failed error) error {
	if refused, ok := errors.AsType[*zoho.Error](failed); ok && refused.Kind.Definite() {
		if err := e.countRefusal(ctx, x.role.Name, x.config); err != nil {
			return err
		}
	}
	if err := e.changeUsage(ctx, x.clientID, func(u *refreshtoken.Usage) { noteExchangeAnswer(&u.Quota, e.now(), x, failed) }); err != nil {
		return err
	}
	if failed == nil {
		_ = e.revokeUnstored(ctx, x.app, x.config.CACert, x.AccessToken, "it came without a refresh token", "role", x.role.Name)
		return x.withoutRefreshToken()
	}
	if x.OddRefreshToken {
		odd := *x.role
		odd.RefreshToken = x.RefreshToken
		c := &carrier{role: &odd, app: x.app, config: x.config}
		err := e.carryOut(ctx, refreshtoken.Plan{{Do: refreshtoken.AskRevokeNow}}, c)
		return x.notStored(c, errors.Join(asGrantError(failed), err))
	}
	return x.maybeExchanged(e.deniedExchange(ctx, x, failed))
}

// endSilence notes that Zoho exchanges codes of the client again.
func (e *Engine) endSilence(ctx context.Context, x *exchange) {
	if err := e.changeUsage(ctx, x.clientID, func(u *refreshtoken.Usage) { noteExchangeAnswer(&u.Quota, e.now(), x, nil) }); err != nil {
		e.log().Warn("could not note that Zoho denies a client no more; the next exchange does that", "quota", x.clientID, "error", err)
	}
}

// refuseGiven revokes a refresh token that the role does not take.
func (e *Engine) refuseGiven(ctx context.Context, old *settings.Role, x *exchange, refusal error) error {
	e.log().Warn("what a grant code brought is not what the role asks for; it is revoked", "role", x.role.Name, "quota", x.quotaID, "error", refusal)
	if old != nil && e.quotaID(old) == x.quotaID { // a server can repeat one
		return refusal
	}
	leaving := e.leaving(x.role.Name, x.config)
	leaving.Unsaid = true
	err := e.carryOut(ctx, refreshtoken.Leave(x.quotaID, leaving), &carrier{})
	if err == nil {
		err = e.tryReconcile(ctx, x.quotaID)
	}
	record, lost := e.record(ctx, x.quotaID)
	switch {
	case err == nil && lost == nil && record == nil:
		return appendText(refusal, x.revokedAgain())
	case err == nil && lost == nil && len(record.Roles) > 0 && !record.IsEnding(): // another role has it
		return refusal
	default:
		return appendText(refusal, x.orNewCode(fmt.Sprintf("Zoho had exchanged the grant code already, and its refresh token could not be revoked yet (%v); that is tried again in a few minutes", cmp.Or(err, lost)), "Correct the cause, and get a new code"))
	}
}
