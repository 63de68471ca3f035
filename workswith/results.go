//go:build unix

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"
)

// event is what `go test -json` says of a test: see `go doc test2json`.
type event struct {
	Action, Package, Test, Output, Key, Value string
}

// results are those of a run of tests.
type results struct {
	passed  int            // whole tests
	skipped map[string]int // tests and parts of tests, by the reason
	with    []string       // what the tests that passed say they worked with
}

// readResults reads the output of `go test -json` to its end. It says on progress what is done, and what those that fail
// have said.
func readResults(stream io.Reader, progress io.Writer) (*results, error) {
	r := &results{skipped: map[string]int{}}
	said := map[string]string{} // by package and test
	with := map[string][]string{}
	failed := false
	for decoder := json.NewDecoder(stream); ; {
		var e event
		if err := decoder.Decode(&e); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
		test := e.Package + " " + e.Test
		switch {
		case e.Action == "output":
			said[test] += e.Output
		case e.Action == "attr" && e.Key == "with":
			with[test] = append(with[test], e.Value)
		case e.Action == "fail" || e.Action == "build-fail":
			failed = true
			fmt.Fprintf(progress, "FAIL %s\n%s", test, said[test])
		case e.Action == "skip" && e.Test != "":
			r.skipped[reason(said[test])]++
			fmt.Fprintln(progress, "skip", e.Test)
		case e.Action == "pass" && e.Test != "":
			r.with = append(r.with, with[test]...)
			if !strings.Contains(e.Test, "/") {
				r.passed++
				fmt.Fprintln(progress, "pass", e.Test)
			}
		}
	}
	if failed {
		return nil, errors.New("tests failed")
	}
	if r.passed == 0 {
		return nil, errors.New("no test passed")
	}
	slices.Sort(r.with)
	r.with = slices.Compact(r.with)
	return r, nil
}

// reason is why a test was skipped, from what it said, in few words: to the first mark or bracket.
func reason(said string) string {
	lines := regexp.MustCompile(`(?m)^\s+\w+\.go:\d+: ([^;:,(\n]+)`).FindAllStringSubmatch(said, -1)
	if len(lines) == 0 {
		return "no reason given"
	}
	return strings.TrimSpace(lines[len(lines)-1][1])
}

// row is the line of the table.
func (r *results) row(name string, at time.Time) string {
	skipped := make([]string, 0, len(r.skipped))
	for why, n := range r.skipped {
		skipped = append(skipped, fmt.Sprintf("%d: %s", n, why))
	}
	slices.Sort(skipped)
	if len(skipped) == 0 {
		skipped = []string{"none"}
	}
	cells := []string{name, at.Format(time.DateOnly), fmt.Sprint(r.passed), strings.Join(skipped, "; "), strings.Join(r.with, ", ")}
	for i, cell := range cells {
		cells[i] = strings.ReplaceAll(cell, "|", "\\|")
	}
	return "| " + strings.Join(cells, " | ") + " |\n"
}
