package backend

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// What may be asked of a ledger. Nothing here changes it.

func (l *ledger) isEnding() bool { return !l.endingSince().IsZero() }

// canBeHeld reports whether the token may get another holder. It must not if its
// end is decided, nor if the ledger is damaged: the decision may be in what is
// lost.
func (l *ledger) canBeHeld() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.canBeHeldLocked()
}

func (l *ledger) canBeHeldLocked() bool { return l.ending.IsZero() && !l.closed && !l.damaged }

// endingSince is when the token's end was decided; zero if it was not.
func (l *ledger) endingSince() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ending
}

// isDue reports whether the token's last holder is gone although nobody
// decided its end: a holder that was being written when the last but one left
// was withdrawn, or the decision could not be stored until Vault gave up asking.
func (l *ledger) isDue() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.released && l.held() == 0
}

func (l *ledger) isHeld() bool {
	all, _ := l.count()
	return all > 0
}

func (l *ledger) holder(id string) (h Holder, held bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	h, held = l.holders[id]
	return h, held
}

// count is the number of holders, those among them whose names are not known.
func (l *ledger) count() (all, unnamed int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.held(), len(l.unnamed)
}

// held is the number of holders; mu is held.
func (l *ledger) held() int { return len(l.holders) + len(l.unnamed) }

// overdue names the holders whose leases should have ended by then. It does
// without list's order, since it is asked of every token once a minute.
func (l *ledger) overdue(then time.Time) []string {
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

// list returns the holders whose names are known, the oldest first.
func (l *ledger) list() []Holder {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.SortedFunc(maps.Values(l.holders), func(a, b Holder) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.ID, b.ID))
	})
}

// cursor sorts as list does.
func (h Holder) cursor() string {
	return h.Since.UTC().Format("20060102T150405.000000000") + "-" + h.ID
}
