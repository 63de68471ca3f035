package zohosecrets

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// skips are the places at which a test may be skipped though REQUIRE_ALL is set, and
// why: .ci/run cannot give the test what it lacks.
func skips() map[string]string {
	return map[string]string{
		`bootstrap/progress/process_test.go: "nobody sees this"`:                          "a test that this test runs",
		`chaos/main_test.go: "three servers are broken for a minute"`:                     "only go test -short skips it, and CI does not",
		`chaos/proxy_test.go: "needs /proc"`:                                              "another operating system",
		`cmd/zoho-token-server/process_test.go: "only Linux shows how many sockets a pro`: "another operating system",
		`fuzz_test.go: "not a request"`:                                                   "an input of a fuzz test, not a test",
		`golangci_test.go: "make check runs this with golangci-lint"`:                     "CI runs make check, too",
		`test/checksum_test.go: "the page has the words of Vault 1.21"`:                   "another server, with other words",
		`test/crash_test.go: "finding the plugin's process needs /proc"`:                  "another operating system",
		`test/examples_test.go: "Vault Agent starts no program before 1.14"`:              "an older server",
		`test/kubernetes_test.go: "a Kubernetes cluster is built and watched for half an`: "make test-kubernetes runs it, with a row of its own in the README",
		`test/needs_test.go: "%s is not installed"`:                                       "neither Debian nor the Go module proxy has it",
		`test/needs_test.go: "not run, because there is no %s"`:                           "not with REQUIRE_ALL",
		`test/orphan_test.go: "finding the plugin's process needs /proc"`:                 "another operating system",
		`test/token_server_faults_test.go: "the server has no proxy"`:                     "an older server",
		`tokenserver/listen_test.go: "only root can give a file to another user"`:         "CI is root where it installs",
		`tokenserver/listen_test.go: "without IPv6 there is one loopback address only"`:   "the machine's network",
		`upgrade_data_test.go: "UPGRADE_DATA names no file to write"`:                     "it writes a file, and tests nothing",
		`cmd/zoho-token-server/process_test.go: "there is no systemd-socket-activate"`:    "not with REQUIRE_ALL",
	}
}

// A test that is skipped passes. So each place where one may be skipped is known.
func TestSkips_AreOnlyWhereCICannotGiveWhatATestLacks(t *testing.T) {
	t.Parallel()
	skip := regexp.MustCompile(`\.Skip(?:f|Now)?\((.*)`)
	known, found := skips(), map[string]bool{}
	tree := os.DirFS(".")
	err := fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			if name == "bin" || name == "tools" || name == ".git" || strings.HasSuffix(name, "node_modules") {
				return fs.SkipDir
			}
			return err
		}
		if filepath.Ext(name) != ".go" || name == "skips_test.go" {
			return nil
		}
		content, err := fs.ReadFile(tree, name)
		for _, match := range skip.FindAllStringSubmatch(string(content), -1) {
			place := name + ": " + match[1]
			reason := ""
			for prefix := range known {
				if strings.HasPrefix(place, prefix) {
					reason, found[prefix] = known[prefix], true
				}
			}
			require.NotEmpty(t, reason, "%s: a test may be skipped here and CI passes; use needs of test/needs_test.go, or say in skips why CI cannot run it", place)
		}
		return err
	})
	require.NoError(t, err)
	for place := range known {
		require.True(t, found[place], "no test is skipped any more at %s", place)
	}
}

// One variable makes a missing tool a failure, so that .ci/run cannot leave out another.
func TestSkips_OneVariableForbidsThem(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile(".ci/run")
	require.NoError(t, err)
	require.Equal(t, []string{"REQUIRE_ALL"}, regexp.MustCompile(`REQUIRE_[A-Z_]+`).FindAllString(string(content), -1))
}
