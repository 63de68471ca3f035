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

	"vault-plugin-secrets-zoho/bootstrap"
)

// ratio is how many times as fast one thing is as another that took turns with it. It
// carries over to another machine, which a time does not.
type ratio struct {
	what  string
	value float64
}

// run is a run of the benchmark.
type run struct {
	at     time.Time
	commit string
	cores  int
	vault  string // the server's version
	rounds int    // so many turns each ratio is the median of
	slice  time.Duration
	ratios []ratio
	tables map[string]string // by part: what it has found, in Markdown
}

func newRun(ctx context.Context, rounds int, slice time.Duration) *run {
	return &run{at: time.Now().UTC(), commit: commitOf(ctx, "."), cores: runtime.NumCPU(), rounds: rounds, slice: slice, tables: map[string]string{}}
}

const (
	partSpeed = "speed"
	partScale = "scale"
)

// measure runs the parts, and prints what each has found.
func (r *run) measure(ctx context.Context, names []string, sizes string, idle time.Duration) error {
	bin, err := bootstrap.FindVault(ctx)
	if err != nil {
		return err
	}
	version, err := exec.CommandContext(ctx, bin, "version").Output() // #nosec G204 -- what the measurement runs
	if err != nil {
		return err
	}
	r.vault = strings.TrimRight(strings.Join(strings.Fields(string(version))[:2], " "), ",")
	for _, part := range names {
		var found string
		var err error
		switch part {
		case partSpeed:
			found, r.ratios, err = speed(ctx, r.rounds, r.slice)
		case partScale:
			found, err = scale(ctx, sizes, idle)
		}
		if err != nil {
			return err
		}
		fmt.Print(found)
		r.tables[part] = found
	}
	return nil
}

// keep writes what was found into the document and the history, unless their names are empty.
func (r *run) keep(document, history string) error {
	if document != "" {
		for part, found := range r.tables {
			if err := writeBetweenMarks(document, part, r.origin()+"\n"+found); err != nil {
				return err
			}
		}
	}
	if history == "" {
		return nil
	}
	return r.appendTo(history)
}

// origin says where figures come from.
func (r *run) origin() string {
	return fmt.Sprintf("Measured on %s at commit %s, with %s and raft on disk, on %d cores for all: the server, the plugins, their clients and the simulated Zoho.\n", r.at.Format(time.DateOnly), r.commit, r.vault, r.cores)
}

// writeBetweenMarks puts text into the place that a document has for a part.
func writeBetweenMarks(document, part, text string) error {
	former, err := os.ReadFile(document) // #nosec G304 -- whoever starts the command names it
	if err != nil {
		return err
	}
	begin, end := fmt.Sprintf("<!-- written by make bench: %s -->\n", part), "<!-- end -->\n"
	before, rest, found := strings.Cut(string(former), begin)
	_, after, ends := strings.Cut(rest, end)
	if !found || !ends {
		return fmt.Errorf("%s has no place for the table: %s%s", document, begin, end)
	}
	return os.WriteFile(document, []byte(before+begin+text+end+after), 0o600)
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
func (r *run) heading() string {
	names, line := []string{"date", "commit", "cores", "turns"}, "|---|---|--:|--:|"
	for _, ratio := range r.ratios {
		names = append(names, ratio.what)
		line += "--:|"
	}
	return "| " + strings.Join(names, " | ") + " |\n" + line + "\n"
}

func (r *run) line() string {
	line := fmt.Sprintf("| %s | %s | %d | %d |", r.at.Format(time.DateOnly), r.commit, r.cores, r.rounds)
	for _, ratio := range r.ratios {
		line += fmt.Sprintf(" %.2f |", ratio.value)
	}
	return line + "\n"
}

// appendTo adds the run to the last table of a file. A run that measures something else
// begins a new table.
func (r *run) appendTo(path string) error {
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
