package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// module is a module with at least one package in the program.
type module struct {
	path    string
	version string // empty for the program's own module
	dir     string
	texts   []text   // its licences, found from its linked packages upwards
	notices []string // files that some licences want passed on, unjudged
	files   []string // what the compiler and the linker read of it
}

// What `go list -json` tells of a package.
type listed struct {
	ImportPath string
	Dir        string
	Standard   bool
	Module     *struct {
		Path, Version, Dir string
		Replace            *struct{ Path, Version string }
	}
	GoFiles, CgoFiles, CFiles, CXXFiles, MFiles, HFiles, FFiles, SFiles, SysoFiles, EmbedFiles []string
}

func (p listed) compiled() []string {
	return slices.Concat(p.GoFiles, p.CgoFiles, p.CFiles, p.CXXFiles, p.MFiles, p.HFiles, p.FFiles, p.SFiles, p.SysoFiles, p.EmbedFiles)
}

// linked lists the modules that a program links on any of the platforms, Go's
// standard library first.
func linked(ctx context.Context, program string, platforms []string) ([]*module, error) {
	standard, err := standardLibrary(ctx)
	if err != nil {
		return nil, err
	}
	modules := map[string]*module{}
	seenDirs := map[string]bool{}
	seenFiles := map[string]bool{}
	for _, platform := range platforms {
		packages, err := list(ctx, program, platform)
		if err != nil {
			return nil, err
		}
		for _, p := range packages {
			m, err := moduleOf(p, standard)
			if err != nil {
				return nil, err
			}
			key := m.path + " " + m.version
			if modules[key] == nil {
				modules[key] = m
			}
			m = modules[key]
			for _, name := range p.compiled() {
				file := filepath.Join(p.Dir, name)
				if !seenFiles[file] {
					seenFiles[file] = true
					m.files = append(m.files, file)
				}
			}
			if err := m.collect(p.Dir, seenDirs); err != nil {
				return nil, err
			}
		}
	}
	all := make([]*module, 0, len(modules))
	for _, m := range modules {
		all = append(all, m)
	}
	slices.SortFunc(all, func(a, b *module) int {
		if a.standard() != b.standard() {
			if a.standard() {
				return -1
			}
			return 1
		}
		return strings.Compare(a.path+" "+a.version, b.path+" "+b.version)
	})
	return all, nil
}

func list(ctx context.Context, program, platform string) ([]listed, error) {
	goos, goarch, ok := strings.Cut(platform, "/")
	if !ok {
		return nil, fmt.Errorf("%q is no platform; write one like linux/amd64", platform)
	}
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, "go", "list", "-deps", "-json", program)        // #nosec G204 -- the caller's own program
	cmd.Env = append(os.Environ(), "GOOS="+goos, "GOARCH="+goarch, "CGO_ENABLED=0") // as scripts/build does
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("go list for %s: %w: %s", platform, err, bytes.TrimSpace(errs.Bytes()))
	}
	var packages []listed
	for decoder := json.NewDecoder(&out); ; {
		var p listed
		err := decoder.Decode(&p)
		if errors.Is(err, io.EOF) {
			return packages, nil
		}
		if err != nil {
			return nil, fmt.Errorf("what go list says of %s: %w", platform, err)
		}
		packages = append(packages, p)
	}
}

const goItself = "std" // as SBOMs name it

func (m *module) standard() bool { return m.path == goItself }

// within is a file's name as one sees it in the module.
func (m *module) within(file string) string {
	name, err := filepath.Rel(m.dir, file)
	if err != nil {
		return filepath.Base(file)
	}
	return filepath.ToSlash(name)
}

// standardLibrary asks the go command that compiles the program, which need not
// be the one that has compiled this.
func standardLibrary(ctx context.Context) (*module, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOROOT", "GOVERSION").Output()
	if err != nil {
		return nil, fmt.Errorf("go env: %w", err)
	}
	root, version, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return &module{path: goItself, version: strings.TrimSpace(version), dir: strings.TrimSpace(root)}, nil
}

func moduleOf(p listed, standard *module) (*module, error) {
	switch {
	case p.Standard:
		return standard, nil
	case p.Module == nil:
		return nil, fmt.Errorf("%s is in no module, so nobody can tell its licence", p.ImportPath)
	}
	m := &module{path: p.Module.Path, version: p.Module.Version, dir: p.Module.Dir}
	if r := p.Module.Replace; r != nil && r.Version != "" {
		m.path, m.version = r.Path, r.Version // as `go version -m` has it
	}
	return m, nil
}

// A licence's file may be called LICENSE, LICENCE.md, COPYING, MIT-LICENSE,
// LICENSE.libyaml and more. Go files of such names are code.
var (
	licenceName = regexp.MustCompile(`(?i)licen[cs]e|^copying|^copyright`)
	noticeName  = regexp.MustCompile(`(?i)^(notice|patents)(\.(md|txt))?$`)
)

// collect reads the licences beside a package and in the directories above it,
// up to the module's: a directory with code from elsewhere often has its own.
func (m *module) collect(dir string, seen map[string]bool) error {
	for {
		if !seen[dir] {
			seen[dir] = true
			if err := m.collectIn(dir); err != nil {
				return err
			}
		}
		parent := filepath.Dir(dir)
		if dir == m.dir || parent == dir {
			return nil
		}
		dir = parent
	}
}

func (m *module) collectIn(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		name := entry.Name()
		file := filepath.Join(dir, name)
		switch {
		case entry.IsDir() || filepath.Ext(name) == ".go":
		case noticeName.MatchString(name):
			m.notices = append(m.notices, file)
		case licenceName.MatchString(name) && !elsewhere(m.path, m.within(file)):
			content, err := os.ReadFile(file) // #nosec G304 -- a file of the module cache
			if err != nil {
				return err
			}
			m.texts = append(m.texts, text{file: file, content: string(content)})
		}
	}
	return nil
}
