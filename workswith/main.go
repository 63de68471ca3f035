//go:build unix

// Command works-with runs tests against the server that VAULT_BIN names, and writes what came of it into the table of
// docs/works-with.md: a row for each server, with what the tests themselves say they worked with. A run in which a test fails
// writes nothing.
//
//	VAULT_BIN=/usr/bin/bao bin/works-with ./test
//
// A test says with which client it works, by
//
//	t.Attr("with", "Chromium 142.0")
//
// which counts if that test passes. With -name the row is another one than that of the server, for tests of something
// else than the server.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"vault-plugin-secrets-zoho/bootstrap"
)

const document = "docs/works-with.md"

func main() {
	name := flag.String("name", "", "what the row is about (default: the server, as its binary says)")
	limit := flag.Duration("timeout", 30*time.Minute, "how long the tests may take")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := writeRow(ctx, *name, *limit, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "works-with:", err)
		os.Exit(1)
	}
}

// writeRow runs the tests of packages, and writes their row.
func writeRow(ctx context.Context, name string, limit time.Duration, packages []string) error {
	if len(packages) == 0 {
		return errors.New("name the packages whose tests are to run, such as ./test")
	}
	if name == "" {
		bin, err := bootstrap.FindVault(ctx)
		if err != nil {
			return err
		}
		if name, err = bootstrap.Product(ctx, bin); err != nil {
			return err
		}
	}
	fmt.Fprintln(os.Stderr, "works-with: running the tests with", name)
	now := time.Now().UTC()
	tests, err := run(ctx, limit, packages)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(document)
	if err != nil {
		return err
	}
	text, err = withRow(text, tests.row(name, now))
	if err != nil {
		return fmt.Errorf("%s: %w", document, err)
	}
	return os.WriteFile(document, text, 0o600) // #nosec G703 -- the name is fixed
}

// run runs the tests of packages, and is an error unless all of them pass or are skipped.
func run(ctx context.Context, limit time.Duration, packages []string) (*results, error) {
	args := append([]string{"test", "-json", "-count=1", "-timeout", limit.String()}, packages...)
	cmd := exec.CommandContext(ctx, "go", args...) // #nosec G204 -- whoever starts the command names the packages
	// An interrupt reaches go test by itself, which lets the tests stop their servers.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = time.Minute
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	tests, readErr := readResults(out, os.Stderr)
	if err := errors.Join(readErr, cmd.Wait()); err != nil {
		return nil, fmt.Errorf("no row is written: %w", err)
	}
	return tests, nil
}
