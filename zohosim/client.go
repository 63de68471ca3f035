package zohosim

import (
	"crypto/rand"
	"encoding/hex"
	"slices"
	"strings"
)

// ClientKind is the type of a client in Zoho's API console.
type ClientKind string

const (
	// SelfClient has no redirect URI: its owner makes grant codes in the API
	// console. Only it may use client_credentials.
	// Source: zoho.com/accounts/protocol/oauth/self-client/client-credentials-flow.html
	SelfClient ClientKind = "self"
	// WebClient is a server-based application: users consent in a browser.
	WebClient ClientKind = "web"
	// DeviceClient is a non-browser application: a person types a code into a page of Zoho's.
	// Its ID and tokens begin with 1004.
	DeviceClient ClientKind = "device"
)

// ClientSpec describes a client to register.
type ClientSpec struct {
	Kind         ClientKind // default SelfClient
	DataCenters  []string   // where it is enabled; default: everywhere
	RedirectURIs []string   // of a WebClient, compared exactly
	Scopes       []string   // scopes that exist for it; default: all well-formed ones

	// RequireSOID refuses client_credentials, and the consent page for an
	// organisation, without a soid: missing_org_info.
	RequireSOID bool

	// SameSecret is the API console's "Use the same OAuth credentials for all
	// data centers". By default each data centre has a secret of its own.
	// Source: zoho.com/accounts/protocol/oauth/multi-dc.html
	SameSecret bool
}

// A Client is registered with a simulator.
type Client struct {
	ID   string
	Kind ClientKind

	sim     *Sim
	spec    ClientSpec
	secrets map[string]string // by data centre, guarded by sim.mu
}

// AddClient registers a client. It panics on a data centre that does not exist
// and on a redirect URI for any other than a WebClient.
func (s *Sim) AddClient(spec ClientSpec) *Client {
	spec.Kind = orDefault(spec.Kind, SelfClient)
	if spec.Kind != WebClient && len(spec.RedirectURIs) > 0 {
		panic("zohosim: only a server-based client has a redirect URI")
	}
	if len(spec.DataCenters) == 0 {
		spec.DataCenters = DataCenters()
	}
	client := &Client{
		ID:      newClientID(spec.Kind),
		Kind:    spec.Kind,
		sim:     s,
		spec:    spec,
		secrets: map[string]string{},
	}
	common := newSecret()
	for _, location := range spec.DataCenters {
		mustDataCenter(location)
		client.secrets[location] = newSecret()
		if spec.SameSecret {
			client.secrets[location] = common
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clients[client.ID] = client
	return client
}

// Secret returns the client's secret in a data centre, or "" where it is not
// enabled.
func (c *Client) Secret(dataCenter string) string {
	c.sim.mu.Lock()
	defer c.sim.mu.Unlock()
	return c.secrets[dataCenter]
}

// RegenerateSecret gives the client a new secret in one data centre, and kills
// its refresh tokens there. (With SameSecret, the others keep the old one.)
func (c *Client) RegenerateSecret(dataCenter string) string {
	c.sim.mu.Lock()
	defer c.sim.mu.Unlock()
	if _, enabled := c.secrets[dataCenter]; !enabled {
		panic("zohosim: the client is not enabled in " + dataCenter)
	}
	c.secrets[dataCenter] = newSecret()
	c.sim.tokens.killClient(c, dataCenter)
	return c.secrets[dataCenter]
}

// enabledClient finds a client by its exact ID where it is enabled; a stray
// space or newline makes it another ID, as at Zoho.
func (s *Sim) enabledClient(id, location string) (*Client, bool) {
	client, ok := s.clients[id]
	if !ok {
		return nil, false
	}
	_, enabled := client.secrets[location]
	return client, enabled
}

// parseScopes reads a list separated by commas and nothing else: a list with
// spaces is refused as a whole.
func (c *Client) parseScopes(list string) ([]string, bool) {
	scopes := strings.Split(list, ",")
	return scopes, c.knowsScopes(scopes)
}

func (c *Client) knowsScopes(scopes []string) bool {
	if len(scopes) == 0 {
		return false
	}
	for _, scope := range scopes {
		known := wellFormedScope(scope)
		if len(c.spec.Scopes) > 0 {
			known = slices.Contains(c.spec.Scopes, scope)
		}
		if !known {
			return false
		}
	}
	return true
}

// WellFormed tells whether each scope looks like one of Zoho's.
func WellFormed(scopes ...string) bool {
	for _, scope := range scopes {
		if !wellFormedScope(scope) {
			return false
		}
	}
	return true
}

// wellFormedScope tells whether a scope looks like service.scope.operation,
// for example ZohoCRM.modules.ALL or ZohoCRM.modules.contacts.READ, or is one of
// OpenID Connect.
// Source for the latter: zoho.com/accounts/protocol/oauth/sign-in-using-zoho.html
// Which ones really exist is beyond a simulator; ClientSpec.Scopes can say so.
func wellFormedScope(scope string) bool {
	if scope == "email" || scope == "openid" || scope == "profile" {
		return true
	}
	parts := strings.Split(scope, ".")
	if len(parts) < 3 {
		return false
	}
	for _, part := range parts {
		if part == "" || strings.Trim(part, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") != "" {
			return false
		}
	}
	return true
}

func newClientID(kind ClientKind) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	random := randomBytes(30)
	for i := range random {
		random[i] = alphabet[int(random[i])%len(alphabet)]
	}
	if kind == DeviceClient {
		return devicePrefix + string(random)
	}
	return usualPrefix + string(random)
}

func newSecret() string { return hex.EncodeToString(randomBytes(21)) }

// The prefixes of tokens and grant codes.
const (
	usualPrefix        = "1000."
	organisationPrefix = "1005."
)

// prefix is what the client's tokens for an owner begin with.
func (c *Client) prefix(of owner) string {
	if c.Kind == DeviceClient {
		return devicePrefix
	}
	return of.prefix()
}

// newToken makes a token or grant code: a prefix and two hex words.
func newToken(prefix string) string {
	return prefix + hex.EncodeToString(randomBytes(16)) + "." + hex.EncodeToString(randomBytes(16))
}

func randomBytes(n int) []byte {
	random := make([]byte, n)
	_, _ = rand.Read(random) // never fails: crypto/rand ends the program instead
	return random
}

func wellFormedClientID(id string) bool {
	return len(id) == 35 && (strings.HasPrefix(id, usualPrefix) || strings.HasPrefix(id, devicePrefix)) &&
		strings.Trim(id[5:], "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") == ""
}
