package zohosecrets

import (
	"context"
	"strings"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"
)

func (b *zohoBackend) pathClients() []*framework.Path {
	return []*framework.Path{{
		Pattern:      "clients/?$",
		DisplayAttrs: &framework.DisplayAttributes{OperationPrefix: operationPrefix},
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.ListOperation: &framework.PathOperation{
				Callback:     b.pathClientList,
				Summary:      "List the clients, with how many refresh tokens of each the mount knows.",
				DisplayAttrs: &framework.DisplayAttributes{OperationVerb: "list", OperationSuffix: "clients"},
				Responses: ok(map[string]*framework.FieldSchema{
					"keys":     {Type: framework.TypeStringSlice, Description: "The client ID and the Accounts server of each client."},
					"key_info": {Type: framework.TypeMap, Description: "By key: client_id, accounts_url, client ID, Accounts server, how many refresh tokens the mount knows and how many of them wait to be revoked, Zoho's limit for one user, whether they are all of one owner, and the role of the oldest with the time since when it is known."},
				}),
				ForwardPerformanceStandby:   true,
				ForwardPerformanceSecondary: true,
			},
		},
		HelpSynopsis:    "List the clients, with how many refresh tokens of each the mount knows.",
		HelpDescription: pathClientsHelp,
	}}
}

func (b *zohoBackend) pathClientList(ctx context.Context, _ *logical.Request, _ *framework.FieldData) (*logical.Response, error) {
	clients, err := b.engine.Clients(ctx)
	if err != nil {
		return respond(err)
	}
	names := make([]string, 0, len(clients))
	info := make(map[string]any, len(clients))
	for _, c := range clients {
		_, server, _ := strings.Cut(c.AccountsURL, "://")
		name := strings.ReplaceAll(c.ClientID+"@"+server, "/", "_")
		names = append(names, name)
		info[name] = map[string]any{
			"client_id":      c.ClientID,
			"accounts_url":   c.AccountsURL,
			"refresh_tokens": c.Count,
			"pending":        c.Pending,
			"limit":          c.Limit,
			"one_owner":      c.OneOwner,
			"oldest_role":    c.Oldest,
			"oldest_since":   instant(c.OldestSince),
		}
	}
	return logical.ListResponseWithInfo(names, info), nil
}

const pathClientsHelp = `
Zoho lets a user have twenty refresh tokens. For the twenty-first it deletes the
oldest, whether or not it is in use. Here is how many this mount knows of each
client: those of roles, and those that wait to be revoked. Other programs, and
other mounts, can have more of the same user.

Refresh tokens that were written by hand count from the first access token on.
Where all grant codes of a client came without a "redirect_uri", it is a Self
Client, and all its refresh tokens are of its owner. From twenty on, a write of
one more code of such a client is refused, unless it says force=true.
`
