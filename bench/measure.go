//go:build unix

package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/vault/api"
)

// turn is one measurement; it returns operations per second.
type turn func(context.Context) (float64, error)

// compare lets engine and floor take turns, so that whatever else the machine
// does hits both, and returns the medians and the median of the turns' ratios.
func compare(ctx context.Context, rounds int, engine, floor turn) (ratio, engineRate, floorRate float64, err error) {
	var ratios, engines, floors []float64
	for range rounds {
		e, err := engine(ctx)
		if err != nil {
			return 0, 0, 0, err
		}
		f, err := floor(ctx)
		if err != nil {
			return 0, 0, 0, err
		}
		engines, floors, ratios = append(engines, e), append(floors, f), append(ratios, e/f)
	}
	return median(ratios), median(engines), median(floors), nil
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

// parallel runs do in a loop on each of so many clients until time is up.
func parallel(ctx context.Context, clients int, slice time.Duration, do func(context.Context, *api.Client) (more bool, err error), client func() *api.Client) (float64, error) {
	var done atomic.Int64
	var wg sync.WaitGroup
	errs := make(chan error, clients)
	start := time.Now()
	for range clients {
		c := client()
		wg.Go(func() {
			for time.Since(start) < slice {
				more, err := do(ctx, c)
				if err != nil {
					errs <- err
					return
				}
				if !more {
					return
				}
				done.Add(1)
			}
		})
	}
	wg.Wait()
	select {
	case err := <-errs:
		return 0, err
	default:
		return float64(done.Load()) / time.Since(start).Seconds(), nil
	}
}

// reads measures warm reads: there is a token, and a lease on it.
func (b *bench) reads(mount string, clients int, slice time.Duration) turn {
	return func(ctx context.Context) (float64, error) {
		if _, err := b.root().Logical().ReadWithContext(ctx, mount+"/creds/crm-sync"); err != nil {
			return 0, err
		}
		rate, err := parallel(ctx, clients, slice, func(ctx context.Context, c *api.Client) (bool, error) {
			_, err := c.Logical().ReadWithContext(ctx, mount+"/creds/crm-sync")
			return true, err
		}, b.root)
		if err != nil {
			return 0, err
		}
		return rate, b.revokeAll(ctx, mount)
	}
}

func (b *bench) revokeAll(ctx context.Context, mount string) error {
	return b.write(ctx, "sys/leases/revoke-prefix/"+mount, map[string]any{"sync": true})
}

// revocations measures the revocation of leases that were read before.
func (b *bench) revocations(mount string, clients int, slice time.Duration) turn {
	return func(ctx context.Context) (float64, error) {
		leases := make(chan string, 100_000)
		if _, err := parallel(ctx, clients, slice, func(ctx context.Context, c *api.Client) (bool, error) {
			answer, err := c.Logical().ReadWithContext(ctx, mount+"/creds/crm-sync")
			if err == nil {
				leases <- answer.LeaseID
			}
			return true, err
		}, b.root); err != nil {
			return 0, err
		}
		close(leases)
		return parallel(ctx, clients, time.Hour, func(ctx context.Context, c *api.Client) (bool, error) {
			lease, more := <-leases
			if !more {
				return false, nil
			}
			_, err := c.Logical().WriteWithContext(ctx, "sys/leases/revoke", map[string]any{"lease_id": lease, "sync": true})
			return true, err
		}, b.root)
	}
}

// mintWait measures what a read that has to wait for a mint costs beyond a warm
// one, with a Zoho that takes its time.
func (b *bench) mintWait(ctx context.Context) error {
	const roundTrip, times = 200 * time.Millisecond, 15
	read := func() (time.Duration, error) {
		start := time.Now()
		_, err := b.root().Logical().ReadWithContext(ctx, "zoho/creds/crm-sync")
		return time.Since(start), err
	}
	var beyond []float64
	for range times {
		if err := b.revokeAll(ctx, "zoho"); err != nil {
			return err
		}
		b.sim.SetLatency(roundTrip)
		cold, err := read()
		b.sim.SetLatency(0)
		if err != nil {
			return err
		}
		warm, err := read()
		if err != nil {
			return err
		}
		beyond = append(beyond, (cold-warm-roundTrip).Seconds()*1000)
	}
	fmt.Printf("a read that waits for a mint takes Zoho's round trip (%s here) and %.1f ms more than a warm one\n", roundTrip, median(beyond))
	return nil
}

// backgroundWork measures the plugin's CPU time in a minute in which nobody
// asks for anything, with many grants of which a hundred are in use.
func (b *bench) backgroundWork(ctx context.Context, grants int) error {
	const inUse = 100
	fmt.Printf("writing %d roles ...\n", grants)
	for i := range grants {
		if err := b.write(ctx, fmt.Sprintf("zoho/roles/role-%d", i), map[string]any{"refresh_token": b.consent(fmt.Sprintf("user-%d", i)), "verify": false}); err != nil {
			return err
		}
	}
	for i := range inUse {
		if _, err := b.root().Logical().ReadWithContext(ctx, fmt.Sprintf("zoho/creds/role-%d", i)); err != nil {
			return err
		}
	}
	before, err := b.server.PluginProcess()
	if err != nil {
		return err
	}
	const minutes = 2
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(minutes * time.Minute):
	}
	after, err := b.server.PluginProcess()
	if err != nil {
		return err
	}
	perMinute := (after.CPU - before.CPU) / minutes
	const goal = 50 * time.Millisecond
	fmt.Printf("background work of %d grants, %d in use: %s of CPU a minute   goal %s   %s\n", grants, inUse, perMinute, goal, verdict(perMinute < goal))
	return nil
}
