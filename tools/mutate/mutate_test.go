package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// The program notices what the tests of a package do not: a boundary that no test has.
func TestMutate_TellsWhatNoTestNotices(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod": "module sums\n\ngo 1.26.0\n",
		"sums.go": `package sums

func Less(a, b int) bool { return a < b }

func Both(a, b bool) bool {
	if a {
		return b
	}
	return false
}
`,
		"sums_test.go": `package sums

import "testing"

func TestSums(t *testing.T) {
	if !Less(1, 2) || Less(3, 2) || !Both(true, true) || Both(false, true) {
		t.Fail()
	}
}
`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	mutants, err := find(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	var survivors []string
	for _, m := range mutants {
		lives, err := survives(t.Context(), dir, m, "", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if lives {
			survivors = append(survivors, m.function+": "+m.to)
		}
	}
	if want := []string{"Less: a <= b"}; len(mutants) != 3 || !slices.Equal(survivors, want) {
		t.Fatalf("%d changes, of which %v survived; want 3, and %v", len(mutants), survivors, want)
	}
}
