package ledger

// places are what the leases on a token stand in, each in one of its own: see the
// package comment. The holder in a reserved place is stored already, so the reader
// does not wait until the name is written.
type places struct {
	series   string // of this ledger in this process: no other has places of these names
	next     int    // the first place that nobody has taken; they begin with 1
	limit    int    // the places from next up to here may be taken without a write; during a write that changes the reservation, those that it has before and after
	stored   int    // where the latest reservation ends that was written without an error
	counted  int    // the value of next when a write last decided how many places to reserve
	arrivals int    // how many readers have come since writes follow closely on each other
}

// reservation is a range of places, From included and To not, that storage
// counts as held until they have names. It replaces the one before: who took a
// place of that has been named.
type reservation struct {
	Series   string
	From, To int
}

// Reservation is what the entry of a new access token says of its first readers: that they may
// be holders, until their names are written. So they wait for no write of their own.
type Reservation struct {
	Series string `json:"series"`
	To     int    `json:"to"` // the first place that is not reserved
}

const (
	// crowd is how many readers have to come in writes that follow closely on
	// each other until places are reserved. What is saved has to pay for the
	// write that gives the rest back.
	crowd = 3

	// maxReserved bounds what a crash can leave in doubt.
	maxReserved = 512
)

func newPlaces(series string) places { return places{series: series, next: 1, counted: 1} }

// Reserve reserves places for so many readers of a token that is about to be stored, with what
// it returns. Nobody else may know the ledger yet.
func (l *Ledger) Reserve(readers int) Reservation {
	to := l.places.next + min(readers, maxReserved)
	l.places.stored, l.places.limit = to, to
	return Reservation{Series: l.places.series, To: to}
}

// take gives the next place away.
func (p *places) take() (place int, id string) {
	place = p.next
	p.next++
	return place, placeID(p.series, place)
}

// isReserved reports whether storage counts a place as held. It must be one that
// was taken after the latest write began.
func (p *places) isReserved(place int) bool { return place < p.limit }

// isOpen reports whether storage counts places that nobody has taken, or may.
func (p *places) isOpen() bool { return min(p.next, p.limit) < p.stored }

// nextReservation is what a write has to say of reserved places, nil if nothing.
// It may be asked only if everybody who has taken a place is named by then. For
// the time until the write after that twice as many will do as came since the
// one before.
func (p *places) nextReservation() *reservation {
	came := p.next - p.counted
	p.counted = p.next
	if p.arrivals += came; came == 0 {
		p.arrivals = 0
	}
	n := 0
	if p.arrivals >= crowd {
		n = min(2*came, maxReserved)
	}
	if n == 0 && !p.isOpen() {
		return nil
	}
	p.limit = min(p.limit, p.next+n)
	return &reservation{Series: p.series, From: p.next, To: p.next + n}
}

// confirm notes that a reservation is stored.
func (p *places) confirm(r reservation) { p.stored, p.limit = r.To, r.To }

// close lets nobody have a place without a write any more, until one succeeds.
func (p *places) close() { p.limit = 0 }
