//go:build unix

package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"
)

const (
	// inUse is how many roles the leases are spread over: so many tokens live.
	inUse         = 100
	leasesPerRole = 10
	writersAtOnce = 16
	readersAtOnce = 32
	samples       = 200
	pageSize      = 100

	// shared is the role on whose token there are as many leases as there are roles.
	shared = "crm-sync"

	// longRequests lets Vault revoke a hundred thousand leases in one request,
	// which by default it breaks off after 90 s.
	longRequests = "default_max_request_duration = \"60m\"\n"
)

// scale measures a fresh server for each number of roles.
func scale(ctx context.Context, sizes string, idle time.Duration) (found string, err error) {
	var table table
	for text := range strings.SplitSeq(sizes, ",") {
		roles, err := strconv.Atoi(text)
		if err != nil || roles < inUse {
			return "", fmt.Errorf("sizes is %q; write numbers of roles, each at least %d", sizes, inUse)
		}
		start := time.Now()
		fmt.Fprintf(os.Stderr, "scale: %d roles, %d leases ...\n", roles, (leasesPerRole+1)*roles)
		if err := scaleTo(ctx, &table, roles, idle); err != nil {
			return "", fmt.Errorf("with %d roles: %w", roles, err)
		}
		fmt.Fprintf(os.Stderr, "scale: %d roles took %s\n", roles, time.Since(start).Round(time.Second))
	}
	return table.markdown(), nil
}

func scaleTo(ctx context.Context, table *table, roles int, idle time.Duration) error {
	dir, err := os.MkdirTemp("", "zoho")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b, err := newBench(ctx, filepath.Clean(dir), longRequests)
	if err != nil {
		return err
	}
	defer b.close()
	f := &filled{bench: b, table: table, roles: roles}
	b.client.SetClientTimeout(time.Hour)
	table.begin()
	for _, step := range []func(context.Context) error{f.writeRoles, f.oneGrant, f.readLeases, f.lookAround, f.idle(idle), f.restart, f.revoke} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// filled is a server that fills up, step by step.
type filled struct {
	*bench
	table *table
	roles int
}

func (f *filled) writeRoles(ctx context.Context) error {
	before, err := f.memory()
	if err != nil {
		return err
	}
	f.table.add("roles", count(f.roles))
	f.table.add("plugin's memory, empty", before)
	tokens := make([]string, f.roles)
	for i := range tokens {
		tokens[i] = f.consent(fmt.Sprintf("user-%d", i))
	}
	written, err := each(ctx, writersAtOnce, f.roles, func(ctx context.Context, i int) error {
		_, err := f.client.Logical().WriteWithContext(ctx, "zoho/roles/"+roleName(i), map[string]any{"refresh_token": tokens[i], "verify": false})
		return err
	})
	if err != nil {
		return err
	}
	f.table.add(fmt.Sprintf("roles written per second, %d at once", writersAtOnce), rate(written))
	if err := f.timed(ctx, "list `roles/`", f.list("zoho/roles")); err != nil {
		return err
	}
	if err := f.sampled(ctx, "read `roles/x`", f.read(func(i int) string { return "zoho/roles/" + roleName(i%f.roles) })); err != nil {
		return err
	}
	return f.weigh("with the roles")
}

// oneGrant writes roles that all have the same refresh token, which is not
// what the engine is made for: a grant knows all its roles.
func (f *filled) oneGrant(ctx context.Context) error {
	many := f.roles / 10
	token := f.consent("shared")
	write := func(ctx context.Context, i int) error {
		_, err := f.client.Logical().WriteWithContext(ctx, fmt.Sprintf("zoho/roles/same-%d", i), map[string]any{"refresh_token": token, "verify": false})
		return err
	}
	// One of them reads first: of roles whose credentials never minted a token, a hundred can have
	// one refresh token.
	if err := write(ctx, 0); err != nil {
		return err
	}
	lease, err := f.client.Logical().ReadWithContext(ctx, "zoho/creds/same-0")
	if err != nil {
		return err
	}
	if err := f.client.Sys().RevokeWithOptionsWithContext(ctx, &api.RevokeOptions{LeaseID: lease.LeaseID, Sync: true}); err != nil {
		return err
	}
	if _, err := each(ctx, writersAtOnce, many-samples/10, write); err != nil {
		return err
	}
	written, err := each(ctx, 1, samples/10, func(ctx context.Context, i int) error { return write(ctx, many-samples/10+i) })
	if err != nil {
		return err
	}
	f.table.add("write of a role, when a tenth as many have its refresh token", millis(written.took/(samples/10)))
	_, err = each(ctx, writersAtOnce, many, func(ctx context.Context, i int) error {
		_, err := f.client.Logical().DeleteWithContext(ctx, fmt.Sprintf("zoho/roles/same-%d", i))
		return err
	})
	return err
}

func (f *filled) readLeases(ctx context.Context) error {
	if _, err := each(ctx, readersAtOnce, inUse, f.creds(roleName)); err != nil { // these mint
		return err
	}
	spread := leasesPerRole*f.roles - inUse
	read, err := each(ctx, readersAtOnce, spread, f.creds(func(i int) string { return roleName(i % inUse) }))
	if err != nil {
		return err
	}
	f.table.add("leases, spread over 100 roles", count(spread+inUse))
	f.table.add(fmt.Sprintf("leases read per second, %d at once", readersAtOnce), rate(read))
	if read, err = each(ctx, readersAtOnce, f.roles, f.creds(one)); err != nil {
		return err
	}
	f.table.add("leases on one token besides", count(f.roles))
	f.table.add(fmt.Sprintf("the same, on the one token, %d at once", readersAtOnce), rate(read))
	return f.weigh("with the leases")
}

// lookAround measures what operators and auditors do, and a reader, while all
// the leases are out.
func (f *filled) lookAround(ctx context.Context) error {
	if err := f.sampled(ctx, "a warm read, 1 client", f.creds(func(i int) string { return roleName(i % inUse) })); err != nil {
		return err
	}
	if err := f.sampled(ctx, "a warm read of the one token, 1 client", f.creds(one)); err != nil {
		return err
	}
	if err := f.sampled(ctx, "`roles/x/status`", f.read(func(i int) string { return "zoho/roles/" + roleName(i%f.roles) + "/status" })); err != nil {
		return err
	}
	if err := f.sampled(ctx, "`roles/x/status` of the one token", f.read(func(int) string { return "zoho/roles/" + shared + "/status" })); err != nil {
		return err
	}
	if err := f.timed(ctx, "list `roles/` again", f.list("zoho/roles")); err != nil {
		return err
	}
	if err := f.timed(ctx, "list `tokens/`", f.list("zoho/tokens")); err != nil {
		return err
	}
	id, err := f.currentToken(ctx)
	if err != nil {
		return err
	}
	if err := f.sampled(ctx, fmt.Sprintf("`tokens/x` of the one token, %d of its holders", pageSize), func(ctx context.Context, _ int) error {
		_, err := f.holders(ctx, id, "")
		return err
	}); err != nil {
		return err
	}
	return f.timed(ctx, "all of its holders, page by page", func(ctx context.Context) error {
		for next, more := "", true; more; more = next != "" {
			var err error
			if next, err = f.holders(ctx, id, next); err != nil {
				return err
			}
		}
		return nil
	})
}

// idle measures the plugin's CPU time while nobody asks for anything.
func (f *filled) idle(length time.Duration) func(context.Context) error {
	return func(ctx context.Context) error {
		before, err := f.server.PluginProcess()
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(length):
		}
		after, err := f.server.PluginProcess()
		if err != nil {
			return err
		}
		f.table.add("CPU per minute when nobody asks", millis(time.Duration(float64(after.CPU-before.CPU)/length.Minutes())))
		return nil
	}
}

func roleName(i int) string { return fmt.Sprintf("role-%d", i) }

func one(int) string { return shared }

func count(n int) string { return strconv.Itoa(n) }

func rate(o outcome) string { return count(int(math.Round(o.perSecond()))) }
