package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// event is what `go test -json` prints a line of.
type event struct {
	Action, Package, Test, Output string
}

// tests follows go test -json.
type tests struct {
	total   int // packages
	begun   bool
	done    int
	running map[string]*pkg
	passed  int
	skipped int
	failed  []string
}

func newTests(packages int) *tests { return &tests{total: packages, running: make(map[string]*pkg)} }

func (t *tests) fromStderr(line string) shown { return shown{stderr: line} }

func (t *tests) fromStdout(line string) shown {
	var e event
	if !strings.HasPrefix(line, "{") || json.Unmarshal([]byte(line), &e) != nil {
		return shown{stdout: line}
	}
	if e.Package == "" { // build-output: what the compiler says
		return shown{stdout: e.Output}
	}
	p := t.running[e.Package]
	if p == nil {
		p = &pkg{results: make(map[string]string)}
		t.running[e.Package] = p
	}
	switch e.Action {
	case "start":
		t.begun = true
	case "output":
		p.output = append(p.output, e)
	case "pass", "fail", "skip":
		return t.result(p, e)
	}
	return shown{}
}

func (t *tests) result(p *pkg, e event) shown {
	if e.Test == "" {
		delete(t.running, e.Package)
		t.done++
		if e.Action == "fail" {
			if !slices.Contains(slices.Collect(maps.Values(p.results)), "fail") {
				t.failed = append(t.failed, e.Package)
			}
			return shown{stdout: p.failure()}
		}
		return shown{stdout: p.verdict()}
	}
	p.results[e.Test] = e.Action
	if strings.Contains(e.Test, "/") {
		return shown{} // counted with the test that it is a part of
	}
	p.ended++
	switch e.Action {
	case "pass":
		t.passed++
	case "skip":
		t.skipped++
	case "fail":
		t.failed = append(t.failed, e.Package+"."+e.Test)
	}
	return shown{}
}

// status names the packages whose tests are running, with how many tests of them have ended.
func (t *tests) status() string {
	if !t.begun {
		return "compiling the tests themselves, and linking"
	}
	status := fmt.Sprintf("%d of %d packages done", t.done, max(t.total, t.done+len(t.running)))
	if n := len(t.failed); n > 0 {
		status += fmt.Sprintf(", %d FAILED", n)
	}
	var names []string
	for name, p := range t.running {
		names = append(names, fmt.Sprintf("%s (%d)", short(name), p.ended))
	}
	slices.Sort(names)
	if len(names) == 0 {
		return status
	}
	return status + ", testing " + strings.Join(names, " ")
}

// short is an import path without the module's name.
func short(name string) string {
	if _, after, found := strings.Cut(name, "/"); found {
		return after
	}
	return "."
}

// unfinished is the output of the packages that came to no result, because something ended go test.
func (t *tests) unfinished() string {
	var b strings.Builder
	for _, p := range t.running {
		b.WriteString(p.failure())
	}
	return b.String()
}

// summary is the last line. It names what has failed, which may be far up by then.
func (t *tests) summary(name string, elapsed time.Duration) string {
	line := fmt.Sprintf("%s: %d packages, %d tests passed, %d skipped, %d failed, in %s\n", name, t.done, t.passed, t.skipped, len(t.failed), elapsed)
	for _, unfinished := range slices.Sorted(maps.Keys(t.running)) {
		line += fmt.Sprintf("%s: WITHOUT A RESULT: %s\n", name, unfinished)
	}
	for _, failed := range t.failed {
		line += fmt.Sprintf("%s: FAILED: %s\n", name, failed)
	}
	return line
}
