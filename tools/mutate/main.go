// Program mutate changes the code in one place after the other, runs the tests of the package,
// and tells which changes no test has noticed:
//
//	go run -C tools/mutate . -explained ../../docs/reliability.md ../../backend/quota
//
// It changes no file: `go test -overlay` sees the changed copy. A change that survives and that
// the page does not explain makes the program fail, and so does an explanation of a change that
// a test notices.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"go/parser"
	"go/token"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

func main() {
	explained := flag.String("explained", "", "a page whose table names the survivors that no test can notice")
	sample := flag.Int("sample", 0, "try so many changes, chosen at random; 0: all")
	seed := flag.Uint64("seed", 1, "which ones")
	run := flag.String("run", "", "the tests to run; empty: all of the package")
	limit := flag.Duration("limit", 3*time.Minute, "for one run of the tests; a change that makes them take longer is noticed")
	files := flag.String("files", "", "of one package, only these files, separated by commas")
	flag.Parse()
	page := ""
	if *explained != "" {
		text, err := os.ReadFile(*explained)
		fatal(err)
		page = string(text)
	}
	ctx := context.Background()
	bad := 0
	for _, dir := range flag.Args() {
		mutants, err := find(dir, *files)
		fatal(err)
		if *sample > 0 {
			rand.New(rand.NewPCG(*seed, *seed)).Shuffle(len(mutants), func(i, j int) { mutants[i], mutants[j] = mutants[j], mutants[i] })
			mutants = mutants[:min(*sample, len(mutants))]
		}
		began, survived, unexplained := time.Now(), 0, 0
		if out, err := test(ctx, dir, *run, *limit, nil); err != nil {
			fatal(fmt.Errorf("the tests of %s fail without a change: %w\n%s", dir, err, out))
		}
		for _, m := range mutants {
			lives, err := survives(ctx, dir, m, *run, *limit)
			fatal(err)
			named := strings.Contains(page, "`"+m.name(dir)+"`")
			switch {
			case lives && named:
				survived++
			case lives:
				survived++
				unexplained++
				fmt.Printf("no test notices: %s (%s)\n", m.name(dir), m.where)
			case named:
				unexplained++
				fmt.Printf("is explained, and a test notices it: %s\n", m.name(dir))
			}
		}
		fmt.Printf("%s: %d changes, %d noticed, %d survived, of which %d are not explained; %s\n",
			filepath.Base(dir), len(mutants), len(mutants)-survived, survived, unexplained, time.Since(began).Round(time.Second))
		bad += unexplained
	}
	if bad > 0 {
		os.Exit(1)
	}
}

func fatal(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
}

// find lists the changes of a package's files.
func find(dir, only string) (mutants []mutant, err error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") || only != "" && !slices.Contains(strings.Split(only, ","), filepath.Base(name)) {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, name, text, 0)
		if err != nil {
			return nil, err
		}
		mutants = append(mutants, mutate(fset, file, name, text)...)
	}
	return mutants, nil
}

// survives reports whether the tests pass with a change. One that does not compile is none.
func survives(ctx context.Context, dir string, m mutant, run string, limit time.Duration) (bool, error) {
	temp, err := os.MkdirTemp("", "mutate")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(temp)
	changed, overlay := filepath.Join(temp, "changed.go"), filepath.Join(temp, "overlay.json")
	file, err := filepath.Abs(m.file)
	if err != nil {
		return false, err
	}
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{file: changed}})
	if err != nil {
		return false, err
	}
	for name, text := range map[string][]byte{changed: m.text, overlay: replace} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			return false, err
		}
	}
	_, err = test(ctx, dir, run, limit, []string{"-overlay=" + overlay})
	return err == nil, nil
}

func test(ctx context.Context, dir, run string, limit time.Duration, flags []string) (out []byte, err error) {
	args := append([]string{"test", "-count=1", "-failfast", "-vet=off", "-timeout=" + limit.String()}, flags...)
	if run != "" {
		args = append(args, "-run="+run)
	}
	cmd := exec.CommandContext(ctx, "go", append(args, ".")...)
	cmd.Dir = dir
	// What package rapid keeps of a failure would be tried again, and is of a change that is gone.
	failures := filepath.Join(dir, "testdata", "rapid")
	if _, err := os.Stat(failures); os.IsNotExist(err) {
		defer os.RemoveAll(failures)
	}
	return cmd.CombinedOutput()
}
