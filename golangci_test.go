package zohosecrets

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"
)

// importRule is a rule of .golangci.yml about who may import whom.
type importRule struct {
	name  string
	Files []string `yaml:"files"`
	Mode  string   `yaml:"list-mode"`
	Allow []string `yaml:"allow"`
	Deny  []struct {
		Pkg string `yaml:"pkg"`
	} `yaml:"deny"`
}

// linterConfig is what the tests read of .golangci.yml.
type linterConfig struct {
	Linters struct {
		Enable   []string `yaml:"enable"`
		Settings struct {
			Depguard struct {
				Rules map[string]importRule `yaml:"rules"`
			} `yaml:"depguard"`
		} `yaml:"settings"`
	} `yaml:"linters"`
}

func readLinterConfig(t *testing.T) (config linterConfig) {
	t.Helper()
	content, err := os.ReadFile(".golangci.yml")
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(content, &config))
	return config
}

// lintersOf are linters, by name, that .golangci.yml has to enable. A test runs them alone, because all of them need a
// minute.
func lintersOf(t *testing.T, names ...string) []string {
	t.Helper()
	require.Subset(t, readLinterConfig(t).Linters.Enable, names)
	return names
}

func importRules(t *testing.T) (rules []importRule) {
	t.Helper()
	config := readLinterConfig(t)
	for name, rule := range config.Linters.Settings.Depguard.Rules {
		rule.name = name
		rules = append(rules, rule)
	}
	require.Greater(t, len(rules), 10)
	return rules
}

// place is where a pattern of a rule looks: the files with this ending in a directory, or also in those below it.
type place struct {
	dir    string
	ending string
	below  bool
}

// places are what the rule's patterns name. What is not of a known form fails the test: it might match nothing.
func (r importRule) places(t *testing.T) (places []place) {
	t.Helper()
	form := regexp.MustCompile(`^\$\{base-path\}/(?:([a-z/-]*)(?:\{([a-z,]+)\})?([a-z/-]*)/)?(\*\*?)((?:_test)?\.go)$`)
	for _, pattern := range r.Files {
		if strings.HasPrefix(pattern, "!") {
			continue
		}
		match := form.FindStringSubmatch(pattern)
		require.NotNil(t, match, "rule %s: %s", r.name, pattern)
		for alternative := range strings.SplitSeq(match[2], ",") {
			places = append(places, place{match[1] + alternative + match[3], match[5], match[4] == "**"})
		}
	}
	require.NotEmpty(t, places, r.name)
	return places
}

// forbidden and allowed are imports that the rule has to object to, and those that it must not.
func (r importRule) forbidden() (imports []string) {
	for _, deny := range r.Deny {
		name := strings.TrimSuffix(deny.Pkg, "$")
		switch name { // of these all packages
		case "github.com/hashicorp/vault/":
			name += "sdk/logical"
		case "vault-plugin-secrets-zoho/backend/":
			name += "ledger"
		}
		imports = append(imports, name)
	}
	if r.Mode == "strict" {
		imports = append(imports, "vault-plugin-secrets-zoho/backend", "github.com/stretchr/testify/require")
	}
	return imports
}

func (r importRule) allowed() []string {
	imports := slices.DeleteFunc(slices.Clone(r.Allow), func(name string) bool { return name == "$gostd" })
	return append(imports, "strings")
}

// linter is golangci-lint, which scripts/lint names: make check runs these tests, and CI runs make check.
func linter(t *testing.T) string {
	t.Helper()
	path := os.Getenv("GOLANGCI_LINT")
	if path == "" {
		t.Skip("make check runs this with golangci-lint")
	}
	return path
}

// lintedTree is a module with this one's name, dependencies and .golangci.yml, and with nothing in it.
func lintedTree(t *testing.T) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	for _, name := range []string{"go.mod", "go.sum", ".golangci.yml"} {
		content, err := os.ReadFile(name)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), content, 0o600))
	}
	return dir
}

func writeGo(t *testing.T, dir, name, content string) {
	t.Helper()
	file := filepath.Join(dir, filepath.FromSlash(name))
	require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o700))
	require.NoError(t, os.WriteFile(file, []byte(content), 0o600))
}

// objection is what the linter says of a file.
type objection struct{ file, text string }

func lint(t *testing.T, dir string, flags ...string) (objections []objection) {
	t.Helper()
	args := append([]string{"run", "--allow-parallel-runners", "--output.json.path=stdout", "--show-stats=false"}, flags...)
	cmd := exec.CommandContext(t.Context(), linter(t), append(args, "./...")...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "PWD="+dir)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, _ := cmd.Output() // its code tells of objections
	var report struct {
		Issues []struct {
			FromLinter, Text string
			Pos              struct{ Filename string }
		}
	}
	require.NoError(t, json.Unmarshal(out, &report), "%s\n%s", out, errs.String())
	for _, issue := range report.Issues {
		objections = append(objections, objection{filepath.ToSlash(issue.Pos.Filename), issue.FromLinter + ": " + issue.Text})
	}
	return objections
}

// A pattern that matches no file checks nothing, and the linter does not say so.
func TestLinter_EachRuleForImportsObjectsToWhatItForbidsAndToNothingElse(t *testing.T) {
	t.Parallel()
	linter(t)
	for _, rule := range importRules(t) {
		t.Run(rule.name, func(t *testing.T) {
			t.Parallel()
			dir := lintedTree(t)
			local := "vault-plugin-secrets-zoho"
			for _, name := range append(rule.forbidden(), rule.allowed()...) {
				if below, ok := strings.CutPrefix(name, local); ok {
					writeGo(t, dir, below+"/p.go", "package p\n")
				}
			}
			var want []objection
			for _, place := range rule.places(t) {
				files := []string{place.dir + "/broken" + place.ending}
				if place.below {
					files = append(files, place.dir+"/below/broken"+place.ending)
				}
				for _, file := range files {
					file = strings.TrimPrefix(file, "/")
					source := "package p\n"
					for _, name := range append(rule.forbidden(), rule.allowed()...) {
						if name != local+"/"+filepath.Dir(file) {
							source += fmt.Sprintf("\nimport _ %q\n", name)
						}
					}
					writeGo(t, dir, file, source)
					for _, name := range rule.forbidden() {
						want = append(want, objection{file, name})
					}
				}
			}
			var got []objection
			text := regexp.MustCompile(`^depguard: import '(.+)' is not allowed from list '` + rule.name + `'`)
			for _, found := range lint(t, dir, "--enable-only="+strings.Join(lintersOf(t, "depguard"), ",")) {
				require.True(t, strings.HasPrefix(found.text, "depguard: "), found)
				if match := text.FindStringSubmatch(found.text); match != nil {
					got = append(got, objection{found.file, match[1]})
				}
			}
			require.ElementsMatch(t, want, got)
		})
	}
}

// A rule for a directory that was renamed holds for nothing.
func TestLinter_EachRuleForImportsNamesDirectoriesThatHaveSuchFiles(t *testing.T) {
	t.Parallel()
	for _, rule := range importRules(t) {
		for _, place := range rule.places(t) {
			files, err := filepath.Glob(filepath.Join(place.dir, "*"+place.ending))
			require.NoError(t, err)
			require.NotEmpty(t, files, "rule %s: %s", rule.name, place.dir)
		}
	}
}

// A new package would else import what it likes.
func TestLinter_EachPackageBelowBackendHasAListOfWhatItMayImport(t *testing.T) {
	t.Parallel()
	listed := map[string]bool{}
	for _, rule := range importRules(t) {
		for _, place := range rule.places(t) {
			listed[place.dir] = listed[place.dir] || rule.Mode == "strict"
		}
	}
	entries, err := os.ReadDir("backend")
	require.NoError(t, err)
	for _, entry := range entries {
		if files, err := filepath.Glob(filepath.Join("backend", entry.Name(), "*.go")); entry.IsDir() && len(files) > 0 {
			require.NoError(t, err)
			require.True(t, listed["backend/"+entry.Name()], "backend/%s has no rule with 'list-mode: strict' in .golangci.yml", entry.Name())
		}
	}
}

// houseRules are samples of code that a house rule of CONTRIBUTING.md forbids, by the file in which they stand, with
// what the linter has to say; "" where the code is allowed.
func houseRules() map[string]map[string]string {
	return map[string]map[string]string{
		"path_sample.go": {
			`func now() time.Time { return time.Now() }`:                                 "injected clock",
			`func wait() { time.Sleep(time.Second) }`:                                    "code waits on contexts",
			`func reveal(v secret.Value) string { return v.Reveal() }`:                   "a secret leaves",
			`func ask() (*http.Response, error) { return http.Get("https://zoho.com") }`: "only backend/zoho talks HTTP",
			`func answer() error { return logical.CodedError(500, "no") }`:               "kind of an error",
			`var global = map[string]string{}`:                                           "gochecknoglobals",
			`func init() { wait() }`:                                                     "gochecknoinits",
			`func assert(v any) string { return v.(string) }`:                            "forcetypeassert",
			`func drop() { os.Remove("file") }`:                                          "errcheck",
			`func talk() { fmt.Println("hello") }`:                                       "stdout belongs to",
			"func long() {\n" + strings.Repeat("\twait()\n", 80) + "}":                   "funlen",
		},
		"errors.go":             {`func answer2() error { return logical.CodedError(500, "no") }`: ""},
		"path_creds.go":         {`func reveal2(v secret.Value) string { return v.Reveal() }`: ""},
		"long.go":               {strings.Repeat("\nconst _ = 1\n", 300): "file-length-limit"},
		"sample_test.go":        {`func wait3() { time.Sleep(time.Second) }`: "code waits on contexts", `func now3() time.Time { return time.Now() }`: ""},
		"backend/engine.go":     {`func now() time.Time { return time.Now() }`: ""},
		"backend/sample.go":     {`func now2() time.Time { return time.Now() }`: "injected clock", `func reveal(v secret.Value) string { return v.Reveal() }`: ""},
		"backend/ledger/l.go":   {`func now() time.Time { return time.Now() }`: "injected clock"},
		"backend/zoho/ask.go":   {`func ask() (*http.Response, error) { return http.Get("https://zoho.com") }`: ""},
		"zohosim/sample.go":     {`func now() time.Time { return time.Now() }`: "injected clock"},
		"tokenserver/sample.go": {`func now() time.Time { return time.Now() }`: "injected clock"},
	}
}

func TestLinter_ObjectsToWhatTheHouseRulesForbid(t *testing.T) {
	t.Parallel()
	linter(t)
	dir := lintedTree(t)
	writeGo(t, dir, "backend/secret/secret.go", "package secret\n\ntype Value struct{ plain string }\n\nfunc (v Value) Reveal() string { return v.plain }\n")
	imports := map[string]string{"time.": "time", "secret.": "vault-plugin-secrets-zoho/backend/secret", "http.": "net/http", "os.": "os", "fmt.": "fmt",
		"logical.": "github.com/hashicorp/vault/sdk/logical"}
	for file, samples := range houseRules() {
		body, source := "", "package sample\n"
		for sample := range samples {
			body += "\n" + sample + "\n"
		}
		for used, name := range imports {
			if strings.Contains(body, used) {
				source += fmt.Sprintf("\nimport %q\n", name)
			}
		}
		writeGo(t, dir, file, source+body)
	}
	enabled := lintersOf(t, "forbidigo", "gochecknoglobals", "gochecknoinits", "forcetypeassert", "errcheck", "funlen", "revive")
	found := lint(t, dir, "--enable-only="+strings.Join(enabled, ","))
	for file, samples := range houseRules() {
		for sample, want := range samples {
			object := func(o objection) bool { return o.file == file && strings.Contains(o.text, want) }
			if want != "" {
				require.True(t, slices.ContainsFunc(found, object), "%s: nothing says %q of\n%s\n%v", file, want, sample, found)
			}
		}
		for _, o := range found {
			wanted := func(text string) bool { return text != "" && strings.Contains(o.text, text) }
			if o.file == file && strings.HasPrefix(o.text, "forbidigo: ") {
				require.True(t, slices.ContainsFunc(slices.Collect(maps.Values(samples)), wanted), "%s: %s", file, o.text)
			}
		}
	}
}
