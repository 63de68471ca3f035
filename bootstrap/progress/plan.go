package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
)

// plan is what there is to do, as `go list -deps` tells it.
type plan struct {
	packages int             // that the command names
	compile  map[string]bool // the packages that are not in Go's cache, by import path
	names    []string        // of those, the ones that the standard library does not have
}

// listing is what go list prints of each package. Asking for Stale makes it look into Go's cache.
const listing = "{{.ImportPath}}\t{{.DepOnly}}\t{{.Standard}}\t{{.Stale}}\t{{.StaleReason}}"

// plan asks Go what there is to do. Where that fails the plan is empty: the command itself then says why.
func (p *printer) plan(command []string) plan {
	list := []string{"go", "list", "-deps", "-f", listing}
	if command[1] == "test" {
		list = append(list, "-test")
	}
	list = append(append(list, buildFlags(command)...), packages(command)...)
	l := &loading{modules: requirements()}
	if p.follow(l, list) != 0 {
		return plan{}
	}
	return parsePlan(l.printed)
}

func parsePlan(printed []string) plan {
	p := plan{compile: make(map[string]bool)}
	for _, line := range printed {
		field := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(field) < 5 || strings.HasSuffix(field[0], ".test") || strings.Contains(field[0], " ") {
			continue // the variants of a package that its tests need are compiled with them
		}
		name, named, standard, stale := field[0], field[1] == "false", field[2] == "true", field[3] == "true"
		if named {
			p.packages++
		}
		if !stale || strings.Contains(field[4], "available in build cache") {
			continue
		}
		p.compile[name] = true
		if !standard {
			p.names = append(p.names, name)
		}
	}
	return p
}

// compileForTests is the command that compiles what the tests import. `go test` would do it as well, and say nothing
// about it. It is nil if there is nothing worth a command of its own.
func (p plan) compileForTests(command []string) []string {
	if len(p.compile) < 20 {
		return nil
	}
	return append(append([]string{"go", "build", "-v"}, buildFlags(command)...), p.names...)
}

// buildFlags are those of the command's flags that decide what is compiled.
func buildFlags(command []string) (flags []string) {
	decides := regexp.MustCompile(`^--?(race|trimpath|(tags|mod|buildvcs)=.*)$`)
	for _, arg := range command[2:] {
		if decides.MatchString(arg) {
			flags = append(flags, arg)
		}
	}
	return flags
}

// packages are the packages that the command names. They decide the counts alone: which argument of `go test` belongs
// to a flag is Go's to know, so only what looks like a directory is taken.
func packages(command []string) (names []string) {
	for i, arg := range command[2:] {
		switch {
		case arg == "-args" || arg == "--args":
			return names
		case strings.HasPrefix(arg, "-") || command[i+1] == "-o":
		case command[1] == "build" || arg == "." || strings.HasPrefix(arg, "./"):
			names = append(names, arg)
		}
	}
	return names
}

// streams tells whether the command prints as it goes on, or something else than results: then it runs as it is.
func streams(command []string) bool {
	if command[1] == "build" {
		return false
	}
	own := regexp.MustCompile(`^--?(test\.)?(v|json|c|n|x|list|bench|fuzz|exec)(=.*)?$`)
	return slices.ContainsFunc(command[2:], own.MatchString)
}

// requirements counts the lines of go.mod that name a module and its version: no more modules than that are downloaded.
func requirements() int {
	file, err := exec.CommandContext(context.Background(), "go", "env", "GOMOD").Output()
	if err != nil {
		return 0
	}
	content, err := os.ReadFile(strings.TrimSpace(string(file)))
	if err != nil {
		return 0
	}
	return len(regexp.MustCompile(`(?m)^(require )?\s*\S+ v\d\S*( // indirect)?$`).FindAll(content, -1))
}

// loading follows go list, which downloads the modules that are missing.
type loading struct {
	modules    int // that go.mod names
	downloaded int
	latest     string
	printed    []string
}

func (l *loading) fromStdout(line string) shown {
	l.printed = append(l.printed, line)
	return shown{}
}

// fromStderr shows nothing of what go list says: if it is an error, the command itself says it again.
func (l *loading) fromStderr(line string) shown {
	if latest, ok := strings.CutPrefix(strings.TrimSpace(line), "go: downloading "); ok {
		l.downloaded++
		l.latest = latest
	}
	return shown{}
}

func (l *loading) status() string {
	if l.downloaded == 0 {
		return "looking what there is to compile"
	}
	return fmt.Sprintf("downloading modules: %d, of at most %d: %s", l.downloaded, l.modules, l.latest)
}

// build follows go build -v, which names each package that it compiles.
type build struct {
	plan  plan
	quiet bool // shows no errors, because another command shows them
	done  int
}

func (b *build) fromStdout(line string) shown { return b.other(shown{stdout: line}) }

func (b *build) fromStderr(line string) shown {
	if b.plan.compile[strings.TrimSuffix(line, "\n")] {
		b.done++
		return shown{}
	}
	return b.other(shown{stderr: line})
}

func (b *build) other(s shown) shown {
	if b.quiet {
		return shown{}
	}
	return s
}

func (b *build) status() string {
	total := len(b.plan.compile)
	if b.done >= total {
		return "linking"
	}
	return fmt.Sprintf("compiling: %d of %d packages", b.done, total)
}
