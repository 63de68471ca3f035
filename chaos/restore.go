//go:build unix

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// snapshot is one of raft's, and when it was taken.
type snapshot struct {
	content bytes.Buffer
	taken   period
}

// takeSnapshot takes one at some time, in spite of what happens to the nodes; nil if there was none to be had.
func (w *world) takeSnapshot(ctx context.Context, rng *rand.Rand, length time.Duration) *snapshot {
	for wait(ctx, between(rng, length/5, length/2)) {
		if s, err := w.trySnapshot(ctx); err == nil {
			return s
		}
		length /= 4
	}
	return nil
}

func (w *world) trySnapshot(ctx context.Context) (*snapshot, error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	s := &snapshot{taken: period{from: time.Now()}}
	i, err := w.active(ctx)
	if err == nil {
		err = w.clients[i].Sys().RaftSnapshotWithContext(ctx, &s.content)
	}
	if err != nil {
		return nil, err
	}
	s.taken.til = time.Now()
	w.h.note("operator has taken a snapshot, begun at %s", clock(s.taken.from))
	return s, nil
}

// restore does what docs/operating.md says of it: the snapshot is restored, and each role is rotated, or gets
// new credentials if that is refused. Readers go on meanwhile.
func (w *world) restore(ctx context.Context, rng *rand.Rand, s *snapshot) error {
	all := w.h.beginAct(&act{what: "restore a snapshot", restore: true})
	untilRotated := map[string]*act{}
	for _, g := range w.grants {
		w.forgiven[g.client.ID] = true
		for _, role := range g.roles {
			untilRotated[role] = w.h.beginAct(&act{what: "restore a snapshot, and not yet rotate " + role, roles: []string{role}, restore: true})
		}
	}
	lost := w.h.beginCrash("the restore of a snapshot")
	if err := w.putSnapshot(ctx, s); err != nil {
		return err
	}
	w.h.endCrash(lost, leaderChange)
	w.h.endAct(all, 0)
	w.h.noteLost(period{from: s.taken.from, til: time.Now()})
	wait(ctx, 3*time.Second) // here readers get what may be dead
	for _, g := range w.grants {
		if err := w.bringBack(ctx, rng, g); err != nil {
			return err
		}
		for _, role := range g.roles {
			w.h.endAct(untilRotated[role], 0)
		}
	}
	wait(ctx, 5*time.Second) // and here they get none
	w.totals.add("snapshots restored", 1)
	return nil
}

func (w *world) putSnapshot(ctx context.Context, s *snapshot) error {
	for try := 1; ; try++ {
		i, err := w.active(ctx)
		if err == nil {
			limited, cancel := context.WithTimeout(ctx, time.Minute)
			err = w.clients[i].Sys().RaftSnapshotRestoreWithContext(limited, bytes.NewReader(s.content.Bytes()), false)
			cancel()
		}
		if err == nil {
			break
		}
		w.h.note("the snapshot cannot be restored: %.200q", err.Error())
		if try == 5 || !wait(ctx, 3*time.Second) {
			return fmt.Errorf("restore a snapshot: %w", err)
		}
	}
	wait(ctx, 2*time.Second) // Vault seals and unseals itself behind the answer
	return w.recover(ctx)
}

// bringBack rotates the roles of a grant, or writes them anew.
func (w *world) bringBack(ctx context.Context, rng *rand.Rand, g *grant) error {
	rotated := errors.New("it is exclusive")
	for range 3 {
		if g.roles[0] == exclusiveRole {
			break
		}
		if _, rotated = w.write(ctx, rng.IntN(nodeCount), "zoho/roles/"+g.roles[0]+"/rotate", nil); outcomeOf(rotated) != unclear {
			break
		}
		wait(ctx, time.Second)
	}
	if rotated == nil {
		return nil
	}
	w.h.note("operator gives %v new credentials after the restore: %.200q", g.roles, rotated.Error())
	return w.renewGrant(ctx, rng, g)
}
