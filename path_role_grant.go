package zohosecrets

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"vault-plugin-secrets-zoho/backend"
	"vault-plugin-secrets-zoho/backend/settings"
)

// pathRoleGrant is what can be asked of, and done with, a role's grant.
func (b *zohoBackend) pathRoleGrant() []*framework.Path {
	return []*framework.Path{
		b.pathRoleStatus(),
		b.pathRoleAction("authorize", "Begin to ask a person for consent, in a browser or with a code to type.", pathAuthorizeHelp, b.pathRoleAuthorize,
			map[string]*framework.FieldSchema{
				"method": {Type: framework.TypeString, Default: backend.MethodBrowser, AllowedValues: []any{backend.MethodBrowser, backend.MethodDevice}, Description: "How the person is asked. With browser they open an address, and come back to the mount's redirect_uri. With device they type a code into a page of Zoho's, and Vault polls; the client has to be of the type Non-browser Mobile Applications."},
			},
			ok(map[string]*framework.FieldSchema{
				"authorization_url": {Type: framework.TypeString, Description: "With method=browser: where to send the person. It can be used once."},
				"expires_at":        {Type: framework.TypeString, Description: "Until when it can be used, RFC 3339."},
				"user_code":         {Type: framework.TypeString, Description: "With method=device: what the person types."},
				"verification_url":  {Type: framework.TypeString, Description: "With method=device: the page of Zoho's where the person types it."},
				"on_behalf_of":      {Type: framework.TypeString, Description: "With method=device: for which role and client the person agrees, and who asks. Tell it to the person with the code: Zoho's page shows the client alone."},
			})),
		b.pathRoleAction("deauthorize", "Revoke the role's refresh token at Zoho, and forget it.", pathDeauthorizeHelp, b.pathRoleDeauthorize,
			map[string]*framework.FieldSchema{
				"force": {Type: framework.TypeBool, Description: "Also if other roles have the same refresh token, and lose it, too."},
			}, done()),
		b.pathRoleAction("rotate", "Mint a new access token for the role, and revoke the others at Zoho now.", pathRotateHelp, b.pathRoleRotate,
			map[string]*framework.FieldSchema{
				"force": {Type: framework.TypeBool, Description: "Revoke also if no new access token can be had. Readers then wait until one can be minted."},
			},
			ok(map[string]*framework.FieldSchema{
				"token_id":        {Type: framework.TypeString, Description: "A keyed hash that names the new access token."},
				"expires_at":      {Type: framework.TypeString, Description: "When the new access token ends, RFC 3339."},
				"ended_token_ids": {Type: framework.TypeStringSlice, Description: "The same of those that were revoked; empty if there were none."},
			})),
	}
}

func (b *zohoBackend) pathRoleStatus() *framework.Path {
	return &framework.Path{
		Pattern:      "roles/" + nameRegex + "/status",
		DisplayAttrs: &framework.DisplayAttributes{OperationPrefix: operationPrefix},
		Fields:       map[string]*framework.FieldSchema{"name": nameField()},
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.ReadOperation: &framework.PathOperation{
				Callback:     b.pathRoleStatusRead,
				Summary:      "Read how the role's grant is doing, without asking Zoho.",
				DisplayAttrs: &framework.DisplayAttributes{OperationVerb: "read", OperationSuffix: "role-status"},
				Responses: ok(map[string]*framework.FieldSchema{
					"state":                 {Type: framework.TypeString, Description: "How the latest mint went: never tried, not tried since the credentials changed, ready, throttled, refused or unreachable; out of budget, if there is no token for a reader and no request is left for one, until retry_at; deauthorized; or consent failed, if there is nothing to mint from since the latest consent has failed."},
					"authorized":            {Type: framework.TypeBool, Description: "Whether the role has something to mint from."},
					"authorized_as":         {Type: framework.TypeString, Description: "Whose Zoho account the refresh token belongs to, as Zoho said when it was given; empty if Zoho did not say. See authorized_as_kind for what it is worth."},
					"authorized_as_kind":    {Type: framework.TypeString, Description: "What authorized_as is: verified address, unverified address, address if Zoho did not say whether it is verified, or name, which whoever has the account has chosen; empty if there is none."},
					"grant":                 {Type: framework.TypeString, Description: "A keyed hash that names the grant in the log; roles that share it have the same."},
					"shared_with":           {Type: framework.TypeStringSlice, Description: "Other roles of the same grant."},
					"deauthorized":          {Type: framework.TypeMap, Description: "Who gave up the role's refresh token: at, entity_id, display_name and request_id; empty if it was not given up."},
					"last_consent":          {Type: framework.TypeMap, Description: "The latest authorization that was begun and has not succeeded: its state (pending, denied, expired, elsewhere for an account in another data centre, or failed), its method, when it was begun, ends and has ended, and the error. Only the state granted, if the role works with a consent and none was begun since. Empty if there is none."},
					"budget_shared_with":    {Type: framework.TypeStringSlice, Description: "Other roles whose token requests count together with those of this one, so that they share requests_left. Those of shared_with are among them."},
					"scopes_granted":        {Type: framework.TypeStringSlice, Description: "The scopes that Zoho says it granted; empty if it does not say."},
					"scopes":                {Type: framework.TypeStringSlice, Description: "The scopes that the role asks for."},
					"last_success":          {Type: framework.TypeString, Description: "When a token was minted last, RFC 3339; empty: never."},
					"last_error":            {Type: framework.TypeString, Description: "Why the latest mint failed, or, in the state consent failed, the consent; empty if it did not."},
					"last_error_code":       {Type: framework.TypeString, Description: "Zoho's own word for it; empty if it sent none."},
					"last_error_at":         {Type: framework.TypeString, Description: "When that was, RFC 3339; empty if it did not fail."},
					"retry_at":              {Type: framework.TypeString, Description: "Until when Zoho is left alone, after a failure or because requests_left is 0, RFC 3339; empty: it may be asked, or somebody has to correct something."},
					"requests_left":         {Type: framework.TypeInt, Description: "Token requests that may still be made in request_window."},
					"client_refresh_tokens": {Type: framework.TypeInt, Description: "Refresh tokens of the role's client that this mount knows, those that wait to be revoked included. Zoho lets a user have 20, and deletes the oldest for the next."},
					"live_tokens":           {Type: framework.TypeInt, Description: "Access tokens that Zoho may count as alive."},
					"holders":               {Type: framework.TypeInt, Description: "Leases on the grant's tokens."},
					"token_id":              {Type: framework.TypeString, Description: "The access token that the next reader gets; empty: one has to be minted."},
					"expires_at":            {Type: framework.TypeString, Description: "When it ends, RFC 3339."},
					"pending_revocations":   {Type: framework.TypeSlice, Description: "Refresh tokens that were the role's and wait to be revoked at Zoho: since, decided (false: somebody still leases their access tokens), failures, last_error and retry_at."},
					"next_refresh":          {Type: framework.TypeString, Description: "When it is replaced ahead of that if the grant is in use, RFC 3339."},
				}),
				// The active node alone knows everything that has not been written yet.
				ForwardPerformanceStandby:   true,
				ForwardPerformanceSecondary: true,
			},
		},
		HelpSynopsis:    "Read how the role's grant is doing.",
		HelpDescription: pathStatusHelp,
	}
}

// pathRoleAction is a path below a role that does one thing.
func (b *zohoBackend) pathRoleAction(verb, summary, help string, run framework.OperationFunc, fields map[string]*framework.FieldSchema, responses map[int][]framework.Response) *framework.Path {
	all := map[string]*framework.FieldSchema{"name": nameField()}
	for name, field := range fields {
		all[name] = field
	}
	return &framework.Path{
		Pattern:      "roles/" + nameRegex + "/" + verb,
		DisplayAttrs: &framework.DisplayAttributes{OperationPrefix: operationPrefix},
		Fields:       all,
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.UpdateOperation: &framework.PathOperation{
				Callback:                    run,
				Summary:                     summary,
				DisplayAttrs:                &framework.DisplayAttributes{OperationVerb: verb, OperationSuffix: "role"},
				Responses:                   responses,
				ForwardPerformanceStandby:   true,
				ForwardPerformanceSecondary: true,
			},
		},
		HelpSynopsis:    summary,
		HelpDescription: help,
	}
}

func (b *zohoBackend) pathRoleStatusRead(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	s, err := b.engine.Status(ctx, roleNameOf(d))
	if err != nil {
		return respond(err)
	}
	pending := make([]map[string]any, 0, len(s.Pending))
	for _, p := range s.Pending {
		pending = append(pending, map[string]any{
			"since": instant(p.Since), "decided": p.Decided, "failures": p.Failures, "last_error": p.LastError, "retry_at": instant(p.RetryAt),
		})
	}
	return &logical.Response{Warnings: s.Doubts, Data: map[string]any{
		"pending_revocations":   pending,
		"state":                 string(s.State),
		"authorized":            s.Authorized,
		"authorized_as":         s.AuthorizedAs.Name,
		"authorized_as_kind":    string(s.AuthorizedAs.Kind),
		"grant":                 s.GrantID,
		"shared_with":           nonNil(s.SharedWith),
		"scopes":                nonNil(s.Scopes),
		"scopes_granted":        nonNil(s.Granted),
		"budget_shared_with":    nonNil(s.BudgetWith),
		"deauthorized":          describeDeauthorization(s.Deauthorized),
		"last_consent":          describeConsent(req, s.LastConsent),
		"last_success":          instant(s.LastSuccess),
		"last_error":            atMount(req, s.LastError),
		"last_error_code":       s.ErrorCode,
		"last_error_at":         instant(s.LastErrorAt),
		"retry_at":              instant(s.RetryAt),
		"requests_left":         s.RequestsLeft,
		"client_refresh_tokens": s.ClientTokens,
		"live_tokens":           s.LiveTokens,
		"holders":               s.Holders,
		"token_id":              s.TokenID,
		"expires_at":            instant(s.ExpiresAt),
		"next_refresh":          instant(s.NextRefresh),
	}}, nil
}

func describeDeauthorization(d *settings.Deauthorization) map[string]any {
	if d == nil {
		return map[string]any{}
	}
	return map[string]any{"at": instant(d.At), "entity_id": d.EntityID, "display_name": d.DisplayName, "request_id": d.RequestID}
}

func describeConsent(req *logical.Request, c *backend.LastConsent) map[string]any {
	if c == nil {
		return map[string]any{}
	}
	return map[string]any{
		"state": string(c.State), "method": c.Method, "begun_at": instant(c.BegunAt), "expires_at": instant(c.ExpiresAt), "ended_at": instant(c.EndedAt), "error": atMount(req, c.Error),
	}
}

func (b *zohoBackend) pathRoleAuthorize(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	switch method, _ := d.Get("method").(string); method {
	case "", backend.MethodBrowser:
	case backend.MethodDevice:
		return b.authorizeDevice(ctx, req, d)
	default:
		return logical.ErrorResponse("method is neither browser nor device"), nil
	}
	begun, err := b.engine.Authorize(ctx, roleNameOf(d))
	if err != nil {
		return respond(err)
	}
	return &logical.Response{Warnings: begun.Warnings, Data: map[string]any{
		"authorization_url": begun.URL,
		"expires_at":        instant(begun.ExpiresAt),
	}}, nil
}

func (b *zohoBackend) authorizeDevice(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	begun, err := b.engine.AuthorizeDevice(ctx, roleNameOf(d))
	if err != nil {
		return respond(err)
	}
	return &logical.Response{Warnings: begun.Warnings, Data: map[string]any{
		"user_code":        begun.UserCode,
		"verification_url": begun.VerificationURL,
		"expires_at":       instant(begun.ExpiresAt),
		"on_behalf_of":     fmt.Sprintf("role %q of %s, client %s, asked for by %s", roleNameOf(d), req.MountPoint, begun.ClientID, cmp.Or(req.DisplayName, "a token without a name")),
	}}, nil
}

func (b *zohoBackend) pathRoleDeauthorize(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	warnings, err := b.engine.Deauthorize(ctx, roleNameOf(d), isTrue(d, "force"), requesterOf(req))
	return wrote(d, warnings, err)
}

func (b *zohoBackend) pathRoleRotate(ctx context.Context, _ *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	rotated, err := b.engine.Rotate(ctx, roleNameOf(d), isTrue(d, "force"))
	if err != nil {
		return respond(err)
	}
	return &logical.Response{Warnings: append(rotated.Warnings, unknownFields(d)...), Data: map[string]any{
		"token_id":        rotated.TokenID,
		"expires_at":      instant(rotated.ExpiresAt),
		"ended_token_ids": nonNil(rotated.Ended),
	}}, nil
}

// instant writes a time as RFC 3339; empty for none.
func instant(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

const pathStatusHelp = `
Tells whether the role can mint tokens, and if not, why and since when; how
much of Zoho's limits is left; and who holds its tokens. It asks Vault's
storage, not Zoho. Whose Zoho account the role works with is known if the role
was authorized with the scope AaaServer.profile.READ or email.
`

const pathAuthorizeHelp = `
Answers an address at Zoho, good for ten minutes and for one use. A person who
opens it in a browser is asked to agree to the role's "scopes", and comes back
to the mount's "redirect_uri", its callback, which completes the role. Register
that address in Zoho's API console. Until then nothing changes. Give the address
to the person who is meant and to nobody else: whoever opens it can put their own
account behind the role, unless that has an "expected_account". Nor should anybody
open one that they did not expect: whoever has begun it reads their data then. With
consent=org it is the page where an administrator agrees for the organisation that
the role's "soid" names.

With method=device the answer is a code instead, good for five minutes, that the
person types into a page of Zoho's on any device with a browser. Nothing comes
back to Vault, so Vault needs no redirect_uri and no address that others reach: it
polls Zoho until the person has decided, also after a restart or a leader change.
Read the role's status: its last_consent tells pending, granted, denied, expired,
elsewhere or failed. The role's client has to be of the type Non-browser Mobile
Applications. A role has one such code at a time. Whoever types a code that
somebody else sent puts their account behind that one's role, and Zoho's page shows
the client alone: send the code together with "on_behalf_of", and only to a person
who expects it; a person types a code only if they know who asks, and what for.

Whoever has the address can change it. A consent that brings more scopes than the
role's is refused, and revoked at Zoho; the role's status says what is missing, or
cannot be told. One that comes back when no grant code can be exchanged uses up
nothing: the same address can be opened again.

A role that is authorized again gets a new refresh token. The former one is
revoked at Zoho when nobody holds its access tokens and no other role uses it. If the
mount has another client now than the one that the role was written for, the consent is
for the new client, and the role is one of it then.
`

const pathDeauthorizeHelp = `
Revokes the role's refresh token at Zoho, and all its access tokens with it,
whoever leases them; and so those that the role had before and that still wait to be
revoked, unless another role has them. The role stays, and can be authorized again. If
Zoho cannot be asked, the answer says so; nobody gets the access tokens any more, and
the engine goes on asking: see "pending_revocations" in the role's status. Written once
more, it asks at once.
`

const pathRotateHelp = `
Mints a new access token, which the role's readers get at their next read, and
revokes every other one of the grant at Zoho, whatever the leases say. It also
revokes those that the role has handed out with former credentials, unless they are
another role's as well: then a warning names them. The answer names what was
revoked. If no new one can be had, nothing is revoked, unless "force" is true.
It also gives credentials another chance that Zoho has refused.
`
