//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"vault-plugin-secrets-zoho/bootstrap"
)

// tokenServer is the program that answers callers from one lease.
type tokenServer struct {
	process *bootstrap.Process
	url     string
	client  url.Values // what a caller sends
}

// callers is how many ask the token server at once.
const callers = 16

// startTokenServer builds and starts it. It listens on a loopback address, as
// most callers need it.
func (b *bench) startTokenServer(ctx context.Context) (*tokenServer, error) {
	dir := b.server.Dir()
	program, log := filepath.Join(dir, "zoho-token-server"), filepath.Join(dir, "token-server.log")
	build := exec.CommandContext(ctx, "scripts/build", program, "zoho-token-server")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return nil, fmt.Errorf("build the token server from the repository's root: %w", err)
	}
	const secret = "the-secret-of-the-benchmark"
	cmd := exec.CommandContext(context.WithoutCancel(ctx), program, "-listen=127.0.0.1:0", "-role=crm-sync")
	cmd.Env = []string{
		"VAULT_ADDR=" + b.server.Addr(), "VAULT_TOKEN=" + b.server.RootToken(), "ZOHO_CLIENT_ID=bench", "ZOHO_CLIENT_SECRET=" + secret,
	}
	process, err := bootstrap.StartProcess(cmd, log)
	if err != nil {
		return nil, err
	}
	s := &tokenServer{process: process, client: url.Values{
		"grant_type": {"refresh_token"}, "refresh_token": {"crm-sync"}, "client_id": {"bench"}, "client_secret": {secret},
	}}
	listens := regexp.MustCompile(`msg=listening address=(\S+)`)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for s.url == "" {
		said, _ := os.ReadFile(log) // #nosec G304 -- its own file; not there yet
		if found := listens.FindSubmatch(said); found != nil {
			s.url = "http://" + string(found[1]) + "/oauth/v2/token"
			break
		}
		select {
		case <-process.Done():
			return nil, fmt.Errorf("the token server has ended: %s", said)
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), process.Stop())
		case <-tick.C:
		}
	}
	return s, nil
}

func (s *tokenServer) refresh(ctx context.Context, client *http.Client, form string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, strings.NewReader(form))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	err = errors.Join(err, resp.Body.Close())
	if err == nil && !strings.Contains(string(body), `"access_token"`) {
		err = fmt.Errorf("the token server answers HTTP %d: %s", resp.StatusCode, body)
	}
	return err
}

// askTokenServer lets callers of the token server take turns with readers of the engine,
// as many of both. Each caller keeps its connection, as clients of Vault do.
func (c *comparison) askTokenServer(ctx context.Context) (err error) {
	s, err := c.startTokenServer(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.process.Stop()) }()
	transport := &http.Transport{MaxIdleConnsPerHost: callers}
	defer transport.CloseIdleConnections()
	client, form := &http.Client{Transport: transport}, s.client.Encode()
	for range c.rounds {
		answered, err := during(ctx, callers, c.slice, func(ctx context.Context, _ int) error { return s.refresh(ctx, client, form) })
		if err != nil {
			return err
		}
		leases := &leases{}
		read, err := during(ctx, callers, c.slice, c.lease(engine, 1, leases))
		if err != nil {
			return err
		}
		if _, err := c.revoke(ctx, leases); err != nil {
			return err
		}
		c.gain = append(c.gain, answered.perSecond()/read.perSecond())
	}
	return nil
}
