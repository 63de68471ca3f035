// Package zohosecrets is a Vault secrets engine that hands out leased access
// tokens of Zoho's OAuth server and revokes them there when their last lease
// ends.
//
// The files path_*.go are what Vault sees: fields, help, parsing, answers.
// What they do is decided in package backend.
package zohosecrets

import (
	"context"
	"fmt"
	"strings"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"vault-plugin-secrets-zoho/backend"
)

// Set by the build (scripts/build). Version is semantic with a leading v:
// Vault refuses to register anything else.
var (
	Version = "v0.1.0-dev"
	Commit  = ""
)

// zohoBackend is one mount.
type zohoBackend struct {
	*framework.Backend
	engine *backend.Engine
}

// Factory makes a mount. Vault calls it when the plugin is registered, too,
// with neither storage nor system view, so it only puts things together.
func Factory(ctx context.Context, conf *logical.BackendConfig) (logical.Backend, error) {
	b, err := setUp(ctx, conf)
	if err != nil {
		return nil, err // and not a nil *zohoBackend, which an interface would hide
	}
	return b, nil
}

func setUp(ctx context.Context, conf *logical.BackendConfig) (*zohoBackend, error) {
	if conf == nil {
		return nil, fmt.Errorf("the secrets engine was started without a configuration; this is a fault in Vault or in a test")
	}
	b := newBackend(backend.Options{
		Storage:   conf.StorageView,
		Logger:    conf.Logger,
		UserAgent: "vault-plugin-secrets-zoho/" + Version,
		Build:     backend.Build{Version: Version, Commit: Commit, SDKVersion: sdkVersion()},
	})
	if err := b.Setup(ctx, conf); err != nil {
		return nil, err
	}
	return b, nil
}

func newBackend(opts backend.Options) *zohoBackend {
	b := &zohoBackend{}
	opts.Notify = b.sendEvent
	b.engine = backend.New(opts)
	b.Backend = &framework.Backend{
		BackendType:    logical.TypeLogical,
		RunningVersion: Version,
		Help:           strings.TrimSpace(backendHelp),
		PathsSpecial: &logical.Paths{
			SealWrapStorage: backend.SealWrapped(),
			Unauthenticated: []string{pathCallbackName}, // a browser comes here; the state says what for
		},
		Paths: framework.PathAppend(
			b.pathConfig(),
			b.pathRoles(),
			b.pathRoleGrant(),
			b.pathCallback(),
			b.pathCreds(),
			b.pathTokens(),
			b.pathClients(),
			b.pathMetrics(),
			b.pathInfo(),
		),
		Secrets:      []*framework.Secret{b.secretAccessToken()},
		Invalidate:   func(_ context.Context, key string) { b.engine.Invalidate(key) },
		PeriodicFunc: b.tick,
		Clean:        func(context.Context) { b.engine.Close() },
	}
	return b
}

// tick runs once a minute. A standby has no say over storage or Zoho.
func (b *zohoBackend) tick(ctx context.Context, _ *logical.Request) error {
	if !b.WriteSafeReplicationState() {
		return nil
	}
	return b.engine.Tick(ctx, b.System().Tainted)
}

const backendHelp = `
The Zoho secrets engine hands out access tokens for Zoho's APIs (CRM, Books,
Desk, ...). It keeps client credentials and refresh tokens in Vault.

Write the client to "config", a refresh token to "roles/<name>", and read
"creds/<name>": the answer is an access token with a lease. All readers of a
role share one token, since Zoho allows about ten live tokens and ten requests
in ten minutes for a refresh token. The lease ends no later than the token.
Revoking it gives up its hold; when the last lease on a token is revoked, the
token is revoked at Zoho.
`
