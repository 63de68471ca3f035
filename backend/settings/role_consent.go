package settings

import (
	"fmt"
	"strings"
)

// CheckCanAsk fails if a person cannot be asked for the role's consent.
func (r *Role) CheckCanAsk() error {
	switch {
	case r.GrantType != GrantTypeRefreshToken:
		return UserErrorf("role %q mints with client_credentials, for which nobody has to consent", r.Name)
	case len(r.Scopes) == 0:
		return UserErrorf("role %q has no scopes to ask for; write them first: vault write <mount>/roles/%s scopes=ZohoCRM.modules.ALL", r.Name, r.Name)
	}
	return nil
}

// CheckCanAskWithCode fails if no person can be asked with a user code.
func (r *Role) CheckCanAskWithCode() error {
	if r.Consent == ConsentOrg {
		return UserErrorf("role %q asks for the consent of an organisation, for which Zoho has no user codes: use method=browser, or write consent=user", r.Name)
	}
	return r.CheckCanAsk()
}

// CheckCanComeBack fails if nobody could come back from Zoho's page.
func (c *Config) CheckCanComeBack() error {
	if c.RedirectURI != "" {
		return nil
	}
	return UserErrorf("the mount has no redirect_uri; write the address of its callback to <mount>/config, for example https://vault.example.com/v1/<mount>/callback, and register the same in Zoho's API console. If no browser reaches this Vault, give the role a client of the type Non-browser Mobile Applications, and write method=device")
}

// NamedScopes are the scopes of the role, or the first of them, for a sentence.
func (r *Role) NamedScopes() string {
	const shown = 10
	if r == nil {
		return "the role is deleted by now"
	}
	if more := len(r.Scopes) - shown; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(r.Scopes[:shown], ", "), more)
	}
	return strings.Join(r.Scopes, ", ")
}
