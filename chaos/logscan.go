//go:build unix

package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// logScan looks through log files for what must not be in them, and for changes of the active node: at each byte once.
type logScan struct {
	files   []string
	read    map[string]int64 // how far
	secrets []string         // beside what looks like a token
	token   *regexp.Regexp
	panics  *regexp.Regexp
	active  *regexp.Regexp
	changes []time.Time // when a node became the active one
	bytes   int64
}

func newLogScan(files ...string) *logScan {
	return &logScan{
		files: files, read: map[string]int64{},
		// Every access token, refresh token and grant code of the simulator has this form.
		token:  regexp.MustCompile(`100[05]\.[0-9a-f]{32}\.[0-9a-f]{32}`),
		active: regexp.MustCompile(`(?m)^(\S+Z) .*core: acquired lock, enabling active operation`),
		panics: regexp.MustCompile(`panic: |panic in|panicked|goroutine [0-9]+ \[|DATA RACE`),
	}
}

func (s *logScan) addSecret(secret string) { s.secrets = append(s.secrets, secret) }

// look reads on, and tells what it found. It shows only where, since it would repeat a secret.
func (s *logScan) look() (found []string, err error) {
	for _, file := range s.files {
		f, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		fresh, err := io.ReadAll(io.NewSectionReader(f, s.read[file], 1<<40))
		_ = f.Close() // it was only read
		if err != nil {
			return nil, err
		}
		fresh = fresh[:bytes.LastIndexByte(fresh, '\n')+1] // the rest of a line comes later
		found = append(found, s.check(file, fresh)...)
		s.read[file] += int64(len(fresh))
		s.bytes += int64(len(fresh))
	}
	return found, nil
}

func (s *logScan) check(file string, text []byte) (found []string) {
	where := filepath.Base(filepath.Dir(file)) + "/" + filepath.Base(file)
	for _, line := range s.active.FindAllSubmatch(text, -1) {
		if at, err := time.Parse(time.RFC3339, string(line[1])); err == nil {
			s.changes = append(s.changes, at)
		}
	}
	if s.token.Match(text) {
		found = append(found, "rule 6: something that looks like a token is in "+where)
	}
	for _, secret := range s.secrets {
		if bytes.Contains(text, []byte(secret)) {
			found = append(found, "rule 6: a client's secret is in "+where)
		}
	}
	if at := s.panics.FindIndex(text); at != nil {
		around := string(text[max(0, at[0]-300):min(len(text), at[1]+2000)])
		found = append(found, fmt.Sprintf("rule 7: a panic is in %s:\n%s", where, strings.TrimSpace(around)))
	}
	return found
}
