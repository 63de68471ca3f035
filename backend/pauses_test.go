package backend_test

import (
	"sync"
	"time"
)

// pauses are over at once, or last until they are ended.
type pauses struct {
	real bool // they are as long as they should be
	mu   sync.Mutex
	last bool
	open []chan time.Time
}

func (p *pauses) after(d time.Duration) <-chan time.Time {
	if p.real {
		return time.After(d)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	pause := make(chan time.Time)
	if p.open = append(p.open, pause); !p.last {
		p.end()
	}
	return pause
}

// lasting sets whether pauses last.
func (p *pauses) lasting(last bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.last = last; !last {
		p.end()
	}
}

// endOne ends the present pause; the next one lasts again.
func (p *pauses) endOne() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.end()
}

func (p *pauses) end() {
	for _, pause := range p.open {
		close(pause)
	}
	p.open = nil
}

// later keeps what has to be done later: tests have Tick do it, or look at when it is due.
type later struct {
	mu    sync.Mutex
	waits []time.Duration
}

func (l *later) do(d time.Duration, _ func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waits = append(l.waits, d)
}
