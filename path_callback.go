package zohosecrets

import (
	"bytes"
	"context"
	"errors"
	"html/template"
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
	text := func(name string) string {
		value, _ := d.Get(name).(string)
		return value
	}
	role, err := b.engine.CompleteConsent(ctx, backend.Callback{
		State:          text("state"),
		Code:           text("code"),
		Error:          text("error"),
		Location:       text("location"),
		AccountsServer: text("accounts-server"),
	})
	if err == nil {
		return page(http.StatusOK, "Authorized", "Role \""+role+"\" can hand out access tokens now. You may close this window.")
	}
	answer, err := respond(err)
	if text, told := toldTo(answer, err); told {
		return page(statusOf(answer, err), "Not authorized", atMount(req, text))
	}
	if errors.Is(err, logical.ErrReadOnly) {
		return nil, err // Vault takes the request to the active node
	}
	return page(http.StatusInternalServerError, "Not authorized", "Vault could not complete this. Whoever runs it finds the cause in its log, as \"an authorization failed\". Then begin again.")
}

// toldTo is what a person may read of an answer; not told if it is an error of
// Vault's own.
func toldTo(answer *logical.Response, err error) (text string, told bool) {
	var coded logical.HTTPCodedError
	switch {
	case answer != nil && answer.IsError():
		return answer.Error().Error(), true
	case errors.As(err, &coded):
		return coded.Error(), true
	default:
		return "", false
	}
}

func statusOf(answer *logical.Response, err error) int {
	status, failed := logical.RespondErrorCommon(&logical.Request{Operation: logical.ReadOperation}, answer, err)
	if failed != nil {
		logical.AdjustErrorStatusCode(&status, failed)
	}
	return status
}

// page answers a browser. The template escapes whatever it is given; nothing in
// it is loaded from anywhere.
func page(status int, title, text string) (*logical.Response, error) {
	tmpl, err := template.New("page").Parse(pageTemplate)
	if err != nil {
		return nil, err
	}
	var body bytes.Buffer
	if err := tmpl.Execute(&body, map[string]string{"Title": title, "Text": text}); err != nil {
		return nil, err
	}
	return &logical.Response{Data: map[string]any{
		logical.HTTPContentType:        "text/html; charset=utf-8",
		logical.HTTPStatusCode:         status,
		logical.HTTPRawBody:            body.Bytes(),
		logical.HTTPCacheControlHeader: "no-store",
	}}, nil
}

const pageTemplate = `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'">
<title>{{.Title}}</title>
<style>:root{color-scheme:light dark}body{font:1rem/1.5 sans-serif;max-width:36em;margin:4em auto;padding:0 1em}h1{font-size:1.4em}p{overflow-wrap:anywhere}footer{margin-top:2em;font-size:.8em;opacity:.7}</style>
</head>
<body>
<h1>{{.Title}}</h1>
<p>{{.Text}}</p>
<footer>The Zoho secrets engine in Vault</footer>
</body>
</html>
`

const pathCallbackHelp = `
Zoho sends the browser of a person who was asked for consent here, with a grant
code and the state of the authorization. It needs no Vault token: the state,
which "roles/<name>/authorize" made, is good for one use within ten minutes, and
for one role. Without one nothing happens.
`
