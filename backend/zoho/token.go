package zoho

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	"vault-plugin-secrets-zoho/backend/secret"
)

// MaxLife is how long Zoho's access tokens live. An answer that claims more
// is not believed.
// Source: zoho.com/accounts/protocol/oauth/token-limits.html.
const MaxLife = time.Hour

// Token is a new access token.
type Token struct {
	AccessToken secret.Value
	TokenType   string        // "Bearer", though Zoho's APIs want "Zoho-oauthtoken" in the header
	APIDomain   string        // without a trailing slash; empty if the answer had none
	Scopes      []string      // what Zoho says it granted; nil if the answer did not say
	Life        time.Duration // from the moment of minting; at most MaxLife
	// ForeignDomain: the answer named an API domain that is none of Zoho's,
	// and that was dropped. Applications send the token there.
	ForeignDomain bool
}

// Exchanged is what a grant code was exchanged for.
type Exchanged struct {
	Token
	RefreshToken    secret.Value // zero if Zoho gave none: see NoRefreshToken
	OddRefreshToken bool         // RefreshToken has not the form of one: it comes beside an error, to be revoked and not to be stored
	Person          Person       // who consented; zero: the answer did not say
}

// Refresh mints an access token from a refresh token. The refresh token stays
// as it is: Zoho does not rotate it. Errors are *Error of any Kind; an access token
// that comes beside one is to be revoked.
// Source: zoho.com/accounts/protocol/oauth/web-apps/access-token-expiry.html.
func (c *Client) Refresh(ctx context.Context, app App, refreshToken secret.Value) (Token, error) {
	return c.token(ctx, app, "a refresh", url.Values{
		"grant_type":    {"refresh_token"},
		"refresh_token": {refreshToken.Reveal()},
	})
}

// Exchange turns a grant code, which lives for one to three minutes and can be
// used once, into tokens. redirectURI is the one that the code was sent to; a
// Self Client has none. Errors are *Error of any Kind. A refresh token can come
// beside an error that says what is wrong with the rest of the answer: it is good, and
// whoever asked has to keep it, unless OddRefreshToken says that it is the refresh
// token that is wrong. An access token that comes beside an error has to be revoked.
// Source: zoho.com/accounts/protocol/oauth/web-apps/access-token.html.
func (c *Client) Exchange(ctx context.Context, app App, code secret.Value, redirectURI string) (Exchanged, error) {
	form := url.Values{"grant_type": {"authorization_code"}, "code": {code.Reveal()}}
	if redirectURI != "" {
		form.Set("redirect_uri", redirectURI)
	}
	form.Set("client_id", app.ClientID)
	form.Set("client_secret", app.ClientSecret.Reveal())
	call := call{app.AccountsURL, "the exchange of a grant code", form}
	got, err := c.post(ctx, call, tokenURL(app.AccountsURL), nil)
	if err != nil {
		return Exchanged{}, err
	}
	return parseExchanged(call, got)
}

// parseExchanged reads the answer to a grant code or a device code.
func parseExchanged(call call, got reply) (Exchanged, error) {
	token, ans, err := parseToken(call, got)
	exchanged := Exchanged{Token: token}
	if given := string(ans.RefreshToken); given != "" && ans.Error == "" && !call.repeatsSecret(given) {
		exchanged.RefreshToken, exchanged.OddRefreshToken = secret.New(given), !IsToken(given)
	}
	if exchanged.OddRefreshToken {
		exchanged.Token = Token{AccessToken: token.AccessToken}
		err = errorBadAnswer(call, got.status, "a refresh token that cannot be one")
	}
	exchanged.Person = ans.personOf(call.andGot(exchanged))
	return exchanged, err
}

// NoRefreshToken says why a grant code gave no refresh token. Zoho gives one at the first
// consent of a user to a client, and then, whatever was asked for, sometimes not; what
// helps is to remove the former connection. The caller says how to get another code.
// Source: github.com/schmorrison/Zoho issue 43, github.com/n8n-io/n8n issue 18037.
func NoRefreshToken(app App) *Error {
	return &Error{Kind: Misconfigured, Status: 200,
		msg: fmt.Sprintf("Zoho (%s) took the grant code but gave no refresh token, and the code is used up now. Zoho does so where the user has consented to this client before. Remove the client under Connected Apps of the user who consented, which ends every refresh token that this user has given it, those of other roles, too.", app.AccountsURL)}
}

// ClientCredentials mints an access token of an organisation, with the scopes
// of the request. soid may be empty where the product does not ask for it.
// Errors are as with Refresh.
// Source: zoho.com/accounts/protocol/oauth/self-client/client-credentials-flow.html.
func (c *Client) ClientCredentials(ctx context.Context, app App, soid string, scopes []string) (Token, error) {
	form := url.Values{"grant_type": {"client_credentials"}, "scope": {JoinScopes(scopes)}}
	if soid != "" {
		form.Set("soid", soid)
	}
	return c.token(ctx, app, "client credentials", form)
}

// Bounds of what a role may ask for, and of what is kept of an answer: every
// record of a grant or token holds the scopes, and so does every lease. Both are
// far above what Zoho's products need.
const (
	MaxScopes      = 200
	MaxScopeLength = 100 // in bytes, of one scope
)

// JoinScopes writes scopes as Zoho wants them: with commas. Blanks are refused.
// Source: zoho.com/accounts/protocol/oauth/web-apps/authorization.html.
func JoinScopes(scopes []string) string { return strings.Join(scopes, ",") }

func (c *Client) token(ctx context.Context, app App, what string, form url.Values) (Token, error) {
	form.Set("client_id", app.ClientID)
	form.Set("client_secret", app.ClientSecret.Reveal())
	call := call{app.AccountsURL, what, form}
	got, err := c.post(ctx, call, tokenURL(app.AccountsURL), nil)
	if err != nil {
		return Token{}, err
	}
	token, _, err := parseToken(call, got)
	return token, err
}
