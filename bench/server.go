//go:build unix

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/hashicorp/vault/api"

	"vault-plugin-secrets-zoho/bootstrap"
	"vault-plugin-secrets-zoho/zohosim"
)

// bench is a server with the engine mounted at zoho/, and for the part
// that compares the floor at floor/.
type bench struct {
	server *bootstrap.Vault
	client *api.Client // one for all, so that connections are kept
	sim    *zohosim.Sim
	app    *zohosim.Client
}

// newBench starts a server in dir; config is added to its configuration file.
func newBench(ctx context.Context, dir, config string) (*bench, error) {
	// At debug Vault would write a line for each revocation, which is part of neither.
	server, err := bootstrap.StartVault(ctx, bootstrap.VaultOptions{Dir: dir, LogLevel: "info", Config: config})
	if err != nil {
		return nil, err
	}
	b := &bench{server: server, client: server.Client(server.RootToken()), sim: zohosim.New(zohosim.Options{Throttle: zohosim.Throttle{Limit: -1}})}
	if err := b.mountEngine(ctx); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

func (b *bench) close() {
	b.server.Kill()
	b.sim.Close()
}

func (b *bench) mountEngine(ctx context.Context) error {
	plugin, err := bootstrap.BuildPlugin(ctx, b.server.PluginDir())
	if err != nil {
		return err
	}
	if err := b.server.RegisterPlugin(ctx, plugin); err != nil {
		return err
	}
	if err := b.server.Mount(ctx, "zoho"); err != nil {
		return err
	}
	accounts, err := b.sim.Listen("us")
	if err != nil {
		return err
	}
	b.app = b.sim.AddClient(zohosim.ClientSpec{})
	if err := b.write(ctx, "zoho/config", map[string]any{
		"accounts_url": accounts.URL, "client_id": b.app.ID, "client_secret": b.app.Secret("us"), "request_budget": 1000,
	}); err != nil {
		return err
	}
	return b.write(ctx, "zoho/roles/crm-sync", map[string]any{"refresh_token": b.consent("user")})
}

func (b *bench) consent(user string) string {
	return b.sim.Consent(b.app, "us", user+"@example.com", []string{"ZohoCRM.modules.ALL"})
}

func (b *bench) write(ctx context.Context, path string, data map[string]any) error {
	_, err := b.client.Logical().WriteWithContext(ctx, path, data)
	return err
}

func (b *bench) mountFloor(ctx context.Context) error {
	path := filepath.Join(b.server.PluginDir(), "floor")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, "./bench/floor")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("build the floor plugin from the repository's root: %w", err)
	}
	sum, err := bootstrap.Checksum(path)
	if err != nil {
		return err
	}
	sys := b.client.Sys()
	if err := sys.RegisterPluginWithContext(ctx, &api.RegisterPluginInput{Name: "floor", Type: api.PluginTypeSecrets, Command: "floor", SHA256: sum}); err != nil {
		return err
	}
	return sys.MountWithContext(ctx, "floor", &api.MountInput{Type: "floor"})
}
