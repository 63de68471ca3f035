// Command floor is the least that a secrets engine outside Vault's process can do. Its
// path creds/ answers a read with a lease, without storage and without network: what
// that costs is Vault's own price for a leased read and for a revocation. Its path
// stored/ does the same after one write to storage.
package main

import (
	"context"
	"fmt"
	"log"
	"strings"
	"sync/atomic"
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
		Paths: []*framework.Path{
			leased("creds/", secret, func(context.Context, *logical.Request) error { return nil }),
			leased("stored/", secret, (&writer{}).write),
		},
	}
	return b, b.Setup(ctx, conf)
}

// leased is a path that answers a read with a lease, when something else is done.
func leased(prefix string, secret *framework.Secret, first func(context.Context, *logical.Request) error) *framework.Path {
	return &framework.Path{
		Pattern: prefix + framework.GenericNameRegex("name"),
		Fields:  map[string]*framework.FieldSchema{"name": {Type: framework.TypeString}},
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.ReadOperation: &framework.PathOperation{
				// As every engine that issues something must.
				ForwardPerformanceStandby:   true,
				ForwardPerformanceSecondary: true,
				Callback: func(ctx context.Context, req *logical.Request, _ *framework.FieldData) (*logical.Response, error) {
					if err := first(ctx, req); err != nil {
						return nil, err
					}
					resp := secret.Response(answer(), internalData())
					resp.Secret.TTL, resp.Secret.MaxTTL = time.Hour, time.Hour
					return resp, nil
				},
			},
		},
	}
}

// writer writes entries that are as large as what the engine keeps of one lease.
type writer struct{ written atomic.Int64 }

// write takes one key after the other, since Vault lets writes of one key wait for each
// other, and those of several go to disk together.
func (w *writer) write(ctx context.Context, req *logical.Request) error {
	const keys = 512
	key := fmt.Sprintf("entries/%d", w.written.Add(1)%keys)
	return req.Storage.Put(ctx, &logical.StorageEntry{Key: key, Value: []byte(strings.Repeat("x", 256))})
}

// answer is as large as a real one.
func answer() map[string]any {
	const token = "1000.0123456789abcdef0123456789abcdef.0123456789abcdef0123456789abcdef"
	return map[string]any{
		"access_token": token, "authorization": "Zoho-oauthtoken " + token, "token_type": "Bearer",
		"api_domain": "https://www.zohoapis.com", "zoho_domain": "", "data_center": "us", "scopes": []string{"ZohoCRM.modules.ALL"},
		"expires_at": "2026-01-01T00:00:00Z", "token_id": tokenID, "role": "crm-sync", "role_metadata": map[string]string{},
	}
}

// internalData is what the lease carries, likewise.
func internalData() map[string]any {
	return map[string]any{"token_id": tokenID, "holder_id": "01234567-89ab-cdef-0123-456789abcdef-1", "expires_at": "2026-01-01T00:00:00Z"}
}

const tokenID = "0123456789abcdef0123456789abcdef"
