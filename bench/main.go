//go:build unix

// Command bench measures the engine on a real Vault with raft storage. It has
// two parts, and without arguments runs both:
//
// "bench speed" sets it side by side with the floor: a plugin that only answers
// with a lease; and the token server with the engine. It prints ratios, since times
// say more about the machine than about the engine. A run of both parts adds the ratios
// to bench/history.md, so that what a change to the engine costs can be seen later.
//
// "bench scale" fills it with roles and leases, in several sizes, and prints how
// the times grow, as a table in Markdown for docs/scale.md.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

func main() {
	rounds := flag.Int("rounds", 11, "speed: how often engine and floor take turns")
	slice := flag.Duration("slice", 2*time.Second, "speed: how long each turn takes")
	grants := flag.Int("grants", 10_000, "speed: grants for the measurement of background work; 0 leaves it out")
	sizes := flag.String("sizes", "1000,3000,10000", "scale: numbers of roles; there are ten leases for each")
	idle := flag.Duration("idle", time.Minute, "scale: how long the work is measured that nobody asks for")
	history := flag.String("history", "bench/history.md", "a run of both parts adds its ratios to this file; empty: to none")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	this := newRun(ctx, *rounds) // before somebody goes on to work on the tree
	parts := map[string]func() error{
		"speed": func() (err error) { this.ratios, err = speed(ctx, *rounds, *slice, *grants); return err },
		"scale": func() error { return scale(ctx, *sizes, *idle) },
	}
	names := flag.Args()
	if len(names) == 0 {
		names = []string{"speed", "scale"}
	}
	isFull := flag.NArg() == 0
	for _, name := range names {
		part := parts[name]
		if part == nil {
			fmt.Fprintf(os.Stderr, "bench: there is no part %q, only speed and scale; flags come first\n", name)
			os.Exit(2)
		}
		if err := part(); err != nil {
			fail(err)
		}
	}
	if isFull && *history != "" {
		if err := this.appendTo(*history); err != nil {
			fail(err)
		}
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "bench:", err)
	os.Exit(1)
}

func speed(ctx context.Context, rounds int, slice time.Duration, grants int) (ratios []ratio, err error) {
	dir, err := os.MkdirTemp("", "zoho")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	b, err := newBench(ctx, filepath.Clean(dir), "")
	if err != nil {
		return nil, err
	}
	defer b.close()
	if err := b.mountFloor(ctx); err != nil {
		return nil, err
	}

	for _, m := range []struct {
		what   string
		goal   float64
		engine turn
		floor  turn
	}{
		{"warm reads per second, 1 client", 0.70, b.reads("zoho", 1, slice), b.reads("floor", 1, slice)},
		{"warm reads per second, 16 clients", 0.95, b.reads("zoho", 16, slice), b.reads("floor", 16, slice)},
		{"revocations per second, 16 clients", 0.90, b.revocations("zoho", 16, slice), b.revocations("floor", 16, slice)},
	} {
		value, engine, floor, err := compare(ctx, rounds, m.engine, m.floor)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.what, err)
		}
		ratios = append(ratios, ratio{m.what, value})
		fmt.Printf("%-36s engine %7.0f   floor %7.0f   ratio %.2f   goal %.2f   %s\n", m.what, engine, floor, value, m.goal, verdict(value >= m.goal))
	}
	server, err := b.compareTokenServer(ctx, dir, rounds, slice)
	if err != nil {
		return nil, err
	}
	if err := b.mintWait(ctx); err != nil {
		return nil, err
	}
	if grants > 0 {
		err = b.backgroundWork(ctx, grants)
	}
	return append(ratios, server), err
}

func verdict(reached bool) string {
	if reached {
		return "reached"
	}
	return "MISSED"
}
