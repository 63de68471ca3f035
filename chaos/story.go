//go:build unix

package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"vault-plugin-secrets-zoho/zohosim"
)

// story tells what is known of a token, or without a mark of everything: who had it, what happened
// meanwhile, and what Zoho was asked.
func (h *history) story(mark string, from, til time.Time, requests []zohosim.Request) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var b strings.Builder
	start, stop := from.Format("15:04:05.000"), til.Format("15:04:05.000")
	for _, line := range h.lines {
		at, text, _ := strings.Cut(line, " ")
		isOfAToken := strings.HasPrefix(text, "reader ") || strings.HasPrefix(text, "token ")
		isOfAnother := isOfAToken && mark != "" && !strings.Contains(text, mark)
		if !isOfAnother && at >= start && at <= stop {
			fmt.Fprintln(&b, line)
		}
	}
	for _, r := range requests {
		if !r.Time.Before(from) && !r.Time.After(til) && (mark == "" || r.Token == mark || r.Endpoint == zohosim.EndpointToken) {
			fmt.Fprintf(&b, "%s Zoho was asked: %s %s client=%.12s token=%s: %d %s %s\n", clock(r.Time), r.Endpoint, r.GrantType, r.ClientID, r.Token, r.Status, r.Error, r.Fault)
		}
	}
	return b.String()
}

func clock(at time.Time) string { return at.Format("15:04:05.000") }

// save appends the lines to a file, if there is to be one.
func (h *history) save(file string) error {
	if file == "" {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	f, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(strings.Join(h.lines, "\n") + "\n")
	return errors.Join(err, f.Close())
}
