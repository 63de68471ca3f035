//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

const (
	readers      = 14
	hurried      = 2
	longestRound = 45 * time.Second
	// Every third round, beginning with the second, a snapshot is restored.
	restoreEvery, restoreFirst = 3, 2
)

// rounds goes on until the time is over and a snapshot has been restored.
func (w *world) rounds(ctx context.Context, out io.Writer, length time.Duration) error {
	w.grants = newGrants()
	length, disturbed := max(length, time.Second), min(max(length/2, 10*time.Second), longestRound)
	for begun, n := time.Now(), 1; n <= restoreFirst || time.Since(begun) < length; n++ {
		start := time.Now()
		err := w.round(ctx, n, disturbed)
		if err := errors.Join(err, w.h.save(w.historyFile)); err != nil {
			return err
		}
		w.totals.add("rounds", 1)
		fmt.Fprintf(out, "%s round %d: %d leases, %d token requests, %d crashes and the like, %d acts that end tokens, in %s\n", time.Now().Format(time.TimeOnly), n,
			len(w.h.leases), w.tokenRequests(w.h.begun), len(w.h.crashes), len(w.h.acts), time.Since(start).Round(time.Second))
	}
	return nil
}

func (w *world) round(ctx context.Context, n int, disturbed time.Duration) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w.h = newHistory()
	w.mu.Lock()
	w.stop = cancel
	w.mu.Unlock()
	steps := []func() error{
		func() error { return w.renew(ctx, w.random("renewal", n)) },
		func() error { return w.disturb(ctx, n, disturbed) },
		func() error { return w.recover(ctx) },
		func() error { return w.settle(ctx) },
	}
	for _, step := range steps {
		err := step()
		if broken := w.failure(); broken != nil {
			return broken
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// disturb lets everybody do their work at the same time. Readers go on while a snapshot is restored.
func (w *world) disturb(run context.Context, n int, length time.Duration) error {
	reading, stopReading := context.WithCancel(run)
	defer stopReading()
	var reads sync.WaitGroup
	for i := range readers {
		reads.Go(func() { w.reader(reading, run, i+1, w.random(fmt.Sprint("reader", i), n)) })
	}
	for i := range hurried {
		reads.Go(func() { w.hurriedReader(reading, run, readers+i+1, w.random(fmt.Sprint("hurried", i), n)) })
	}
	reads.Go(func() { w.auditor(reading, w.random("auditor", n)) })
	reads.Go(func() { w.watcher(reading) })
	s := w.happen(run, n, length)
	var err error
	if restores(n) {
		err = w.recoverAndRestore(run, n, s)
	}
	stopReading()
	reads.Wait()
	w.totals.add("seconds of disturbance", int(time.Since(w.h.begun).Seconds()))
	return err
}

func restores(round int) bool { return round%restoreEvery == restoreFirst%restoreEvery }

// recoverAndRestore restores a snapshot; one that is taken now if there was none to be had before.
func (w *world) recoverAndRestore(ctx context.Context, n int, s *snapshot) error {
	if err := w.recover(ctx); err != nil {
		return err
	}
	if s == nil {
		var err error
		if s, err = w.trySnapshot(ctx); err != nil {
			return fmt.Errorf("take a snapshot while all is well: %w", err)
		}
	}
	return w.restore(ctx, w.random("restore", n), s)
}

// happen is all that is done beside reading. It returns the snapshot that is to be restored, if there is one.
func (w *world) happen(run context.Context, n int, length time.Duration) (s *snapshot) {
	ctx, cancel := context.WithTimeout(run, length)
	defer cancel()
	var actors sync.WaitGroup
	for _, actor := range []struct {
		name   string
		least  time.Duration // between two events
		most   time.Duration
		events []event
	}{
		{"nodes", 500 * time.Millisecond, 9 * time.Second, w.nodeEvents(run)},
		{"zoho", 500 * time.Millisecond, 6 * time.Second, w.zohoEvents()},
		{"operator", time.Second, 6 * time.Second, w.operatorEvents(run)},
	} {
		actors.Go(func() { w.befall(ctx, w.random(actor.name, n), actor.least, actor.most, actor.events) })
	}
	if restores(n) {
		actors.Go(func() { s = w.takeSnapshot(ctx, w.random("snapshot", n), length) })
	}
	actors.Wait()
	return s
}

// recover makes everything well again, so that what is wrong from then on is the engine's fault.
func (w *world) recover(ctx context.Context) error {
	w.heal()
	for i, node := range w.cluster.Nodes {
		health, err := w.clients[i].Sys().HealthWithContext(ctx)
		if err == nil && !health.Sealed {
			continue
		}
		// A Vault that lost its office in the middle of a restore does not end when it is asked to.
		c := w.h.beginCrash("the death of " + name(i) + ", which was of no use any more")
		node.Kill()
		w.h.endCrash(c, time.Second)
		if err := w.cluster.Restart(ctx, node); err != nil {
			return fmt.Errorf("%s does not come back: %w", name(i), err)
		}
	}
	if _, err := w.cluster.Active(ctx); err != nil {
		return errors.Join(err, errors.New("no node has become active although all are well"))
	}
	return nil
}
