package zohosecrets

import (
	"context"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"vault-plugin-secrets-zoho/backend"
	"vault-plugin-secrets-zoho/backend/secret"
)

func (b *zohoBackend) pathTokens() []*framework.Path {
	return []*framework.Path{b.pathTokenList(), b.pathTokenLookup(), b.pathToken()}
}

func (b *zohoBackend) pathTokenList() *framework.Path {
	return &framework.Path{
		Pattern:      "tokens/?$",
		DisplayAttrs: &framework.DisplayAttributes{OperationPrefix: operationPrefix},
		Fields:       pageFields("token_id"),
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.ListOperation: &framework.PathOperation{
				Callback:     b.pathTokensList,
				Summary:      "List the live access tokens.",
				DisplayAttrs: &framework.DisplayAttributes{OperationVerb: "list", OperationSuffix: "tokens"},
				Responses: ok(map[string]*framework.FieldSchema{
					"keys":     {Type: framework.TypeStringSlice, Description: "The token_id of each."},
					"key_info": {Type: framework.TypeMap, Description: "By token_id: roles, data_center, issued_at, expires_at, holders and state."},
				}),
				ForwardPerformanceStandby:   true,
				ForwardPerformanceSecondary: true,
			},
		},
		HelpSynopsis:    "List the live access tokens.",
		HelpDescription: "Lists the access tokens that this mount has minted and that live, by token_id, with the roles that handed them out, the number of leases on each, and the state: current (the next reader of these credentials gets it: of a role whose credentials were changed, the role's status has the one that its next reader gets), superseded (it lives on for those who hold it), exclusive (it belongs to one lease), or ending (it is being revoked).",
	}
}

func (b *zohoBackend) pathToken() *framework.Path {
	fields := pageFields("cursor that the page before has given as next")
	fields["token_id"] = &framework.FieldSchema{Type: framework.TypeString, Required: true, Description: "The token_id, as in the answer to a read of creds, in the log and in events."}
	answer := tokenAnswer()
	answer["holders"] = &framework.FieldSchema{Type: framework.TypeSlice, Description: "The leases on it, the oldest first: role, entity_id, display_name, request_id, since and until."}
	answer["next"] = &framework.FieldSchema{Type: framework.TypeString, Description: "Cursor for the next page of holders, to be given as after; empty on the last page."}
	return &framework.Path{
		Pattern:      "tokens/(?P<token_id>[^/]+)",
		DisplayAttrs: &framework.DisplayAttributes{OperationPrefix: operationPrefix},
		Fields:       fields,
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.ReadOperation: &framework.PathOperation{
				Callback:                    b.pathTokenRead,
				Summary:                     "Read who holds a live access token, and who was given it before.",
				DisplayAttrs:                &framework.DisplayAttributes{OperationVerb: "read", OperationSuffix: "token"},
				Responses:                   ok(answer),
				ForwardPerformanceStandby:   true,
				ForwardPerformanceSecondary: true,
			},
			logical.DeleteOperation: &framework.PathOperation{
				Callback:                    b.pathTokenDelete,
				Summary:                     "Revoke an access token at Zoho now, whoever holds it.",
				DisplayAttrs:                &framework.DisplayAttributes{OperationVerb: "revoke", OperationSuffix: "token"},
				Responses:                   done(),
				ForwardPerformanceStandby:   true,
				ForwardPerformanceSecondary: true,
			},
		},
		HelpSynopsis:    "Read who holds an access token, or revoke it at Zoho now.",
		HelpDescription: pathHoldersHelp,
	}
}

func (b *zohoBackend) pathTokenLookup() *framework.Path {
	answer := tokenAnswer()
	answer["kind"] = &framework.FieldSchema{Type: framework.TypeString, Description: "What was found: access_token or refresh_token. Of a refresh token the answer has state, roles, data_center and accounts_url."}
	return &framework.Path{
		Pattern:      "tokens/lookup",
		DisplayAttrs: &framework.DisplayAttributes{OperationPrefix: operationPrefix},
		Fields: map[string]*framework.FieldSchema{
			"token": {Type: framework.TypeString, Required: true, Description: "The access token or refresh token that was found.", DisplayAttrs: &framework.DisplayAttributes{Sensitive: true}},
		},
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.UpdateOperation: &framework.PathOperation{
				Callback:                    b.pathTokenLookupWrite,
				Summary:                     "Find out what is known of a token that was found somewhere.",
				DisplayAttrs:                &framework.DisplayAttributes{OperationVerb: "look-up", OperationSuffix: "token"},
				Responses:                   ok(answer),
				ForwardPerformanceStandby:   true,
				ForwardPerformanceSecondary: true,
			},
		},
		HelpSynopsis:    "Find out what is known of a token that was found somewhere.",
		HelpDescription: "Tells the token_id, the roles and the readers of an access token, and whether it lives; also for a day after it has ended. Of a refresh token it tells the roles that have it, its state, and, as a warning, what to do. The state is in use, refused (Zoho does not take it any more), leaving (it is revoked when nobody leases its access tokens), or ending (it is being revoked). A token that this mount never handed out is not known here, nor is an access token that ended earlier, or a refresh token that was revoked and that no role has.",
	}
}

// pageFields are those of a list that can be read in pages.
func pageFields(after string) map[string]*framework.FieldSchema {
	return map[string]*framework.FieldSchema{
		"after": {Type: framework.TypeString, Query: true, Description: "Begin after this: the " + after + "."},
		"limit": {Type: framework.TypeInt, Query: true, Description: "Answer at most so many; 0, the default, is all."},
	}
}

func tokenAnswer() map[string]*framework.FieldSchema {
	return map[string]*framework.FieldSchema{
		"token_id":      {Type: framework.TypeString, Description: "A keyed hash that names the token in answers, log and events."},
		"state":         {Type: framework.TypeString, Description: "Current, superseded, exclusive, ending or ended, in lower case."},
		"grant":         {Type: framework.TypeString, Description: "A keyed hash that names the grant in the log."},
		"roles":         {Type: framework.TypeStringSlice, Description: "The roles that handed it out; as long as nobody has read it, those that can."},
		"data_center":   {Type: framework.TypeString, Description: "Zoho's data centre; empty if the Accounts server is none of Zoho's."},
		"accounts_url":  {Type: framework.TypeString, Description: "The Accounts server that minted it."},
		"scopes":        {Type: framework.TypeStringSlice, Description: "The scopes that Zoho says it granted; empty if it does not say."},
		"issued_at":     {Type: framework.TypeString, Description: "When it was minted, RFC 3339."},
		"expires_at":    {Type: framework.TypeString, Description: "When it ends of age, RFC 3339."},
		"ended_at":      {Type: framework.TypeString, Description: "When it ended, RFC 3339; empty while it lives."},
		"ended_by":      {Type: framework.TypeString, Description: "How it ended, in words."},
		"holder_count":  {Type: framework.TypeInt, Description: "Leases on it now."},
		"unnamed_count": {Type: framework.TypeInt, Description: "How many of holder_count may be leases, and may be none: a crash in the middle of a crowd of readers left open who they are. The audit log has the reads of that moment."},
		"readers":       {Type: framework.TypeSlice, Description: "Everybody who was given it, those whose leases have ended among them: role, entity_id, display_name, leases, first and last. Without whom unnamed_count counts."},
	}
}

func describe(info *backend.TokenInfo) map[string]any {
	readers := make([]map[string]any, 0, len(info.Readers))
	for _, r := range info.Readers {
		readers = append(readers, map[string]any{
			"role": r.Role, "entity_id": r.EntityID, "display_name": r.DisplayName,
			"leases": r.Leases, "first": instant(r.First), "last": instant(r.Last),
		})
	}
	return map[string]any{
		"token_id":      info.ID,
		"state":         string(info.State),
		"grant":         info.GrantID,
		"roles":         nonNil(info.Roles),
		"data_center":   info.DataCenter,
		"accounts_url":  info.AccountsURL,
		"scopes":        nonNil(info.Scopes),
		"issued_at":     instant(info.IssuedAt),
		"expires_at":    instant(info.ExpiresAt),
		"ended_at":      instant(info.EndedAt),
		"ended_by":      info.EndedBy,
		"holder_count":  info.Holders,
		"unnamed_count": info.Unnamed,
		"readers":       readers,
	}
}

// pageOf returns the after and limit of a request.
func pageOf(d *framework.FieldData) (after string, limit int) {
	after, _ = d.Get("after").(string)
	limit, _ = d.Get("limit").(int)
	return after, limit
}

func (b *zohoBackend) pathTokensList(ctx context.Context, _ *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	after, limit := pageOf(d)
	ids, err := b.engine.TokenIDs(ctx, after, limit)
	if err != nil {
		return nil, err
	}
	keys, infos := make([]string, 0, len(ids)), make(map[string]any, len(ids))
	for _, id := range ids {
		info, err := b.engine.Token(ctx, id)
		if err != nil {
			return respond(err)
		}
		if info == nil {
			continue // it has ended since
		}
		keys = append(keys, id)
		infos[id] = map[string]any{
			"roles":       nonNil(info.Roles),
			"data_center": info.DataCenter,
			"issued_at":   instant(info.IssuedAt),
			"expires_at":  instant(info.ExpiresAt),
			"holders":     info.Holders,
			"state":       string(info.State),
		}
	}
	return logical.ListResponseWithInfo(keys, infos), nil
}

func (b *zohoBackend) pathTokenRead(ctx context.Context, _ *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	id, _ := d.Get("token_id").(string)
	info, err := b.engine.KnownToken(ctx, id)
	if err != nil || info == nil {
		return nil, err
	}
	after, limit := pageOf(d)
	holders, next, err := b.engine.Holders(ctx, id, after, limit)
	if err != nil {
		return nil, err
	}
	list := make([]map[string]any, 0, len(holders))
	for _, h := range holders {
		list = append(list, map[string]any{
			"role": h.Role, "entity_id": h.EntityID, "display_name": h.DisplayName,
			"request_id": h.RequestID, "since": instant(h.Since), "until": instant(h.Until),
		})
	}
	data := describe(info)
	data["holders"], data["next"] = list, next
	return &logical.Response{Data: data}, nil
}

func (b *zohoBackend) pathTokenDelete(ctx context.Context, _ *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	id, _ := d.Get("token_id").(string)
	warnings, err := b.engine.KillToken(ctx, id)
	return wrote(d, warnings, err)
}

func (b *zohoBackend) pathTokenLookupWrite(ctx context.Context, _ *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	found, _ := d.Get("token").(string)
	known, err := b.engine.Lookup(ctx, secret.New(found))
	if err != nil {
		return respond(err)
	}
	if of := known.RefreshToken; of != nil {
		return &logical.Response{Warnings: []string{of.Advice}, Data: map[string]any{
			"kind": "refresh_token", "state": string(of.State), "roles": nonNil(of.Roles), "data_center": of.DataCenter, "accounts_url": of.AccountsURL,
		}}, nil
	}
	data := describe(known.Token)
	data["kind"] = "access_token"
	return &logical.Response{Data: data}, nil
}

const pathHoldersHelp = `
A read tells which roles handed the access token out, who holds it now, with
the Vault entity and the ID of the request that is in the audit log, and who was
given it before; also for a day after it has ended, when nobody holds it. With
many holders, read them in pages with "limit" and "after".

A delete revokes the token at Zoho now, whatever the leases say. The next read
of a role that used it mints a new one. If Zoho cannot be asked, the answer says
so; the token is handed out no more, and the engine goes on asking until it is
revoked or has expired.
`
