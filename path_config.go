package zohosecrets

import (
	"context"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"vault-plugin-secrets-zoho/backend"
	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/backend/zoho"
)

func (b *zohoBackend) pathConfig() []*framework.Path {
	write := func(verb string) *framework.PathOperation {
		return &framework.PathOperation{
			Callback:                    b.pathConfigWrite,
			Summary:                     "Write the defaults of the mount; fields that are not named stay as they are.",
			DisplayAttrs:                &framework.DisplayAttributes{OperationVerb: verb, OperationSuffix: "configuration"},
			Responses:                   done(),
			ForwardPerformanceStandby:   true,
			ForwardPerformanceSecondary: true,
		}
	}
	return []*framework.Path{{
		Pattern:        "config",
		DisplayAttrs:   &framework.DisplayAttributes{OperationPrefix: operationPrefix},
		Fields:         configFields(),
		ExistenceCheck: b.pathConfigExists,
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.ReadOperation: &framework.PathOperation{
				Callback:     b.pathConfigRead,
				Summary:      "Read the defaults of the mount.",
				DisplayAttrs: &framework.DisplayAttributes{OperationVerb: "read", OperationSuffix: "configuration"},
				Responses:    ok(readable(configFields())),
			},
			logical.CreateOperation: write("configure"),
			logical.UpdateOperation: write("configure"),
			logical.PatchOperation:  write("patch"),
			logical.DeleteOperation: &framework.PathOperation{
				Callback:                    b.pathConfigDelete,
				Summary:                     "Delete the defaults of the mount, its client with them.",
				DisplayAttrs:                &framework.DisplayAttributes{OperationVerb: "delete", OperationSuffix: "configuration"},
				Responses:                   done(),
				ForwardPerformanceStandby:   true,
				ForwardPerformanceSecondary: true,
			},
		},
		HelpSynopsis:    "The mount's client, data centre and limits: defaults for its roles.",
		HelpDescription: pathConfigHelp,
	}}
}

func configFields() map[string]*framework.FieldSchema {
	names := make([]any, 0, len(zoho.DataCenterNames()))
	for _, name := range zoho.DataCenterNames() {
		names = append(names, name)
	}
	return map[string]*framework.FieldSchema{
		"data_center":        {Type: framework.TypeString, AllowedValues: names, Description: "Zoho's data centre: us, eu, in, au, jp, ca, sa, uk, cn, ae or sg."},
		"accounts_url":       {Type: framework.TypeString, Description: "Accounts server, if it is not the data centre's own: a portal, an on-premises server, the simulator. https, or http on a loopback address."},
		"client_id":          {Type: framework.TypeString, Description: "Client ID from Zoho's API console, for roles without a client of their own."},
		"client_secret":      {Type: framework.TypeString, Description: "Its secret, of this data centre. Cannot be read back.", DisplayAttrs: &framework.DisplayAttributes{Sensitive: true}},
		"redirect_uri":       {Type: framework.TypeString, Description: "Where Zoho's consent page returns: the address of this mount's callback."},
		"min_ttl":            {Type: framework.TypeDurationSecond, Description: "A token is handed out while it lives at least this much longer. 0, the default, is a sixth of its life: 10 minutes of an hour."},
		"refresh_ahead":      {Type: framework.TypeBool, Default: true, Description: "Mint the next token of a grant in use at half-life, in the background, so that a short outage of Zoho is not noticed."},
		"request_budget":     {Type: framework.TypeInt, Default: settings.DefaultRequestBudget, Description: "Token requests in request_window, for each refresh token, or each client where there is none. Zoho's limit is 10."},
		"request_window":     {Type: framework.TypeDurationSecond, Default: int(settings.DefaultRequestWindow.Seconds()), Description: "Window of request_budget, and the silence after Zoho has throttled. Zoho's is 10 minutes."},
		"count_requests_per": {Type: framework.TypeString, Default: settings.CountPerGrant, AllowedValues: []any{settings.CountPerGrant, settings.CountPerClient}, Description: "For what Zoho counts token requests: grant, for each refresh token, and for each client where there is none; or client, for all refresh tokens of a client together. Zoho's pages differ; change it if Zoho throttles a client whose refresh tokens each stay below the limit."},
		"max_live_tokens":    {Type: framework.TypeInt, Default: settings.DefaultMaxLiveTokens, Description: "Live access tokens that a grant may have; Zoho kills the oldest beyond it. Zoho's limit is 10."},
		"request_timeout":    {Type: framework.TypeDurationSecond, Default: int(settings.DefaultRequestTimeout.Seconds()), Description: "Time that one call to Zoho may take."},
		"verify":             {Type: framework.TypeBool, Default: true, Description: "Try a new client secret at Zoho, with a role that uses it, and keep the former one if Zoho refuses. Not stored."},
		"force":              {Type: framework.TypeBool, Description: "Change the client, or delete the config, also if roles hand out no access tokens any more. Not stored."},
		"ca_cert":            {Type: framework.TypeString, Description: "Certificate authorities (PEM) of an on-premises Accounts server, instead of the system's."},
	}
}

// readable leaves out the fields that are only written.
func readable(fields map[string]*framework.FieldSchema) map[string]*framework.FieldSchema {
	for _, written := range []string{"client_secret", "refresh_token", "code", "verify", "force"} {
		delete(fields, written)
	}
	return fields
}

func (b *zohoBackend) pathConfigExists(ctx context.Context, _ *logical.Request, _ *framework.FieldData) (bool, error) {
	c, err := b.engine.Config(ctx)
	if backend.IsBroken(err) {
		return true, nil // or it could not be written again
	}
	return err == nil && !c.IsDefault, err
}

func (b *zohoBackend) pathConfigRead(ctx context.Context, _ *logical.Request, _ *framework.FieldData) (*logical.Response, error) {
	c, err := b.engine.Config(ctx)
	if err != nil || c.IsDefault {
		return nil, err
	}
	return &logical.Response{Data: map[string]any{
		"data_center":        c.DataCenter,
		"accounts_url":       c.AccountsURL(),
		"client_id":          c.ClientID,
		"redirect_uri":       c.RedirectURI,
		"min_ttl":            inSeconds(c.MinTTL),
		"refresh_ahead":      c.RefreshAhead,
		"request_budget":     c.RequestBudget,
		"request_window":     inSeconds(c.RequestWindow),
		"max_live_tokens":    c.MaxLiveTokens,
		"request_timeout":    inSeconds(c.RequestTimeout),
		"count_requests_per": c.CountRequestsPer,
		"ca_cert":            c.CACert,
	}}, nil
}

func (b *zohoBackend) pathConfigWrite(ctx context.Context, _ *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	warnings, err := b.engine.WriteConfig(ctx, settings.ConfigChange{
		DataCenter:       written[string](d, "data_center"),
		AccountsURL:      written[string](d, "accounts_url"),
		ClientID:         written[string](d, "client_id"),
		ClientSecret:     written[string](d, "client_secret"),
		RedirectURI:      written[string](d, "redirect_uri"),
		MinTTL:           writtenDuration(d, "min_ttl"),
		RefreshAhead:     written[bool](d, "refresh_ahead"),
		RequestBudget:    written[int](d, "request_budget"),
		RequestWindow:    writtenDuration(d, "request_window"),
		MaxLiveTokens:    written[int](d, "max_live_tokens"),
		RequestTimeout:   writtenDuration(d, "request_timeout"),
		CountRequestsPer: written[string](d, "count_requests_per"),
		CACert:           written[string](d, "ca_cert"),
		Verify:           written[bool](d, "verify"),
		Force:            isTrue(d, "force"),
	})
	return wrote(d, warnings, err)
}

func (b *zohoBackend) pathConfigDelete(ctx context.Context, _ *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	warnings, err := b.engine.DeleteConfig(ctx, isTrue(d, "force"))
	return wrote(d, warnings, err)
}

// errorText returns the error of a response that has one.
func errorText(resp *logical.Response) (text string, told bool) {
	if resp == nil {
		return "", false
	}
	text, told = resp.Data["error"].(string)
	return text, told
}

const pathConfigHelp = `
Holds the client that roles use when they name none of their own, the data
centre with its Accounts server, and the limits that the engine keeps to.

A client secret is sent only to the Accounts server for which it was written.
To change the server or the client ID, write the client secret in the same
request. A new secret of the same client is tried at Zoho, with a role that uses
it; if Zoho refuses, the former one stays in force. "ca_cert" says whom the
engine takes for the Accounts server, so whoever may write it is trusted with the
secrets. A write keeps the fields that
it does not name; an empty value, or null in a patch, takes a field back to its default.

A role that uses the mount's client was written for that client at that server. If a
write changes them, or the config is deleted, the role hands out nothing until it has
them again, or is authorized or written for the new one; a warning names such roles. If
no other role is left that hands out access tokens, the request is refused without
"force". Leases and tokens stay as they are: what is out can still be revoked.
`
