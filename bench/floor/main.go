// Command floor is the least that a secrets engine outside Vault's process can
// do: it answers a read with a lease, without storage and without network. What
// it costs is Vault's own price for a leased read and for a revocation.
package main

import (
	"context"
	"log"
	"time"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/hashicorp/vault/sdk/plugin"
)

func main() {
	if err := plugin.ServeMultiplex(&plugin.ServeOpts{BackendFactoryFunc: factory}); err != nil {
		log.Fatal(err)
	}
}

func factory(ctx context.Context, conf *logical.BackendConfig) (logical.Backend, error) {
	secret := &framework.Secret{
		Type: "floor",
		Revoke: func(context.Context, *logical.Request, *framework.FieldData) (*logical.Response, error) {
			return nil, nil
		},
	}
	b := &framework.Backend{
		BackendType:    logical.TypeLogical,
		RunningVersion: "v0.0.1",
		Secrets:        []*framework.Secret{secret},
		Paths: []*framework.Path{{
			Pattern: "creds/" + framework.GenericNameRegex("name"),
			Fields:  map[string]*framework.FieldSchema{"name": {Type: framework.TypeString}},
			Operations: map[logical.Operation]framework.OperationHandler{
				logical.ReadOperation: &framework.PathOperation{
					// As every engine that issues something must.
					ForwardPerformanceStandby:   true,
					ForwardPerformanceSecondary: true,
					Callback: func(context.Context, *logical.Request, *framework.FieldData) (*logical.Response, error) {
						resp := secret.Response(answer(), map[string]any{"id": "0123456789abcdef0123456789abcdef"})
						resp.Secret.TTL, resp.Secret.MaxTTL = time.Hour, time.Hour
						return resp, nil
					},
				},
			},
		}},
	}
	return b, b.Setup(ctx, conf)
}

// answer is as large as a real one.
func answer() map[string]any {
	const token = "1000.0123456789abcdef0123456789abcdef.0123456789abcdef0123456789abcdef"
	return map[string]any{
		"access_token": token, "authorization": "Zoho-oauthtoken " + token, "token_type": "Bearer",
		"api_domain": "https://www.zohoapis.com", "data_center": "us", "scopes": []string{},
		"expires_at": "2026-01-01T00:00:00Z", "token_id": "0123456789abcdef0123456789abcdef", "role": "crm-sync",
	}
}
