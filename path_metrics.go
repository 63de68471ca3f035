package zohosecrets

import (
	"bytes"
	"context"
	"net/http"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"vault-plugin-secrets-zoho/backend"
)

func (b *zohoBackend) pathMetrics() []*framework.Path {
	return []*framework.Path{{
		Pattern:      "metrics",
		DisplayAttrs: &framework.DisplayAttributes{OperationPrefix: operationPrefix},
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.ReadOperation: &framework.PathOperation{
				Callback:     b.pathMetricsRead,
				Summary:      "Read the metrics of the mount, in Prometheus' text format.",
				DisplayAttrs: &framework.DisplayAttributes{OperationVerb: "read", OperationSuffix: "metrics"},
				Responses: map[int][]framework.Response{http.StatusOK: {{
					Description: "OK", MediaType: "text/plain",
					Example: &logical.Response{Data: map[string]any{"body": "zoho_holders 3\n"}},
				}}},
				// The active node does the work, so it has what is counted.
				ForwardPerformanceStandby:   true,
				ForwardPerformanceSecondary: true,
			},
		},
		HelpSynopsis:    "Read the metrics of the mount, in Prometheus' text format.",
		HelpDescription: pathMetricsHelp,
	}}
}

func (b *zohoBackend) pathMetricsRead(ctx context.Context, _ *logical.Request, _ *framework.FieldData) (*logical.Response, error) {
	var body bytes.Buffer
	if err := b.engine.WriteMetrics(ctx, &body); err != nil {
		return respond(err)
	}
	return &logical.Response{Data: map[string]any{
		logical.HTTPStatusCode:  http.StatusOK,
		logical.HTTPContentType: backend.MetricsContentType,
		logical.HTTPRawBody:     body.Bytes(),
	}}, nil
}

const pathMetricsHelp = `
What to watch and alert on. Prometheus scrapes it with a Vault token that has the
policy policies/monitor.hcl; a standby forwards the scrape to the active node. To
look at it by hand:

  vault read -format=raw <mount>/metrics

It asks neither Zoho nor, as a rule, Vault's storage. Labels are names of roles in
use, client IDs and fixed words: never a token, an account or a person.
`
