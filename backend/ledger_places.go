package backend

import (
	"fmt"
	"time"
)

// places are what the leases on a token stand in, each in one of its own: see the
// package comment. Who takes a reserved place is stored already, so the name can
// be written behind, and the reader need not wait.
type places struct {
	series  string      // of this ledger in this process: no other has places of these names
	next    int         // the first place that nobody has taken; they begin with 1
	limit   int         // places below it are reserved, in whatever may be in storage
	stored  reservation // the latest one that was written without an error
	counted int         // next, as of the latest write
	hurry   int         // readers since when writes follow closely on each other
}

// reservation is a range of places, From included and To not, that storage
// counts as held until they have names. It replaces the one before: who took a
// place of that has been named.
type reservation struct {
	Series string `json:"series"`
	From   int    `json:"from"`
	To     int    `json:"to"`
}

const (
	// pace is the time between two writes for which nobody waits. With it and
	// twice as many places as came in the time before, 16 readers in a loop never
	// wait, and storage has 20 more writes a second beside their 3,000.
	pace = 50 * time.Millisecond

	// crowd is how many readers have to come in writes that follow closely on
	// each other until places are reserved. What is saved has to pay for the
	// write that gives the rest back.
	crowd = 3

	// maxReserved bounds what a crash can leave in doubt.
	maxReserved = 512
)

func newPlaces(series string) places { return places{series: series, next: 1, counted: 1} }

func placeID(series string, place int) string { return fmt.Sprintf("%s-%d", series, place) }

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

// reserve is asked before each write that names everybody who has no name yet.
// It returns what storage is to say of reserved places; nil if that need not
// change.
func (p *places) reserve() *reservation {
	came := p.next - p.counted
	p.counted = p.next
	p.hurry += came
	n := 0
	if p.hurry >= crowd {
		n = min(2*came, maxReserved)
	}
	if n == 0 && !p.isOpen() {
		return nil
	}
	// During the write, and if it fails, storage may say the one or the other.
	p.limit = min(p.limit, p.next+n)
	return &reservation{Series: p.series, From: p.next, To: p.next + n}
}

// reserved notes that a reservation is stored.
func (p *places) reserved(r reservation) { p.stored, p.limit = r, r.To }

// replayReservation counts the places of r in the stead of those of former,
// which storage named before it.
func (l *ledger) replayReservation(former, r reservation) {
	for place := former.From; place < former.To; place++ {
		delete(l.unnamed, placeID(r.Series, place)) // those of another series stay
	}
	for place := r.From; place < r.To; place++ {
		l.unnamed[placeID(r.Series, place)] = true
	}
}

// pacing is where a ledger has its pauses between writes from.
type pacing struct {
	after   func(time.Duration) <-chan time.Time
	closing <-chan struct{} // closed when the mount closes: no pauses any more
}

// pause waits until the next write is due; at once if somebody waits for it. mu
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
	case <-l.rest:
	case <-l.wake:
	case <-l.pacing.closing:
	}
}

// isRested reports whether the pause after the latest write is over; mu is held.
func (l *ledger) isRested() bool {
	select {
	case <-l.rest:
		l.rest = nil
	default:
	}
	return l.rest == nil
}

// hasten ends a pause; mu is held.
func (l *ledger) hasten() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}
