package zohosecrets

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// goFiles are the Go files of this module, by path.
func goFiles(t *testing.T) map[string]*ast.File {
	t.Helper()
	files := map[string]*ast.File{}
	require.NoError(t, fs.WalkDir(os.DirFS("."), ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && slices.Contains([]string{"bin", "tools", ".git", "node_modules"}, entry.Name()):
			return fs.SkipDir
		case entry.IsDir() || path.Ext(name) != ".go":
			return nil
		}
		files[name], err = parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		return err
	}))
	return files
}

// listIn is a variable of scripts/test.
func listIn(t *testing.T, variable string) string {
	t.Helper()
	script, err := os.ReadFile("scripts/test")
	require.NoError(t, err)
	match := regexp.MustCompile(`(?m)^` + variable + `=["'](.+)["']$`).FindSubmatch(script)
	require.NotNil(t, match, variable)
	return string(match[1])
}

// The race detector leaves out tests that run without it, and no others.
func TestScripts_EachTestThatTheRaceDetectorLeavesOutRunsWithoutIt(t *testing.T) {
	t.Parallel()
	list := listIn(t, "slow")
	slow, twice := regexp.MustCompile(list), strings.Fields(listIn(t, "twice"))
	found := map[string]bool{}
	for name, file := range goFiles(t) {
		dir := "./" + path.Dir(name)
		if dir == "./." {
			dir = "."
		}
		for _, declared := range file.Decls {
			function, ok := declared.(*ast.FuncDecl)
			if !ok || !strings.HasSuffix(name, "_test.go") || dir == "./test" || dir == "./chaos" {
				continue
			}
			if prefix := slow.FindString(function.Name.Name); prefix != "" && function.Recv == nil {
				require.Contains(t, twice, dir, "scripts/test skips %s with the race detector, and does not run its package without", function.Name.Name)
				found[prefix] = true
			}
		}
	}
	for name := range strings.SplitSeq(strings.Trim(list, "^()"), "|") {
		require.True(t, found[name], "scripts/test skips %s with the race detector, and there is no such test", name)
	}
}

// A package that the race detector is not used for starts nothing that could race.
func TestScripts_APackageWithoutTheRaceDetectorStartsNoGoroutine(t *testing.T) {
	t.Parallel()
	sequential := strings.Fields(listIn(t, "sequential"))
	seen := map[string]bool{}
	for name, file := range goFiles(t) {
		dir := "./" + path.Dir(name)
		if !slices.Contains(sequential, dir) {
			continue
		}
		seen[dir] = true
		for _, imported := range file.Imports {
			require.NotRegexp(t, `^"(sync|sync/.*|net/.*|golang.org/x/sync/.*|vault-plugin-secrets-zoho/(backend|backend/(work|ledger|store|zoho)|zohosim))"$`, imported.Path.Value, name)
		}
		ast.Inspect(file, func(node ast.Node) bool {
			_, starts := node.(*ast.GoStmt)
			require.False(t, starts, "%s starts a goroutine; take its package out of sequential in scripts/test", name)
			return true
		})
	}
	require.Len(t, seen, len(sequential), "scripts/test names a package that does not exist")
}

// An acceptance test whose tokens live for seconds runs when nothing else does.
func TestScripts_TestsWithShortLivesRunAlone(t *testing.T) {
	t.Parallel()
	short := regexp.MustCompile(listIn(t, "short"))
	found := 0
	for name, file := range goFiles(t) {
		if path.Dir(name) != "test" {
			continue
		}
		for _, declared := range file.Decls {
			function, ok := declared.(*ast.FuncDecl)
			if !ok || !strings.HasPrefix(function.Name.Name, "Test") || strings.HasPrefix(function.Name.Name, "TestKubernetes_") {
				continue
			}
			ast.Inspect(function, func(node ast.Node) bool {
				if used, ok := node.(*ast.Ident); ok && slices.Contains([]string{"TokenLife", "clientLife", "exampleLife"}, used.Name) {
					require.Regexp(t, short, function.Name.Name, "add it to short in scripts/test")
					found++
				}
				return true
			})
		}
	}
	require.Greater(t, found, 10)
}
