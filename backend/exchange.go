package backend

import (
	"context"
	"fmt"
	"time"

	"vault-plugin-secrets-zoho/backend/quota"
	"vault-plugin-secrets-zoho/backend/secret"
	"vault-plugin-secrets-zoho/backend/zoho"
)

// exchangeCode turns the change's grant code into the refresh token of updated,
// and stores that role. What Zoho gives is stored or revoked. A refresh token that Vault
// does not know can live at Zoho in three cases, which no order of writes helps against:
// a crash between Zoho's answer and the first write; an answer that was lost; and when
// neither storage nor Zoho's revocation works. The last two are told to the operator.
//
// What storage has after each write, in this order:
//
//	noteUnstored         a pending revocation of the new refresh token
//	listRefreshToken     its entry in the list of its client
//	noteExchange         what came of the request, in the quota of the client
//	prepareAuthorized    the role's entry in the index of the new quota, and a pending
//	                     revocation of the former refresh token
//	countRequest         the request, in the quota of the new refresh token
//	storeRole            the role
//	deleteRevocation     no pending revocation of the new refresh token any more
//	adoptExchanged       the access token, in the records by which readers find it
//
// After a crash Tick revokes what is pending and no stored role has, and deletes the
// entry otherwise. The rest of what is revoked goes with the daily round.
func (e *Engine) exchangeCode(ctx context.Context, old, updated *Role, change RoleChange, config *Config) (warnings []string, err error) {
	app, err := updated.app(config)
	if err != nil {
		return nil, err
	}
	x := &exchange{role: updated, app: app, code: change.grantCode(), config: config}
	if err := e.askForRefreshToken(ctx, x); err != nil {
		e.log().Warn("could not exchange a grant code", "role", updated.Name, "error", err)
		return nil, updated.tellWhoseClient(err)
	}
	if err := x.checkScopes(); err != nil {
		return nil, e.refuseGiven(ctx, x, err)
	}
	updated.AuthorizedAs = e.askWhoConsented(ctx, x)
	if err := x.checkPerson(); err != nil {
		return nil, e.refuseGiven(ctx, x, err)
	}
	// From here on nothing may stop halfway, also while the mount shuts down.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitLimit)
	defer cancel()
	defer e.beginWriting(x.quotaID, updated.Name)()
	g, err := e.grantOf(ctx, updated, config)
	if err == nil {
		err = e.prepareAuthorized(ctx, old, updated, config)
	}
	if err != nil {
		return nil, e.revokeNotStored(ctx, x, err)
	}
	release, err := e.takeTurn(ctx, x.quotaID) // its first reader waits for the token that is here already
	if err != nil {
		return nil, e.revokeNotStored(ctx, x, err)
	}
	defer release()
	if err := e.checkUnstored(ctx, x); err != nil {
		return nil, err
	}
	// Zoho counts the exchange for the refresh token, too, and its access token.
	q, err := e.quota(ctx, x.quotaID)
	if err == nil {
		err = e.countRequest(ctx, q, config, quota.Request{At: x.asked})
	}
	if err != nil {
		return nil, appendText(err, x.unstoredYet())
	}
	stored := e.storeRole(ctx, updated)
	if stored == nil {
		if err := e.deleteRevocation(ctx, x.quotaID); err != nil {
			e.log().Warn("a refresh token that is stored is still noted as not stored; the round of the next minute corrects that", "role", updated.Name, "quota", x.quotaID, "error", err)
		}
	}
	if err := e.adoptExchanged(ctx, g, q, x); err != nil {
		e.log().Warn("the access token that came with a refresh token could not be kept; the next read mints one", "role", updated.Name, "grant", g.id, "error", err)
	}
	if stored != nil {
		// Storage may have carried the write out all the same, and only the active
		// node can tell. If it did not, Tick finds a refresh token that no role has.
		return nil, appendText(stored, x.orNewCode("Zoho had exchanged the grant code already. If Vault's storage has carried the write out although it reported a failure, the role works; otherwise the new refresh token is revoked by itself in a few minutes", "Read the role then, and if need be get a new code"))
	}
	if c := x.code.consent; c != nil {
		c.account, c.granted, c.asked = updated.AuthorizedAs, x.Scopes, updated.Scopes
	}
	warnings = append(x.warnings, updated.scopeWarnings(x.Scopes)...)
	return append(warnings, domainWarnings(x.ForeignDomain)...), nil
}

// checkUnstored fails if Tick has taken the new refresh token for a leftover. Tick cannot do
// that while the caller has the turn of its quota.
func (e *Engine) checkUnstored(ctx context.Context, x *exchange) error {
	pending, err := e.loadRevocation(ctx, x.quotaID)
	switch {
	case err != nil:
		return appendText(err, x.unstoredYet())
	case pending == nil || pending.Decided:
		return &GrantError{Kind: zoho.Unreachable, outcome: ConsentInterrupted, Text: x.orNewCode("The write took so long, or the server's clock was set forward, that the refresh token which Zoho gave for the grant code was taken for a leftover, and is revoked", "To try again, get a new code") + "."}
	}
	return nil
}

// exchange is the exchange of one grant code.
type exchange struct {
	role   *Role // as it is to be written
	app    zoho.App
	code   grantCode
	config *Config
	client *quotaRecord // where Zoho counts the request: there is no refresh token yet

	// What came of it.
	zoho.Exchanged
	asked    time.Time
	quotaID  string // of the refresh token, when it is noted; empty: it is not
	warnings []string
}

// grantCode is a code with what decides about its exchange.
type grantCode struct {
	value       secret.Value
	redirectURI string        // empty: of a Self Client
	consent     *givenConsent // a person has agreed in a browser; nil: it was written by hand
	force       bool          // also if Zoho deletes another refresh token for the new one
}

func (ch RoleChange) grantCode() grantCode {
	code := grantCode{value: secret.New(*ch.Code), consent: ch.consent}
	set(&code.force, ch.Force)
	set(&code.redirectURI, ch.RedirectURI)
	return code
}

func (c grantCode) origin() string {
	if c.redirectURI == "" {
		return originCode
	}
	return originConsent
}

// prepareAuthorized writes what has to be there before a role with a new refresh
// token is stored: its entry in the index, and the note that the former one is to be
// revoked, which nobody would know afterwards.
func (e *Engine) prepareAuthorized(ctx context.Context, old, updated *Role, config *Config) error {
	if err := e.enterIndex(ctx, e.quotaID(updated), updated.Name); err != nil {
		return err
	}
	if old == nil || old.RefreshToken.IsZero() {
		return nil
	}
	return e.noteRevocation(ctx, old, config)
}

// askForRefreshToken asks Zoho, once. Beside an error, a refresh token that Zoho has given
// is revoked.
func (e *Engine) askForRefreshToken(ctx context.Context, x *exchange) (err error) {
	if x.client, err = e.clientQuota(ctx, x.app); err != nil {
		return err
	}
	err = e.askZoho(ctx, x.config, question{
		turn: x.client,
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
			x.asked = e.now()
			sent.At = x.asked
			return e.countRequest(ctx, x.client, x.config, sent)
		},
		ask: func(ctx context.Context, accounts *zoho.Client) (err error) {
			x.Exchanged, err = accounts.Exchange(ctx, x.app, x.code.value, x.code.redirectURI)
			return err
		},
		note: func(ctx context.Context, failed error) error {
			if failed != nil {
				e.endRefused(ctx, x.app, x.config, x.AccessToken, "role", x.role.Name)
				x.Token = zoho.Token{}
			}
			if x.RefreshToken.IsZero() || x.OddRefreshToken {
				return e.noteNotExchanged(ctx, x, failed)
			}
			return e.noteExchanged(ctx, x, failed)
		},
	})
	if err != nil {
		return e.revokeNotStored(ctx, x, err)
	}
	return nil
}

// noteExchanged notes the refresh token that Zoho has given, before anything else can
// fail, and lists it for its client. An access token that is not usable takes nothing
// from it: the next mint shows whether the refresh token works.
func (e *Engine) noteExchanged(ctx context.Context, x *exchange, failed error) error {
	x.role.RefreshToken = x.RefreshToken
	if err := e.noteUnstored(ctx, x.role, x.app, x.config); err != nil {
		return err
	}
	x.quotaID = e.quotaID(x.role)
	if err := e.listRefreshToken(ctx, x.app, x.quotaID, x.code.origin()); err != nil {
		return err
	}
	if err := e.noteExchange(ctx, x, nil); err != nil {
		return err
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
	if err := e.noteExchange(ctx, x, failed); err != nil {
		return err
	}
	if failed == nil {
		_ = e.revokeUnstored(ctx, x.app, x.config.CACert, x.AccessToken, "it came without a refresh token", "role", x.role.Name)
		return x.withoutRefreshToken()
	}
	if x.OddRefreshToken {
		return asGrantError(failed)
	}
	return x.maybeExchanged(e.deniedExchange(ctx, x, failed))
}

// noteExchange notes what came of the exchange for the client.
func (e *Engine) noteExchange(ctx context.Context, x *exchange, failed error) error {
	if refused, ok := asError[*zoho.Error](failed); ok && refused.Kind.Definite() {
		if err := e.countRefusal(ctx, x.role.Name, x.config); err != nil {
			return err
		}
	}
	return e.updateQuota(ctx, x.client, func(rec *quota.Record) { noteExchangeAnswer(rec, e.now(), x, failed) })
}

// adoptExchanged makes the access token that came with a new refresh token the
// current one of its grant. One that was not usable counts as a token that may live.
func (e *Engine) adoptExchanged(ctx context.Context, g *grant, q *quotaRecord, x *exchange) error {
	if x.AccessToken.IsZero() {
		return nil
	}
	t, err := e.keepMinted(ctx, g, q, x.Token, x.config, x.asked, mintPurpose{})
	if err == nil && x.role.Exclusive {
		e.work.Go(func() { e.endIfUnheld(e.work.Life(), t) })
	}
	return err
}
