package backend

import (
	"context"
	"errors"
	"path"
	"strings"
	"time"

	"vault-plugin-secrets-zoho/backend/clock"
	"vault-plugin-secrets-zoho/backend/ledger"
	"vault-plugin-secrets-zoho/backend/refreshtoken"
	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/backend/work"
)

// What refreshtoken.Reconcile finds is done here: at once for what a writer leaves, within a
// minute for what has failed, and in the daily round for what a crash has left.

// recordID is the name of a record or of a client's entry, of its quota ID.
func recordID(quotaID string) string { return path.Base(quotaID) }

// reconcileLater goes on with a refresh token in the background.
func (e *Engine) reconcileLater(quotaID string) {
	e.work.Go(func() { e.reconcile(e.work.Life(), quotaID) })
}

// reconcile does what there is to do for a refresh token, step by step. What fails is tried
// again by Tick.
func (e *Engine) reconcile(ctx context.Context, quotaID string) {
	if isOfClient(quotaID) {
		return
	}
	err := e.tryReconcile(ctx, quotaID)
	if _, refused := errors.AsType[*refreshtoken.RefusedError](err); err == nil || refused || errors.Is(err, errGivenUp) {
		return
	}
	e.directory.unsettle(recordID(quotaID), "")
	e.log().Warn("could not go on with a refresh token that no role has any more; it is tried again", "quota", quotaID, "error", err)
}

func (e *Engine) tryReconcile(ctx context.Context, quotaID string) error {
	if err := e.Open(ctx); err != nil {
		return err // a lease's end goes on without, and then nothing tells who has a refresh token
	}
	release, err := e.reconciling.Acquire(ctx, quotaID)
	if err != nil {
		return err
	}
	defer release()
	for {
		if more, err := e.reconcileStep(ctx, quotaID); err != nil || !more {
			return err
		}
	}
}

// reconcileStep does one step, and reports whether there may be another.
func (e *Engine) reconcileStep(ctx context.Context, quotaID string) (more bool, err error) {
	record, err := e.record(ctx, quotaID)
	if err != nil {
		return false, err
	}
	turn, free := e.turns.TryAcquire(quotaID)
	if free {
		defer turn()
	}
	look := e.lookAt(ctx, quotaID, record, free)
	defer look.release()
	step, err := refreshtoken.Reconcile(quotaID, record, look.world)
	if err != nil {
		return false, err
	}
	if step.Do == refreshtoken.Nothing {
		if !look.unsure {
			e.directory.settle(recordID(quotaID), record)
		}
		return false, nil
	}
	return true, e.carryOut(ctx, refreshtoken.Plan{step}, &carrier{})
}

// look is what Reconcile may look at, and the slots of the roles that it called gone: nobody
// stores them until the step is done.
type look struct {
	world  refreshtoken.World
	slots  []func()
	unsure bool // a role was being written, or could not be read: look again
}

func (l *look) release() {
	for _, release := range l.slots {
		release()
	}
}

func (e *Engine) lookAt(ctx context.Context, quotaID string, record *refreshtoken.Record, turnFree bool) *look {
	config, err := e.configForRevocation(ctx)
	if err != nil {
		config = settings.DefaultConfig()
	}
	l := &look{}
	l.world = refreshtoken.World{
		Now: e.now(), Limits: config.Limits(), TurnFree: turnFree,
		Role: func(name string) refreshtoken.Presence {
			presence, release := e.presence(ctx, quotaID, name)
			switch presence {
			case refreshtoken.Other, refreshtoken.Again, refreshtoken.NotThere:
				l.slots = append(l.slots, release)
			case refreshtoken.Unknown, refreshtoken.Writing:
				l.unsure = true
				release()
			case refreshtoken.Has, refreshtoken.Broken:
				release()
			}
			return presence
		},
		Tokens: func() ([]refreshtoken.Token, error) { return e.tokensOf(ctx, record) },
	}
	return l
}

// presence tells of a role that a record, or the entry of a client, names. It has the slot of
// the role if that is free, until release is called.
func (e *Engine) presence(ctx context.Context, quotaID, name string) (presence refreshtoken.Presence, release func()) {
	slot, free := e.writes.TryAcquire(prefixRoles + name)
	if !free {
		return refreshtoken.Writing, func() {}
	}
	role, err := e.peekRole(ctx, name)
	switch {
	case IsBroken(err):
		return refreshtoken.Broken, slot
	case err != nil:
		return refreshtoken.Unknown, slot
	case role == nil:
		return refreshtoken.NotThere, slot
	}
	switch {
	case e.quotaID(role) == quotaID:
		return refreshtoken.Has, slot
	case role.Given:
		return refreshtoken.Again, slot
	default:
		return refreshtoken.Other, slot
	}
}

// tokensOf lists the access tokens that are stored of a refresh token.
func (e *Engine) tokensOf(ctx context.Context, record *refreshtoken.Record) (tokens []refreshtoken.Token, err error) {
	for _, id := range record.TokenIDs() {
		t, err := e.token(ctx, id)
		if err != nil {
			return nil, err
		}
		if t != nil && !t.isOver(e.now()) {
			tokens = append(tokens, refreshtoken.Token{ID: id, Held: t.ledger.IsHeld(), Closed: t.ledger.IsEnding()})
		}
	}
	return tokens, nil
}

// reconcileTasks returns a task for each refresh token that is unsettled.
func (e *Engine) reconcileTasks() (tasks []work.Task) {
	for id, server := range e.directory.allUnsettled() {
		quotaID := prefixRefreshTokens + id
		tasks = append(tasks, work.Task{Key: quotaID, Queue: server, Do: func(ctx context.Context) error {
			e.reconcile(ctx, quotaID)
			return nil // the next attempt is in the record
		}})
	}
	return tasks
}

// round is where Tick is in the daily round through all that is stored. Only Tick uses it, and
// Vault runs one at a time.
type round struct {
	began time.Time
	keys  []string // that are still to be looked at
}

const (
	roundEvery      = 24 * time.Hour
	lookedAtPerTick = 1000
)

// goRound goes on with the daily round. It begins when the engine has begun: memory does not
// know what a crash has left.
func (e *Engine) goRound(ctx context.Context) error {
	r := &e.round
	if now := e.now(); len(r.keys) == 0 && (r.began.IsZero() || clock.Elapsed(now, r.began) >= roundEvery) {
		var keys []string
		for _, prefix := range []string{prefixRefreshTokens, prefixClients, prefixRefused, prefixHolders} {
			names, err := e.storage.Storage.List(ctx, prefix) // what is in doubt is settled when it is read
			if err != nil {
				return err
			}
			for _, name := range names {
				keys = append(keys, prefix+strings.TrimSuffix(name, "/"))
			}
		}
		r.began, r.keys = now, keys
	}
	n := min(len(r.keys), lookedAtPerTick)
	var failed []error
	for i, key := range r.keys[:n] {
		if ctx.Err() != nil { // the next Tick goes on here
			n = i
			break
		}
		failed = append(failed, e.lookRound(ctx, key))
	}
	r.keys = r.keys[n:]
	return errors.Join(failed...)
}

// lookRound looks at one stored entry.
func (e *Engine) lookRound(ctx context.Context, key string) error {
	switch path.Dir(key) + "/" {
	case prefixRefreshTokens:
		return e.lookAtRecord(ctx, key)
	case prefixClients:
		return e.tidyClient(ctx, key)
	case prefixRefused:
		config, err := e.configForRevocation(ctx)
		if err != nil {
			return err
		}
		return e.forgetRefusals(ctx, recordID(key), config)
	default:
		return e.sweepHolders(ctx, recordID(key))
	}
}

// lookAtRecord finds out whether Reconcile has something to do.
func (e *Engine) lookAtRecord(ctx context.Context, quotaID string) error {
	record, err := e.peekRecord(ctx, recordID(quotaID))
	if err != nil {
		e.directory.unsettle(recordID(quotaID), "") // it is read again within a minute
	}
	if err != nil || record == nil {
		return err
	}
	look := e.lookAt(ctx, quotaID, record, true)
	defer look.release()
	step, err := refreshtoken.Reconcile(quotaID, record, look.world)
	if step.Do != refreshtoken.Nothing || look.unsure || record.IsEnding() || len(record.Roles) == 0 {
		e.directory.unsettle(recordID(quotaID), record.AccountsURL)
	}
	return err
}

// tidyClient takes roles out of a client's entry that mint with it no more.
func (e *Engine) tidyClient(ctx context.Context, quotaID string) error {
	c, err := e.client(ctx, quotaID)
	if err != nil {
		return err
	}
	look := e.lookAt(ctx, quotaID, nil, true)
	defer look.release()
	change := refreshtoken.ReconcileClient(c, look.world)
	if change == nil {
		return nil
	}
	_, _, err = e.clients.Change(ctx, recordID(quotaID), change)
	return err
}

// sweepHolders deletes a ledger whose token is gone: a write that came back after the
// deletion leaves one. A token is stored before anybody holds it.
func (e *Engine) sweepHolders(ctx context.Context, tokenID string) error {
	if entry, err := e.store.Get(ctx, prefixTokens+tokenID); err != nil || entry != nil {
		return err
	}
	left, err := e.newLedger(tokenID, ledger.Reservation{})
	if err != nil {
		return err
	}
	return left.Erase(ctx, func(context.Context) error { return nil })
}
