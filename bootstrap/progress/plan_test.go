package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const listed = `fmt	true	true	true	stale dependency: internal/goarch
os	true	true	true	not installed but available in build cache
example.com/dep	true	false	true	stale dependency: fmt
example.com/cached	true	false	false	
example.com/a	false	false	true	stale dependency: fmt
example.com/a [example.com/a.test]	false	false	true	stale dependency: fmt
example.com/a.test	false	false	true	stale dependency: fmt
example.com/b	false	false	false	
`

func TestPlan_CountsWhatIsNotInGosCache(t *testing.T) {
	t.Parallel()
	p := parsePlan(strings.SplitAfter(listed, "\n"))
	require.Equal(t, map[string]bool{"fmt": true, "example.com/dep": true, "example.com/a": true}, p.compile)
	require.Equal(t, []string{"example.com/dep", "example.com/a"}, p.names, "the standard library comes along")
	require.Equal(t, 2, p.packages)
}

func TestPlan_AsksGoForThatWhichTheCommandCompiles(t *testing.T) {
	t.Parallel()
	for command, want := range map[string]string{
		"go build -tags=minimal -trimpath -ldflags=-s -o bin/x example.com/x": "-tags=minimal -trimpath | example.com/x",
		"go build -o /tmp/x ./cmd/x":                                          "| ./cmd/x",
		"go test -count=1 -timeout 20m -race ./...":                           "-race | ./...",
		"go test -count=1 -run TestA/b . ./test -args write":                  "| . ./test",
	} {
		args := strings.Fields(command)
		got := strings.Join(append(append(buildFlags(args), "|"), packages(args)...), " ")
		require.Equal(t, want, got, command)
	}
}

func TestPlan_WhatGoTestPrintsByItselfIsLeftToIt(t *testing.T) {
	t.Parallel()
	for command, want := range map[string]bool{
		"go test ./...":                     false,
		"go test -vet=off -count=1 ./...":   false,
		"go test -v ./backend":              true,
		"go test -test.v=true ./backend":    true,
		"go test -json ./...":               true,
		"go test -bench=. ./backend":        true,
		"go test -run X -fuzz FuzzParse .":  true,
		"go build -x -v -o bin/x ./cmd/x":   false,
		"go test -c -o /tmp/x.test ./test":  true,
		"go test -run TestX -list . ./test": true,
	} {
		require.Equal(t, want, streams(strings.Fields(command)), command)
	}
}

func TestPlan_TestsAreCompiledApartOnlyWhereThatTakesLong(t *testing.T) {
	t.Parallel()
	command := strings.Fields("go test -race ./...")
	p := plan{compile: make(map[string]bool)}
	for _, name := range strings.Fields("a b c d e f g h i j k l m n o p q r s") {
		p.compile[name] = true
		p.names = append(p.names, name)
	}
	require.Nil(t, p.compileForTests(command), "19 packages")
	p.compile["fmt"] = true
	require.Equal(t, append(strings.Fields("go build -v -race"), p.names...), p.compileForTests(command))
}

func TestLoading_CountsTheModulesThatGoDownloads(t *testing.T) {
	t.Parallel()
	l := &loading{modules: 500}
	require.Equal(t, "looking what there is to compile", l.status())
	require.Empty(t, l.fromStderr("go: downloading example.com/a v1.2.3\n"))
	require.Empty(t, l.fromStderr("go: finding module\n"))
	require.Empty(t, l.fromStderr("go: downloading example.com/b v1.0.0\n"))
	require.Equal(t, "downloading modules: 2, of at most 500: example.com/b v1.0.0", l.status())
}

func TestBuild_CountsPackagesAndHidesNothingElse(t *testing.T) {
	t.Parallel()
	b := &build{plan: plan{compile: map[string]bool{"example.com/a": true, "example.com/b": true}}}
	require.Equal(t, "compiling: 0 of 2 packages", b.status())
	require.Empty(t, b.fromStderr("example.com/a\n"))
	require.Equal(t, "compiling: 1 of 2 packages", b.status())
	for _, line := range []string{"# example.com/b\n", "b/b.go:3:1: undefined: x\n", "go: downloading example.com/c v1.0.0\n", "example.com/unknown\n"} {
		require.Equal(t, shown{stderr: line}, b.fromStderr(line))
	}
	require.Empty(t, b.fromStderr("example.com/b\n"))
	require.Equal(t, "linking", b.status())
	b.quiet = true
	require.Empty(t, b.fromStderr("b/b.go:3:1: undefined: x\n"), "go test says it again")
}
