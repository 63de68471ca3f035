//go:build unix

package bootstrap

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/hashicorp/vault/api"
)

// PluginName is the name of the plugin's binary, and the one under which it is registered.
const PluginName = "vault-plugin-secrets-zoho"

// modulePath tells this repository from others.
const modulePath = "vault-plugin-secrets-zoho"

// Plugin is a built plugin.
type Plugin struct {
	// Path is where the binary is.
	Path string
	// SHA256 is its checksum in hex, as the plugin catalogue wants it.
	SHA256 string
	// Version is what the binary says of itself, such as v0.1.0.
	Version string
}

// BuildPlugin builds the plugin into dir, which is best a server's PluginDir. It uses scripts/build, and so gives the
// binary that a user gets: never with the race detector or a C compiler. The working directory has to be in the repository.
func BuildPlugin(ctx context.Context, dir string) (Plugin, error) {
	root, err := repository()
	if err != nil {
		return Plugin{}, err
	}
	path, err := filepath.Abs(filepath.Join(dir, PluginName))
	if err != nil {
		return Plugin{}, err
	}
	if _, err := script(ctx, root, "build", path); err != nil {
		return Plugin{}, err
	}
	return pluginAt(ctx, path)
}

func pluginAt(ctx context.Context, path string) (Plugin, error) {
	sum, err := Checksum(path)
	if err != nil {
		return Plugin{}, err
	}
	out, err := exec.CommandContext(ctx, path, "-version").Output()
	if err != nil {
		return Plugin{}, fmt.Errorf("%s -version: %w", path, err)
	}
	version := regexp.MustCompile(`v\d+\.\d+\.\d+[0-9A-Za-z.-]*`).FindString(string(out))
	if version == "" {
		return Plugin{}, fmt.Errorf("%s -version names no version: %q", path, out)
	}
	return Plugin{Path: path, SHA256: sum, Version: version}, nil
}

// Checksum is the sha256 of a file in hex, as the plugin catalogue wants it.
func Checksum(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// InstallPlugin puts the plugin's binary into the server's plugin directory, as each node of a cluster needs it; so one build
// serves many servers.
func (v *Vault) InstallPlugin(p Plugin) error {
	target := filepath.Join(v.PluginDir(), filepath.Base(p.Path))
	if p.Path == target {
		return nil
	}
	// A hard link, because Vault refuses symbolic ones; where the directories are on two file systems, a copy.
	if err := os.Link(p.Path, target); err == nil || errors.Is(err, os.ErrExist) {
		return nil
	}
	return copyFile(p.Path, target)
}

// RegisterPlugin installs the plugin and makes it known to the server, with its checksum.
func (v *Vault) RegisterPlugin(ctx context.Context, p Plugin) error {
	if err := v.InstallPlugin(p); err != nil {
		return err
	}
	err := v.Client(v.rootToken).Sys().RegisterPluginWithContext(ctx, &api.RegisterPluginInput{
		Name:    PluginName,
		Type:    api.PluginTypeSecrets,
		Command: filepath.Base(p.Path),
		SHA256:  p.SHA256,
	})
	if err != nil {
		return v.explain("register the plugin", err)
	}
	return nil
}

// AuditKeys are what the audit log is to have in clear of the plugin's answers, beside what it always has. None of
// them is a secret; everything else stays hashed. docs/auditing.md builds on them.
func AuditKeys() []string {
	return []string{"role", "token_id", "scopes", "data_center", "expires_at", "api_domain"}
}

// Mount enables the plugin at path, for instance "zoho", with AuditKeys in clear in the audit log.
func (v *Vault) Mount(ctx context.Context, path string) error {
	err := v.Client(v.rootToken).Sys().MountWithContext(ctx, path, &api.MountInput{
		Type:   PluginName,
		Config: api.MountConfigInput{AuditNonHMACResponseKeys: AuditKeys()},
	})
	if err != nil {
		return v.explain("mount the plugin at "+path, err)
	}
	return nil
}

func copyFile(from, to string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, b, 0o700)
}

// FindVault gives the path of a server binary: $VAULT_BIN, or vault or bao on the PATH, or the pinned Vault in the
// user's cache directory, which is built if it is not there yet (about six minutes on two cores; progress on stderr).
func FindVault(ctx context.Context) (string, error) {
	root, err := repository()
	if err != nil {
		return "", err
	}
	out, err := script(ctx, root, "vault-bin")
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(out), nil
}

// script runs one of the repository's scripts and gives its standard output. What it says on stderr goes to the user as it comes.
func script(ctx context.Context, root, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(root, "scripts", name), args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("scripts/%s: %w (see above)", name, err)
	}
	return string(out), nil
}

// repository is the root of this repository, which holds the working directory of a test or of make.
func repository() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		b, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(b), "module "+modulePath+"\n") {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("%s is not inside the repository of %s, whose scripts are needed", start, modulePath)
		}
	}
}
