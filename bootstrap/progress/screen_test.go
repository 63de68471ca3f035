package main

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// testScreen is a screen whose clock stands until it is set.
type testScreen struct {
	screen
	printed bytes.Buffer
	time    time.Time
}

func newTestScreen(moves bool) *testScreen {
	begun := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s := &testScreen{time: begun}
	s.screen = screen{out: &s.printed, name: "test", moves: moves, now: func() time.Time { return s.time }, begun: begun}
	return s
}

func (s *testScreen) at(elapsed time.Duration, status string) {
	s.time = s.begun.Add(elapsed)
	s.update(status)
}

func TestScreen_ALogGetsALineEveryThirtySeconds(t *testing.T) {
	t.Parallel()
	s := newTestScreen(false)
	for second := range 95 {
		s.at(time.Duration(second)*time.Second, "compiling")
	}
	s.clear()
	require.Equal(t, "test: compiling, 30s\ntest: compiling, 1m0s\ntest: compiling, 1m30s\n", s.printed.String())
}

func TestScreen_ATerminalHasOneLineThatMovesAndMakesRoomForOtherOutput(t *testing.T) {
	t.Parallel()
	s := newTestScreen(true)
	p := &printer{stdout: &s.printed, screen: s.screen}
	p.screen.update("compiling: 1 of 9 packages")
	p.screen.update("compiling: 2 of 9 packages")
	p.show(shown{})
	p.show(shown{stdout: "ok\n"})
	p.show(shown{stderr: "a warning\n"})
	require.Equal(t, erase+"test: compiling: 1 of 9 packages, 0s"+erase+"test: compiling: 2 of 9 packages, 0s"+erase+"ok\na warning\n", s.printed.String())
}

func TestScreen_AMovingLineNeverWraps(t *testing.T) {
	t.Parallel()
	s := newTestScreen(true)
	s.update(strings.Repeat("ü", 200))
	line := strings.TrimPrefix(s.printed.String(), erase)
	require.Len(t, []rune(line), width)
	require.True(t, strings.HasSuffix(line, "..."))
}

func TestLines_AreHandedOnWholeAndTheLastOneWithoutItsEnd(t *testing.T) {
	t.Parallel()
	var got []string
	l := &lines{mu: new(sync.Mutex), take: func(line string) { got = append(got, line) }}
	for _, written := range []string{"a", "b\nc", "\n", "\nd"} {
		_, err := l.Write([]byte(written))
		require.NoError(t, err)
	}
	l.close()
	require.Equal(t, []string{"ab\n", "c\n", "\n", "d"}, got)
}
