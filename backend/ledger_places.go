package backend

import (
	"fmt"
	"time"
)

// A reader in a crowd need not wait for storage. With a write the ledger
// reserves places for those who will come before the next one: from then on
// storage counts each of these places as held. Who takes one has a holder that
// is stored already, and its name is written behind. When nobody hurries any
// more, what is left of the reservation is given back.
//
//	            write                       next write
//	free ─────────────────► reserved ─────────────────────► free
//	  │                         │       nobody hurries
//	  │ reader, who waits       │ reader
//	  │ for the next write      ▼
//	  │                    held, unnamed ──── release ────► gone
//	  │                         │
//	  │                         │ next write
//	  ▼                         ▼
//	held, named ◄───────────────╯
//	  ╰──────────────────── release ──────────────────────► gone
//
// After a crash the places that were reserved and have no name count as held,
// since they may be: the token lives until their leases are revoked or, where
// there is none, until it expires. A lone reader is never given a reservation.
type places struct {
	series  string // of this ledger in this process: no other has places of these names
	next    int    // the first place that nobody has taken; they begin with 1
	limit   int    // places below it need not wait: every version of the ledger that may be in storage counts them
	stored  reservation
	size    int
	counted int // next, as of the latest write
	hurry   int // readers since the first of those that came without a pause between writes
}

// reservation is a range of places, From included and To not, that storage
// counts as held. It replaces the series' former one: what was taken of that
// has been named.
type reservation struct {
	Series string `json:"series"`
	From   int    `json:"from"`
	To     int    `json:"to"`
}

const (
	// pace is the time between two writes for which nobody waits.
	pace = 50 * time.Millisecond

	// hurried is how many readers have to come in writes that follow closely on
	// each other until places are reserved: it takes two of them to save a write,
	// and one write gives the rest back.
	hurried = 3

	// maxReserved bounds what a crash can leave in doubt.
	maxReserved = 512
)

// pacing is where a ledger gets its pauses from.
type pacing struct {
	after   func(time.Duration) <-chan time.Time
	closing <-chan struct{} // no pauses any more
}

func placeID(series string, n int) string { return fmt.Sprintf("%s-%d", series, n) }

func newPlaces(series string) places { return places{series: series, next: 1, counted: 1} }

// take gives the next place away.
func (p *places) take() (place int, id string) {
	place = p.next
	p.next++
	return place, placeID(p.series, place)
}

// isReserved reports whether storage counts a place as held.
func (p *places) isReserved(place int) bool { return place < p.limit }

// isOpen reports whether storage counts places that nobody has taken.
func (p *places) isOpen() bool { return p.next < p.stored.To }

// reserve is asked with each write that names everybody who is unnamed. It
// returns what storage has to say about reserved places, nil if that stays as
// it is. Twice as many as came since the latest write will do until the next.
func (p *places) reserve(wanted bool) *reservation {
	joined := p.next - p.counted
	p.counted = p.next
	if p.hurry += joined; joined == 0 {
		p.hurry = 0
	}
	n := 0
	if wanted && p.hurry >= hurried {
		n = min(max(2*joined, p.size*3/4), maxReserved)
	}
	p.size = n
	if n == 0 && !p.isOpen() {
		return nil
	}
	p.limit = min(p.limit, p.next+n) // whatever becomes of the write
	return &reservation{Series: p.series, From: p.next, To: p.next + n}
}

// reserved notes that a reservation is stored.
func (p *places) reserved(r *reservation) {
	if r != nil {
		p.stored, p.limit = *r, r.To
	}
}

// replayReservation counts what storage says of reserved places. former is what
// it has said before; what was taken of that in the same series has been named.
func (l *ledger) replayReservation(former, r reservation) {
	if former.Series == r.Series {
		for n := former.From; n < former.To; n++ {
			delete(l.unnamed, placeID(r.Series, n))
		}
	}
	for n := r.From; n < r.To; n++ {
		l.unnamed[placeID(r.Series, n)] = true
	}
}

// pause waits until the next write is due: at once if somebody waits for it. mu
// is held, but not during the wait.
func (l *ledger) pause() {
	if len(l.queue) > 0 || l.closed || l.isRested() {
		return
	}
	select {
	case <-l.wake: // by somebody who has been served since
	default:
	}
	l.mu.Unlock()
	defer l.mu.Lock()
	select {
	case <-l.paced:
	case <-l.wake:
	case <-l.pacing.closing:
	}
}

// isRested reports whether the pause after the latest write is over; mu is held.
func (l *ledger) isRested() bool {
	select {
	case <-l.paced:
		l.paced = nil
	default:
	}
	return l.paced == nil
}

// hasten ends a pause; mu is held.
func (l *ledger) hasten() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (p pacing) isClosing() bool {
	select {
	case <-p.closing:
		return true
	default:
		return false
	}
}
