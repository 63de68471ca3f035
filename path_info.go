package zohosecrets

import (
	"context"
	"net/http"
	"runtime/debug"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"
)

const pathInfoName = "info"

func (b *zohoBackend) pathInfo() []*framework.Path {
	return []*framework.Path{{
		Pattern:      pathInfoName,
		DisplayAttrs: &framework.DisplayAttributes{OperationPrefix: operationPrefix},
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.ReadOperation: &framework.PathOperation{
				Callback:     b.pathInfoRead,
				Summary:      "Read the version of the plugin.",
				DisplayAttrs: &framework.DisplayAttributes{OperationVerb: "read", OperationSuffix: "info"},
				Responses: ok(map[string]*framework.FieldSchema{
					"version":     {Type: framework.TypeString, Description: "Version of the plugin."},
					"commit":      {Type: framework.TypeString, Description: "Commit it was built from; with +CHANGES if the tree had changes. Empty if unknown."},
					"sdk_version": {Type: framework.TypeString, Description: "Version of Vault's plugin SDK in it."},
				}),
			},
		},
		HelpSynopsis:    "Read the version of the plugin.",
		HelpDescription: "Tells the plugin's version, the commit that it was built from, and the version of Vault's plugin SDK in it.",
	}}
}

func (b *zohoBackend) pathInfoRead(context.Context, *logical.Request, *framework.FieldData) (*logical.Response, error) {
	return &logical.Response{Data: map[string]any{
		"version":     Version,
		"commit":      Commit,
		"sdk_version": sdkVersion(),
	}}, nil
}

func sdkVersion() string {
	info, _ := debug.ReadBuildInfo()
	if info == nil {
		return ""
	}
	for _, dep := range info.Deps {
		if dep.Path == "github.com/hashicorp/vault/sdk" {
			return dep.Version
		}
	}
	return ""
}

// ok is the schema of a 200 answer.
func ok(fields map[string]*framework.FieldSchema) map[int][]framework.Response {
	return map[int][]framework.Response{http.StatusOK: {{Description: "OK", Fields: fields}}}
}

// done is the schema of an answer without a body.
func done() map[int][]framework.Response {
	return map[int][]framework.Response{http.StatusNoContent: {{Description: "No Content"}}}
}
