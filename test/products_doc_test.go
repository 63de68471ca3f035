package test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/zohosim"
)

const productsPage = "docs/products.md"

// Each row says where Zoho documents its scopes, and they have the form that the engine takes.
func TestProductsPage_NamesScopesWithTheirSource(t *testing.T) {
	t.Parallel()
	table, _, _ := strings.Cut(page(t, productsPage), "\n`api_domain` and")
	scopes := regexp.MustCompile("`((?:Zoho|ZOHO|Desk|WorkDrive|AaaServer)[\\w]*\\.[\\w.]+)`").FindAllStringSubmatch(table, -1)
	require.Greater(t, len(scopes), 25)
	for _, scope := range scopes {
		require.True(t, zohosim.WellFormed(scope[1]), scope[1])
	}
	rows := 0
	for line := range strings.Lines(table) {
		if strings.Contains(line, ".READ`") {
			require.Regexp(t, `\]\((https://[\w.]*zoho\.com/[^)]+|settings\.md#[\w-]+)\) \|\n$`, line)
			rows++
		}
	}
	require.GreaterOrEqual(t, rows, 9)
}

func TestProductsPage_OneRoleHasTheScopesOfThreeProducts(t *testing.T) {
	t.Parallel()
	r := newRolesReader(t)
	address, printed := "", ""
	for _, command := range commandsOf(t, productsPage) {
		if r.lacksToolOf(command) {
			continue
		}
		printed = r.runs(command)
		if asked := r.addressIn(printed); asked != "" {
			address = asked
			r.agree(address)
		}
	}
	require.Contains(t, address, "scope=ZohoCRM.modules.READ%2CZohoBooks.invoices.READ%2CDesk.tickets.READ&")
	read, err := r.root.Logical().ReadWithContext(t.Context(), "zoho/creds/back-office")
	require.NoError(t, err)
	keepSecret("access token", text(t, read, "access_token"))
	require.Equal(t, map[string]any{"books_organization_id": "60012345678", "desk_org_id": "2389290"}, read.Data["role_metadata"])
}
