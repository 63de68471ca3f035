package zoho

import (
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// DataCenter is one of Zoho's regions. A user's account, and with it every
// grant code, refresh token and access token, lives in exactly one of them.
type DataCenter struct {
	Name        string // as Zoho writes it in "location": "us", "eu", ...
	AccountsURL string // the Accounts server, without a trailing slash
	APIDomain   string // what "api_domain" in a token answer says there
}

// Domain is what the hosts of products end in that are not at the API domain:
// Desk is at https://desk.<domain>. Source: the pages of Contracts, Lens and
// Meeting on data centres, all of which have zohocloud.ca for Canada.
func (dc DataCenter) Domain() string {
	return strings.TrimPrefix(dc.AccountsURL, "https://accounts.")
}

// DataCenters lists the regions.
//
// Source: zoho.com/accounts/protocol/oauth/multi-dc.html and the official
// SDKs' dc packages. The API domain of uk follows the pattern of the others;
// no Zoho page names it. ae is on
// zoho.com/workdrive/developer/docs/api/v1/getting-started-multi-dc-support.html,
// with its domain and API domain; its Accounts server follows the pattern, and is
// what public programs use. sg is on no page of Zoho's: public programs have its hosts, some
// of them as copied from the /oauth/serverinfo of Zoho's Accounts servers.
func DataCenters() []DataCenter {
	return []DataCenter{
		{"us", "https://accounts.zoho.com", "https://www.zohoapis.com"},
		{"eu", "https://accounts.zoho.eu", "https://www.zohoapis.eu"},
		{"in", "https://accounts.zoho.in", "https://www.zohoapis.in"},
		{"au", "https://accounts.zoho.com.au", "https://www.zohoapis.com.au"},
		{"jp", "https://accounts.zoho.jp", "https://www.zohoapis.jp"},
		{"ca", "https://accounts.zohocloud.ca", "https://www.zohoapis.ca"},
		{"sa", "https://accounts.zoho.sa", "https://www.zohoapis.sa"},
		{"uk", "https://accounts.zoho.uk", "https://www.zohoapis.uk"},
		{"cn", "https://accounts.zoho.com.cn", "https://www.zohoapis.com.cn"},
		{"ae", "https://accounts.zoho.ae", "https://www.zohoapis.ae"},
		{"sg", "https://accounts.zoho.sg", "https://www.zohoapis.sg"},
	}
}

// DataCenterNames lists the names that a data_center field takes.
func DataCenterNames() []string {
	all := DataCenters()
	names := make([]string, len(all))
	for i, dc := range all {
		names[i] = dc.Name
	}
	return names
}

// LookupDataCenter finds a region by its name, or by what an address in it ends
// with: eu, EU, .eu, zoho.eu, crm.zoho.eu and https://accounts.zoho.eu are one.
func LookupDataCenter(name string) (DataCenter, error) {
	wanted := strings.TrimPrefix(strings.ToLower(strings.TrimSpace(name)), "https://")
	wanted = strings.TrimPrefix(strings.TrimSuffix(wanted, "/"), ".")
	for _, dc := range DataCenters() {
		server := strings.TrimPrefix(dc.AccountsURL, "https://") // accounts.zoho.com.au
		_, domain, _ := strings.Cut(server, ".")                 // zoho.com.au
		_, ending, _ := strings.Cut(domain, ".")                 // com.au
		if slices.Contains([]string{dc.Name, server, domain, ending}, wanted) || strings.HasSuffix(wanted, "."+domain) && hostForm.MatchString(wanted) {
			return dc, nil
		}
	}
	return DataCenter{}, fmt.Errorf("%q is not one of Zoho's data centres; use one of %s - the one in the address bar when you are signed in to Zoho, for example eu for crm.zoho.eu",
		clip(name, 40), strings.Join(DataCenterNames(), ", "))
}

// ByAccountsURL finds the region whose own Accounts server this is.
func ByAccountsURL(accountsURL string) (DataCenter, bool) {
	for _, dc := range DataCenters() {
		if dc.AccountsURL == accountsURL {
			return dc, true
		}
	}
	return DataCenter{}, false
}

// IsZohos reports whether an Accounts server is one of Zoho's own.
func IsZohos(accountsURL string) bool {
	_, ours := ByAccountsURL(accountsURL)
	return ours
}

// LooksLikeZohos reports whether an Accounts server has a name like one of Zoho's own, and
// is none of them: accounts.zoho.au, .cn and .ca are in lists that people copy, and belong
// to somebody else. meant is the region whose name it ends with; zero if there is none.
func LooksLikeZohos(accountsURL string) (meant DataCenter, looks bool) {
	u, err := url.Parse(accountsURL)
	if err != nil || IsZohos(accountsURL) || isPortal(accountsURL) || !lookalike.MatchString(u.Hostname()) {
		return DataCenter{}, false
	}
	for _, dc := range DataCenters() {
		if dc.AccountsURL == "https://"+u.Hostname() || strings.HasSuffix(u.Hostname(), "."+dc.Name) {
			return dc, true
		}
	}
	return DataCenter{}, true
}

var lookalike = regexp.MustCompile(`^accounts?\.zoho(cloud|apis)?(\.[a-z]{2,})+$`)

// isZohoDomain reports whether host is, or is below, one that Zoho's APIs are
// served from: zohoapis.<region> and, in answers of some products, zoho.<region>.
// Source: the official SDKs' dc packages; zoho.com/accounts/protocol/oauth
// ("https://api.zoho.com"); Writer's page ("https://writer.zoho.com").
func isZohoDomain(host string) bool {
	if !hostForm.MatchString(host) {
		return false
	}
	host = "." + strings.ToLower(host)
	for _, dc := range DataCenters() {
		apis := strings.TrimPrefix(dc.APIDomain, "https://www")
		if strings.HasSuffix(host, apis) || strings.HasSuffix(host, "."+dc.Domain()) {
			return true
		}
	}
	return false
}

// ParseAccountsURL checks an Accounts server's URL and returns it in the one
// spelling that the engine compares and stores: lower-case host, no default
// port, no trailing slash.
//
// Credentials travel to this server, so it must be https; plain http is taken
// on a loopback address alone, where the simulator listens. A path is kept:
// on-premises servers and portals have one.
func ParseAccountsURL(raw string) (string, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Hostname() == "" || u.Opaque != "" || isBareIPv6(u.Host):
		return "", fmt.Errorf("accounts_url is not a URL; write one such as https://accounts.zoho.eu")
	case u.User != nil:
		return "", fmt.Errorf("accounts_url must not hold a user name or password; the client goes into client_id and client_secret")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return "", fmt.Errorf("accounts_url must end after the host or path; leave out everything from the ? or # on")
	case u.Scheme != "https" && (u.Scheme != "http" || !IsLoopback(u.Hostname())):
		return "", fmt.Errorf("accounts_url must begin with https://, since client secrets are sent there; http:// is taken for a loopback address only")
	}
	u.Host = canonicalHost(u)
	if !isServer(u.Host) {
		return "", fmt.Errorf("accounts_url is not a URL with the name or address of a server; write one such as https://accounts.zoho.eu")
	}
	parsed := strings.TrimRight(u.String(), "/")
	if server := withoutEndpoint(parsed); server != parsed {
		return "", fmt.Errorf("accounts_url has the path of an endpoint, too, which Vault adds by itself; write %s", clip(printable(server), 200))
	}
	if !IsZohos(parsed) && isZohoDomain(u.Hostname()) && !strings.HasPrefix(u.Hostname(), "accounts.") {
		return "", fmt.Errorf("accounts_url is a server of Zoho's, and none of its Accounts servers, which give tokens; leave it empty and write data_center, or write an Accounts server such as https://accounts.zoho.eu")
	}
	return parsed, nil
}

// canonicalHost is the host of a URL in lower case, without the scheme's default port.
func canonicalHost(u *url.URL) string {
	host := strings.ToLower(u.Host)
	if port := u.Port(); (u.Scheme == "https" && port == "443") || (u.Scheme == "http" && port == "80") {
		host = strings.TrimSuffix(host, ":"+port)
	}
	return strings.TrimSuffix(host, ":") // "https://host:" is legal, and means the default port
}

// withoutEndpoint takes an endpoint off the address of an Accounts server: that of
// one of Zoho's own has no path, that of a portal ends with the portal, and others end
// before the oauth of the endpoints.
func withoutEndpoint(address string) string {
	for _, dc := range DataCenters() {
		if strings.HasPrefix(address, dc.AccountsURL+"/") && !isPortal(address) {
			return dc.AccountsURL
		}
	}
	if before, portal, found := strings.Cut(address, portalPath); found {
		name, _, _ := strings.Cut(portal, "/")
		return before + portalPath + name
	}
	server, _, _ := strings.Cut(address, "/oauth/")
	return server
}

// portalPath is before the name of a portal.
const portalPath = "/clientoauth/v2/"

// isBareIPv6 finds an IPv6 address without its brackets, whose last group
// net/url takes for the port.
func isBareIPv6(host string) bool {
	return strings.Count(host, ":") > 1 && !strings.HasPrefix(host, "[")
}

// IsLoopback reports whether a host is this machine.
func IsLoopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || (ip != nil && ip.IsLoopback())
}

// tokenURL is the token endpoint of an Accounts server. A portal's accounts
// URL already names it up to the portal:
// https://accounts.zohoportal.com/clientoauth/v2/<portal>.
func tokenURL(accounts string) string {
	if isPortal(accounts) {
		return accounts + "/token"
	}
	return accounts + "/oauth/v2/token"
}

func isPortal(accounts string) bool { return strings.Contains(accounts, portalPath) }

// Consent is a request for a person's consent.
type Consent struct {
	RedirectURI string // where the browser comes back to, as registered with Zoho
	State       string // comes back with it
	Scopes      []string
	ForOrg      bool   // an administrator consents for an organisation, and not for themselves
	SOID        string // of which organisation; empty: Zoho lets the administrator choose
}

// ConsentURL is where a person agrees to give the client a refresh token. It
// asks for offline access, without which there is none, and for consent anew,
// without which there is one only the first time.
// Sources: zoho.com/accounts/protocol/oauth/web-apps/authorization.html and, for
// an organisation, zoho.com/accounts/protocol/oauth/instance-level-oauth/get-auth-code.html.
func ConsentURL(accountsURL, clientID string, consent Consent) string {
	query := url.Values{
		"response_type": {"code"},
		"client_id":     {clientID},
		"redirect_uri":  {consent.RedirectURI},
		"scope":         {JoinScopes(consent.Scopes)},
		"state":         {consent.State},
		"access_type":   {"offline"},
		"prompt":        {"consent"},
	}
	page := "/auth?"
	if consent.ForOrg {
		page = "/org/auth?"
	}
	if consent.SOID != "" {
		query.Set("soid", consent.SOID)
	}
	return strings.TrimSuffix(tokenURL(accountsURL), "/token") + page + query.Encode()
}

// orgPrefix is what codes of an organisation's consent begin with, and the IDs of clients for
// organisations.
// Source: zoho.com/accounts/protocol/oauth/instance-level-oauth.html.
const orgPrefix = "1005."

// ConsentedForOrg reports whether a grant code came of an administrator's consent for an
// organisation; not known if the client is one for organisations, whose codes all begin so
// for all that any document says.
func ConsentedForOrg(clientID, code string) (forOrg, known bool) {
	forOrg = strings.HasPrefix(code, orgPrefix)
	return forOrg, !forOrg || !strings.HasPrefix(clientID, orgPrefix)
}

// olderRevokeURL takes refresh and access tokens without authentication.
// Source: zoho.com/accounts/protocol/oauth/revoke-refresh-token.html, older text.
func olderRevokeURL(accounts string) string { return tokenURL(accounts) + "/revoke" }

// newerRevokeURL wants the client's Basic authentication.
// Source: zoho.com/developer/oauth/revoke-oauth-token.html.
func newerRevokeURL(accounts string) string {
	return strings.TrimSuffix(tokenURL(accounts), "/token") + "/revoke/token"
}
