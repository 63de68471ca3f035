//go:build unix

package main

import (
	"bytes"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const someTests = `{"Action":"start","Package":"p"}
{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"attr","Package":"p","Test":"TestA","Key":"with","Value":"Chromium 1.2"}
{"Action":"attr","Package":"p","Test":"TestA","Key":"color","Value":"red"}
{"Action":"attr","Package":"p","Test":"TestA/part","Key":"with","Value":"curl 8.0"}
{"Action":"pass","Package":"p","Test":"TestA/part"}
{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"attr","Package":"p","Test":"TestB","Key":"with","Value":"hvac 2.0"}
{"Action":"output","Package":"p","Test":"TestB","Output":"    b_test.go:12: an earlier line\n"}
{"Action":"output","Package":"p","Test":"TestB","Output":"    b_test.go:50: no Python has hvac, so it was not run (Debian: apt-get install python3-hvac)\n"}
{"Action":"output","Package":"p","Test":"TestB","Output":"--- SKIP: TestB (0.00s)\n"}
{"Action":"skip","Package":"p","Test":"TestB"}
{"Action":"attr","Package":"p","Test":"TestC","Key":"with","Value":"Chromium 1.2"}
{"Action":"pass","Package":"p","Test":"TestC"}
`

func TestResults_CountTestsAndWhatThoseThatPassedWorkedWith(t *testing.T) {
	t.Parallel()
	tests, err := readResults(strings.NewReader(someTests+`{"Action":"pass","Package":"p"}`), &bytes.Buffer{})
	require.NoError(t, err)
	require.Equal(t, "| Vault v1.2.3 | 2030-01-31 | 2 | 1: no Python has hvac | Chromium 1.2, curl 8.0 |\n",
		tests.row("Vault v1.2.3", time.Date(2030, 1, 31, 9, 0, 0, 0, time.UTC)))
}

func TestResults_AreAnErrorWhenSomethingFailed(t *testing.T) {
	t.Parallel()
	for name, stream := range map[string]string{
		"a test":            `{"Action":"output","Package":"p","Test":"TestD","Output":"why\n"}{"Action":"fail","Package":"p","Test":"TestD"}`,
		"a package":         `{"Action":"output","Package":"p","Output":"why\n"}{"Action":"fail","Package":"p"}`,
		"something unknown": `why`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var said bytes.Buffer
			_, err := readResults(strings.NewReader(someTests+stream), &said)
			require.Error(t, err)
			require.True(t, name == "something unknown" || strings.Contains(said.String(), "why"))
		})
	}
	_, err := readResults(strings.NewReader(""), &bytes.Buffer{})
	require.ErrorContains(t, err, "no test passed")
}

func TestTable_KeepsTheRowsOfOtherRuns(t *testing.T) {
	t.Parallel()
	text := []byte("# Works with\n\n" + tableBegin + tableEnd + "\nMore.\n")
	for _, row := range []string{"| Vault v1 | a |\n", "| OpenBao v2 | b |\n", "| Vault v1 | c |\n"} {
		var err error
		text, err = withRow(text, row)
		require.NoError(t, err)
	}
	require.Equal(t, "# Works with\n\n"+tableBegin+tableHead+"| OpenBao v2 | b |\n| Vault v1 | c |\n"+tableEnd+"\nMore.\n", string(text))
	_, err := withRow([]byte("no table"), "| Vault v1 | a |\n")
	require.Error(t, err)
}

// Otherwise a row would be lost when the heading is changed.
func TestTable_IsInTheReadmeWithItsHeading(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../" + document)
	require.NoError(t, err)
	require.Contains(t, string(text), tableBegin+tableHead)
}

func TestTable_HasARowForThePinnedVault(t *testing.T) {
	t.Parallel()
	module, err := os.ReadFile("../tools/vault/go.mod")
	require.NoError(t, err)
	pinned := regexp.MustCompile(`(?m)^\tgithub.com/hashicorp/vault (v\S+)`).FindSubmatch(module)
	require.NotNil(t, pinned)
	text, err := os.ReadFile("../" + document)
	require.NoError(t, err)
	require.Contains(t, string(text), "\n| Vault "+string(pinned[1])+" | ", "run make works-with")
}
