package refreshtoken

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"time"

	"vault-plugin-secrets-zoho/backend/quota"
)

// MaxClientBytes bounds the entry of a client.
const MaxClientBytes = 64 << 10

// Client is what the mount knows of one client of an Accounts server beside its refresh tokens:
// what Zoho counts for the client, and the client_credentials grants with their roles. Those
// have no refresh token that could be lost, so there is no state but who has a grant: a role
// enters before it is stored and leaves after that, as with a Record.
type Client struct {
	AccountsURL string            `json:"u"`
	ClientID    string            `json:"c"`
	Roles       map[string]string `json:"r,omitempty"` // those that mint with client_credentials, with their grant
	Usage
}

// ClientChange is a Change of the entry of a client.
type ClientChange func(was *Client) (*Client, error)

// InClient changes what is counted for a client, which may be new: the request of a code, or
// of client_credentials, and its answer; and where Zoho counts all requests for the client,
// those of its refresh tokens.
func InClient(accountsURL, clientID string, now time.Time, change func(*Usage)) ClientChange {
	return func(was *Client) (*Client, error) {
		c := &Client{AccountsURL: accountsURL, ClientID: clientID}
		if was != nil {
			c = was.clone(now)
		}
		change(&c.Usage)
		return c, nil
	}
}

// InKnownClient is InClient for a client that is known. It never creates an entry.
func InKnownClient(now time.Time, change func(*Usage)) ClientChange {
	return func(was *Client) (*Client, error) {
		if was == nil {
			return nil, nil
		}
		c := was.clone(now)
		if change(&c.Usage); reflect.DeepEqual(c, was) {
			return was, nil
		}
		return c, nil
	}
}

// SeeClient is See for a client.
func SeeClient(now time.Time) ClientChange { return InKnownClient(now, func(*Usage) {}) }

// EnterClient makes the entry of a client name a role that mints with client_credentials, and
// is about to be stored.
func EnterClient(accountsURL, clientID, role, grant string, now time.Time) ClientChange {
	return func(was *Client) (*Client, error) {
		if was != nil && was.Roles[role] == grant {
			return was, nil
		}
		c, err := InClient(accountsURL, clientID, now, func(*Usage) {})(was)
		if err != nil {
			return nil, err
		}
		if c.Roles == nil {
			c.Roles = make(map[string]string)
		}
		c.Roles[role] = grant
		if encoded, err := EncodeClient(c); err != nil || len(encoded) > MaxClientBytes {
			return nil, &RefusedError{Reason: ClientFull}
		}
		return c, nil
	}
}

// LeaveClient takes roles out that mint with the client no more. Without roles, the entry goes
// when nothing in it counts.
func LeaveClient(now time.Time, limits quota.Limits, roles ...string) ClientChange {
	return func(was *Client) (*Client, error) {
		if was == nil {
			return nil, nil
		}
		c := was.clone(now)
		maps.DeleteFunc(c.Roles, func(role, _ string) bool { return slices.Contains(roles, role) })
		switch {
		case len(c.Roles) == 0 && c.isNeedless(now, limits):
			return nil, nil
		case len(c.Roles) == len(was.Roles):
			return was, nil
		}
		return c, nil
	}
}

// ReconcileClient is Reconcile for the entry of a client; nil if there is nothing to do.
func ReconcileClient(c *Client, w World) ClientChange {
	if c == nil {
		return nil
	}
	var gone []string
	for role := range c.Roles {
		if !w.Role(role).Counts() {
			gone = append(gone, role)
		}
	}
	if len(gone) == 0 && (len(c.Roles) > 0 || !c.isNeedless(w.Now, w.Limits)) {
		return nil
	}
	return LeaveClient(w.Now, w.Limits, gone...)
}

func (c *Client) clone(now time.Time) *Client {
	copied := *c
	copied.Roles, copied.Usage = maps.Clone(c.Roles), c.Usage.clone()
	copied.normalise(now)
	return &copied
}

type clientEntry struct {
	*Client
	Quota usageEntry `json:"q"`
}

// EncodeClient is the entry of a client as it is stored. It has no secrets.
func EncodeClient(c *Client) ([]byte, error) { return json.Marshal(clientEntry{c, c.Usage.entry()}) }

// DecodeClient is the client of an entry: see Decode.
func DecodeClient(stored []byte, now time.Time) (*Client, error) {
	e := clientEntry{Client: &Client{}}
	if err := json.Unmarshal(stored, &e); err != nil || e.Client == nil || e.ClientID == "" {
		return nil, ErrDamaged
	}
	e.Client.Quota = e.Quota.quota()
	e.normalise(now)
	return e.Client, nil
}

// RebuildClient makes the entry of a client from what is found, as Rebuild does. roles have
// their grant.
func RebuildClient(accountsURL, clientID string, roles map[string]string, f Found) *Client {
	c := &Client{AccountsURL: accountsURL, ClientID: clientID, Roles: roles}
	c.rebuild(f)
	return c
}
