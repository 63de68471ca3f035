//go:build unix

// Command bench measures the engine on a real Vault with raft storage, side by
// side with the floor: a plugin that only answers with a lease. It prints
// ratios, since times say more about the machine than about the engine.
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
	rounds := flag.Int("rounds", 7, "how often engine and floor take turns")
	slice := flag.Duration("slice", 2*time.Second, "how long each turn takes")
	grants := flag.Int("grants", 10_000, "grants for the measurement of background work; 0 leaves it out")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *rounds, *slice, *grants); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, rounds int, slice time.Duration, grants int) error {
	dir, err := os.MkdirTemp("", "zoho")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b, err := newBench(ctx, filepath.Clean(dir))
	if err != nil {
		return err
	}
	defer b.close()

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
		ratio, engine, floor, err := compare(ctx, rounds, m.engine, m.floor)
		if err != nil {
			return fmt.Errorf("%s: %w", m.what, err)
		}
		fmt.Printf("%-36s engine %7.0f   floor %7.0f   ratio %.2f   goal %.2f   %s\n", m.what, engine, floor, ratio, m.goal, verdict(ratio >= m.goal))
	}
	if err := b.mintWait(ctx); err != nil {
		return err
	}
	if grants > 0 {
		return b.backgroundWork(ctx, grants)
	}
	return nil
}

func verdict(reached bool) string {
	if reached {
		return "reached"
	}
	return "MISSED"
}
