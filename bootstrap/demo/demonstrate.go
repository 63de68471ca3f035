//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strings"
	"time"
)

// demonstrate shows a token's life: read under a lease, accepted by Zoho, revoked with the lease, refused by Zoho.
func (e *environment) demonstrate(ctx context.Context) error {
	e.term.say("An application reads an access token. Its lease ends with the token.")
	out, err := e.term.run(ctx, "read", "zoho/creds/crm-sync")
	if err != nil {
		return err
	}
	creds, err := fields(out, "lease_id", "api_domain", "authorization")
	if err != nil {
		return err
	}

	e.term.say("Zoho accepts the token.")
	url := creds["api_domain"] + apiPath()
	status, body, err := e.term.get(ctx, url, creds["authorization"])
	if err != nil {
		return err
	}
	if strings.Contains(body, "OAUTH_SCOPE_MISMATCH") {
		return fmt.Errorf("the token works but its scopes do not cover %s; set ZOHO_API_PATH to something that they do", apiPath())
	}
	if status/100 != 2 {
		return fmt.Errorf("expected Zoho to accept the token, but it answered HTTP %d", status)
	}

	e.term.say("Revoking the lease revokes the token at Zoho ...")
	if _, err := e.term.run(ctx, "lease", "revoke", "-sync", creds["lease_id"]); err != nil {
		return err
	}
	e.term.say("... which refuses it from then on.")
	if err := e.expectRefusal(ctx, url, creds["authorization"]); err != nil {
		return err
	}
	e.term.say("Done: a token that was read, used and revoked. `make dev` keeps this environment up to try more.")
	return nil
}

// expectRefusal calls the API until it refuses the token. The simulator does at once; how long the real one may take is
// written nowhere, so it gets some seconds.
func (e *environment) expectRefusal(ctx context.Context, url, authorization string) error {
	for attempt := 1; ; attempt++ {
		status, body, err := e.term.get(ctx, url, authorization)
		if err != nil {
			return err
		}
		if status == http.StatusUnauthorized && strings.Contains(body, "INVALID_TOKEN") {
			return nil
		}
		if !e.zoho.real || attempt == 5 {
			return fmt.Errorf("expected Zoho to refuse the revoked token with HTTP 401 INVALID_TOKEN, but it answered HTTP %d", status)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(2 * time.Second):
		}
	}
}

// apiPath is what the token is tried on.
func apiPath() string {
	if path := os.Getenv("ZOHO_API_PATH"); path != "" {
		return path
	}
	return "/crm/v8/org"
}

// fields takes values out of the table that `vault read` prints.
func fields(table string, names ...string) (map[string]string, error) {
	found := map[string]string{}
	for _, name := range names {
		m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + `\s+(.+?)\s*$`).FindStringSubmatch(table)
		if m == nil {
			return nil, errors.New("the answer has no " + name)
		}
		found[name] = m[1]
	}
	return found, nil
}
