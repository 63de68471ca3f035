package tokenserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"

	"vault-plugin-secrets-zoho/backend/secret"
)

// Vault reads and revokes leases.
type Vault struct {
	client *api.Client
	mount  string
	token  *vaultToken
	clock  Clock
}

// NewVault returns a client of the mount. What it does not take from its arguments
// it takes from the environment, as every client of Vault does: VAULT_ADDR,
// VAULT_CACERT, VAULT_NAMESPACE and so on. tokenFile names the file that has the
// Vault token; without it VAULT_TOKEN counts, and without that a Vault Agent or
// Proxy has to add one.
func NewVault(mount, tokenFile string, clock Clock) (*Vault, error) {
	config := api.DefaultConfig()
	if config.Error != nil {
		return nil, config.Error
	}
	// Callers wait, and have a time limit of their own; readings are tried again anyway.
	if os.Getenv(api.EnvVaultMaxRetries) == "" {
		config.MaxRetries = 0
	}
	client, err := api.NewClient(config)
	if err != nil {
		return nil, err
	}
	mount = strings.Trim(mount, "/")
	if mount == "" {
		return nil, errors.New("-mount is empty; name the path where the secrets engine is mounted, such as zoho")
	}
	return &Vault{client: client, mount: mount, token: &vaultToken{file: tokenFile}, clock: clock}, nil
}

// Read reads a lease, on any token but that with the token_id reject if that is not
// empty. Its error is an *Error.
func (v *Vault) Read(ctx context.Context, role, reject string) (*Lease, error) {
	if err := v.logIn(); err != nil {
		return nil, err
	}
	// Before the request, so that the time it takes counts as used.
	readAt := v.clock.Now()
	var fields map[string][]string
	if reject != "" {
		fields = map[string][]string{"reject": {reject}}
	}
	answer, err := v.client.Logical().ReadWithDataWithContext(ctx, v.mount+"/creds/"+role, fields)
	if err != nil {
		return nil, v.whyRefused(ctx, explain(err, role))
	}
	if answer == nil {
		return nil, &Error{Kind: BadAnswer, Status: http.StatusNotFound, Text: "Vault has no secrets engine at " + v.mount + "/; see -mount."}
	}
	return leaseOf(answer, role, readAt)
}

// Check asks whether Vault accepts the Vault token. Its error is an *Error.
func (v *Vault) Check(ctx context.Context) error {
	if err := v.logIn(); err != nil {
		return err
	}
	if _, err := v.client.Auth().Token().LookupSelfWithContext(ctx); err != nil {
		return explain(err, "")
	}
	return nil
}

// whyRefused finds out what a 403 means: if Vault knows the Vault token, it is
// the policy that does not allow the role.
func (v *Vault) whyRefused(ctx context.Context, e *Error) *Error {
	if e.Status != http.StatusForbidden {
		return e
	}
	if _, err := v.client.Auth().Token().LookupSelfWithContext(ctx); err == nil {
		e.Kind = Refused
		e.Text += " (the policy of the token server's Vault token does not allow it to read this role)"
	}
	return e
}

func leaseOf(answer *api.Secret, role string, readAt time.Time) (*Lease, error) {
	var data struct {
		AccessToken string    `json:"access_token"`
		TokenID     string    `json:"token_id"`
		TokenType   string    `json:"token_type"`
		APIDomain   string    `json:"api_domain"`
		ExpiresAt   time.Time `json:"expires_at"`
	}
	// The errors of encoding and decoding are not passed on: they could quote the token.
	encoded, err := json.Marshal(answer.Data)
	if err == nil {
		err = json.Unmarshal(encoded, &data)
	}
	duration := time.Duration(answer.LeaseDuration) * time.Second
	if err != nil || data.AccessToken == "" || answer.LeaseID == "" || duration <= 0 {
		return nil, &Error{Kind: BadAnswer, Status: http.StatusOK, Text: "Vault answers with no leased access token; see -mount."}
	}
	// A Vault Agent that caches repeats the lease's first duration. The token's end
	// shows that, unless this machine's clock is far off.
	if byToken := data.ExpiresAt.Sub(readAt.Round(0)); byToken > 0 {
		duration = min(duration, byToken)
	}
	return &Lease{
		ID: answer.LeaseID, Role: role, Token: secret.New(data.AccessToken), TokenID: data.TokenID,
		TokenType: data.TokenType, APIDomain: data.APIDomain, warning: tidy(strings.Join(answer.Warnings, " "), role),
		readAt: readAt, duration: duration,
	}, nil
}

// Revoke gives a lease back, and waits until that is done. A lease that Vault
// does not know any more is no error.
func (v *Vault) Revoke(ctx context.Context, leaseID string) error {
	if err := v.logIn(); err != nil {
		return err
	}
	_, err := v.client.Logical().WriteWithContext(ctx, "sys/leases/revoke", map[string]any{"lease_id": leaseID, "sync": true})
	if err != nil {
		return explain(err, "")
	}
	return nil
}

// logIn takes the Vault token from its file, if there is one.
func (v *Vault) logIn() error {
	token, err := v.token.read()
	if err != nil {
		return &Error{Kind: NotLetIn, Text: fmt.Sprintf("There is no Vault token: %v.", err), cause: err}
	}
	if !token.IsZero() {
		v.client.SetToken(token.Reveal())
	}
	return nil
}
