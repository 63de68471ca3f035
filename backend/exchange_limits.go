package backend

import (
	"context"
	"errors"
	"fmt"
	"path"
	"time"

	"vault-plugin-secrets-zoho/backend/quota"
	"vault-plugin-secrets-zoho/backend/zoho"
)

// What Zoho limits about grant codes and refresh tokens, beside token requests.

// codeLife is how long Zoho takes a grant code. For the code of a Self Client its
// owner can choose up to ten minutes in the API console.
// Source: zoho.com/accounts/protocol/oauth/web-apps/access-token.html.
const codeLife = 2 * time.Minute

// admitExchange decides whether Zoho may be asked to exchange a code, and what the request
// has to be counted as. Everything that forbids it is here. The caller has the client's turn.
func (e *Engine) admitExchange(ctx context.Context, x *exchange) (sent quota.Request, err error) {
	known, err := e.refreshTokensOf(ctx, pinOfApp(x.app))
	if err != nil {
		return sent, err
	}
	if err := known.refuseTwentyFirst(x.code, x.app); err != nil {
		return sent, err
	}
	claim, err := e.claimFor(ctx, x.role.Name, x.app, x.config)
	if err != nil {
		return sent, err
	}
	claim.Code = true
	client, err := e.presentUsage(ctx, x.clientID)
	if err != nil {
		return sent, err
	}
	if err := e.checkClaim(client, claim, x.config); err != nil {
		return sent, mintPurpose{}.explain(err)
	}
	sent = quota.Request{Exchange: true, NoLiveToken: true, ClaimOf: claim.Role, Guess: claim.Guess}
	return sent, e.checkRefusals(ctx, x.role.Name, x.config)
}

// notExchanged says what becomes of a grant code for which Zoho was not asked.
func (e *Engine) notExchanged(code grantCode, err error) error {
	failed, ok := errors.AsType[*GrantError](err)
	if !ok {
		return err
	}
	const text = "The grant code was not used. "
	switch {
	case code.consent != nil:
		postponed := *failed
		postponed.postponed, postponed.outcome = true, ConsentTooEarlyForLink
		const toAgree = time.Minute
		if failed.RetryAt.Add(toAgree).Before(consentEnd(path.Base(code.consent.key))) {
			postponed.outcome = ConsentTooEarly
		}
		return prependText(text, &postponed)
	case failed.RetryAt.Sub(e.now()) < codeLife:
		return prependText(text+"Zoho takes a code for two minutes after it was made, and one of a Self Client for as long as was chosen in the API console, ten minutes at most. If this one is young enough, write it again at the time below; otherwise get a new one then. ", err)
	default:
		return prependText(text+"It will be too old at the time below, unless it is of a Self Client and ten minutes were chosen for it in the API console: get a new one then. ", err)
	}
}

// noteExchangeAnswer notes on a client's record what came of the exchange of a code: no
// token that counts for the client, and perhaps that Zoho has throttled the client.
func noteExchangeAnswer(rec *quota.Record, now time.Time, x *exchange, failed error) {
	limits := x.config.Limits()
	refused, ok := errors.AsType[*zoho.Error](failed)
	switch {
	case failed == nil:
		rec.EndSilence(x.asked)
		rec.Denied = nil
	case !ok || refused.Kind != zoho.Throttled:
	case !refused.Unexplained:
		rec.Throttled = quota.NewSilence(now, refused.Code, refused.Error(), rec.Throttled, limits)
	default:
		rec.Deny(now, refused.Code, deniedText, x.role.Name, limits)
	}
}

const deniedText = "Zoho has denied the exchange of grant codes of this client with Access Denied, twice in a row. That can mean too many requests, which only silence ends; or the user has all the refresh tokens that Zoho allows a user."

// deniedExchange explains "Access Denied" as the answer to a grant code. Zoho answers
// so to too many requests, and at the limit of refresh tokens.
// Source: the OAuth FAQ of Zoho Projects.
func (e *Engine) deniedExchange(ctx context.Context, x *exchange, failed error) error {
	refused, ok := errors.AsType[*zoho.Error](failed)
	if !ok || refused.Kind != zoho.Throttled {
		return failed
	}
	known, err := e.refreshTokensOf(ctx, pinOfApp(x.app))
	if err != nil {
		return err
	}
	oldest := ""
	if known.Oldest != "" && x.code.consent == nil { // who has the address of a consent learns of no other role
		oldest = fmt.Sprintf(", the oldest of them that of role %q", known.Oldest)
	}
	limit := fmt.Sprintf("A user can have %d refresh tokens at Zoho, and Zoho may answer so when there are that many. This mount knows %d of this client%s. If it is that, deauthorize a role that is no longer needed, or remove a connection at Zoho, under Connected Apps of the user",
		mostRefreshTokens, known.Count, oldest)
	limit = x.orNewCode(limit, "Then get a new code")
	client, err := e.usage(ctx, x.clientID)
	if err != nil {
		return err
	}
	if !refused.Unexplained {
		throttled := &GrantError{Kind: zoho.Throttled, Code: refused.Code, Text: refused.Error()}
		if silence := client.Quota.Throttled; silence != nil { // otherwise a request has succeeded meanwhile
			throttled.RetryAt = silence.Until(e.now())
		}
		return appendText(throttled, "If there is no such program: "+limit)
	}
	text := fmt.Sprintf("Zoho denied the exchange of the grant code with Access Denied, and gave no reason. %s. If it is not, there were too many requests with this client in a short time.", limit)
	denied := &GrantError{Kind: zoho.Throttled, Code: refused.Code, Text: text, outcome: ConsentTooManyTokens}
	if denial := client.Quota.Denied; denial.ForbidsMore() {
		denied.Text += " As this was the second such answer in a row, Vault exchanges no code of this role for a while, nor of this client if another role's was denied, too."
		denied.RetryAt = denial.Until(e.now())
	} else {
		denied.Text += " Then wait ten minutes before the next attempt."
	}
	return denied
}
