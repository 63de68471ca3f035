package zohosecrets

import (
	"context"
	"fmt"
	"time"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"vault-plugin-secrets-zoho/backend"
)

// secretTypeAccessToken is stored in every lease: it must never change, or old
// leases can no longer be revoked. The same goes for the names below.
const secretTypeAccessToken = "access_token"

const (
	internalTokenID   = "token_id"
	internalHolderID  = "holder_id"
	internalExpiresAt = "expires_at"
)

// secretAccessToken is the leased secret. It has no Renew: Zoho cannot extend
// a token, so a renewal would be a lie.
func (b *zohoBackend) secretAccessToken() *framework.Secret {
	return &framework.Secret{
		Type: secretTypeAccessToken,
		Fields: map[string]*framework.FieldSchema{
			"access_token": {Type: framework.TypeString, Description: "The access token."},
		},
		Revoke: b.revokeAccessToken,
	}
}

func (b *zohoBackend) revokeAccessToken(ctx context.Context, req *logical.Request, _ *framework.FieldData) (*logical.Response, error) {
	lease, err := leaseOf(req.Secret)
	if err != nil {
		return nil, err
	}
	return nil, b.engine.Release(ctx, lease, b.System().Tainted)
}

// leaseOf reads what pathCredsRead put into the lease.
func leaseOf(secret *logical.Secret) (backend.Lease, error) {
	if secret == nil {
		return backend.Lease{}, fmt.Errorf("the lease carries no secret")
	}
	text := func(key string) string {
		s, _ := secret.InternalData[key].(string)
		return s
	}
	expires, err := time.Parse(time.RFC3339, text(internalExpiresAt))
	if err != nil || text(internalTokenID) == "" || text(internalHolderID) == "" {
		return backend.Lease{}, fmt.Errorf("the lease does not say which access token it is on; it was not issued by this engine, revoke it with: vault lease revoke -force -prefix <lease>")
	}
	return backend.Lease{TokenID: text(internalTokenID), HolderID: text(internalHolderID), ExpiresAt: expires}, nil
}
