package ledger

import (
	"context"
	"fmt"
	"path"
	"slices"

	"vault-plugin-secrets-zoho/backend/work"
)

// deletionsAtOnce bounds the writes with which a ledger is erased. Storage takes
// several in the time of one.
const deletionsAtOnce = 8

func (l *Ledger) segmentKey(n int) string { return fmt.Sprintf("%s%08d", l.options.Prefix, n) }

// Load reads the ledger from storage into a new one. What cannot be decoded is no
// error, since nobody could end a lease on the token then. It counts as one more
// holder, so that the token dies of age and not while somebody may have it.
func (l *Ledger) Load(ctx context.Context) error {
	keys, err := l.options.Storage.List(ctx, l.options.Prefix)
	if err != nil {
		return err
	}
	slices.Sort(keys)
	first := reservation{Series: l.options.First.Series, From: 1, To: l.options.First.To}
	replay := replay{Ledger: l, reserved: first, gone: make(map[string]bool)}
	l.replayReservation(reservation{}, first)
	for _, key := range keys {
		entry, err := l.options.Storage.Get(ctx, path.Join(l.options.Prefix, key))
		if err != nil {
			return err
		}
		if entry == nil {
			continue
		}
		number := 0
		_, err = fmt.Sscanf(key, "%d", &number)
		records, whole := records(entry.Value)
		for _, r := range records {
			replay.carryOut(r, number)
		}
		if l.open.number = max(l.open.number, number+1); err != nil || !whole {
			l.damaged = true
			l.unnamed[key] = true
			l.options.Log().Error("cannot decode who holds an access token; nobody new gets it, and it lives until it expires", "token_id", l.options.TokenID, "entry", l.options.Prefix+key)
		}
	}
	return nil
}

// replay is a ledger that is being loaded.
type replay struct {
	*Ledger
	reserved reservation     // that stands
	gone     map[string]bool // who was released: the name of a reserved place may be written after its release
}

// carryOut carries out a record of a segment.
func (l *replay) carryOut(r record, segment int) {
	switch {
	case r.hold != nil:
		if !l.gone[r.hold.ID] {
			l.holders[r.hold.ID] = *r.hold
		}
		delete(l.unnamed, r.hold.ID)
		l.countReaderLocked(*r.hold)
	case r.release != "":
		if h, held := l.holders[r.release]; held && !r.at.IsZero() {
			l.roles[h.Role] = r.at
		}
		l.gone[r.release] = true
		delete(l.holders, r.release)
		delete(l.unnamed, r.release)
		l.released = true
	case r.reserve != nil:
		l.replayReservation(l.reserved, *r.reserve)
		l.reserved = *r.reserve
	default:
		l.ending, l.endingIn = r.ending, segment
	}
}

// replayReservation counts the places of r instead of those of former,
// which storage named before it.
func (l *Ledger) replayReservation(former, r reservation) {
	for place := former.From; place < former.To; place++ {
		delete(l.unnamed, placeID(r.Series, place)) // those of another series stay
	}
	for place := r.From; place < r.To; place++ {
		l.unnamed[placeID(r.Series, place)] = true
	}
}

// Erase closes the ledger and deletes it from storage, when the token is gone.
// A write that is under way is waited for: it would come back after the
// deletion. token deletes the entry of the token.
func (l *Ledger) Erase(ctx context.Context, token func(context.Context) error) error {
	l.mu.Lock()
	l.closed, l.deferred = true, nil
	l.endPauseLocked()
	writing := l.writing
	l.mu.Unlock()
	if writing != nil {
		select {
		case <-writing:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	keys, err := l.options.Storage.List(ctx, l.options.Prefix)
	if err != nil {
		return err
	}
	// The token is dead. The decision goes last, so that a crash leaves no token that seems
	// to live and to be held.
	last := l.segmentKey(l.endingIn)
	if err := work.Each(deletionsAtOnce, keys, func(key string) error {
		if key = path.Join(l.options.Prefix, key); key == last {
			return nil
		}
		return l.options.Storage.Delete(ctx, key)
	}); err != nil {
		return err
	}
	if err := token(ctx); err != nil || len(keys) == 0 {
		return err
	}
	return l.options.Storage.Delete(ctx, last)
}
