package main

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// exception is a vulnerability that a release may have.
type exception struct {
	place
	fixed  string // the version that has a fix, when somebody last looked, or "none"
	date   string // when somebody last looked
	reason string
}

var id = regexp.MustCompile(`^GO-\d{4}-\d{4,}$`)

// place is a vulnerability in one of the modules that have it. Each has a fix of
// its own, or none.
type place struct{ id, module string }

func (p place) String() string { return p.id + " in " + p.module }

// parseExceptions reads one exception a line: the ID, the module, the version
// that fixes it or "none", the date, and the reason. Lines that begin with # are comments.
func parseExceptions(list string) ([]exception, error) {
	var all []exception
	seen := map[place]bool{}
	for number, line := range strings.Split(list, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		e, err := parseException(line)
		if err == nil && seen[e.place] {
			err = fmt.Errorf("%s is there twice", e.place)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number+1, err)
		}
		seen[e.place] = true
		all = append(all, e)
	}
	return all, nil
}

func parseException(line string) (exception, error) {
	words := strings.Fields(line)
	if len(words) < 5 {
		return exception{}, errors.New("an exception is an ID, a module, the version that fixes it or none, a date such as 2026-11-30, and a reason")
	}
	e := exception{place: place{id: words[0], module: words[1]}, fixed: words[2], date: words[3], reason: strings.Join(words[4:], " ")}
	if !id.MatchString(e.id) {
		return exception{}, fmt.Errorf("%q is no ID of Go's vulnerability database, such as GO-2026-4887", e.id)
	}
	if e.fixed != noFix && !strings.HasPrefix(e.fixed, "v") {
		return exception{}, fmt.Errorf("%q is neither a version, such as v1.2.3, nor %q", e.fixed, noFix)
	}
	if _, err := time.Parse(time.DateOnly, e.date); err != nil {
		return exception{}, fmt.Errorf("%q is no date, such as 2026-11-30", e.date)
	}
	return e, nil
}
