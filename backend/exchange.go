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
	got, err := e.exchange(ctx, updated, app, change.grantCode(), config)
	if err != nil {
		e.log().Warn("could not exchange a grant code", "role", updated.Name, "error", err)
		return nil, err
	}
	updated.AuthorizedAs = e.askWhoConsented(ctx, updated, app, got, config)
	// From here on nothing may stop halfway, also while the mount shuts down.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitLimit)
	defer cancel()
	g, err := e.grantOf(ctx, updated, config)
	if err != nil {
		return nil, e.revokeNotStored(ctx, app, config, got, err)
	}
	q, err := e.quota(ctx, got.quotaID)
	if err != nil {
		return nil, e.revokeNotStored(ctx, app, config, got, err)
	}
	defer e.beginWriting(q.id, updated.Name)()
	if err := e.prepareAuthorized(ctx, old, updated, config); err != nil {
		return nil, e.revokeNotStored(ctx, app, config, got, err)
	}
	release, err := e.takeTurn(ctx, q.id) // its first reader waits for the token that is here already
	if err != nil {
		return nil, e.revokeNotStored(ctx, app, config, got, err)
	}
	defer release()
	// While we have the turn, Tick cannot revoke it. Check that Tick did not do so
	// before.
	pending, err := e.loadRevocation(ctx, q.id)
	switch {
	case err != nil:
		return nil, err // the note stands, and Tick looks at it
	case pending == nil || pending.Decided:
		return nil, &GrantError{Kind: zoho.Unreachable, Text: "The write took so long, or the server's clock was set forward, that the refresh token which Zoho gave for the grant code was taken for a leftover and revoked. Get a new code, and try again."}
	}
	// Zoho counts the exchange for the refresh token, too, and its access token.
	if err := e.countRequest(ctx, q, config, quota.Request{At: got.asked}); err != nil {
		return nil, appendText(err, "Zoho had exchanged the grant code already; its refresh token is revoked by itself in a few minutes. Correct the cause, and get a new code")
	}
	stored := e.storeRole(ctx, updated)
	if stored == nil {
		if err := e.deleteRevocation(ctx, q.id); err != nil {
			e.log().Warn("a refresh token that is stored is still noted as not stored; the round of the next minute corrects that", "role", updated.Name, "quota", q.id, "error", err)
		}
	}
	if err := e.adoptExchanged(ctx, g, q, got, updated.Exclusive, config); err != nil {
		e.log().Warn("the access token that came with a refresh token could not be kept; the next read mints one", "role", updated.Name, "grant", g.id, "error", err)
	}
	if stored != nil {
		// Storage may have carried the write out all the same, and only the active
		// node can tell. If it did not, Tick finds a refresh token that no role has.
		return nil, appendText(stored, "Zoho had exchanged the grant code already. If Vault's storage has carried the write out although it reported a failure, the role works; otherwise the new refresh token is revoked by itself in a few minutes. Read the role then, and if need be get a new code")
	}
	warnings = append(got.warnings, updated.scopeWarnings(got.Scopes)...)
	if got.ForeignDomain {
		warnings = append(warnings, (&token{foreignDomain: true}).domainWarnings()...)
	}
	return warnings, nil
}

// grantCode is a code with what decides about its exchange.
type grantCode struct {
	value       secret.Value
	redirectURI string // empty: of a Self Client
	consented   bool   // a person has agreed in a browser
	force       bool   // also if Zoho deletes another refresh token for the new one
}

func (ch RoleChange) grantCode() grantCode {
	code := grantCode{value: secret.New(*ch.Code), consented: ch.consent != nil}
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

// exchanged is what a grant code gave, and when it was asked for.
type exchanged struct {
	zoho.Exchanged
	asked    time.Time
	quotaID  string // of the refresh token, when it is noted; empty: it is not
	warnings []string
}

// exchange asks Zoho, once. Zoho counts the request for the client: there is no
// refresh token yet. Beside an error, a refresh token that Zoho has given is revoked.
func (e *Engine) exchange(ctx context.Context, updated *Role, app zoho.App, code grantCode, config *Config) (got exchanged, err error) {
	client, err := e.clientQuota(ctx, app)
	if err != nil {
		return exchanged{}, err
	}
	err = e.askZoho(ctx, config, question{
		turn: client,
		admit: func(ctx context.Context) error {
			if err := e.admitExchange(ctx, client, updated.Name, app, code, config); err != nil {
				return e.notExchanged(code, updated.Name, err)
			}
			got.asked = e.now()
			return e.countRequest(ctx, client, config, quota.Request{At: got.asked, Exchange: true})
		},
		ask: func(ctx context.Context, accounts *zoho.Client) (err error) {
			got.Exchanged, err = accounts.Exchange(ctx, app, code.value, code.redirectURI)
			return err
		},
		note: func(ctx context.Context, failed error) error {
			if !got.RefreshToken.IsZero() {
				return e.noteExchanged(ctx, client, updated, app, code, &got, failed, config)
			}
			return e.noteNotExchanged(ctx, client, updated.Name, app, got, failed, config)
		},
	})
	if err != nil {
		return exchanged{}, e.revokeNotStored(ctx, app, config, got, err)
	}
	return got, nil
}

// noteExchanged notes the refresh token that Zoho has given, before anything else can
// fail, and lists it for its client. An access token that is not usable takes nothing
// from it: the next mint shows whether the refresh token works.
func (e *Engine) noteExchanged(ctx context.Context, client *quotaRecord, updated *Role, app zoho.App, code grantCode, got *exchanged, failed error, config *Config) error {
	updated.RefreshToken = got.RefreshToken
	noted, err := e.noteUnstored(ctx, updated, app, config)
	if err != nil {
		return err
	}
	got.quotaID = noted
	if err := e.listRefreshToken(ctx, app, got.quotaID, code.origin()); err != nil {
		return err
	}
	if err := e.noteExchange(ctx, client, updated.Name, config, nil); err != nil {
		return err
	}
	if failed != nil {
		e.log().Warn("a grant code gave a refresh token, and no access token that could be used", "role", updated.Name, "error", failed)
		got.warnings = append(got.warnings, fmt.Sprintf("Zoho gave a refresh token, which is kept, and no access token that could be used: the next read mints one, and shows whether the refresh token works. %v", failed))
	}
	return nil
}

// noteNotExchanged notes that Zoho has given no refresh token, and explains why.
func (e *Engine) noteNotExchanged(ctx context.Context, client *quotaRecord, role string, app zoho.App, got exchanged, failed error, config *Config) error {
	if err := e.noteExchange(ctx, client, role, config, failed); err != nil {
		return err
	}
	if failed == nil {
		failed = zoho.NoRefreshToken(app)
		_ = e.revokeUnstored(ctx, app, config.CACert, got.AccessToken, "it came without a refresh token", "role", role)
	}
	return maybeExchanged(e.deniedExchange(ctx, client, failed))
}

// admitExchange decides whether Zoho may be asked to exchange a code. Everything that
// forbids it is here. The caller has the client's turn.
func (e *Engine) admitExchange(ctx context.Context, client *quotaRecord, role string, app zoho.App, code grantCode, config *Config) error {
	known, err := e.refreshTokensOf(ctx, client.id)
	if err != nil {
		return err
	}
	if err := known.refuseTwentyFirst(code, app); err != nil {
		return err
	}
	if err := e.mayExchange(client, config); err != nil {
		return err
	}
	return e.checkRefusals(ctx, role, config)
}

// maybeExchanged tells of a refresh token that an answer may have carried which
// did not arrive.
func maybeExchanged(err error) error {
	if failed, ok := find[*zoho.Error](err); !ok || failed.NoToken() {
		return asGrantError(err)
	}
	return appendText(asGrantError(err), "Get a new code. If Zoho has exchanged this one all the same, a refresh token that Vault does not know lives there: remove it under Connected Apps of the user who consented")
}

// noteExchange notes what came of the exchange.
func (e *Engine) noteExchange(ctx context.Context, client *quotaRecord, role string, config *Config, failed error) error {
	if refused, ok := find[*zoho.Error](failed); ok && refused.Kind.Definite() {
		if err := e.countRefusal(ctx, role, config); err != nil {
			return err
		}
	}
	return e.updateQuota(ctx, client, func(rec *quota.Record) { noteExchangeAnswer(rec, e.now(), failed, config.limits()) })
}

// adoptExchanged makes the access token that came with a new refresh token the
// current one of its grant. One that was not usable counts as a token that may live.
func (e *Engine) adoptExchanged(ctx context.Context, g *grant, q *quotaRecord, exchanged exchanged, exclusive bool, config *Config) error {
	if exchanged.AccessToken.IsZero() {
		return nil
	}
	t, err := e.newToken(ctx, g, exchanged.Token, config, exchanged.asked, false)
	if err != nil {
		return err
	}
	if err := e.adopt(ctx, g, q, t); err != nil {
		return err
	}
	e.reportMint(t, e.rolesFor(ctx, g, mintPurpose{}))
	if exclusive {
		e.work.Go(func() { e.endIfUnheld(e.work.Life(), t) })
	}
	return nil
}
