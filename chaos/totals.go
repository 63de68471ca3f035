//go:build unix

package main

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// totals counts what happened, by name.
type totals struct {
	mu     sync.Mutex
	seeds  []string
	counts map[string]int
}

func newTotals(seed uint64) *totals {
	t := &totals{seeds: []string{strconv.FormatUint(seed, 10)}, counts: map[string]int{}}
	for _, name := range []string{evicted, throttled, irrevocable} { // so that the table has them although they stay zero
		t.counts[name] = 0
	}
	return t
}

const (
	evicted     = "tokens that Zoho evicted"
	throttled   = "requests that Zoho throttled"
	irrevocable = "irrevocable leases"
)

func (t *totals) add(name string, n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counts[name] += n
}

func (t *totals) get(name string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.counts[name]
}

// table is in Markdown, for docs/reliability.md.
func (t *totals) table() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "| seeds | %s |\n|---|--:|\n", strings.Join(t.seeds, " "))
	names := make([]string, 0, len(t.counts))
	for name := range t.counts {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(&b, "| %s | %d |\n", name, t.counts[name])
	}
	return b.String()
}

const (
	tableBegin = "<!-- written by make chaos -->\n"
	tableEnd   = "<!-- end -->\n"
)

// record adds these counts to those of earlier runs, in the table that a document has between two marks.
func (t *totals) record(document string) error {
	text, err := os.ReadFile(document)
	if err != nil {
		return err
	}
	before, rest, found := strings.Cut(string(text), tableBegin)
	table, after, ends := strings.Cut(rest, tableEnd)
	if !found || !ends {
		return fmt.Errorf("%s has no place for the table: %s%s", document, tableBegin, tableEnd)
	}
	all := &totals{counts: map[string]int{}}
	for _, row := range regexp.MustCompile(`(?m)^\| (.+?) \| (.*?) \|$`).FindAllStringSubmatch(table, -1) {
		if row[1] == "seeds" {
			all.seeds = strings.Fields(row[2])
			continue
		}
		n, err := strconv.Atoi(row[2])
		if err != nil {
			return err
		}
		all.counts[row[1]] = n
	}
	t.mu.Lock()
	for name, n := range t.counts {
		all.counts[name] += n
	}
	all.seeds = append(all.seeds, t.seeds...)
	t.mu.Unlock()
	return os.WriteFile(document, []byte(before+tableBegin+all.table()+tableEnd+after), 0o600)
}

func (t *totals) set(name string, n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counts[name] = n
}
