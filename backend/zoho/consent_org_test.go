package zoho_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend/zoho"
)

// Source: zoho.com/accounts/protocol/oauth/instance-level-oauth/get-auth-code.html.
func TestConsentURL_OfAnOrganisationIsItsAdministratorsPage(t *testing.T) {
	t.Parallel()
	for _, soid := range []string{"", "zohopay.600123434"} {
		page, query, _ := strings.Cut(zoho.ConsentURL("https://accounts.zoho.eu", clientID, zoho.Consent{
			RedirectURI: callback, State: "s", Scopes: []string{modules}, ForOrg: true, SOID: soid,
		}), "?")
		require.Equal(t, "https://accounts.zoho.eu/oauth/v2/org/auth", page)
		want := url.Values{
			"response_type": {"code"}, "client_id": {clientID}, "redirect_uri": {callback}, "scope": {modules}, "state": {"s"},
			"access_type": {"offline"}, "prompt": {"consent"},
		}
		if soid != "" {
			want.Set("soid", soid)
		}
		got, err := url.ParseQuery(query)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
}
