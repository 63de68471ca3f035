package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/google/licensecheck"
)

// allowed are the licences, by their SPDX names, under which code may be in the
// plugin: permissive ones, and MPL-2.0, whose copyleft ends at the file.
func allowed(name string) bool {
	switch name {
	case "0BSD", "Apache-2.0", "BSD-1-Clause", "BSD-2-Clause", "BSD-2-Clause-FreeBSD", "BSD-3-Clause", "BSL-1.0", "BlueOak-1.0.0",
		"CC0-1.0", "ISC", "MIT", "MIT-0", "MPL-2.0", "NCSA", "PostgreSQL", "Python-2.0", "Unicode-DFS-2016", "Unlicense", "X11", "Zlib":
		return true
	}
	return false
}

// elsewhere are licence files that cover nothing which is linked.
func elsewhere(module, file string) bool {
	switch module + " " + file {
	case "github.com/opencontainers/go-digest LICENSE.docs", // CC-BY-SA-4.0, for README and docs/
		"std src/crypto/internal/boring/LICENSE": // OpenSSL, for syso files that need cgo and GOEXPERIMENT=boringcrypto
		return true
	}
	return false
}

// text is a file that says under which licence others are.
type text struct {
	file, content string
}

// recognised is the part of a text, in percent of its words, that has to be a
// known licence. The rest is copyright lines and headings. pkg.go.dev draws the
// line at the same place.
const recognised = 75

// licences names the licences of a text, or says why it is none.
func (t text) licences() ([]string, error) {
	if strings.Contains(t.content, "Business Source License") { // unknown to the library
		return []string{"BUSL-1.1"}, nil
	}
	coverage := licensecheck.Scan([]byte(t.content))
	var names []string
	for _, match := range coverage.Match {
		if !match.IsURL {
			names = append(names, match.ID)
		}
	}
	if coverage.Percent < recognised || len(names) == 0 {
		return names, fmt.Errorf("only %.0f %% of it is a known licence", coverage.Percent)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// names are a module's licences, for the report.
func (m *module) names() []string {
	var all []string
	for _, t := range m.texts {
		names, _ := t.licences() // judge has told of the error
		all = append(all, names...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// judge says, one reason a line, why the module may not be linked.
func (m *module) judge() []string {
	var reasons []string
	forbid := func(file, format string, args ...any) {
		reasons = append(reasons, fmt.Sprintf("%s: %s: %s", strings.TrimSpace(m.path+" "+m.version), m.within(file), fmt.Sprintf(format, args...)))
	}
	judged := false
	for _, t := range m.texts {
		names, err := t.licences()
		if err != nil {
			forbid(t.file, "%v", err)
		}
		for _, name := range names {
			if !allowed(name) {
				forbid(t.file, "is %s", name)
			}
		}
		judged = judged || filepath.Dir(t.file) == m.dir
	}
	if !judged {
		forbid(m.dir, "the module has no licence file, so nobody may pass it on")
	}
	if m.standard() || len(reasons) > 0 {
		return reasons // Go's files refer to its LICENSE, and nobody wants to read of each file of a bad module
	}
	for _, file := range m.files {
		names, err := header(file)
		if err != nil {
			forbid(file, "%v", err)
		}
		for _, name := range names {
			forbid(file, "its header says %s", name)
		}
	}
	return reasons
}

var (
	spdx     = regexp.MustCompile(`(?m)^[ \t]*(?://|/\*|\*|#|;|--)[/* \t]*SPDX-License-Identifier:[ \t]*(.*?)[ \t]*(?:\*/)?[ \t\r]*$`)
	packages = regexp.MustCompile(`(?m)^package `)
)

// header lists the forbidden licences that a source file claims for itself.
func header(file string) ([]string, error) {
	content, err := os.ReadFile(file) // #nosec G304 -- a file of the module cache
	if err != nil {
		return nil, err
	}
	var forbidden []string
	for _, match := range spdx.FindAllSubmatch(content, -1) {
		if expression := string(match[1]); !permits(expression) {
			forbidden = append(forbidden, expression)
		}
	}
	head := content
	if start := packages.FindIndex(content); start != nil {
		head = content[:start[0]]
	}
	const longest = 16 << 10 // of a licence at the head of a file that is not Go
	if len(head) > longest {
		head = head[:longest]
	}
	if bytes.Contains(head, []byte("Business Source License")) {
		forbidden = append(forbidden, "BUSL-1.1")
	}
	for _, match := range licensecheck.Scan(head).Match {
		// "Apache-2.0-Header" and the like are short forms that point to the text.
		name := strings.TrimSuffix(match.ID, "-Header")
		if !match.IsURL && !allowed(name) {
			forbidden = append(forbidden, name)
		}
	}
	slices.Sort(forbidden)
	return slices.Compact(forbidden), nil
}

// permits reads an SPDX expression. With parentheses it asks for more than it
// has to, every licence of the list, because no file here has had any.
func permits(expression string) bool {
	if strings.ContainsAny(expression, "()") {
		expression = strings.NewReplacer("(", " ", ")", " ", " OR ", " AND ").Replace(expression)
	}
	for _, choice := range strings.Split(expression, " OR ") {
		all := true
		for _, name := range strings.Split(choice, " AND ") {
			name, _, _ = strings.Cut(strings.TrimSpace(name), " WITH ") // an exception only adds to what is permitted
			all = all && allowed(strings.TrimSpace(name))
		}
		if all {
			return true
		}
	}
	return false
}
