package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	scan = `{"config": {"go_version": "go1.26.11", "scan_level": "symbol", "scan_mode": "source", "db_last_modified": "2026-11-20T01:02:03Z"}}
{"SBOM": {"go_version": "go1.26.11", "roots": ["example.com/program"]}}
{"osv": {"id": "GO-2026-0001", "summary": "It breaks"}}
`
	moduleOnly = `{"finding": {"osv": "GO-2026-0001", "fixed_version": "v1.2.4", "trace": [{"module": "example.com/dep", "version": "v1.2.3"}]}}
`
	linkedOnly = `{"finding": {"osv": "GO-2026-0001", "fixed_version": "v1.2.4", "trace": [{"module": "example.com/dep", "version": "v1.2.3", "package": "example.com/dep/p"}]}}
`
	reached = moduleOnly + linkedOnly + `{"finding": {"osv": "GO-2026-0001", "fixed_version": "v1.2.4", "trace": [
	{"module": "example.com/dep", "version": "v1.2.3", "package": "example.com/dep/p", "function": "Read", "receiver": "*Reader"},
	{"module": "example.com/program", "package": "example.com/program", "function": "main"}]}}
`
	unfixed = `{"finding": {"osv": "GO-2026-0001", "trace": [
	{"module": "example.com/dep", "version": "v1.2.3", "package": "example.com/dep/p", "function": "Read"}]}}
`
	standardLibrary = `{"finding": {"osv": "GO-2026-0001", "fixed_version": "v1.26.12", "trace": [
	{"module": "stdlib", "version": "v1.26.11", "package": "net/http", "function": "Get"}]}}
`
	exceptionOfReached = "GO-2026-0001 example.com/dep v1.2.4 2026-11-30 Version 1.2.4 is under another licence.\n"
	exceptionOfUnfixed = "# What nobody can mend.\n\nGO-2026-0001 example.com/dep none 2026-11-30 Only a server is affected.\n"
)

var today = time.Date(2026, time.November, 30, 12, 0, 0, 0, time.UTC)

// judgeText runs the command, and returns all that it writes.
func judgeText(t *testing.T, exceptions, in string) (string, error) {
	t.Helper()
	list := filepath.Join(t.TempDir(), "exceptions.txt")
	if err := os.WriteFile(list, []byte(exceptions), 0o600); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	err := run([]string{"-max-age", "14", list, "go1.26.11"}, today, strings.NewReader(in), &out, &out)
	return out.String(), err
}

func TestAReleaseMayNotHaveWhatIsReachedAndNotExcepted(t *testing.T) {
	for name, row := range map[string]struct{ exceptions, in, says string }{
		"reached":                                {"", scan + reached, "GO-2026-0001 in example.com/dep@v1.2.3 (It breaks): reached through example.com/dep/p.*Reader.Read. Run go get example.com/dep@v1.2.4"},
		"reached on the second platform only":    {"", scan + moduleOnly + scan + reached, "reached through"},
		"reached, without a fix":                 {"", scan + unfixed, "No version fixes it: find out"},
		"the standard library":                   {"", scan + standardLibrary, "Run go get toolchain@go1.26.12"},
		"another module than the exception's":    {exceptionOfReached, scan + reached + standardLibrary, "GO-2026-0001 in stdlib"},
		"an exception that got a fix":            {exceptionOfUnfixed, scan + reached, "the fix was none when the exception was made on 2026-11-30, and is v1.2.4 now"},
		"an exception of nothing":                {exceptionOfReached, scan, "the programs no longer reach it; remove the exception of 2026-11-30"},
		"an exception of what is linked only":    {exceptionOfReached, scan + linkedOnly, "the programs no longer reach it"},
		"an exception of a module that is there": {exceptionOfReached, scan + moduleOnly, "the programs no longer reach it"},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := judgeText(t, row.exceptions, row.in)
			if err == nil {
				t.Fatal("passes:", out)
			}
			if !strings.Contains(out, row.says) {
				t.Errorf("does not say %q: %s", row.says, out)
			}
		})
	}
}

func TestAReleaseMayHaveWhatIsNotReachedOrExcepted(t *testing.T) {
	for name, row := range map[string]struct{ exceptions, in, says string }{
		"nothing":                {"", scan, ""},
		"with a new database":    {"", scan, "the database is of 2026-11-20, 10 days old"},
		"in a module":            {"", scan + moduleOnly, ""},
		"linked":                 {"", scan + linkedOnly, "GO-2026-0001 in example.com/dep@v1.2.3 (It breaks): linked and not called; the fix is v1.2.4"},
		"excepted":               {exceptionOfReached, scan + reached, "an exception since 2026-11-30: Version 1.2.4 is under another licence."},
		"excepted without a fix": {exceptionOfUnfixed, scan + unfixed, "an exception since 2026-11-30: Only a server is affected."},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := judgeText(t, row.exceptions, row.in)
			if err != nil {
				t.Fatal(err, out)
			}
			if !strings.Contains(out, row.says) || row.says == "" && strings.Count(out, "\n") != 1 {
				t.Errorf("says %q, not %q", out, row.says)
			}
		})
	}
}

func TestWhatProvesNothingFails(t *testing.T) {
	for name, row := range map[string]struct{ exceptions, in string }{
		"no output":                 {"", ""},
		"no program":                {"", `{"config": {"go_version": "go1.26.11", "scan_level": "symbol", "scan_mode": "source", "db_last_modified": "2026-11-20T01:02:03Z"}}`},
		"a program on one of two":   {"", scan + strings.SplitAfter(scan, "\n")[0]},
		"modules only":              {"", strings.Replace(scan, `"symbol"`, `"module"`, 1)},
		"a binary":                  {"", strings.Replace(scan, `"source"`, `"binary"`, 1)},
		"another Go":                {"", strings.ReplaceAll(scan, "go1.26.11", "go1.26.8")},
		"an old database":           {"", strings.ReplaceAll(scan, "2026-11-20", "2026-11-15")},
		"a database of no date":     {"", strings.ReplaceAll(scan, "2026-11-20", "0001-01-01")},
		"half an output":            {"", scan + `{"finding": `},
		"a finding of nothing":      {"", scan + `{"finding": {}}`},
		"an exception of no date":   {"GO-2026-0001 example.com/dep none because of that", scan},
		"an exception of no reason": {"GO-2026-0001 example.com/dep none 2026-11-30", scan},
		"an exception of no ID":     {"CVE-2026-1 example.com/dep none 2026-11-30 a reason", scan},
		"an exception of no fix":    {"GO-2026-0001 example.com/dep soon 2026-11-30 a reason", scan},
		"an exception twice":        {exceptionOfUnfixed + exceptionOfUnfixed, scan + unfixed},
	} {
		t.Run(name, func(t *testing.T) {
			if out, err := judgeText(t, row.exceptions, row.in); err == nil {
				t.Fatal("passes:", out)
			}
		})
	}
	if err := run(nil, today, strings.NewReader(scan), os.Stderr, os.Stderr); err == nil {
		t.Error("passes without arguments")
	}
}

// With the govulncheck that a release is checked with, a database like Go's, and
// a program: if one of them changes what it says, the check must not pass.
func TestAProgramThatCallsAVulnerableFunctionIsFound(t *testing.T) {
	tool, err := exec.Command("../../scripts/tool-bin", "govulncheck").Output()
	if err != nil {
		t.Fatal("scripts/tool-bin govulncheck:", err)
	}
	dir := t.TempDir()
	for name, content := range map[string]string{
		"go.mod":  "module example.com/program\n\ngo 1.26.0\n",
		"main.go": "package main\n\nimport \"mime\"\n\nfunc main() { _, _, _ = mime.ParseMediaType(\"text/plain\") }\n",
		"osv/GO-2026-0001.json": `{"schema_version": "1.3.1", "id": "GO-2026-0001", "summary": "It breaks", "modified": "2026-11-30T00:00:00Z",
			"affected": [{"package": {"name": "stdlib", "ecosystem": "Go"}, "ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}]}],
			"ecosystem_specific": {"imports": [{"path": "mime", "symbols": ["ParseMediaType"]}]}}]}`,
	} {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	found := exec.Command(strings.TrimSpace(string(tool)), "-C", dir, "-db", "file://"+dir+"/osv", "-format", "json", ".")
	output, err := found.Output()
	if err != nil {
		t.Fatal("govulncheck:", err)
	}
	goVersion, err := exec.Command("go", "env", "GOVERSION").Output()
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	err = run([]string{os.DevNull, strings.TrimSpace(string(goVersion)), "2026-11-30"}, today, bytes.NewReader(output), &out, &out)
	if err == nil || !strings.Contains(out.String(), "GO-2026-0001 in stdlib@") || !strings.Contains(out.String(), "reached through mime.ParseMediaType") {
		t.Fatalf("%v: %s: %s", err, out.String(), output)
	}
}
