package backend

import (
	"context"
	"fmt"
	"strings"

	"vault-plugin-secrets-zoho/backend/refreshtoken"
	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/backend/zoho"
)

// What a grant code has brought, held against what the role asks for. Whoever has the address
// of a consent can change what it asks Zoho for, and agree with any account.

// checkScopes refuses scopes that the role does not ask for. A role without scopes asks for
// none in particular. Scopes are compared as a whole, without regard to capitals, of which
// Zoho does not keep to one spelling: no document says which of its scopes are parts of
// others. Fewer scopes than the role asks for give nobody more than is meant: of those it
// is warned.
func (x *exchange) checkScopes() error {
	more := settings.Without(x.Scopes, x.role.Scopes)
	if len(x.role.Scopes) == 0 || len(more) == 0 {
		return nil
	}
	return &GrantError{Kind: zoho.Misconfigured, outcome: ConsentMoreScopes, Text: fmt.Sprintf(
		"Zoho granted %s, which role %q does not ask for: whoever agreed, or made the code, has asked Zoho for other scopes than those of the role. So the role does not take it. If these are the right scopes, write them to the role's scopes.", settings.Listed(more), x.role.Name)}
}

// checkPerson refuses the consent of another account than the one that the role expects. An
// address that is not verified is anybody's. The message names no account: it is logged.
func (x *exchange) checkPerson() error {
	got := x.role.AuthorizedAs
	var why string
	outcome := ConsentOtherAccount
	switch {
	case x.role.ExpectedAccount == "":
		return nil
	case got.Kind == zoho.VerifiedAddress && strings.EqualFold(got.Name, x.role.ExpectedAccount):
		return nil
	case got.Kind == zoho.VerifiedAddress:
		why = "and Zoho says that it was another one that agreed. Sign in to Zoho with the account that the role's expected_account names"
	case got.Kind == zoho.UnverifiedAddress:
		outcome = ConsentUnverifiedAccount
		why = "and Zoho says that the address of the one that agreed is not verified. Verify it at Zoho, in the settings of that account"
	default:
		outcome = ConsentUnknownAccount
		why = "and Zoho did not tell the verified address of the one that agreed. Agree to all that the consent page asks for, the scope email among it"
	}
	return &GrantError{Kind: zoho.Misconfigured, outcome: outcome, Text: fmt.Sprintf("Role %q expects a certain Zoho account, %s.", x.role.Name, why)}
}

// doubts tells what the consent that a role works with has not brought, and what nobody can
// tell of it. granted is what Zoho says that it granted.
func (e *Engine) doubts(ctx context.Context, r *settings.Role, granted []string) ([]string, error) {
	if r.RefreshToken.IsZero() {
		return nil, nil
	}
	doubts := append(r.AccountWarnings(), r.ScopeWarnings(granted)...)
	if len(r.Scopes) == 0 {
		return doubts, nil
	}
	record, err := e.record(ctx, e.quotaID(r))
	if err != nil || record == nil || record.Origin != refreshtoken.Consent {
		return doubts, err
	}
	if len(granted) == 0 {
		doubts = append(doubts, "Zoho did not say which scopes it granted, so it cannot be told whether the person who consented has changed them: the role's tokens may do more, or less, than the role asks for")
	}
	if r.AuthorizedAs.Name == "" && (settings.AsksForScope(r.Scopes, zoho.ScopeProfile) || settings.AsksForScope(r.Scopes, zoho.ScopeEmail)) {
		doubts = append(doubts, "Zoho did not say whose account was authorized, although the role asks for that: the person who consented may have taken the scope for it away")
	}
	return doubts, nil
}

// doubtsOfRole is doubts of a role that was just authorized. A failure is only logged: the
// role works.
func (e *Engine) doubtsOfRole(ctx context.Context, name string) []string {
	role, err := e.existingRole(ctx, name)
	var overview Overview
	if err == nil {
		overview, err = e.RoleOverview(ctx, name)
	}
	var doubts []string
	if err == nil {
		doubts, err = e.doubts(ctx, role, overview.Granted)
	}
	if err != nil {
		e.log().Warn("could not look what a consent has brought", "role", name, "error", err)
	}
	return doubts
}
