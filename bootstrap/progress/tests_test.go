package main

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// story feeds events to t, each of them {action, package, test, output}, and gives what is shown of them.
func story(t *testing.T, tests *tests, events ...[4]string) (printed string) {
	t.Helper()
	for _, e := range events {
		line, err := json.Marshal(event{Action: e[0], Package: e[1], Test: e[2], Output: e[3]})
		require.NoError(t, err)
		got := tests.fromStdout(string(line) + "\n")
		require.Empty(t, got.stderr)
		printed += got.stdout
	}
	return printed
}

func TestTests_CountsThemByPackage(t *testing.T) {
	t.Parallel()
	tests := newTests(3)
	require.Equal(t, "compiling the tests themselves, and linking", tests.status())
	printed := story(t, tests,
		[4]string{"start", "m/a"}, [4]string{"start", "m/b"},
		[4]string{"run", "m/a", "TestOne"}, [4]string{"pass", "m/a", "TestOne/part"}, [4]string{"pass", "m/a", "TestOne"},
		[4]string{"skip", "m/a", "TestTwo"})
	require.Empty(t, printed)
	require.Equal(t, "0 of 3 packages done, testing a (2) b (0)", tests.status())
	story(t, tests, [4]string{"pass", "m/a"}, [4]string{"fail", "m/b", "TestThree"})
	require.Equal(t, "1 of 3 packages done, 1 FAILED, testing b (1)", tests.status())
	story(t, tests, [4]string{"fail", "m/b"})
	require.Equal(t, "test: 2 packages, 1 tests passed, 1 skipped, 1 failed, in 1m1s\ntest: FAILED: m/b.TestThree\n", tests.summary("test", 61*time.Second))
}

func TestTests_APackageThatFailsWithoutATestIsNamed(t *testing.T) {
	t.Parallel()
	tests := newTests(1)
	printed := story(t, tests,
		[4]string{"build-output", "", "", "# m/a\n"}, [4]string{"build-output", "", "", "a/a_test.go:3:1: undefined: x\n"},
		[4]string{"start", "m/a"}, [4]string{"output", "m/a", "", "FAIL\tm/a [build failed]\n"}, [4]string{"fail", "m/a"})
	require.Equal(t, "# m/a\na/a_test.go:3:1: undefined: x\nFAIL\tm/a [build failed]\n", printed)
	require.Contains(t, tests.summary("test", 0), "test: FAILED: m/a\n")
}

func TestTests_AFailureIsShownWholeAndInOnePieceAndWhatPassedIsNot(t *testing.T) {
	t.Parallel()
	printed := story(t, newTests(1),
		[4]string{"start", "m/a"},
		[4]string{"output", "m/a", "TestGood", "=== RUN   TestGood\n"},
		[4]string{"output", "m/a", "TestBad", "=== RUN   TestBad\n"},
		[4]string{"output", "m/a", "TestGood", "    good_test.go:7: fine\n"},
		[4]string{"output", "m/a", "TestBad", "    bad_test.go:7: first\n"},
		[4]string{"output", "m/a", "TestGood", "        and more\n"},
		[4]string{"output", "m/a", "TestGood", "WARNING: DATA RACE\n"},
		[4]string{"output", "m/a", "TestGood", "  m.f()\n"},
		[4]string{"output", "m/a", "TestGood", "      /m/a.go:7 +0x1\n"},
		[4]string{"output", "m/a", "TestBad", "=== NAME  TestBad\n"},
		[4]string{"output", "m/a", "TestBad", "    bad_test.go:8: second\n"},
		[4]string{"output", "m/a", "TestBad", "=== an example's own heading\n"},
		[4]string{"output", "m/a", "TestBad/part", "    bad_test.go:9: third\n"},
		[4]string{"output", "m/a", "TestGood", "--- PASS: TestGood (0.00s)\n"},
		[4]string{"pass", "m/a", "TestGood"},
		[4]string{"output", "m/a", "TestHung", "    hung_test.go:7: it waits\n"},
		[4]string{"output", "m/a", "TestBad/part", "    --- FAIL: TestBad/part (0.00s)\n"},
		[4]string{"output", "m/a", "TestBad", "--- FAIL: TestBad (0.00s)\n"},
		[4]string{"fail", "m/a", "TestBad/part"}, [4]string{"fail", "m/a", "TestBad"},
		[4]string{"output", "m/a", "", "panic: test timed out\n"},
		[4]string{"output", "m/a", "", "FAIL\tm/a\t0.1s\n"},
		[4]string{"fail", "m/a"})
	require.Equal(t, `WARNING: DATA RACE
  m.f()
      /m/a.go:7 +0x1
--- FAIL: TestBad (0.00s)
    bad_test.go:7: first
    bad_test.go:8: second
=== an example's own heading
    --- FAIL: TestBad/part (0.00s)
    bad_test.go:9: third
    hung_test.go:7: it waits
panic: test timed out
FAIL	m/a	0.1s
`, printed)
}

func TestTests_WhatWasPrintedBeforeSomethingEndedGoTestIsShown(t *testing.T) {
	t.Parallel()
	tests := newTests(1)
	require.Empty(t, story(t, tests, [4]string{"start", "m/a"}, [4]string{"output", "m/a", "TestA", "    a_test.go:7: it waits\n"}))
	require.Equal(t, "    a_test.go:7: it waits\n", tests.unfinished())
	require.Contains(t, tests.summary("test", 0), "test: WITHOUT A RESULT: m/a\n")
}
