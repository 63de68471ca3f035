package backend

import (
	"context"
	"fmt"
	"time"

	"vault-plugin-secrets-zoho/backend/quota"
	"vault-plugin-secrets-zoho/backend/zoho"
)

// What Zoho limits about grant codes and refresh tokens, beside token requests.

// codeLife is how long Zoho takes a grant code. For the code of a Self Client its
// owner can choose up to ten minutes in the API console.
// Source: zoho.com/accounts/protocol/oauth/web-apps/access-token.html.
const codeLife = 2 * time.Minute

// exchangeLimit is one of Zoho's limits on the exchange of grant codes, for one client,
// whatever request_budget says. Of pages that disagree the strictest counts: four
// codes in a minute, and then ten minutes of silence (OAuth FAQ of Zoho Projects), is
// stricter than five refresh tokens in a minute (Recruit, Desk, Creator). Twenty in
// ten minutes for a client is from the page of the CRM for vertical solutions.
type exchangeLimit struct {
	exchanges int
	in        time.Duration
}

// mayExchange keeps to Zoho's limits for the client. A grant code has not worked
// yet, so what is kept in reserve is not for it.
func (e *Engine) mayExchange(client *quotaRecord, config *Config) error {
	now := e.now()
	client.seeFuture(now)
	rec, limits := client.record(), config.limits()
	if rec.Denied.Forbids(now, limits) && rec.Denied.InARow > 1 {
		return silenceError(rec.Denied, now)
	}
	for _, limit := range []exchangeLimit{{4, time.Minute}, {20, 10 * time.Minute}} {
		made, free := rec.Exchanges(now, limit.in+config.RequestTimeout, limit.exchanges)
		if made >= limit.exchanges {
			return &GrantError{Kind: zoho.Throttled, RetryAt: free, Text: fmt.Sprintf(
				"%d grant codes of this client have been exchanged in %s, and with one more Zoho may refuse all of them for ten minutes.", made, limit.in)}
		}
	}
	switch decision := rec.Request(now, limits); decision.Verdict {
	case quota.Silent:
		return silenceError(decision.Silence, now)
	case quota.Used:
		return budgetError(config, mintPurpose{}, rec.UnreservedAt(now, limits)) // what is free before is for readers
	case quota.Reserved:
		return reservedError(limits, decision.Until)
	case quota.Go, quota.Full:
	}
	return nil
}

// notExchanged says what becomes of a grant code for which Zoho was not asked.
func (e *Engine) notExchanged(code grantCode, role string, err error) error {
	failed, ok := asError[*GrantError](err)
	if !ok {
		return err
	}
	const text = "The grant code was not used. "
	switch {
	case code.consented:
		return prependText(text+fmt.Sprintf("Begin again later, with a new address: vault write -f <mount>/roles/%s/authorize. ", role), err)
	case failed.RetryAt.Sub(e.now()) < codeLife:
		return prependText(text+"Zoho takes a code for two minutes after it was made, and one of a Self Client for as long as was chosen in the API console, ten minutes at most. If this one is young enough, write it again at the time below; otherwise get a new one then. ", err)
	default:
		return prependText(text+"It will be too old at the time below, unless it is of a Self Client and ten minutes were chosen for it in the API console: get a new one then. ", err)
	}
}

// noteExchangeAnswer notes on a client's record what came of the exchange of a code: no
// token that counts for the client, and perhaps that Zoho has throttled the client.
func noteExchangeAnswer(rec *quota.Record, now, asked time.Time, failed error, limits quota.Limits) {
	rec.Failed(true)
	refused, ok := asError[*zoho.Error](failed)
	switch {
	case failed == nil:
		rec.EndSilence(asked)
		rec.Denied = nil
	case !ok || refused.Kind != zoho.Throttled:
	case !refused.Unexplained:
		rec.Throttled = quota.NewSilence(now, refused.Code, refused.Error(), rec.Throttled, limits)
	default:
		former := rec.Denied
		if !former.Forbids(now, limits) {
			former = nil
		}
		rec.Denied = quota.NewSilence(now, refused.Code, deniedText, former, limits)
	}
}

const deniedText = "Zoho has denied the exchange of grant codes of this client with Access Denied, twice in a row. That can mean too many requests, which only silence ends; or the user has all the refresh tokens that Zoho allows a user."

// deniedExchange explains "Access Denied" as the answer to a grant code. Zoho answers
// so to too many requests, and at the limit of refresh tokens.
// Source: the OAuth FAQ of Zoho Projects.
func (e *Engine) deniedExchange(ctx context.Context, client *quotaRecord, failed error) error {
	refused, ok := asError[*zoho.Error](failed)
	if !ok || refused.Kind != zoho.Throttled {
		return failed
	}
	known, err := e.refreshTokensOf(ctx, client.id)
	if err != nil {
		return err
	}
	oldest := ""
	if known.Oldest != "" {
		oldest = fmt.Sprintf(", the oldest of them that of role %q", known.Oldest)
	}
	limit := fmt.Sprintf("A user can have %d refresh tokens at Zoho, and Zoho may answer so when there are that many. This mount knows %d of this client%s. If it is that, deauthorize a role that is no longer needed, or remove a connection at Zoho, under Connected Apps of the user, and then get a new code",
		mostRefreshTokens, known.Count, oldest)
	if !refused.Unexplained {
		throttled := &GrantError{Kind: zoho.Throttled, Code: refused.Code, Text: refused.Error()}
		if silence := client.record().Throttled; silence != nil { // otherwise a request has succeeded meanwhile
			throttled.RetryAt = silence.Until(e.now())
		}
		return appendText(throttled, "If there is no such program: "+limit)
	}
	text := fmt.Sprintf("Zoho denied the exchange of the grant code with Access Denied, and gave no reason. %s. If it is not, there were too many requests with this client in a short time.", limit)
	denied := &GrantError{Kind: zoho.Throttled, Code: refused.Code, Text: text}
	if rec := client.record(); rec.Denied != nil && rec.Denied.InARow > 1 {
		denied.Text += " As this was the second such answer in a row, Vault exchanges no code of this client for a while."
		denied.RetryAt = rec.Denied.Until(e.now())
	} else {
		denied.Text += " Then wait ten minutes before the next code."
	}
	return denied
}
