package ledger

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// What may be asked of a ledger. Nothing here changes it.

// IsEnding reports whether the token's end was decided.
func (l *Ledger) IsEnding() bool { return !l.EndingSince().IsZero() }

// CanBeHeld reports whether the token may get another holder. It must not if its
// end is decided, nor if the ledger is damaged: the decision may be in what is
// lost.
func (l *Ledger) CanBeHeld() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.canBeHeldLocked()
}

func (l *Ledger) canBeHeldLocked() bool { return l.ending.IsZero() && !l.closed && !l.damaged }

// EndingSince is when the token's end was decided; zero if it was not.
func (l *Ledger) EndingSince() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ending
}

// IsIdle reports whether the token's last holder is gone although nobody
// decided its end: it is kept for the next reader, or was; a holder that was being
// written when the last but one left was withdrawn; or the decision could not be stored
// until Vault gave up asking.
func (l *Ledger) IsIdle() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.isIdleLocked()
}

func (l *Ledger) isIdleLocked() bool {
	return l.released && l.heldLocked() == 0 && l.ending.IsZero()
}

// IsDue reports whether the token is idle, and nobody wants it kept any more.
func (l *Ledger) IsDue(now time.Time, keeps Keeps) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.isIdleLocked() && !l.isKeptLocked(now, keeps)
}

// Roles names the roles whose readers were given the token.
func (l *Ledger) Roles() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Sorted(maps.Keys(l.roles))
}

// IsHeld reports whether somebody holds the token. It only looks.
func (l *Ledger) IsHeld() bool {
	all, _ := l.Count()
	return all > 0
}

// Holder returns the holder of a place, if it is held and has a name.
func (l *Ledger) Holder(id string) (h Holder, held bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	h, held = l.holders[id]
	return h, held
}

// Count is the number of holders, those among them whose names are not known.
func (l *Ledger) Count() (all, unnamed int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.heldLocked(), len(l.unnamed)
}

// heldLocked is the number of holders.
func (l *Ledger) heldLocked() int { return len(l.holders) + len(l.unnamed) }

// Overdue names the holders whose leases should have ended by then. It does
// without the order of Holders, since it is asked of every token once a minute.
func (l *Ledger) Overdue(then time.Time) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var ids []string
	for id, h := range l.holders {
		if !h.Until.After(then) {
			ids = append(ids, id)
		}
	}
	return ids
}

// Holders returns the holders whose names are known, the oldest first.
func (l *Ledger) Holders() []Holder {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.SortedFunc(maps.Values(l.holders), func(a, b Holder) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.ID, b.ID))
	})
}

// Cursor sorts as Holders does.
func (h Holder) Cursor() string {
	return h.Since.UTC().Format("20060102T150405.000000000") + "-" + h.ID
}
