//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"vault-plugin-secrets-zoho/bootstrap"
)

// environment is what the demonstration runs in. All that it writes is below dir.
type environment struct {
	dir    string
	vault  *bootstrap.Vault
	plugin bootstrap.Plugin
	zoho   account
	term   terminal
	// consent is the address where a person can agree to the scopes of the role person; empty if nobody can.
	consent string
	// device is whether there is a role tv, for which a person types a code.
	device bool
}

// start brings up Vault and Zoho and builds the plugin. When it fails it leaves nothing behind.
func start(ctx context.Context, out io.Writer) (env *environment, err error) {
	e := &environment{}
	// Also when something below panics.
	defer func() {
		if env == nil {
			err = errors.Join(err, e.close())
		}
	}()

	fmt.Fprintln(os.Stderr, "demo: starting Vault, which takes some seconds, and building the plugin")
	if e.dir, err = os.MkdirTemp("", "zoho-"); err != nil {
		return nil, err
	}
	if e.zoho, err = openAccount(ctx, e.dir); err != nil {
		return nil, err
	}
	vaultDir := filepath.Join(e.dir, "vault")
	if err := os.Mkdir(vaultDir, 0o700); err != nil {
		return nil, err
	}
	if e.vault, err = bootstrap.StartVault(ctx, bootstrap.VaultOptions{Dir: vaultDir}); err != nil {
		return nil, err
	}
	if e.plugin, err = bootstrap.BuildPlugin(ctx, e.vault.PluginDir()); err != nil {
		return nil, err
	}
	e.term = terminal{out: out, vault: e.vault, dir: e.dir, shorten: e.zoho.real}
	return e, nil
}

// setUp does what an operator does once: register, mount, configure, create a role.
func (e *environment) setUp(ctx context.Context) error {
	// The commands read the secrets from files, so that they are in no argument list.
	if err := e.writeFile("client-secret", e.zoho.clientSecret); err != nil {
		return err
	}
	e.term.say("A real %s runs at %s. Zoho is %s.", e.vault.Product(), e.vault.Addr(), e.zoho.description)
	e.term.say("Vault learns of the plugin, by the checksum of its binary, and mounts it.")
	if _, err := e.term.run(ctx, "plugin", "register", "-sha256="+e.plugin.SHA256, "secret", bootstrap.PluginName); err != nil {
		return err
	}
	if _, err := e.term.run(ctx, "secrets", "enable", "-path=zoho", bootstrap.PluginName); err != nil {
		return err
	}
	e.term.say("The mount gets the client that is registered with Zoho. An @ reads a value from a file, so that no secret is in the shell's history.")
	if _, err := e.term.run(ctx, "write", "zoho/config", e.zoho.server, "client_id="+e.zoho.clientID, "client_secret=@client-secret"); err != nil {
		return err
	}
	return e.writeRole(ctx)
}

func (e *environment) writeRole(ctx context.Context) error {
	origin := e.zoho.origin
	secret, err := origin.secret(ctx) // not earlier: a grant code does not keep
	if err != nil {
		return err
	}
	if err := e.writeFile(origin.file, secret); err != nil {
		return err
	}
	e.term.say("%s", origin.explained)
	_, err = e.term.run(ctx, "write", "zoho/roles/crm-sync", origin.field+"=@"+origin.file)
	return err
}

func (e *environment) file(name string) string { return filepath.Join(e.dir, name) }

func (e *environment) writeFile(name, secret string) error {
	return os.WriteFile(e.file(name), []byte(secret), 0o600)
}

// stayUp waits for Ctrl-C.
func (e *environment) stayUp(ctx context.Context) error {
	e.explain()
	select {
	case <-ctx.Done():
		return nil
	case <-e.vault.Done():
		return fmt.Errorf("the Vault server has ended by itself")
	}
}

// explain prints what can be tried, in lines to be pasted.
func (e *environment) explain() {
	line := func(format string, args ...any) { fmt.Fprintf(e.term.out, format+"\n", args...) }
	cli := e.term.cli()
	line("\nReady. Paste this into another terminal:\n")
	line("export VAULT_ADDR=%s VAULT_TOKEN=%s", e.vault.Addr(), e.vault.RootToken())
	line("alias %s=%s", cli, e.vault.Bin())
	line("%s read zoho/creds/crm-sync", cli)
	if e.consent != "" {
		line("\nTo agree as a person does, open this address in a browser on this machine within ten minutes:\n")
		line("%s", e.consent)
		line("\nThen read a token of that role. The second command gives another address.\n")
		line("%s read zoho/creds/person", cli)
		line("%s write -f zoho/roles/person/authorize", cli)
	}
	if e.device {
		line("\nTo agree without a way back to Vault, get a code, type it into the page at verification_url, and look at last_consent until it is granted:\n")
		line("%s write zoho/roles/tv/authorize method=device", cli)
		line("%s read zoho/roles/tv/status", cli)
		line("%s read zoho/creds/tv", cli)
	}
	if e.zoho.simulator != "" {
		line("\nThe simulated Zoho gives grant codes, as Zoho's API console does. It shows what it has seen, and can be made to fail:\n")
		line("%s write zoho/roles/another code=\"$(curl -s -X POST %s/sim/code)\"", cli, e.zoho.simulator)
		line("curl -s %s/sim/", e.zoho.simulator)
	}
	line("\nVault's log, and the plugin's: %s\nCtrl-C stops and removes everything.", e.vault.LogFile())
}

// close stops and removes everything. It is called after an interrupt too, and so takes no context.
func (e *environment) close() error {
	var errs []error
	if e.vault != nil {
		if e.zoho.real {
			e.giveBack()
		}
		errs = append(errs, e.vault.Stop())
	}
	if e.zoho.close != nil {
		errs = append(errs, e.zoho.close())
	}
	if e.dir != "" {
		errs = append(errs, os.RemoveAll(e.dir))
	}
	return errors.Join(errs...)
}

// giveBack revokes what the visit to a real account has left: once this Vault is gone, nobody else can.
func (e *environment) giveBack() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if _, _, err := e.vault.CLI(ctx, e.vault.RootToken(), "lease", "revoke", "-sync", "-prefix", "zoho/"); err != nil {
		fmt.Fprintln(os.Stderr, "demo: access tokens may live on for up to an hour:", err)
	}
	if !e.zoho.origin.temporary {
		return
	}
	if _, _, err := e.vault.CLI(ctx, e.vault.RootToken(), "write", "-f", "zoho/roles/crm-sync/deauthorize"); err != nil {
		fmt.Fprintln(os.Stderr, "demo: unless the role was never written, its refresh token lives on at Zoho, under Connected Apps of the user who consented:", err)
	}
}
