package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// noFix is the version that fixes what no version fixes.
const noFix = "none"

// vulnerability is what govulncheck found out about a module that has one.
type vulnerability struct {
	place
	version string // of the module
	summary string
	fixed   string // the version that has a fix, or noFix
	called  string // a vulnerable function that a program reaches, or ""
	linked  bool   // a program links a vulnerable package
}

// message is one of govulncheck's, see golang.org/x/vuln/internal/govulncheck:
// a value that it does not use is missing.
type message struct {
	Config *struct {
		GoVersion      string    `json:"go_version"`
		ScanLevel      string    `json:"scan_level"`
		ScanMode       string    `json:"scan_mode"`
		DBLastModified time.Time `json:"db_last_modified"`
	} `json:"config"`
	SBOM *struct {
		Roots []string `json:"roots"`
	} `json:"SBOM"`
	OSV *struct {
		ID      string `json:"id"`
		Summary string `json:"summary"`
	} `json:"osv"`
	Finding *finding `json:"finding"`
}

// finding has a trace that leads from the vulnerable symbol, package or module,
// whichever govulncheck knows, to the program.
type finding struct {
	OSV          string `json:"osv"`
	FixedVersion string `json:"fixed_version"`
	Trace        []struct {
		Module   string `json:"module"`
		Version  string `json:"version"`
		Package  string `json:"package"`
		Function string `json:"function"`
		Receiver string `json:"receiver"`
	} `json:"trace"`
}

// read reads what govulncheck found in all its runs. It refuses a run that did
// not follow the calls of the programs, or took another Go for theirs. It also
// returns the day of the database.
func read(in io.Reader, goVersion string) (map[place]*vulnerability, time.Time, error) {
	var date time.Time
	fail := func(format string, args ...any) (map[place]*vulnerability, time.Time, error) {
		return nil, date, fmt.Errorf(format, args...)
	}
	found := map[place]*vulnerability{}
	summaries := map[string]string{}
	runs, scanned := 0, 0
	for decoder := json.NewDecoder(in); ; {
		var m message
		err := decoder.Decode(&m)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fail("govulncheck's output: %w", err)
		}
		switch {
		case m.Config != nil:
			runs++
			date = m.Config.DBLastModified
			if m.Config.ScanLevel != "symbol" || m.Config.ScanMode != "source" {
				return fail("govulncheck looked at each %s in %s mode, and has to follow the calls in the source", m.Config.ScanLevel, m.Config.ScanMode)
			}
			if m.Config.GoVersion != goVersion {
				return fail("govulncheck judged the standard library of %s, and %s builds the programs", m.Config.GoVersion, goVersion)
			}
		case m.SBOM != nil && len(m.SBOM.Roots) > 0:
			scanned++
		case m.OSV != nil:
			summaries[m.OSV.ID] = m.OSV.Summary
		case m.Finding != nil:
			if err := m.Finding.addTo(found); err != nil {
				return fail("%w", err)
			}
		}
	}
	if runs == 0 || scanned != runs {
		return fail("govulncheck ran %d times and looked at programs %d times, so nothing is known of vulnerabilities", runs, scanned)
	}
	for _, v := range found {
		v.summary = summaries[v.id]
	}
	return found, date, nil
}

func (f *finding) addTo(found map[place]*vulnerability) error {
	if f.OSV == "" || len(f.Trace) == 0 {
		return errors.New("govulncheck found something and does not say what; is tools/vulnerabilities as new as govulncheck?")
	}
	at := f.Trace[0]
	where := place{id: f.OSV, module: at.Module}
	if found[where] == nil {
		found[where] = &vulnerability{place: where, version: at.Version, fixed: noFix}
	}
	v := found[where]
	v.fixed = cmp.Or(f.FixedVersion, v.fixed)
	v.linked = v.linked || at.Package != ""
	if at.Function != "" && v.called == "" {
		name := at.Function
		if at.Receiver != "" {
			name = at.Receiver + "." + name
		}
		v.called = at.Package + "." + name
	}
	return nil
}
