// Command go is an application that calls Zoho with a token from Vault. It
// needs VAULT_ADDR and VAULT_TOKEN:
//
//	VAULT_TOKEN=$(vault print token) go run ./examples/go [-mount zoho] [-role crm-sync] [-api /crm/v8/org]
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"
)

func main() {
	mount := flag.String("mount", "zoho", "where the engine is mounted")
	role := flag.String("role", "crm-sync", "role of the mount")
	path := flag.String("api", "/crm/v8/org", "what to call")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, strings.Trim(*mount, "/")+"/creds/"+*role, *path); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, creds, path string) (err error) {
	vault, err := api.NewClient(api.DefaultConfig()) // takes VAULT_ADDR and VAULT_TOKEN
	if err != nil {
		return err
	}
	z := &zoho{vault: vault, creds: creds, http: &http.Client{Timeout: 30 * time.Second}}
	defer func() { err = errors.Join(err, z.close()) }()
	body, err := z.get(ctx, path)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(os.Stdout, string(body))
	return err
}

// zoho is a client of Zoho's APIs. A program keeps one, and not one for each
// call: a read of creds is cheap, but each has a lease of its own.
type zoho struct {
	vault *api.Client
	creds string // what to read: zoho/creds/crm-sync
	http  *http.Client

	token *token
	lease string // on the token
}

// token is what Vault answered.
type token struct {
	Authorization string `json:"authorization"`
	APIDomain     string `json:"api_domain"`
	ID            string `json:"token_id"`
	readAgain     time.Time
}

// get calls the API. If Zoho does not take the token, it reads another and
// tries once more, and not again: each of these can cost a token request, of
// which Zoho allows ten in ten minutes.
func (z *zoho) get(ctx context.Context, path string) ([]byte, error) {
	if z.token == nil || time.Now().After(z.token.readAgain) {
		if err := z.read(ctx, ""); err != nil {
			return nil, err
		}
	}
	body, err := z.call(ctx, path)
	if !errors.Is(err, errDeadToken) {
		return body, err
	}
	if err := z.read(ctx, z.token.ID); err != nil {
		return nil, err
	}
	return z.call(ctx, path)
}

// read reads a token, and another one than rejected if that is not empty.
func (z *zoho) read(ctx context.Context, rejected string) error {
	query := map[string][]string{}
	if rejected != "" {
		query["reject"] = []string{rejected}
	}
	secret, err := z.vault.Logical().ReadWithDataWithContext(ctx, z.creds, query)
	if err != nil {
		return err // says what happened, and what to do
	}
	// Nothing is under way with the former token. In a program with parallel
	// calls something may be: let its lease end by itself there.
	if err := z.close(); err != nil {
		return err
	}
	z.lease = secret.LeaseID
	encoded, err := json.Marshal(secret.Data)
	if err != nil {
		return err
	}
	// Nine tenths of the lease, as Vault Agent does. A lease cannot be renewed.
	lease := time.Duration(secret.LeaseDuration) * time.Second
	z.token = &token{readAgain: time.Now().Add(lease * 9 / 10)}
	return json.Unmarshal(encoded, z.token)
}

var errDeadToken = errors.New("zoho does not take the token")

func (z *zoho) call(ctx context.Context, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, z.token.APIDomain+path, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", z.token.Authorization) // as it stands; token_type says Bearer
	resp, err := z.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return nil, err
	}
	switch {
	case resp.StatusCode == http.StatusOK:
		return body, nil
	case resp.StatusCode == http.StatusUnauthorized && saysDead(body):
		return nil, errDeadToken
	default:
		return nil, fmt.Errorf("HTTP %d: %s", resp.StatusCode, body)
	}
}

// saysDead: a 401 can also mean that the token lacks a scope, against which
// another token does not help.
func saysDead(body []byte) bool {
	var refusal struct {
		Code any `json:"code"` // a number in some products
	}
	_ = json.Unmarshal(body, &refusal) // a body of another form is no word for it
	switch refusal.Code {
	case "INVALID_TOKEN", "INVALID_OAUTHTOKEN", "AUTHENTICATION_FAILURE":
		return true
	default:
		return false
	}
}

// close gives the lease back. A token is revoked at Zoho when nobody holds it.
func (z *zoho) close() error {
	if z.lease == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err := z.vault.Sys().RevokeWithContext(ctx, z.lease)
	z.lease = ""
	return err
}
