// Package test runs the plugin as a user does: as a process of its own under a
// real Vault server, against the simulated Zoho.
package test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"vault-plugin-secrets-zoho/bootstrap"
)

// env is what all tests share: one server with the plugin registered, and
// every secret that was ever in play, to be looked for in the logs at the end.
var env struct {
	server *bootstrap.Vault
	plugin bootstrap.Plugin

	mu      sync.Mutex
	secrets map[string]string // by the secret; what it is
	mounts  int
}

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "acceptance tests:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (int, error) {
	dir, err := os.MkdirTemp("", "zoho")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Minute)
	defer cancel()
	if env.server, err = startServer(ctx, filepath.Join(dir, "main")); err != nil {
		return 1, err
	}
	defer env.server.Kill()
	env.secrets = make(map[string]string)

	code := m.Run()
	if err := env.server.Stop(); err != nil {
		return 1, err
	}
	if found := secretsInLogs(env.server); len(found) > 0 {
		return 1, fmt.Errorf("secrets in clear in the logs:\n%s", strings.Join(found, "\n"))
	}
	if code == 0 { // a test that fails may well leave something behind
		// Vault's SDK, which a test asks for the engine's paths, links a library that starts this one and never ends it.
		if err := goleak.Find(goleak.IgnoreTopFunction("go.opencensus.io/stats/view.(*worker).start")); err != nil {
			return 1, err
		}
	}
	return code, nil
}

// startServer starts a server of its own in dir, with the plugin registered, and with more in its environment.
func startServer(ctx context.Context, dir string, environment ...string) (*bootstrap.Vault, error) {
	return startServerWith(ctx, bootstrap.VaultOptions{Dir: dir, Env: environment})
}

func startServerWith(ctx context.Context, options bootstrap.VaultOptions) (*bootstrap.Vault, error) {
	if err := os.MkdirAll(options.Dir, 0o700); err != nil {
		return nil, err
	}
	options.Audit, options.LogLevel = true, "trace"
	server, err := bootstrap.StartVault(ctx, options)
	if err != nil {
		return nil, err
	}
	env.mu.Lock()
	defer env.mu.Unlock()
	if env.plugin.Path == "" {
		if env.plugin, err = bootstrap.BuildPlugin(ctx, server.PluginDir()); err != nil {
			server.Kill()
			return nil, err
		}
	}
	if err := server.RegisterPlugin(ctx, env.plugin); err != nil {
		server.Kill()
		return nil, err
	}
	return server, nil
}

// keepSecret registers a secret: from then on it must not be in any log.
func keepSecret(what, secret string) {
	env.mu.Lock()
	defer env.mu.Unlock()
	env.secrets[secret] = what
}

func secretsInLogs(server *bootstrap.Vault) []string {
	return secretsIn(server.LogFile(), server.AuditLog())
}

// secretsIn finds registered secrets in files.
func secretsIn(files ...string) (found []string) {
	env.mu.Lock()
	defer env.mu.Unlock()
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			found = append(found, err.Error())
		}
		for secret, what := range env.secrets {
			if strings.Contains(string(content), secret) {
				found = append(found, fmt.Sprintf("%s in %s", what, filepath.Base(file)))
			}
		}
	}
	return found
}
