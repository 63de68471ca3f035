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

	"github.com/hashicorp/vault/api"

	"vault-plugin-secrets-zoho/bootstrap"
)

// tokenServer is the program that answers callers from one lease.
type tokenServer struct {
	process *bootstrap.Process
	url     string
	client  url.Values // what a caller sends
}

// startTokenServer builds and starts it in dir. It listens on a loopback address, as
// most callers need it.
func (b *bench) startTokenServer(ctx context.Context, dir string) (*tokenServer, error) {
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

// answers measures refreshes by so many callers at once, each with a connection
// that it keeps, as clients of Vault do.
func (b *bench) answers(s *tokenServer, callers int, slice time.Duration) turn {
	form := s.client.Encode()
	return func(ctx context.Context) (float64, error) {
		transport := &http.Transport{MaxIdleConnsPerHost: callers}
		defer transport.CloseIdleConnections()
		client := &http.Client{Transport: transport}
		return parallel(ctx, callers, slice, func(ctx context.Context, _ *api.Client) (bool, error) {
			return true, s.refresh(ctx, client, form)
		}, b.root)
	}
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

// compareTokenServer sets the token server side by side with the engine itself.
func (b *bench) compareTokenServer(ctx context.Context, dir string, rounds int, slice time.Duration) (_ ratio, err error) {
	s, err := b.startTokenServer(ctx, dir)
	if err != nil {
		return ratio{}, err
	}
	defer func() { err = errors.Join(err, s.process.Stop()) }()
	const callers, goal = 16, 5.0
	value, server, engine, err := compare(ctx, rounds, b.answers(s, callers, slice), b.reads("zoho", callers, slice))
	if err != nil {
		return ratio{}, fmt.Errorf("token server: %w", err)
	}
	const what = "tokens per second, 16 callers"
	fmt.Printf("%-36s server %7.0f   engine %6.0f   ratio %.2f   goal %.2f   %s\n", what, server, engine, value, goal, verdict(value >= goal))
	return ratio{what, value}, nil
}
