package zohosecrets

import (
	"context"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"vault-plugin-secrets-zoho/backend"
)

func (b *zohoBackend) pathCreds() []*framework.Path {
	return []*framework.Path{{
		Pattern:      "creds/" + nameRegex,
		DisplayAttrs: &framework.DisplayAttributes{OperationPrefix: operationPrefix},
		Fields: map[string]*framework.FieldSchema{
			"name":    nameField(),
			"min_ttl": {Type: framework.TypeDurationSecond, Query: true, Description: "The access token must live at least this much longer. Defaults to the role's min_ttl."},
			"reject":  {Type: framework.TypeString, Query: true, Description: "The token_id of an access token that Zoho no longer takes. The answer is another one, minted if need be, within the budget."},
			"ttl":     {Type: framework.TypeDurationSecond, Query: true, Description: "Longest time of this lease. The role's ttl and the access token's life cap it, too."},
		},
		// Without an ExistenceCheck Vault asks for the capability update, and never for create.
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.ReadOperation:   b.credsOperation("Read a leased access token.", "credentials"),
			logical.UpdateOperation: b.credsOperation("The same as read, for clients that send parameters only in a body.", "credentials-with-parameters"),
		},
		HelpSynopsis:    "Read a leased access token of a role.",
		HelpDescription: pathCredsHelp,
	}}
}

func (b *zohoBackend) credsOperation(summary, suffix string) *framework.PathOperation {
	return &framework.PathOperation{
		Callback:     b.pathCredsRead,
		Summary:      summary,
		DisplayAttrs: &framework.DisplayAttributes{OperationVerb: "generate", OperationSuffix: suffix},
		Responses: ok(map[string]*framework.FieldSchema{
			"access_token":  {Type: framework.TypeString, Description: "The access token.", DisplayAttrs: &framework.DisplayAttributes{Sensitive: true}},
			"authorization": {Type: framework.TypeString, Description: "The value of the Authorization header for Zoho's APIs, ready to be sent.", DisplayAttrs: &framework.DisplayAttributes{Sensitive: true}},
			"token_type":    {Type: framework.TypeString, Description: "The type that Zoho names. Use authorization for the header instead: Zoho says Bearer, and wants Zoho-oauthtoken."},
			"api_domain":    {Type: framework.TypeString, Description: "Where most of Zoho's APIs are in this data centre."},
			"zoho_domain":   {Type: framework.TypeString, Description: "What the hosts of Zoho's other products end in there, such as zoho.eu for desk.zoho.eu; empty if the Accounts server is none of Zoho's."},
			"data_center":   {Type: framework.TypeString, Description: "Zoho's data centre in which the token lives; empty if the Accounts server is none of Zoho's."},
			"scopes":        {Type: framework.TypeStringSlice, Description: "The scopes that Zoho says it granted; empty if it does not say."},
			"expires_at":    {Type: framework.TypeString, Description: "When the access token ends, RFC 3339. The lease ends no later."},
			"token_id":      {Type: framework.TypeString, Description: "A keyed hash that names the token in logs; it cannot be used in its place."},
			"role":          {Type: framework.TypeString, Description: "Name of the role."},
			// Not called metadata: of an answer with a map of that name Vault Agent
			// before 1.15.6 and consul-template before 0.37 say "no secret exists",
			// since they take it for a deleted version of the KV engine.
			// Source: github.com/hashicorp/consul-template/pull/1879.
			"role_metadata": {Type: framework.TypeKVPairs, Description: "The role's metadata: what the operator has noted for its readers, such as the ID of an organisation."},
		}),
		// A standby must not mint: without these it would ask Zoho for
		// a token and then fail to store its lease.
		ForwardPerformanceStandby:   true,
		ForwardPerformanceSecondary: true,
	}
}

func (b *zohoBackend) pathCredsRead(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	issued, err := b.engine.Issue(ctx, roleNameOf(d), backend.Reader{
		MinTTL:    seconds(d, "min_ttl"),
		TTL:       seconds(d, "ttl"),
		Reject:    text(d, "reject"),
		Requester: requesterOf(req),
	})
	if err != nil {
		return respond(err)
	}
	expires := instant(issued.ExpiresAt)
	resp := b.Secret(secretTypeAccessToken).Response(map[string]any{
		"access_token":  issued.AccessToken.Reveal(),
		"authorization": "Zoho-oauthtoken " + issued.AccessToken.Reveal(),
		"token_type":    issued.TokenType,
		"api_domain":    issued.APIDomain,
		"zoho_domain":   issued.ZohoDomain,
		"data_center":   issued.DataCenter,
		"scopes":        nonNil(issued.Scopes),
		"expires_at":    expires,
		"token_id":      issued.TokenID,
		"role":          issued.Role,
		"role_metadata": issued.Metadata,
	}, map[string]any{
		internalTokenID:   issued.TokenID,
		internalHolderID:  issued.HolderID,
		internalExpiresAt: expires,
	})
	resp.Secret.TTL, resp.Secret.MaxTTL = issued.TTL, issued.TTL
	resp.Warnings = append(issued.Warnings, unknownFields(d)...)
	return resp, nil
}

const pathCredsHelp = `
Reads an access token of the role's grant, with a lease. Send it as in the
"authorization" value, to "api_domain" and the path of the product's API. Desk,
Mail, Projects and some others are elsewhere: Desk at "desk." and "zoho_domain".

Readers share the token: it is minted when there is none with "min_ttl" left,
and otherwise handed out again. The lease lasts as long as the token (or the
role's "ttl"), and cannot be renewed: read again before it ends, as Vault Agent
does by itself. A client that sends parameters only in a body can write instead
of read; that changes nothing. Revoke the lease when you are done. The token is
revoked at Zoho when the last lease on it is revoked.

If Zoho says that the token is invalid, name its "token_id" in "reject", once:
you get another one. Never write the token itself there: the address of a read
is in the audit log in clear.
`
