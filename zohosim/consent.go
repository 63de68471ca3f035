package zohosim

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// A CodeSpec describes a grant code as if the user had agreed to it.
type CodeSpec struct {
	User        string // default user@example.com
	Scopes      []string
	RedirectURI string // of a WebClient: default its first one
	Online      bool   // access_type=online: no refresh token
	// PromptConsent is prompt=consent: without it only a user's first consent
	// to a client gives a refresh token. The API console always does so for a
	// Self Client.
	PromptConsent bool

	// Organisation says that the user agrees as an administrator, for the
	// organisation of SOID, or without one for the only one of the data centre.
	// No document shows it for a Self Client.
	Organisation bool
	SOID         string // for example ZohoCRM.600123434
}

func (spec CodeSpec) owner(dc string) owner {
	if spec.Organisation {
		return organisationOf(dc, spec.SOID)
	}
	return userOf(dc, spec.User)
}

// Consent returns a refresh token as if the user had agreed to the scopes. It
// panics when the client is not enabled in the data centre, a scope does not
// exist, or the user has too many refresh tokens for
// Options.RefuseExcessRefreshTokens.
func (s *Sim) Consent(client *Client, dataCenter, user string, scopes []string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mustGrant(client, dataCenter, scopes)
	return s.consentFor(client, userOf(dataCenter, user), user, scopes)
}

// ConsentForOrganisation is Consent by an administrator for the organisation of
// a soid, or without one for the only organisation of the data centre.
func (s *Sim) ConsentForOrganisation(client *Client, dataCenter, administrator, soid string, scopes []string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mustGrant(client, dataCenter, scopes)
	return s.consentFor(client, organisationOf(dataCenter, soid), administrator, scopes)
}

func (s *Sim) consentFor(client *Client, of owner, user string, scopes []string) string {
	if s.refusesExcess(client, of) {
		panic("zohosim: " + of.name + " has too many refresh tokens, and Options.RefuseExcessRefreshTokens is set")
	}
	return s.addRefreshToken(client, of, user, slices.Clone(scopes))
}

// Code returns a grant code: for a Self Client as its owner makes one in the
// API console, for a WebClient as one that Zoho sent to its redirect URI. It
// panics where Consent does, and on a redirect URI that is not registered.
func (s *Sim) Code(client *Client, dataCenter string, spec CodeSpec) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mustGrant(client, dataCenter, spec.Scopes)
	if client.Kind == WebClient && spec.RedirectURI == "" && len(client.spec.RedirectURIs) > 0 {
		spec.RedirectURI = client.spec.RedirectURIs[0]
	}
	if client.Kind == WebClient != slices.Contains(client.spec.RedirectURIs, spec.RedirectURI) {
		panic("zohosim: the client has no redirect URI " + spec.RedirectURI)
	}
	return s.addCode(client, dataCenter, spec)
}

func (s *Sim) mustGrant(client *Client, dataCenter string, scopes []string) {
	mustDataCenter(dataCenter)
	if _, ok := s.enabledClient(client.ID, dataCenter); !ok {
		panic("zohosim: the client is not enabled in " + dataCenter)
	}
	if !client.knowsScopes(scopes) {
		panic("zohosim: no such scopes: " + strings.Join(scopes, ","))
	}
}

// addCode decides whether the code will give a refresh token.
// Source: the OAuth page of Zoho Books ("Refresh Token missing in response"),
// zoho.com/thrive/resources/api/identify-user-location.html ("only the first
// time").
func (s *Sim) addCode(client *Client, dc string, spec CodeSpec) string {
	spec.User = orDefault(spec.User, "user@example.com")
	of := spec.owner(dc)
	key := consent{of, client.ID}
	prompted := spec.PromptConsent || client.Kind == SelfClient
	code := &grantCode{
		client:      client,
		dc:          dc,
		owner:       of,
		user:        spec.User,
		scopes:      slices.Clone(spec.Scopes),
		redirectURI: spec.RedirectURI,
		withRefresh: !spec.Online && (prompted || !s.tokens.consented[key]),
		expires:     s.clock().Add(s.opts.CodeLife),
	}
	s.tokens.consented[key] = true
	value := newToken(client.prefix(of))
	s.tokens.codes[value] = code
	return value
}

// auth answers the consent pages, of users and of organisations. Accept and Deny
// post back to the same URL, so both requests are checked alike.
// Sources: zoho.com/accounts/protocol/oauth/multi-dc/client-authorization.html
// (location and accounts-server),
// zoho.com/accounts/protocol/oauth/instance-level-oauth/get-auth-code.html
func (s *Sim) auth(c *call) answer {
	home := orDefault(s.user.home, c.dc.location)
	client, scopes, problem := s.checkConsent(c, home)
	switch {
	case problem != "":
		return s.page(problem, nil)
	case c.r.Method == http.MethodGet:
		return s.page("", map[string]any{
			"Client": client.ID, "User": s.user.name, "Scopes": scopes, "Home": home, "Organisation": organisationAsked(c, home),
		})
	case c.r.Method != http.MethodPost:
		return bareBadRequest("server error")
	case c.form.Get("decision") != "accept":
		return s.backToClient(c, url.Values{"error": {"access_denied"}})
	case !s.allowCode(c, client, s.user.name):
		return s.backToClient(c, url.Values{"error": {"access_denied"}})
	}
	code := s.addCode(client, home, CodeSpec{
		User:          s.user.name,
		Scopes:        scopes,
		RedirectURI:   c.query.Get("redirect_uri"),
		Online:        c.query.Get("access_type") != "offline",
		PromptConsent: c.query.Get("prompt") == "consent",
		Organisation:  c.endpoint == EndpointOrgAuth,
		SOID:          c.query.Get("soid"),
	})
	dc := mustDataCenter(home)
	accounts, ok := s.accountsURL(c, dc)
	if !ok {
		accounts = dc.accounts
	}
	return s.backToClient(c, url.Values{"code": {code}, "location": {home}, "accounts-server": {accounts}})
}

// checkConsent finds what is wrong with a consent request, in the words of
// Zoho's error pages. Nothing is sent to a redirect URI that is not registered.
// The client must be enabled in the user's data centre too: only there is the
// code good.
func (s *Sim) checkConsent(c *call, home string) (client *Client, scopes []string, problem string) {
	id := c.query.Get("client_id")
	client, here := s.enabledClient(id, c.dc.location)
	_, there := s.enabledClient(id, home)
	if !here || !there {
		return nil, nil, "Invalid Client"
	}
	if c.query.Get("response_type") != "code" {
		return nil, nil, "Invalid response type"
	}
	if !slices.Contains(client.spec.RedirectURIs, c.query.Get("redirect_uri")) {
		return nil, nil, "Invalid Redirect Uri"
	}
	scopes, known := client.parseScopes(c.query.Get("scope"))
	if !known {
		return nil, nil, "Invalid OAuth scope"
	}
	// online is the default; the documents name no error for anything else.
	if !slices.Contains([]string{"", "online", "offline"}, c.query.Get("access_type")) {
		return nil, nil, "Invalid access type"
	}
	// The documents name no error for this; the word is that of
	// client_credentials.
	soid := c.query.Get("soid")
	if c.endpoint == EndpointOrgAuth && (client.spec.RequireSOID || soid != "") && !wellFormedSOID(soid) {
		return nil, nil, "missing_org_info"
	}
	return client, scopes, ""
}

// organisationAsked names the organisation of a consent page, or is "" on the
// page for users.
func organisationAsked(c *call, home string) string {
	if c.endpoint != EndpointOrgAuth {
		return ""
	}
	return organisationOf(home, c.query.Get("soid")).name
}

// backToClient redirects the browser, with the state as it came. The redirect
// URI is one of the client's own.
func (s *Sim) backToClient(c *call, values url.Values) answer {
	if c.query.Has("state") {
		values.Set("state", c.query.Get("state"))
	}
	target := c.query.Get("redirect_uri")
	separator := "?"
	if strings.Contains(target, "?") {
		separator = "&"
	}
	out := textAnswer(http.StatusFound, "text/html;charset=UTF-8", "")
	out.header.Set("Location", target+separator+values.Encode())
	out.word = values.Get("error")
	return out
}
