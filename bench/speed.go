//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// What is compared, in the order of the table's columns.
const (
	floor     = iota // a plugin that only answers with a lease
	withWrite        // the same after one write to storage
	engine
	compared
)

// pathsOf are below which each of them is read.
func pathsOf() [compared]string {
	return [compared]string{"floor/creds/", "floor/stored/", "zoho/creds/"}
}

const (
	// manyRoles is over how many roles reads are spread, so that each reader is alone on
	// its token.
	manyRoles = 500
	// coldReaders read all of them at once when none has a token.
	coldReaders = 64
	// revokers is how many clients revoke what was read, at once.
	revokers = 16
	// coldEvery: cold reads take longer than others, so they have a turn in so many rounds.
	coldEvery = 3
)

// figures are those of one line of the table, turn by turn.
type figures struct {
	what           string
	clients, roles int
	beside         int     // which of both floors the goal speaks of
	goal           float64 // what part of it the engine should do; 0: there is no goal
	rates          [compared][]float64
	times          [compared][]time.Duration
}

func (f *figures) add(which int, o outcome) {
	f.rates[which] = append(f.rates[which], o.perSecond())
	f.times[which] = append(f.times[which], o.times...)
}

// ratio is the median of the turns' ratios, so that whatever else the machine did hits both.
func (f *figures) ratio(beside int) float64 {
	var ratios []float64
	for i, rate := range f.rates[engine] {
		ratios = append(ratios, rate/f.rates[beside][i])
	}
	return quantile(ratios, 50)
}

func (f *figures) name() string {
	return fmt.Sprintf("%s: %d × %d", f.what, f.clients, f.roles)
}

// comparison is the part "speed" of the benchmark.
type comparison struct {
	*bench
	rounds int
	slice  time.Duration

	warm, revoked []*figures
	cold          *figures
	gain          []float64 // the token server's tokens beside the engine's, turn by turn
	mint          mintWait
}

func newComparison(b *bench, rounds int, slice time.Duration) *comparison {
	c := &comparison{bench: b, rounds: rounds, slice: slice, cold: &figures{what: "cold reads", clients: coldReaders, roles: manyRoles, beside: withWrite}}
	for _, roles := range []int{1, manyRoles} {
		for _, readers := range []int{1, 16, 64} {
			f := &figures{what: "warm reads", clients: readers, roles: roles, beside: withWrite, goal: 0.95}
			if roles == 1 && readers > 1 { // these share their writes
				f.beside = floor
			}
			c.warm = append(c.warm, f)
		}
		c.revoked = append(c.revoked, &figures{what: "revocations", clients: revokers, roles: roles, beside: floor, goal: 0.90})
	}
	return c
}

func speed(ctx context.Context, rounds int, slice time.Duration) (found string, _ []ratio, err error) {
	dir, err := os.MkdirTemp("", "zoho")
	if err != nil {
		return "", nil, err
	}
	defer os.RemoveAll(dir)
	b, err := newBench(ctx, filepath.Clean(dir), "")
	if err != nil {
		return "", nil, err
	}
	defer b.close()
	if err := b.mountFloor(ctx); err != nil {
		return "", nil, err
	}
	c := newComparison(b, rounds, slice)
	for _, step := range []func(context.Context) error{c.writeRoles, c.readCold, c.readWarm, c.askTokenServer, c.waitForMints} {
		if err := step(ctx); err != nil {
			return "", nil, err
		}
	}
	c.tellGoals()
	return c.markdown(), c.ratios(), nil
}

func (c *comparison) writeRoles(ctx context.Context) error {
	tokens := make([]string, manyRoles)
	for i := range tokens {
		tokens[i] = c.consent(fmt.Sprintf("user-%d", i))
	}
	_, err := each(ctx, writersAtOnce, manyRoles, func(ctx context.Context, i int) error {
		return c.write(ctx, "zoho/roles/"+roleName(i), map[string]any{"refresh_token": tokens[i], "verify": false})
	})
	return err
}

// readCold lets many readers read roles that have no token, each once. The simulated
// Zoho answers at once.
func (c *comparison) readCold(ctx context.Context) error {
	for round := range (c.rounds + coldEvery - 1) / coldEvery {
		fmt.Fprintf(os.Stderr, "speed: cold reads, turn %d ...\n", round+1)
		for i := range compared {
			which := (round + i) % compared
			leases := &leases{}
			read, err := each(ctx, coldReaders, manyRoles, c.lease(which, manyRoles, leases))
			if err != nil {
				return err
			}
			c.cold.add(which, read)
			if _, err := c.revoke(ctx, leases); err != nil {
				return err
			}
		}
	}
	return nil
}

// readWarm lets readers read roles that have a token, which another lease keeps alive,
// and revokes what was read.
func (c *comparison) readWarm(ctx context.Context) error {
	for _, roles := range []int{1, manyRoles} {
		if _, err := each(ctx, coldReaders, roles, c.lease(engine, roles, &leases{})); err != nil {
			return err
		}
	}
	for round := range c.rounds {
		fmt.Fprintf(os.Stderr, "speed: round %d of %d ...\n", round+1, c.rounds)
		for _, f := range c.warm {
			for i := range compared {
				which := (round + i) % compared
				leases := &leases{}
				read, err := during(ctx, f.clients, c.slice, c.lease(which, f.roles, leases))
				if err != nil {
					return err
				}
				f.add(which, read)
				revoked, err := c.revoke(ctx, leases)
				if err != nil {
					return err
				}
				for _, r := range c.revoked {
					if f.clients == r.clients && f.roles == r.roles {
						r.add(which, revoked)
					}
				}
			}
		}
	}
	return nil
}

// leases are what readers have got.
type leases struct {
	mu  sync.Mutex
	ids []string
}

func (l *leases) add(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ids = append(l.ids, id)
}

// lease reads one role after the other, of so many.
func (b *bench) lease(which, roles int, leases *leases) func(context.Context, int) error {
	return func(ctx context.Context, i int) error {
		role := shared
		if roles > 1 {
			role = roleName(i % roles)
		}
		answer, err := b.client.Logical().ReadWithContext(ctx, pathsOf()[which]+role)
		if err == nil && (answer == nil || answer.LeaseID == "") {
			err = errors.New("an answer has no lease")
		}
		if err == nil {
			leases.add(answer.LeaseID)
		}
		return err
	}
}

func (b *bench) revoke(ctx context.Context, leases *leases) (outcome, error) {
	return each(ctx, revokers, len(leases.ids), func(ctx context.Context, i int) error {
		return b.write(ctx, "sys/leases/revoke", map[string]any{"lease_id": leases.ids[i], "sync": true})
	})
}
