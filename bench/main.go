//go:build unix

// Command bench measures the engine on a real Vault with raft storage. It has
// two parts, and without arguments runs both:
//
// "bench speed" sets it side by side with the floor, a plugin that only answers with a
// lease, and with the same plugin after one write to storage; and the token server with
// the engine. Times say more about the machine than about the engine: look at the ratios.
//
// "bench scale" fills it with roles and leases, in several sizes, and prints how
// the times grow.
//
// Both print tables in Markdown. A run of both parts writes them into docs/scale.md, and
// adds the ratios to bench/history.md, so that what a change to the engine costs can be
// seen later.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"
)

func main() {
	rounds := flag.Int("rounds", 9, "speed: how often all take turns")
	slice := flag.Duration("slice", time.Second, "speed: how long each turn takes")
	sizes := flag.String("sizes", "1000,3000,10000", "scale: numbers of roles; there are ten leases for each")
	idle := flag.Duration("idle", time.Minute, "scale: how long the work is measured that nobody asks for")
	document := flag.String("document", "docs/scale.md", "a run of both parts writes its tables into this file; empty: into none")
	history := flag.String("history", "bench/history.md", "a run of both parts adds its ratios to this file; empty: to none")
	flag.Parse()
	names := flag.Args()
	if len(names) == 0 {
		names = parts()
	}
	for _, name := range names {
		if !slices.Contains(parts(), name) {
			fmt.Fprintf(os.Stderr, "bench: there is no part %q, only %v; flags come first\n", name, parts())
			os.Exit(2)
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	this := newRun(ctx, *rounds, *slice) // before somebody goes on to work on the tree
	err := this.measure(ctx, names, *sizes, *idle)
	if err == nil && flag.NArg() == 0 {
		err = this.keep(*document, *history)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

func parts() []string { return []string{partSpeed, partScale} }
