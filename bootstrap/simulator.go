//go:build unix

package bootstrap

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
	"strings"
	"time"
)

// Simulator is a running cmd/zoho-sim: a simulated Zoho with a client and a refresh token ready for use.
// Go tests have more of package zohosim itself.
type Simulator struct {
	// URL is that of the simulated Accounts server. What can be changed while it runs is at URL/sim/.
	URL                                  string
	ClientID, ClientSecret, RefreshToken string

	process *Process
}

// StartSimulator builds the simulator into dir and starts it on a free port, with further flags of zoho-sim. The caller stops it.
func StartSimulator(ctx context.Context, dir string, flags ...string) (*Simulator, error) {
	root, err := repository()
	if err != nil {
		return nil, err
	}
	bin, envFile, logFile := filepath.Join(dir, "zoho-sim"), filepath.Join(dir, "zoho-sim.env"), filepath.Join(dir, "zoho-sim.log")
	if _, err := script(ctx, root, "build", bin, "zoho-sim"); err != nil {
		return nil, err
	}
	// A file left by a run before would be taken for this one's.
	if err := os.Remove(envFile); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}

	cmd := exec.CommandContext(context.WithoutCancel(ctx), bin, append([]string{"-listen=127.0.0.1:0", "-env=" + envFile}, flags...)...)
	cmd.Env = cleanEnv(dir)
	process, err := StartProcess(cmd, logFile)
	if err != nil {
		return nil, fmt.Errorf("start the simulator: %w", err)
	}
	sim := &Simulator{process: process}
	if err := sim.waitForEnv(ctx, envFile); err != nil {
		process.Kill()
		return nil, fmt.Errorf("start the simulator: %w\n%s", err, lastLines(readFrom(logFile, 0), 12))
	}
	return sim, nil
}

// waitForEnv waits for the file with the simulator's assignments, which appears complete once it listens.
func (s *Simulator) waitForEnv(ctx context.Context, envFile string) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if text := readFrom(envFile, 0); text != "" {
			return s.take(text)
		}
		select {
		case <-s.process.Done():
			return s.process.exitError()
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

func (s *Simulator) take(assignments string) error {
	all := parseAssignments(assignments)
	s.URL, s.ClientID, s.ClientSecret, s.RefreshToken = all["ACCOUNTS_URL"], all["ZOHO_CLIENT_ID"], all["ZOHO_CLIENT_SECRET"], all["ZOHO_REFRESH_TOKEN"]
	if s.URL == "" || s.ClientID == "" || s.ClientSecret == "" || s.RefreshToken == "" {
		return errors.New("it does not name its URL, client and refresh token")
	}
	return nil
}

// parseAssignments reads lines such as NAME=value.
func parseAssignments(text string) map[string]string {
	all := map[string]string{}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		all[name] = value
	}
	return all
}

// Code is a new grant code, as Zoho's API console gives one. It can be used once, within two minutes.
func (s *Simulator) Code(ctx context.Context) (string, error) {
	code, err := s.order(ctx, "code", nil)
	return strings.TrimSpace(code), err
}

// WebClient registers a server-based client, whose consent page sends browsers back to redirectURI.
func (s *Simulator) WebClient(ctx context.Context, redirectURI string) (id, clientSecret string, err error) {
	assignments, err := s.order(ctx, "client", url.Values{"redirect_uri": {redirectURI}})
	if err != nil {
		return "", "", err
	}
	client := parseAssignments(assignments)
	return client["ZOHO_CLIENT_ID"], client["ZOHO_CLIENT_SECRET"], nil
}

// DeviceClient registers a client for the device flow: a person types a code into a page of Zoho's.
func (s *Simulator) DeviceClient(ctx context.Context) (id, clientSecret string, err error) {
	assignments, err := s.order(ctx, "client", url.Values{"kind": {"device"}})
	if err != nil {
		return "", "", err
	}
	client := parseAssignments(assignments)
	return client["ZOHO_CLIENT_ID"], client["ZOHO_CLIENT_SECRET"], nil
}

// order posts a form to the control surface, and returns its answer.
func (s *Simulator) order(ctx context.Context, what string, form url.Values) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL+"/sim/"+what, strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
	if err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("the simulator gives no %s: HTTP %d: %s", what, resp.StatusCode, body)
	}
	return string(body), nil
}

// Stop ends the simulator, which forgets everything.
func (s *Simulator) Stop() error { return s.process.Stop() }
