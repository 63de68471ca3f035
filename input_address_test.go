package zohosecrets

import (
	"net/http"
	"testing"

	"github.com/hashicorp/vault/sdk/logical"
	"github.com/stretchr/testify/require"
)

// An address that cannot be meant is refused with the one that can.

func TestConfig_AnAccountsURLThatGoesOnBehindTheServerIsRefusedWithTheRightOne(t *testing.T) {
	t.Parallel()
	for written, right := range map[string]string{
		"https://accounts.zoho.eu/oauth/v2/token":                               "https://accounts.zoho.eu",
		"https://accounts.zoho.eu/portal":                                       "https://accounts.zoho.eu",
		"https://iam.example.com:8443/iam/oauth/v2/token":                       "https://iam.example.com:8443/iam",
		"https://accounts.zohoportal.com/clientoauth/v2/10012345/token":         "https://accounts.zohoportal.com/clientoauth/v2/10012345",
		"https://accounts.zohoportal.com/clientoauth/v2/10012345/revoke/token/": "https://accounts.zohoportal.com/clientoauth/v2/10012345",
	} {
		m := newMount(t)
		m.requireRefused(m.write("config", goodConfig().with(fields{"accounts_url": written})), map[string]string{}, written, "write "+right)
		m.write("config", goodConfig().with(fields{"accounts_url": right})).done(t)
		require.Equal(t, right, m.read("config").Data["accounts_url"])
	}
}

func TestConfig_ARedirectURIIsTheMountsOwnCallback(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	at := func(mount, path string, data fields) answer {
		req := request(t, logical.UpdateOperation, path, data)
		req.MountPoint = mount
		resp, err := m.backend.HandleRequest(t.Context(), req)
		require.NoError(t, err)
		return answered(req, resp, err)
	}
	for _, good := range []string{"https://vault.example.com/v1/teams/zoho/callback", "https://example.com/vault/v1/ns/teams/zoho/callback", "http://127.0.0.1:8200/v1/teams/zoho/callback"} {
		at("teams/zoho/", "config", goodConfig().with(fields{"redirect_uri": good})).done(t)
	}
	before := m.stored()
	for _, bad := range []string{
		"https://vault.example.com/v1/teams/zoho/callback/", "https://vault.example.com/v1/zoho-eu/callback", "https://vault.example.com", "https://vault.example.com/v1/teams/zoho",
	} {
		got := at("teams/zoho/", "config", fields{"redirect_uri": bad})
		m.requireRefused(got, before, bad, "redirect_uri does not end with the address of this mount's callback", "https://vault.example.com/v1/teams/zoho/callback")
	}
	at("teams/zoho/", "roles/person", fields{"scopes": "ZohoCRM.modules.ALL"}).done(t)
	at("teams/zoho/", "roles/person/authorize", nil).done(t)
	before = m.stored()
	m.requireRefused(at("moved/zoho-eu/", "roles/person/authorize", nil), before, "the mount was moved", "https://vault.example.com/v1/moved/zoho-eu/callback")
}

func TestConfig_AnAccountsURLThatLooksLikeZohosAndIsNoneIsWarnedOf(t *testing.T) {
	t.Parallel()
	for url, says := range map[string]string{
		"https://accounts.zoho.au":      "The one of data centre au is https://accounts.zoho.com.au: write data_center=au",
		"https://accounts.zoho.cn":      "The one of data centre cn is https://accounts.zoho.com.cn",
		"https://accounts.zoho.ca":      "The one of data centre ca is https://accounts.zohocloud.ca",
		"https://Accounts.Zoho.CA/":     "The one of data centre ca is https://accounts.zohocloud.ca",
		"https://accounts.zoho.eu:8443": "The one of data centre eu is https://accounts.zoho.eu",
		"https://accounts.zoho.com.sg":  "The one of data centre sg is https://accounts.zoho.sg",
		"https://accounts.zoho.net":     "If Zoho has not opened a data centre there",
		"https://account.zoho.eu":       "The one of data centre eu",
	} {
		m := newMount(t)
		got := m.write("config", goodConfig().with(fields{"accounts_url": url}))
		if got.status == http.StatusBadRequest { // a server of Zoho's that gives no tokens
			require.Contains(t, got.text, "none of its Accounts servers", url)
			continue
		}
		require.Contains(t, got.done(t).warnings(), "looks like an Accounts server of Zoho's, and is none", url)
		require.Contains(t, got.warnings(), says, url)
		require.Empty(t, m.write("config", fields{"min_ttl": "5m"}).done(t).warnings(), "only of what is written")
	}
	for _, url := range []string{"https://accounts.zoho.sg", "https://accounts.zohocloud.ca", "https://accounts.zohoportal.com/clientoauth/v2/10012345", "https://iam.example.com:8443/iam", "https://accounts.example.com", loopback} {
		require.Empty(t, newMount(t).write("config", goodConfig().with(fields{"accounts_url": url})).done(t).warnings(), url)
	}
}
