//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"
)

// sampled adds the median time of doing something, and the one that only one in
// a hundred is above.
func (f *filled) sampled(ctx context.Context, what string, do func(ctx context.Context, i int) error) error {
	sampled, err := each(ctx, 1, samples, do)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	f.table.add(what+" (99th percentile)", fmt.Sprintf("%s (%s)", millis(quantile(sampled.times, 50)), millis(quantile(sampled.times, 99))))
	return nil
}

// timed adds the time of doing something once.
func (f *filled) timed(ctx context.Context, what string, do func(context.Context) error) error {
	start := time.Now()
	if err := do(ctx); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	f.table.add(what, millis(time.Since(start)))
	return nil
}

func (f *filled) creds(role func(i int) string) func(context.Context, int) error {
	return f.read(func(i int) string { return "zoho/creds/" + role(i) })
}

func (f *filled) read(path func(i int) string) func(context.Context, int) error {
	return func(ctx context.Context, i int) error {
		answer, err := f.client.Logical().ReadWithContext(ctx, path(i))
		if err == nil && answer == nil {
			err = errors.New(path(i) + " is not there")
		}
		return err
	}
}

func (f *filled) list(path string) func(context.Context) error {
	return func(ctx context.Context) error {
		keys, err := f.keys(ctx, path)
		if err == nil && len(keys) == 0 {
			err = errors.New(path + " is empty")
		}
		return err
	}
}

func (f *filled) keys(ctx context.Context, path string) ([]any, error) {
	answer, err := f.client.Logical().ListWithContext(ctx, path)
	if err != nil || answer == nil {
		return nil, err
	}
	keys, _ := answer.Data["keys"].([]any)
	return keys, nil
}

// currentToken is the token_id of the role that all share.
func (f *filled) currentToken(ctx context.Context) (string, error) {
	answer, err := f.client.Logical().ReadWithContext(ctx, "zoho/roles/"+shared+"/status")
	if err != nil {
		return "", err
	}
	return text(answer, "token_id")
}

// holders reads a page of a token's holders, and returns the next one's cursor.
func (f *filled) holders(ctx context.Context, id, after string) (next string, err error) {
	answer, err := f.client.Logical().ReadWithDataWithContext(ctx, "zoho/tokens/"+id, map[string][]string{"after": {after}, "limit": {fmt.Sprint(pageSize)}})
	if err != nil {
		return "", err
	}
	return text(answer, "next")
}

func text(answer *api.Secret, field string) (string, error) {
	if answer != nil {
		if value, isText := answer.Data[field].(string); isText {
			return value, nil
		}
	}
	return "", fmt.Errorf("an answer has no %s", field)
}

// weigh adds the plugin's memory, and what Vault has stored in all.
func (f *filled) weigh(when string) error {
	memory, err := f.memory()
	if err != nil {
		return err
	}
	// The database alone: beside it raft keeps a log, whose length says nothing.
	info, err := os.Stat(f.server.Dir() + "/raft/vault.db")
	if err != nil {
		return err
	}
	f.table.add("plugin's memory, "+when, memory)
	f.table.add("Vault's storage, "+when, fmt.Sprintf("%.1f MB", float64(info.Size())/1e6))
	return nil
}

// memory is what the plugin's process has in RAM. Source: proc(5).
func (f *filled) memory() (string, error) {
	process, err := f.server.PluginProcess()
	if err != nil {
		return "", err
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", process.PID))
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(status)) {
		var kilobytes int
		if _, err := fmt.Sscanf(line, "VmRSS: %d kB", &kilobytes); err == nil {
			return fmt.Sprintf("%d MB", kilobytes/1000), nil
		}
	}
	return "", fmt.Errorf("/proc/%d/status has no VmRSS", process.PID)
}

func millis(d time.Duration) string {
	if d >= 10*time.Second {
		return seconds(d)
	}
	if d >= 10*time.Millisecond {
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.1f ms", d.Seconds()*1000)
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }
