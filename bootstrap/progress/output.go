package main

import (
	"regexp"
	"strings"
)

// pkg is a package whose tests are running.
type pkg struct {
	output  []event
	results map[string]string // by test: pass, fail or skip
	ended   int               // tests, without their parts
}

// verdict is what `go test` prints of a package that has passed.
func (p *pkg) verdict() string {
	var b strings.Builder
	for _, e := range p.output {
		if e.Test == "" && (strings.HasPrefix(e.Output, "ok  \t") || strings.HasPrefix(e.Output, "?   \t") || strings.HasPrefix(e.Output, "\t")) {
			b.WriteString(e.Output)
		}
	}
	return b.String()
}

// failure is what `go test` prints of a package that has failed: for each test that failed, or came to no result, all
// that it printed, in one piece; and what the package printed beside. What a test logged that passed is left out, and
// nothing else.
func (p *pkg) failure() string {
	var order []string // of the tests, as they began
	pieces := make(map[string]*piece)
	var b strings.Builder
	for _, e := range p.output {
		piece := pieceOf(pieces, e.Test)
		if !piece.begun {
			piece.begun = true
			order = append(order, e.Test)
		}
		piece.add(e.Output, p.results[e.Test])
	}
	for _, test := range order {
		if test != "" {
			b.WriteString(pieces[test].text())
		}
	}
	if whole := pieces[""]; whole != nil {
		b.WriteString(whole.text())
	}
	return b.String()
}

func pieceOf(pieces map[string]*piece, test string) *piece {
	if pieces[test] == nil {
		pieces[test] = &piece{}
	}
	return pieces[test]
}

// piece is what one test printed. Its result comes first, as the heading.
type piece struct {
	begun   bool
	logging bool // the line before was a log's
	heading string
	body    strings.Builder
}

func (p *piece) add(line, result string) {
	trimmed := strings.TrimLeft(line, " ")
	switch {
	case regexp.MustCompile(`^=== (RUN|PAUSE|CONT|NAME|ATTR) `).MatchString(line):
		p.logging = false
	case strings.HasPrefix(trimmed, "--- FAIL: "):
		p.heading += line
	case result != "pass" && result != "skip":
		p.body.WriteString(line)
	case strings.HasPrefix(trimmed, "--- PASS: "), strings.HasPrefix(trimmed, "--- SKIP: "):
	case p.isLog(line):
	default:
		p.body.WriteString(line)
	}
}

// isLog recognises what t.Log printed: the file and the line, indented by four spaces, and, by eight, what follows.
// Anything else, such as the report of a data race, was printed by something that runs beside the test.
func (p *piece) isLog(line string) bool {
	p.logging = regexp.MustCompile(`^    \S+\.go:\d+: `).MatchString(line) || p.logging && strings.HasPrefix(line, "        ")
	return p.logging
}

func (p *piece) text() string { return p.heading + p.body.String() }
