//go:build unix

// The program behind `make demo` and `make dev`: a real Vault with the plugin and a Zoho to talk to, in one temporary directory.
//
//	demo   shows a token's whole life - read, used, revoked, refused - and ends
//	dev    keeps the environment up until Ctrl-C
//
// Zoho is the simulator of package zohosim, unless ZOHO_CLIENT_ID, ZOHO_CLIENT_SECRET, ZOHO_DATA_CENTER and either
// ZOHO_REFRESH_TOKEN or ZOHO_CODE name a real account. ZOHO_CODE is a fresh grant code of a Self Client; the refresh token that it
// gives is revoked at the end.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	// Everything that has to be undone is undone by deferred calls in run, so nothing below it may exit.
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(args []string) (err error) {
	if len(args) != 1 || (args[0] != "demo" && args[0] != "dev") {
		return errors.New("say what to do: demo or dev")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()

	env, err := start(ctx, os.Stdout)
	if err != nil {
		return whenInterrupted(ctx, err)
	}
	defer func() { err = errors.Join(err, env.close()) }()

	if err := env.setUp(ctx); err != nil {
		return whenInterrupted(ctx, err)
	}
	if args[0] == "dev" {
		if err := errors.Join(env.offerConsent(ctx), env.offerDevice(ctx)); err != nil {
			return whenInterrupted(ctx, err)
		}
		return env.stayUp(ctx)
	}
	if err := env.demonstrateDevice(ctx); err != nil {
		return whenInterrupted(ctx, err)
	}
	return whenInterrupted(ctx, env.demonstrate(ctx))
}

// whenInterrupted replaces the error of whatever the interrupt cut short.
func whenInterrupted(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return errors.New("interrupted; everything is stopped and removed")
	}
	return err
}
