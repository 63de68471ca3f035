//go:build unix

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestHistory_HasALineForEachRunBelowOneHeading(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "history.md")
	require.NoError(t, os.WriteFile(path, []byte("# History\n"), 0o600))
	first := run{at: time.Date(2030, 1, 31, 9, 0, 0, 0, time.UTC), commit: "0123456789", cores: 2, rounds: 11, ratios: []ratio{{"reads", 0.951}, {"revocations", 0.5}}}
	second := first
	second.commit, second.ratios = "unknown", []ratio{{"reads", 1}, {"revocations", 20.123}}
	another := first
	another.ratios = []ratio{{"writes", 0.7}}
	for _, run := range []run{first, second, another, another} {
		require.NoError(t, run.appendTo(path))
	}
	written, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, `# History

| date | commit | cores | turns | reads | revocations |
|---|---|--:|--:|--:|--:|
| 2030-01-31 | 0123456789 | 2 | 11 | 0.95 | 0.50 |
| 2030-01-31 | unknown | 2 | 11 | 1.00 | 20.12 |

| date | commit | cores | turns | writes |
|---|---|--:|--:|--:|
| 2030-01-31 | 0123456789 | 2 | 11 | 0.70 |
| 2030-01-31 | 0123456789 | 2 | 11 | 0.70 |
`, string(written))
}

func TestHistory_BeginsAFileThatIsNotThere(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "history.md")
	require.NoError(t, newRun(t.Context(), 3, time.Second).appendTo(path))
	written, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Contains(t, string(written), time.Now().UTC().Format("\n| 2006-"))
	require.Error(t, newRun(t.Context(), 3, time.Second).appendTo(t.TempDir()), "a directory")
}

func TestRun_WritesWhatItHasFoundIntoTheDocumentAndNothingElse(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "scale.md")
	require.NoError(t, os.WriteFile(path, []byte("a\n<!-- written by make bench: speed -->\nold\n<!-- end -->\nb\n<!-- written by make bench: scale -->\n<!-- end -->\nc\n"), 0o600))
	found := &run{commit: "0123456789", cores: 2, tables: map[string]string{partSpeed: "| new |\n", partScale: "| newer |\n"}}
	require.NoError(t, found.keep(path, ""))
	written, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "a\n<!-- written by make bench: speed -->\n"+found.origin()+"\n| new |\n<!-- end -->\nb\n<!-- written by make bench: scale -->\n"+found.origin()+"\n| newer |\n<!-- end -->\nc\n", string(written))
	found.tables["more"] = ""
	require.ErrorContains(t, found.keep(path, ""), "has no place")
	require.NoError(t, (&run{tables: found.tables}).keep("", ""))
}

func TestHistory_NamesTheCommitAndWhetherSomethingIsNotCommitted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.Equal(t, "unknown", commitOf(t.Context(), filepath.Join(dir, "none")))
	git := func(args ...string) {
		cmd := exec.CommandContext(t.Context(), "git", append([]string{"-C", dir, "-c", "user.name=t", "-c", "user.email=t@example.com"}, args...)...)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
	}
	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	git("init", "-q")
	git("add", ".")
	git("commit", "-qm", "first")
	commit := commitOf(t.Context(), dir)
	require.Regexp(t, `^[0-9a-f]{10}$`, commit)
	require.NoError(t, os.WriteFile(file, []byte("changed"), 0o600))
	require.Equal(t, commit+"+", commitOf(t.Context(), dir))
}
