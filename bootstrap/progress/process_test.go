package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// tree writes files into a new directory: "-- NAME --" begins each of them.
func tree(t *testing.T, content string) string {
	t.Helper()
	dir := t.TempDir()
	heading := regexp.MustCompile(`(?m)^-- (\S+) --\n`)
	places := heading.FindAllStringSubmatchIndex(content, -1)
	for i, place := range places {
		end := len(content)
		if i+1 < len(places) {
			end = places[i+1][0]
		}
		file := filepath.Join(dir, content[place[2]:place[3]])
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o700))
		require.NoError(t, os.WriteFile(file, []byte(content[place[1]:end]), 0o600))
	}
	return dir
}

// process runs a command in dir and gives what it printed, and its exit code. It uses the Go and the flags that built
// the plugin, and so finds the standard library in Go's cache.
func process(t *testing.T, dir string, env []string, command ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = dir, append(append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-trimpath", "GOTOOLCHAIN="+runtime.Version()), env...), &out, &errs
	code = exitCode(cmd.Run())
	return out.String(), errs.String(), code
}

func script(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("..", "..", "scripts", name))
	require.NoError(t, err)
	return path
}

const failing = `
-- go.mod --
module example.com/failing

go 1.26
-- good/good_test.go --
package good

import "testing"

func TestGood(t *testing.T) { t.Log("nobody sees this") }
-- none/none.go --
package none
-- bad/bad_test.go --
package bad

import (
	"fmt"
	"testing"
)

func TestGood(t *testing.T) {
	t.Log("nobody sees this\nnor this")
	fmt.Println("printed beside")
}

func TestBad(t *testing.T) {
	t.Run("good", func(t *testing.T) { t.Log("nobody sees this") })
	t.Run("bad", func(t *testing.T) { t.Error("one line\nanother line") })
	t.Log("the end")
}

func TestSkipped(t *testing.T) { t.Skip("nobody sees this") }
-- broken/broken_test.go --
package broken

import "testing"

func TestBroken(t *testing.T) { undefined() }
-- panics/panics_test.go --
package panics

import "testing"

func TestPanics(t *testing.T) {
	t.Log("before")
	panic("at the end of its wits")
}
`

// sorted makes two runs comparable: the order of packages, times and addresses differ from run to run, and go test
// indents what a part of a test prints.
func sorted(output string) []string {
	output = regexp.MustCompile(`\d+\.\d+s|0x[0-9a-f]+|goroutine \d+|\+0x\w+`).ReplaceAllString(output, "N")
	lines := strings.Split(output, "\n")
	for i := range lines {
		lines[i] = strings.TrimLeft(lines[i], " ")
	}
	slices.Sort(lines)
	return lines
}

func TestProgress_PrintsOfTestsWhatGoTestPrintsAndEndsWithItsCode(t *testing.T) {
	t.Parallel()
	dir := tree(t, failing)
	want, wantErrors, wantCode := process(t, dir, nil, "go", "test", "-count=1", "./...")
	got, gotErrors, code := process(t, dir, nil, script(t, "progress"), "test", "go", "test", "-count=1", "./...")
	require.Equal(t, 1, wantCode)
	require.Equal(t, wantCode, code)
	// go test ends with a line FAIL, and has what the compiler says on stderr. The summary says the former.
	require.Equal(t, sorted(strings.TrimSuffix(want, "FAIL\n")+wantErrors), sorted(got))
	require.Regexp(t, `(?m)^test: 5 packages, 2 tests passed, 1 skipped, 3 failed, in \S+$`, gotErrors)
	for _, failed := range []string{"bad.TestBad", "broken", "panics.TestPanics"} {
		require.Contains(t, gotErrors, "test: FAILED: example.com/failing/"+failed+"\n")
	}

	got, _, code = process(t, dir, nil, script(t, "progress"), "test", "go", "test", "-count=1", "./good", "./none")
	require.Equal(t, 0, code)
	require.Len(t, strings.Split(strings.TrimSpace(got), "\n"), 2, got)
	_, gotErrors, code = process(t, dir, nil, script(t, "progress"), "test", "go", "test", "-count=many", "./good")
	require.Equal(t, 2, code)
	require.Contains(t, gotErrors, "many")
	got, _, code = process(t, dir, nil, script(t, "progress"), "test", "go", "test", "-v", "./good")
	require.Equal(t, 0, code)
	require.Contains(t, got, "nobody sees this")
}

// A server that is built within a second stands for Vault.
const server = `
-- go.mod --
module example.com/repository

go 1.26
-- tools/vault/go.mod --
module example.com/tools/vault

go 1.26

tool github.com/hashicorp/vault

require (
	github.com/hashicorp/vault v0.0.1
)

replace github.com/hashicorp/vault v0.0.1 => ./server
-- tools/vault/server/go.mod --
module github.com/hashicorp/vault

go 1.26
-- tools/vault/server/main.go --
package main

import "github.com/hashicorp/vault/part"

func main() { println(part.Name) }
-- tools/vault/server/part/part.go --
package part

const Name = "Vault v0.0.1"
`

// repository is a copy of this one's scripts and of the program, with a small server to build.
func repository(t *testing.T) string {
	t.Helper()
	dir := tree(t, server)
	require.NoError(t, os.CopyFS(filepath.Join(dir, "scripts"), os.DirFS("../../scripts")))
	require.NoError(t, os.CopyFS(filepath.Join(dir, "bootstrap", "progress"), os.DirFS(".")))
	return dir
}

func TestVaultBin_PrintsThePathAloneAndSaysWhatItDoesAndWhatItTakes(t *testing.T) {
	t.Parallel()
	dir := repository(t)
	cache, err := exec.CommandContext(t.Context(), "go", "env", "GOCACHE").Output()
	require.NoError(t, err)
	env := []string{"GOCACHE=" + strings.TrimSpace(string(cache)), "XDG_CACHE_HOME=" + filepath.Join(dir, "cache"), "VAULT_BIN=", "OPENBAO_VERSION=", "VAULT_VERSION=v0.0.1"}
	out, errs, code := process(t, dir, env, filepath.Join(dir, "scripts", "vault-bin"))
	require.Equal(t, 0, code, errs)
	path := strings.TrimSuffix(out, "\n")
	require.FileExists(t, path)
	require.Equal(t, path+"\n", out)
	require.Regexp(t, `^vault-bin: building vault v0\.0\.1 .*: about six minutes on two cores, and 4 to 5 GB of memory\n`, errs)
	require.NotContains(t, errs, "github.com/hashicorp/vault/part", "packages are counted, not listed")

	require.NoError(t, os.Remove(path))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "tools", "vault", "server", "part", "part.go"), []byte("package part\n"), 0o600))
	out, errs, code = process(t, dir, env, filepath.Join(dir, "scripts", "vault-bin"))
	require.Equal(t, 1, code)
	require.Empty(t, out)
	require.Contains(t, errs, "undefined: part.Name", "what the compiler says is shown")
}

func TestProgress_ACommandRunsAlsoWhereTheProgramCannotBeBuilt(t *testing.T) {
	t.Parallel()
	dir := repository(t)
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "bootstrap")))
	out, _, code := process(t, filepath.Join(dir, "tools", "vault"), nil, filepath.Join(dir, "scripts", "progress"), "build", "go", "list", "-m")
	require.Equal(t, 0, code)
	require.Equal(t, "example.com/tools/vault\n", out)
}
