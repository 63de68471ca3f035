package main

import (
	"fmt"
	"io"
	"sync"
	"time"
	"unicode/utf8"
)

const (
	// every is how often a log gets a line: often enough that nobody takes the program for dead, and rarely enough
	// that twenty minutes of it still fit on a page.
	every = 30 * time.Second
	// width is what a terminal has at the least. A longer line would wrap, and then it does not move any more.
	width = 79
	// erase goes back to the beginning of the line and clears it.
	erase = "\r\x1b[K"
)

// screen shows a status: on a terminal as a line that moves, in a log as a line every thirty seconds.
type screen struct {
	out   io.Writer
	name  string
	moves bool
	now   func() time.Time
	begun time.Time

	logged time.Duration // when the log got its last line, counted from begun
	drawn  bool          // the terminal shows the line
}

// update shows the status, if it is time to.
func (s *screen) update(status string) {
	elapsed := s.elapsed()
	line := fmt.Sprintf("%s: %s, %s", s.name, status, elapsed)
	if s.moves {
		fmt.Fprint(s.out, erase+cut(line, width))
		s.drawn = true
		return
	}
	if elapsed-s.logged >= every {
		s.logged = elapsed
		fmt.Fprintln(s.out, line)
	}
}

// clear takes the moving line away, to make room for other output.
func (s *screen) clear() {
	if s.drawn {
		fmt.Fprint(s.out, erase)
		s.drawn = false
	}
}

func (s *screen) elapsed() time.Duration { return s.now().Sub(s.begun).Round(time.Second) }

func cut(line string, width int) string {
	if utf8.RuneCountInString(line) <= width {
		return line
	}
	return string([]rune(line)[:width-3]) + "..."
}

// shown is what appears of a line that Go has printed.
type shown struct{ stdout, stderr string }

// follower makes a status of what a command prints, and says what of it is shown.
type follower interface {
	fromStdout(line string) shown
	fromStderr(line string) shown
	status() string
}

// printer runs commands, one after another, with one screen.
type printer struct {
	mu     sync.Mutex
	stdout io.Writer
	screen screen
}

func (p *printer) show(s shown) {
	if s == (shown{}) {
		return
	}
	p.screen.clear()
	_, _ = io.WriteString(p.stdout, s.stdout) // nobody is left to tell of a failure
	_, _ = io.WriteString(p.screen.out, s.stderr)
}

// lines calls take with each whole line that is written to it, its end included.
type lines struct {
	mu   *sync.Mutex
	rest []byte
	take func(line string)
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range b {
		l.rest = append(l.rest, c)
		if c == '\n' {
			l.take(string(l.rest))
			l.rest = l.rest[:0]
		}
	}
	return len(b), nil
}

// close takes a last line without an end.
func (l *lines) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.rest) > 0 {
		l.take(string(l.rest))
		l.rest = nil
	}
}
