package zoho_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend/zoho"
)

// What a server answers is stored with the grant and its tokens, and handed to
// every reader. Each text has a bound, and so has their number.

func TestRefresh_OfTooManyScopesTheFirstAreKept(t *testing.T) {
	t.Parallel()
	var all []string
	for i := range zoho.MaxScopes + 1 {
		all = append(all, fmt.Sprintf("ZohoCRM.modules.m%d", i))
	}
	for _, flood := range []string{strings.Join(all, ","), strings.Join(all, " "), strings.Join(append(all, strings.Repeat("a ", 20_000)), " ")} {
		token, err := refresh(t, answer(200, tokenJSON(map[string]any{"scope": flood})))
		require.NoError(t, err, "the token itself is good")
		require.Equal(t, all[:zoho.MaxScopes], token.Scopes)
	}
	token, err := refresh(t, answer(200, tokenJSON(map[string]any{"scope": strings.Repeat("1 ", 500) + modules})))
	require.NoError(t, err)
	require.Equal(t, []string{modules}, token.Scopes, "what is no scope takes no place")
}

func TestRefresh_AScopeThatIsTooLongIsLeftOut(t *testing.T) {
	t.Parallel()
	longest := strings.Repeat("a", zoho.MaxScopeLength)
	token, err := refresh(t, answer(200, tokenJSON(map[string]any{"scope": longest + "," + longest + "b," + strings.Repeat("c", 60<<10) + "," + modules})))
	require.NoError(t, err)
	require.Equal(t, []string{longest, modules}, token.Scopes)
}
