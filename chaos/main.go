//go:build unix

package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

func main() {
	length := flag.Duration("for", 10*time.Minute, "how long")
	seed := flag.Uint64("seed", 0, "what is done, and in which order; 0: another one each time")
	document := flag.String("record", "", "a document, in whose table of counts those of this run are added if no rule was broken")
	history := flag.String("history", "", "a file that takes the history of all rounds, broken or not")
	flag.Parse()
	if *seed == 0 {
		*seed = uint64(time.Now().Unix()) //nolint:gosec // The time is not negative.
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	totals, err := chaos(ctx, os.Stdout, *seed, *length, *history)
	if err == nil && *document != "" {
		err = totals.record(*document)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
}

// chaos runs for a time, and prints what it does. The error is a rule that was broken, with what is known of it,
// or says why it could not run.
func chaos(ctx context.Context, out io.Writer, seed uint64, length time.Duration, history string) (*totals, error) {
	dir, err := os.MkdirTemp("", "zoho")
	if err != nil {
		return nil, err
	}
	begun := time.Now()
	w, err := newWorld(ctx, seed, filepath.Clean(dir))
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(out, "seed %d: tokens live for %s, Zoho counts the harder way: %t; the servers write to %s\n", seed, w.life, w.harder, dir)
	w.historyFile = history
	err = w.rounds(ctx, out, length)
	w.close()
	if err != nil {
		return nil, fmt.Errorf("seed %d, after %s: %w", seed, time.Since(begun).Round(time.Second), err)
	}
	fmt.Fprint(out, w.totals.table())
	return w.totals, os.RemoveAll(dir)
}
