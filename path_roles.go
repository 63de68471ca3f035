package zohosecrets

import (
	"context"
	"maps"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"vault-plugin-secrets-zoho/backend"
	"vault-plugin-secrets-zoho/backend/settings"
)

func (b *zohoBackend) pathRoles() []*framework.Path {
	write := func(verb string) *framework.PathOperation {
		return &framework.PathOperation{
			Callback:                    b.pathRoleWrite,
			Summary:                     "Write a role; fields that are not named stay as they are.",
			DisplayAttrs:                &framework.DisplayAttributes{OperationVerb: verb, OperationSuffix: "role"},
			Responses:                   done(),
			ForwardPerformanceStandby:   true,
			ForwardPerformanceSecondary: true,
		}
	}
	return []*framework.Path{
		{
			Pattern:      "roles/?$",
			DisplayAttrs: &framework.DisplayAttributes{OperationPrefix: operationPrefix},
			Operations: map[logical.Operation]framework.OperationHandler{
				logical.ListOperation: &framework.PathOperation{
					Callback:     b.pathRoleList,
					Summary:      "List the roles.",
					DisplayAttrs: &framework.DisplayAttributes{OperationVerb: "list", OperationSuffix: "roles"},
					Responses: ok(map[string]*framework.FieldSchema{
						"keys":     {Type: framework.TypeStringSlice, Description: "Names of the roles."},
						"key_info": {Type: framework.TypeMap, Description: "By name: data_center, grant_type, state, authorized, and metadata unless it has more than 256 bytes; and, if the latest consent has failed, when and why."},
					}),
				},
			},
			HelpSynopsis:    "List the roles.",
			HelpDescription: "Lists the names of the roles, with the data centre, the grant type, the metadata and the state of each, and whether it is authorized. The states are never tried, not tried since the credentials changed, ready, throttled, out of budget, refused, unreachable, deauthorized, consent failed if the role has nothing to mint from since somebody has declined or it went wrong, or broken if the role's entry cannot be read.",
		},
		{
			Pattern:        "roles/" + nameRegex,
			DisplayAttrs:   &framework.DisplayAttributes{OperationPrefix: operationPrefix},
			Fields:         roleFields(),
			ExistenceCheck: b.pathRoleExists,
			Operations: map[logical.Operation]framework.OperationHandler{
				logical.ReadOperation: &framework.PathOperation{
					Callback:     b.pathRoleRead,
					Summary:      "Read a role.",
					DisplayAttrs: &framework.DisplayAttributes{OperationVerb: "read", OperationSuffix: "role"},
					Responses:    ok(roleAnswer()),
				},
				logical.CreateOperation: write("write"),
				logical.UpdateOperation: write("write"),
				logical.PatchOperation:  write("patch"),
				logical.DeleteOperation: &framework.PathOperation{
					Callback:                    b.pathRoleDelete,
					Summary:                     "Delete a role.",
					DisplayAttrs:                &framework.DisplayAttributes{OperationVerb: "delete", OperationSuffix: "role"},
					Responses:                   done(),
					ForwardPerformanceStandby:   true,
					ForwardPerformanceSecondary: true,
				},
			},
			HelpSynopsis:    "A name for what access tokens are minted from, with the rules for handing them out.",
			HelpDescription: pathRolesHelp,
		},
	}
}

func roleFields() map[string]*framework.FieldSchema {
	return map[string]*framework.FieldSchema{
		"name":             nameField(),
		"data_center":      {Type: framework.TypeString, Description: "Zoho's data centre, if it is not the mount's: us, eu, in, au, jp, ca, sa, uk, cn, ae or sg. Needs a client of the role's own."},
		"client_id":        {Type: framework.TypeString, Description: "The role's own client; without it the mount's is used."},
		"client_secret":    {Type: framework.TypeString, Description: "Its secret, of this data centre. Cannot be read back.", DisplayAttrs: &framework.DisplayAttributes{Sensitive: true}},
		"grant_type":       {Type: framework.TypeString, Default: settings.GrantTypeRefreshToken, AllowedValues: []any{settings.GrantTypeRefreshToken, settings.GrantTypeClientCredentials}, Description: "What tokens are minted from: refresh_token, or client_credentials of a Self Client, with scopes of the role's own."},
		"refresh_token":    {Type: framework.TypeString, Description: "The refresh token. Cannot be read back. No other mount and no other program may have it: each counts Zoho's limits as if it were alone.", DisplayAttrs: &framework.DisplayAttributes{Sensitive: true}},
		"code":             {Type: framework.TypeString, Description: "A grant code from Zoho's API console, exchanged at once for the refresh token. Lives a few minutes and can be used once. Not stored.", DisplayAttrs: &framework.DisplayAttributes{Sensitive: true}},
		"redirect_uri":     {Type: framework.TypeString, Description: "The address that the code was sent to. A Self Client has none. Not stored."},
		"soid":             {Type: framework.TypeString, Description: "Organisation for client_credentials or consent=org, where the product asks for it: the service's name, a dot, and the organisation's ID."},
		"scopes":           {Type: framework.TypeCommaStringSlice, Description: "Scopes, with commas between. With client_credentials those of the role's tokens; otherwise those that authorize asks for, and that Zoho's are compared with."},
		"consent":          {Type: framework.TypeString, Default: settings.ConsentUser, AllowedValues: []any{settings.ConsentUser, settings.ConsentOrg}, Description: "What authorize asks for: user, a person's consent for their own account, or org, an administrator's consent for an organisation."},
		"expected_account": {Type: framework.TypeString, Description: "The address of the only Zoho account that may authorize the role. A grant code of another account, or of one whose verified address Zoho does not tell, is refused, and what it brought is revoked. Needs email among the scopes."},
		"verify":           {Type: framework.TypeBool, Default: true, Description: "Try new credentials at Zoho, and do not write what Zoho refuses. Not stored."},
		"force":            {Type: framework.TypeBool, Description: "Exchange the code also if this mount knows 20 refresh tokens of the client's owner, and Zoho deletes the oldest one for the new one. Not stored."},
		"ttl":              {Type: framework.TypeDurationSecond, Description: "Longest time of a lease. 0, the default, is the token's remaining life. A short one makes new tokens frequent, and Zoho limits them."},
		"min_ttl":          {Type: framework.TypeDurationSecond, Description: "A token is handed out while it lives at least this much longer. 0, the default, is the mount's min_ttl."},
		"exclusive":        {Type: framework.TypeBool, Description: "Give each lease a token of its own instead of sharing one: at most max_live_tokens at a time, and request_budget in request_window."},
		"revoke_delay":     {Type: framework.TypeDurationSecond, Description: "How long an access token that nobody leases any more is kept for the next reader before it is revoked, for jobs that read and give back in quick succession: at most 10m. 0, the default, revokes it with its last lease. Not with exclusive=true."},
		"metadata":         {Type: framework.TypeKVPairs, Description: "Pairs of a key and a value for readers of the role, without secrets, such as portal=acme: at most 32, and 2048 bytes in all. A write replaces them all, a patch changes those that it names."},
	}
}

func roleAnswer() map[string]*framework.FieldSchema {
	fields := readable(roleFields())
	delete(fields, "redirect_uri") // of the code
	fields["data_center"] = &framework.FieldSchema{Type: framework.TypeString, Description: "Zoho's data centre of the role; empty if its Accounts server is none of Zoho's."}
	fields["authorized"] = &framework.FieldSchema{Type: framework.TypeBool, Description: "Whether the role has something to mint from."}
	fields["scopes_granted"] = &framework.FieldSchema{Type: framework.TypeStringSlice, Description: "The scopes that Zoho says it granted; empty if it does not say."}
	fields["accounts_url"] = &framework.FieldSchema{Type: framework.TypeString, Description: "The Accounts server for which the credentials were written, and to which alone they are sent."}
	return fields
}

func (b *zohoBackend) pathRoleExists(ctx context.Context, _ *logical.Request, d *framework.FieldData) (bool, error) {
	name := roleNameOf(d)
	if settings.CheckRoleName(name) != nil {
		return false, nil //nolint:nilerr // the write itself says what is wrong with the name
	}
	role, err := b.engine.Role(ctx, name)
	if backend.IsBroken(err) {
		return true, nil // or it could not be written again
	}
	return role != nil, err
}

func (b *zohoBackend) pathRoleRead(ctx context.Context, _ *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	role, err := b.engine.Role(ctx, roleNameOf(d))
	if err != nil {
		return respond(err)
	}
	if role == nil {
		return nil, nil
	}
	overview, err := b.engine.RoleOverview(ctx, role.Name)
	if err != nil {
		return respond(err)
	}
	return &logical.Response{Data: map[string]any{
		"name":             role.Name,
		"authorized":       overview.Authorized,
		"grant_type":       role.GrantType,
		"data_center":      overview.DataCenter,
		"scopes_granted":   nonNil(overview.Granted),
		"accounts_url":     role.Pin.AccountsURL,
		"client_id":        role.ClientID,
		"soid":             role.SOID,
		"scopes":           nonNil(role.Scopes),
		"consent":          role.Consent,
		"expected_account": role.ExpectedAccount,
		"ttl":              inSeconds(role.TTL),
		"min_ttl":          inSeconds(role.MinTTL),
		"exclusive":        role.Exclusive,
		"revoke_delay":     inSeconds(role.RevokeDelay),
		"metadata":         maps.Clone(role.Metadata),
	}}, nil
}

func (b *zohoBackend) pathRoleList(ctx context.Context, req *logical.Request, _ *framework.FieldData) (*logical.Response, error) {
	names, overviews, err := b.engine.RoleOverviews(ctx)
	if err != nil {
		return respond(err)
	}
	info := make(map[string]any, len(names))
	for _, name := range names {
		overview := overviews[name]
		of := map[string]any{
			"data_center": overview.DataCenter,
			"grant_type":  overview.GrantType,
			"state":       string(overview.State),
			"authorized":  overview.Authorized,
		}
		if overview.Metadata != nil {
			of["metadata"] = overview.Metadata
		}
		if c := overview.Consent; c != nil && c.State.HasFailed() {
			of["consent_error"], of["consent_failed_at"] = atMount(req, c.Error), instant(c.EndedAt)
		}
		info[name] = of
	}
	return logical.ListResponseWithInfo(names, info), nil
}

func (b *zohoBackend) pathRoleWrite(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	warnings, err := b.engine.WriteRole(ctx, roleNameOf(d), settings.RoleChange{
		GrantType:    written[string](d, "grant_type"),
		DataCenter:   written[string](d, "data_center"),
		ClientID:     written[string](d, "client_id"),
		ClientSecret: written[string](d, "client_secret"),
		RefreshToken: written[string](d, "refresh_token"),
		SOID:         written[string](d, "soid"),
		Scopes:       written[[]string](d, "scopes"),
		Consent:      written[string](d, "consent"),
		Expected:     written[string](d, "expected_account"),
		Code:         written[string](d, "code"),
		RedirectURI:  written[string](d, "redirect_uri"),
		Verify:       written[bool](d, "verify"),
		TTL:          writtenDuration(d, "ttl"),
		MinTTL:       writtenDuration(d, "min_ttl"),
		Exclusive:    written[bool](d, "exclusive"),
		RevokeDelay:  writtenDuration(d, "revoke_delay"),
		Force:        written[bool](d, "force"),
		Metadata:     writtenPairs(d, "metadata", req.Operation),
		MustExist:    req.Operation == logical.PatchOperation,
	})
	return wrote(d, warnings, err)
}

func (b *zohoBackend) pathRoleDelete(ctx context.Context, _ *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	warnings, err := b.engine.DeleteRole(ctx, roleNameOf(d))
	return wrote(d, warnings, err)
}

const pathRolesHelp = `
A role mints its tokens from a refresh token, and there are three ways to one:
write it as "refresh_token"; write "code" with a grant code from Zoho's API
console; or write "scopes" and then "roles/<name>/authorize", which answers an
address where a person consents. With grant_type=client_credentials it needs
none: a Self Client then gets tokens with the role's own "scopes".

A role uses the mount's client from "config" or, with client_id and
client_secret, a client of its own. Two roles with the same refresh token share
its access token, its limits and its failures. New credentials are tried at
Zoho: what Zoho refuses is not written, and the role stays as it was.

The credentials belong to one client at one Accounts server, chosen when they
are written. To change either, write the refresh token (and the role's own
client secret) in the same request. A write keeps the fields that it does not
name; an empty value, or null in a patch, takes a field back to its default.

"metadata" is for what readers need and what says whose the role is: the ID of an
organisation, a portal, an owner. It comes with every answer of "creds", there as
"role_metadata". A write that names it replaces all of it, and an empty one clears
it; a patch keeps the pairs that it does not name, and takes away those that it
names with null.

Deleting a role leaves the leases on its tokens as they are: they can still be
revoked. A refresh token that Zoho gave to this mount, for a code or a consent, is
revoked with its last role, as soon as nobody leases its access tokens. One that was
written to the role lives on at Zoho, where something else may use it: write
"roles/<name>/deauthorize" before, if nothing does. The same goes for a refresh
token in whose place another one is written.
`
