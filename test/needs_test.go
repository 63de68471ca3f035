package test

import (
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

// lacks reports whether this machine lacks what err says that it lacks, and what
// .ci/run installs. Where REQUIRE_ALL is set, as .ci/run does, the test fails.
func lacks(t *testing.T, what string, err error) bool {
	t.Helper()
	if err == nil {
		return false
	}
	require.Empty(t, os.Getenv("REQUIRE_ALL"), "REQUIRE_ALL is set, and there is no %s: %v", what, err)
	t.Logf("there is no %s: %v", what, err)
	return true
}

// needs skips a test on a machine that lacks what the test needs, or fails it, as
// [lacks] does.
func needs(t *testing.T, what string, err error) {
	t.Helper()
	if lacks(t, what, err) {
		t.Skipf("not run, because there is no %s", what)
	}
}

// installed returns the path of a program that Debian has under the same name.
func installed(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	needs(t, name+" (Debian: apt-get install "+name+")", err)
	return path
}

// wants skips a test that needs what neither Debian nor a registry that a build
// reaches has, so .ci/run cannot install it.
func wants(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Skipf("%s is not installed", what)
	}
}

// external returns the path of a program as [wants] is about: the one that the variable
// names, or the one on the PATH.
func external(t *testing.T, name, variable string) string {
	t.Helper()
	if path := os.Getenv(variable); path != "" {
		return path
	}
	path, err := exec.LookPath(name)
	wants(t, name, err)
	return path
}

// TestNeeds_WithRequireAllFailsInPlaceOfSkipping runs a test that needs what no
// machine has.
func TestNeeds_WithRequireAllFailsInPlaceOfSkipping(t *testing.T) {
	t.Parallel()
	if os.Getenv("NEEDS_WHAT_NOBODY_HAS") != "" {
		needs(t, "such thing", exec.ErrNotFound)
		return
	}
	for required, says := range map[string]string{"": "--- SKIP: " + t.Name(), "1": "--- FAIL: " + t.Name()} {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.v", "-test.run=^"+t.Name()+"$") // #nosec G204 G702 -- this test
		cmd.Env = append(os.Environ(), "NEEDS_WHAT_NOBODY_HAS=1", "REQUIRE_ALL="+required)
		out, err := cmd.CombinedOutput()
		require.Equal(t, required != "", err != nil, string(out))
		require.Contains(t, string(out), says)
	}
}
