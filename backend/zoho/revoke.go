package zoho

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"vault-plugin-secrets-zoho/backend/secret"
)

// Revocation is how a token came to its end.
type Revocation int

const (
	// Revoked: Zoho said so.
	Revoked Revocation = iota + 1
	// AlreadyGone: both endpoints answered 400, which is what Zoho answers for
	// a token that it does not know or no longer knows, or named the token as the cause in
	// HTTP 200, which is how Zoho answers most errors.
	AlreadyGone
)

// RevokeAccessToken ends an access token at Zoho, and nothing else: its refresh
// token and its siblings live on.
//
// Zoho has two endpoints, and its pages disagree about which of them takes
// whose access tokens. So the newer one is asked first and the older one
// unless the first has said yes; only when both have answered that they do not know the
// token is it taken as gone already. Zoho answers a second revocation with 400, too, so
// this is safe to repeat.
//
// Source: zoho.com/developer/oauth/revoke-oauth-token.html (newer) and
// zoho.com/accounts/protocol/oauth/revoke-refresh-token.html (older).
func (c *Client) RevokeAccessToken(ctx context.Context, app App, token secret.Value) (Revocation, error) {
	return c.revokeAny(ctx, app, token, "access")
}

// RevokeRefreshToken ends a refresh token at Zoho, and all its access tokens
// with it. It asks as RevokeAccessToken does.
func (c *Client) RevokeRefreshToken(ctx context.Context, app App, token secret.Value) (Revocation, error) {
	return c.revokeAny(ctx, app, token, "refresh")
}

func (c *Client) revokeAny(ctx context.Context, app App, token secret.Value, kind string) (Revocation, error) {
	newer := c.revoke(ctx, app, newerRevokeURL(app.AccountsURL),
		url.Values{"token": {token.Reveal()}, "token_type": {kind + "_token"}},
		func(req *http.Request) {
			// RFC 6749, 2.3.1: both halves are form-encoded before they are joined.
			req.SetBasicAuth(url.QueryEscape(app.ClientID), url.QueryEscape(app.ClientSecret.Reveal()))
		})
	if newer.revoked {
		return Revoked, nil
	}
	var failed *Error
	if errors.As(newer.err, &failed) && failed.Kind == Unreachable {
		return 0, newer.err // the older endpoint is on the same server
	}
	older := c.revoke(ctx, app, olderRevokeURL(app.AccountsURL), url.Values{"token": {token.Reveal()}}, nil)
	switch {
	case older.revoked:
		return Revoked, nil
	case newer.unknown && older.unknown:
		return AlreadyGone, nil
	case older.err != nil:
		return 0, older.err
	case newer.err != nil:
		return 0, newer.err
	default:
		return 0, &Error{Kind: Misconfigured, Status: older.status,
			msg: fmt.Sprintf("Zoho (%s) refused to revoke the %s token: HTTP %d from the newer endpoint, %d from the older. Check that the client's secret is still the one that Vault knows.", app.AccountsURL, kind, newer.status, older.status)}
	}
}

// verdict is what one revocation endpoint said. If it is neither revoked nor
// unknown and err is nil, the endpoint refused for a reason that has nothing
// to do with the token: no such path, or the client's credentials.
type verdict struct {
	revoked bool
	unknown bool // the token is not, or no longer, valid: HTTP 400, or a word that says so
	err     error
	status  int
}

func (c *Client) revoke(ctx context.Context, app App, endpoint string, form url.Values, auth func(*http.Request)) verdict {
	call := call{app.AccountsURL, "a revocation", form}
	got, err := c.post(ctx, call, endpoint, auth)
	if err != nil {
		return verdict{err: err}
	}
	v := verdict{status: got.status}
	ans, decodeErr := decode(call, got)
	switch {
	case got.status == http.StatusTooManyRequests, decodeErr == nil && ans.throttledRevocation():
		v.err = errorThrottled(call, got.status)
	case got.status == http.StatusOK && isPage(got.body):
		v.err = errorBadAnswer(call, got.status, "a web page")
	case decodeErr == nil && ans.brokeDown():
		v.err = ans.failure(call, got)
	case got.status == http.StatusOK && decodeErr == nil && ans.saysNo():
		// Zoho's habit of errors in HTTP 200: this endpoint did not revoke. If it names the
		// token, that is what a 400 means, and one endpoint alone proves as little.
		v.unknown = ans.namesToken()
	case got.status == http.StatusOK && decodeErr != nil && startsLikeJSON(got.body):
		v.err = decodeErr // what is missing may be an error
	case got.status == http.StatusOK:
		// The newer endpoint's body is not documented, so none is demanded.
		v.revoked = true
	case got.status == http.StatusBadRequest && !isPage(got.body):
		v.unknown, v.err = ans.refusal(call, got, decodeErr == nil)
	case got.status >= 400 && got.status < 500:
		// A path or credential that this server does not take.
	default:
		v.err = errorBadAnswer(call, got.status, "something unexpected")
	}
	return v
}

// refusal reads a 400: the endpoint does not know the token, or says what nobody
// understands. Such a word is not repeated: the client's secret was sent in a header, and
// a broken server may echo it.
func (a answer) refusal(call call, got reply, isJSON bool) (unknown bool, err error) {
	if !isJSON || a.blamesToken() {
		return true, nil
	}
	return false, errorBadAnswer(call, got.status, "an error word that is not known")
}

// throttledRevocation is narrower than throttled: the body of a revocation's
// 400 is not documented and may well say "status":"failure" of an invalid
// token. But a phrase instead of an error word, in whatever language, must not
// pass for "this token is gone".
func (a answer) throttledRevocation() bool {
	word := strings.ToLower(strings.TrimSpace(string(a.Error)))
	phrase := word != "" && !errorWord.MatchString(word) && !strings.Contains(word, "invalid")
	return phrase || word == "access_denied" || strings.Contains(strings.ToLower(string(a.Description)), "too many")
}

// brokeDown reports whether an error word says that it may pass, and nothing of the
// token.
func (a answer) brokeDown() bool {
	known, ok := lookupRemedy(strings.ToLower(strings.TrimSpace(string(a.Error))))
	return ok && !known.kind.Definite()
}

// blamesToken reports whether a refused revocation can be read as "there is no such
// token". The body of that answer is not documented. A word that nobody knows must not
// pass for it: the token would be forgotten, and live.
func (a answer) blamesToken() bool {
	word := strings.ToLower(strings.TrimSpace(string(a.Error)))
	if _, known := lookupRemedy(word); known || word == "" {
		return true // of both endpoints, it is the 400 that counts: see RevokeAccessToken
	}
	for _, part := range []string{"invalid", "expired", "revoked", "unknown", "not_found", "no_such"} {
		if strings.Contains(word, part) {
			return true
		}
	}
	return false
}

// namesToken reports whether an error word says that it is the token which is not valid:
// invalid_token, or the word for a dead refresh token. The older endpoint has seen nothing
// but the token, and the client's credentials are blamed with words of their own.
func (a answer) namesToken() bool {
	word := strings.ToLower(strings.TrimSpace(string(a.Error)))
	known, _ := lookupRemedy(word)
	return known.kind == Refused || strings.Contains(word, "token") && a.blamesToken()
}

func (a answer) saysNo() bool {
	return a.Error != "" || (a.Status != "" && !strings.EqualFold(string(a.Status), "success"))
}

func isPage(body []byte) bool { return startsWith(body, "<") }

func startsLikeJSON(body []byte) bool { return startsWith(body, "{[") }

func startsWith(body []byte, oneOf string) bool {
	body = trimmed(body)
	return len(body) > 0 && strings.IndexByte(oneOf, body[0]) >= 0
}
