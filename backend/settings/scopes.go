package settings

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"vault-plugin-secrets-zoho/backend/zoho"
)

// ScopeWarnings compares what Zoho granted, if it says, with what the role asks.
func (r *Role) ScopeWarnings(granted []string) []string {
	if len(granted) == 0 || len(r.Scopes) == 0 {
		return nil
	}
	var warnings []string
	if missing := Without(r.Scopes, granted); len(missing) > 0 {
		warnings = append(warnings, fmt.Sprintf("Zoho did not grant %s, which the role asks for: calls that need it will fail with OAUTH_SCOPE_MISMATCH", Listed(missing)))
	}
	if more := Without(granted, r.Scopes); len(more) > 0 {
		warnings = append(warnings, fmt.Sprintf("Zoho granted %s, which the role does not ask for: its tokens can do more than is meant", Listed(more)))
	}
	return warnings
}

// Listed names scopes in a sentence, the first ten of many.
func Listed(scopes []string) string {
	const shown = 10
	if len(scopes) <= shown {
		return strings.Join(scopes, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(scopes[:shown], ", "), len(scopes)-shown)
}

// Distinct leaves out what is there twice, or empty.
func Distinct(scopes []string) []string {
	var once []string
	for _, scope := range scopes {
		if scope != "" && !slices.Contains(once, scope) {
			once = append(once, scope)
		}
	}
	return once
}

// Without returns the scopes of list that are not in other. Zoho does not keep
// to one spelling of capitals.
func Without(list, other []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(scope string) bool {
		return slices.ContainsFunc(other, func(o string) bool { return strings.EqualFold(o, scope) })
	})
}

var (
	soidForm  = regexp.MustCompile(`^[A-Za-z]\w*\.\w+$`)
	scopeForm = regexp.MustCompile(`^[A-Za-z]\w*(\.[\w-]+)*$`)
)

func checkSOID(soid string) error {
	if err := CheckLength("soid", soid, maxIDLength); err != nil {
		return err
	}
	if soid != "" && !soidForm.MatchString(soid) {
		return UserErrorf("soid is not the name of a service and an organisation's ID with a dot between; write it like ZohoCRM.123456789")
	}
	return nil
}

func checkScopes(scopes []string) error {
	if len(scopes) > zoho.MaxScopes {
		return UserErrorf("scopes has %d entries, and at most %d make sense", len(scopes), zoho.MaxScopes)
	}
	for _, scope := range scopes {
		if len(scope) > zoho.MaxScopeLength || !scopeForm.MatchString(scope) {
			return UserErrorf("scopes has an entry that is no scope of Zoho's; write them with commas between, and no blanks: ZohoCRM.modules.ALL,ZohoCRM.settings.READ")
		}
	}
	return nil
}
