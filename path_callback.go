package zohosecrets

import (
	"context"
	"net/http"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"vault-plugin-secrets-zoho/backend"
)

const pathCallbackName = "callback"

func (b *zohoBackend) pathCallback() []*framework.Path {
	return []*framework.Path{{
		Pattern:      pathCallbackName,
		DisplayAttrs: &framework.DisplayAttributes{OperationPrefix: operationPrefix},
		Fields: map[string]*framework.FieldSchema{
			"state":           {Type: framework.TypeString, Query: true, Description: "The state of the authorization that was begun.", DisplayAttrs: &framework.DisplayAttributes{Sensitive: true}},
			"code":            {Type: framework.TypeString, Query: true, Description: "The grant code.", DisplayAttrs: &framework.DisplayAttributes{Sensitive: true}},
			"error":           {Type: framework.TypeString, Query: true, Description: "Zoho's word for why there is no code."},
			"location":        {Type: framework.TypeString, Query: true, Description: "Data centre of the person's account."},
			"accounts-server": {Type: framework.TypeString, Query: true, Description: "Its Accounts server. It must be the role's; nothing is sent to any other."},
		},
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.ReadOperation: &framework.PathOperation{
				Callback:     b.pathCallbackRead,
				Summary:      "Complete an authorization: Zoho sends the person's browser here.",
				DisplayAttrs: &framework.DisplayAttributes{OperationVerb: "complete", OperationSuffix: "authorization"},
				Responses: map[int][]framework.Response{
					http.StatusOK: {{Description: "OK", MediaType: "text/html"}},
				},
				ForwardPerformanceStandby:   true,
				ForwardPerformanceSecondary: true,
			},
		},
		HelpSynopsis:    "Where Zoho sends the browser back to, after a person was asked for consent.",
		HelpDescription: pathCallbackHelp,
	}}
}

func (b *zohoBackend) pathCallbackRead(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	if req.WrapInfo != nil {
		// Vault wraps every answer that is no error in its sense, and the page that tells of a failure is none:
		// anybody could fill Vault's storage with wrapping tokens that live for a month.
		return logical.ErrorResponse("this page is for a browser and cannot be wrapped: send the request without X-Vault-Wrap-TTL"), nil
	}
	text := func(name string) string {
		value, _ := d.Get(name).(string)
		return value
	}
	consent, err := b.engine.CompleteConsent(ctx, backend.Callback{
		State:          text("state"),
		Code:           text("code"),
		Error:          text("error"),
		Location:       text("location"),
		AccountsServer: text("accounts-server"),
	})
	status := http.StatusOK
	if err != nil {
		status = statusOf(respond(err))
	}
	return consentPageOf(req, consent).answer(status)
}

// statusOf is the HTTP status of an answer.
func statusOf(answer *logical.Response, err error) int {
	status, failed := logical.RespondErrorCommon(&logical.Request{Operation: logical.ReadOperation}, answer, err)
	if failed != nil {
		logical.AdjustErrorStatusCode(&status, failed)
	}
	return status
}

const pathCallbackHelp = `
Zoho sends the browser of a person who was asked for consent here, with a grant
code and the state of the authorization. It needs no Vault token: the state,
which "roles/<name>/authorize" made, is good for one use within ten minutes, and
for one role. (One that comes when no grant code can be exchanged does not count.)
Without a state nothing happens.

The answer is a page. It tells the person what happened and what they can do, and apart
from that the operator. After success it shows whose account it is, if Zoho said so, and
the scopes. Why a consent has failed is in the status of the role, too: "last_consent".
`
