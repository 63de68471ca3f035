package zoho

import (
	"context"
	"net/url"
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
}

// Refresh mints an access token from a refresh token. The refresh token stays
// as it is: Zoho does not rotate it. Errors are *Error of any Kind.
// Source: zoho.com/accounts/protocol/oauth/web-apps/access-token-expiry.html.
func (c *Client) Refresh(ctx context.Context, app App, refreshToken secret.Value) (Token, error) {
	return c.token(ctx, app, "a refresh", url.Values{
		"grant_type":    {"refresh_token"},
		"refresh_token": {refreshToken.Reveal()},
	})
}

func (c *Client) token(ctx context.Context, app App, what string, form url.Values) (Token, error) {
	form.Set("client_id", app.ClientID)
	form.Set("client_secret", app.ClientSecret.Reveal())
	call := call{app.AccountsURL, what, form}
	got, err := c.post(ctx, call, tokenURL(app.AccountsURL), nil)
	if err != nil {
		return Token{}, err
	}
	return parseToken(call, got)
}
