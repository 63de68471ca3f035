package settings

import (
	"fmt"
	"slices"
	"strings"

	"vault-plugin-secrets-zoho/backend/zoho"
)

// AsksForScope reports whether a scope is among others, in whatever case.
func AsksForScope(scopes []string, wanted string) bool {
	return slices.ContainsFunc(scopes, func(scope string) bool { return strings.EqualFold(scope, wanted) })
}

// checkExpectedAccount fails if no consent could ever be of the expected account.
func (r *Role) checkExpectedAccount() error {
	switch {
	case r.ExpectedAccount == "":
		return nil
	case !zoho.IsAddress(r.ExpectedAccount):
		return UserErrorf("expected_account is not an e-mail address; write the one with which the person signs in to Zoho")
	case r.GrantType != GrantTypeRefreshToken:
		return UserErrorf("nobody consents to grant_type=client_credentials, so expected_account does not belong there; write expected_account= to leave it out")
	case r.Consent == ConsentOrg:
		return UserErrorf("Zoho does not tell who has consented for an organisation, so expected_account does not belong to consent=org; write expected_account= to leave it out")
	case !AsksForScope(r.Scopes, zoho.ScopeEmail):
		return UserErrorf("expected_account needs the scope %s among the role's scopes: with it Zoho tells whose account it is, and that its address is verified", zoho.ScopeEmail)
	default:
		return nil
	}
}

// AccountWarnings tells of a role that is authorized by another account than it expects, or
// of which nobody can tell: what is expected is compared when a grant code comes.
func (r *Role) AccountWarnings() []string {
	if r.ExpectedAccount == "" || r.RefreshToken.IsZero() || r.AuthorizedAs.Kind == zoho.VerifiedAddress && strings.EqualFold(r.AuthorizedAs.Name, r.ExpectedAccount) {
		return nil
	}
	return []string{fmt.Sprintf("role %q goes on with the refresh token that it has, and that is not known to be of expected_account: authorize it again, or deauthorize it first, with vault write -f <mount>/roles/%s/deauthorize", r.Name, r.Name)}
}
