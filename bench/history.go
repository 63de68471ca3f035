//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// ratio is how many times as fast one thing is as another that took turns with it. It
// carries over to another machine, which a time does not.
type ratio struct {
	what  string
	value float64
}

// run is a full run of the benchmark, as the history has it.
type run struct {
	at     time.Time
	commit string
	cores  int
	rounds int // so many turns each ratio is the median of
	ratios []ratio
}

func newRun(ctx context.Context, rounds int) run {
	return run{at: time.Now().UTC(), commit: commitOf(ctx, "."), cores: runtime.NumCPU(), rounds: rounds}
}

// commitOf names the commit of the tree in dir, with a plus sign if something in it is
// not committed. It is "unknown" where git does not say.
func commitOf(ctx context.Context, dir string) string {
	git := func(args ...string) (string, error) {
		out, err := exec.CommandContext(ctx, "git", append([]string{"-C", dir}, args...)...).Output() // #nosec G204 -- fixed words
		return strings.TrimSpace(string(out)), err
	}
	commit, err := git("rev-parse", "--short=10", "HEAD")
	if err != nil || commit == "" {
		return "unknown"
	}
	if changes, err := git("status", "--porcelain", "--untracked-files=no"); err != nil || changes != "" {
		commit += "+"
	}
	return commit
}

// heading is that of a table whose lines have the ratios of this run.
func (r run) heading() string {
	names, line := []string{"date", "commit", "cores", "turns"}, "|---|---|--:|--:|"
	for _, ratio := range r.ratios {
		names = append(names, ratio.what)
		line += "--:|"
	}
	return "| " + strings.Join(names, " | ") + " |\n" + line + "\n"
}

func (r run) line() string {
	line := fmt.Sprintf("| %s | %s | %d | %d |", r.at.Format(time.DateOnly), r.commit, r.cores, r.rounds)
	for _, ratio := range r.ratios {
		line += fmt.Sprintf(" %.2f |", ratio.value)
	}
	return line + "\n"
}

// appendTo adds the run to the last table of a file. A run that measures something else
// begins a new table.
func (r run) appendTo(path string) error {
	former, err := os.ReadFile(path) // #nosec G304 -- whoever starts the command names it
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	added := r.line()
	if table := strings.LastIndex(string(former), "| date |"); table < 0 || !strings.HasPrefix(string(former[table:]), r.heading()) {
		added = "\n" + r.heading() + added
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600) // #nosec G304 -- likewise
	if err != nil {
		return err
	}
	_, err = file.WriteString(added)
	return errors.Join(err, file.Close())
}
