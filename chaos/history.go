//go:build unix

package main

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// lease is one answer to a read.
type lease struct {
	reader            int
	role, node        string
	id, tokenID       string
	requestID         string
	token             string
	mark              string // the token's fingerprint, as the simulator's journal has it
	owner             string // of the grant at Zoho; each refresh token here has an owner of its own
	sent, got         time.Time
	end               time.Time // no later than the lease's end at Vault
	expires           time.Time // of the token, as the answer says
	backFrom, backTil time.Time // when it was given back
	recalled          int       // the node through which it is to be given back now, beginning with 1; 0: none
	tries             int       // how often that is tried
}

// act is an operator's word that ends tokens whoever holds them.
type act struct {
	what    string
	roles   []string // nil with owners and tokenID empty: all
	owners  []string
	tokenID string
	restore bool // of a snapshot: Vault may hand out what is dead, too
	from    time.Time
	til     time.Time // reads that are sent later get what is alive; zero: not over yet
}

// crash is a moment in which the active node, or its plugin, may have lost what it had in memory only.
//
// A holder's name may follow its count by some 50 ms, and so may the end of a lease that is not the last
// one, so a token may live until it expires, instead of dying with its last lease, if around the crash
// a read of it was under way, readers came in a crowd, or a lease was given back, or was left to Vault to revoke not
// long before. It has to die all the same if all its leases had been given back before the crash.
type crash struct {
	what      string
	from, til time.Time
}

// attempt is a read without an answer, or with one that leaves open whether Vault has a lease.
type attempt struct {
	role       string
	sent, fail time.Time
}

// history is what happened in a round, as far as it was seen from outside.
type history struct {
	mu      sync.Mutex
	begun   time.Time
	leases  []*lease
	acts    []*act
	crashes []*crash
	failed  []attempt
	lost    []period             // of which a restored Vault knows nothing
	dead    map[string]time.Time // by mark: when somebody saw first that a token is dead
	lines   []string             // all of it, for people
}

func newHistory() *history { return &history{begun: time.Now(), dead: map[string]time.Time{}} }

// note writes down a line for people. It must not hold a secret.
func (h *history) note(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.noteLocked(format, args...)
}

func (h *history) noteLocked(format string, args ...any) {
	h.lines = append(h.lines, time.Now().Format("15:04:05.000 ")+fmt.Sprintf(format, args...))
}

func (h *history) addLease(l *lease) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.leases = append(h.leases, l)
	h.noteLocked("reader %d got %s of role %s through %s, sent %s, held until %s", l.reader, l.mark, l.role, l.node, clock(l.sent), clock(l.end))
}

func (h *history) addFailed(a attempt) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failed = append(h.failed, a)
}

// beginAct has to be called before the operator's request is sent.
func (h *history) beginAct(a *act) *act {
	h.mu.Lock()
	defer h.mu.Unlock()
	a.from = time.Now()
	h.acts = append(h.acts, a)
	h.noteLocked("operator begins: %s %s%s", a.what, strings.Join(a.roles, ","), a.tokenID)
	return a
}

// endAct: from now on, or after lag if the request may be carried out later still.
func (h *history) endAct(a *act, lag time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	a.til = time.Now().Add(lag)
	h.noteLocked("operator is done: %s %s%s, to be felt until %s", a.what, strings.Join(a.roles, ","), a.tokenID, clock(a.til))
}

// dropAct: it was refused, so it has ended nothing.
func (h *history) dropAct(a *act) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.acts = slices.DeleteFunc(h.acts, func(other *act) bool { return other == a })
	h.noteLocked("operator was refused: %s %s%s", a.what, strings.Join(a.roles, ","), a.tokenID)
}

func (h *history) beginCrash(what string) *crash {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := &crash{what: what, from: time.Now()}
	h.crashes = append(h.crashes, c)
	h.noteLocked("%s begins", what)
	return c
}

// endCrash: it may be felt for a lag longer.
func (h *history) endCrash(c *crash, lag time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c.til = time.Now().Add(lag)
	h.noteLocked("%s is over", c.what)
}

// excuse names the operator's word by which a lease's token may be dead; empty if there is none.
func (h *history) excuse(l *lease, at time.Time) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, a := range h.acts {
		if a.excuses(l, at) {
			return a.what
		}
	}
	return ""
}

func (a *act) excuses(l *lease, at time.Time) bool {
	return !a.from.After(at) && (a.til.IsZero() || !l.sent.After(a.til)) && a.concerns(l)
}

func (a *act) concerns(l *lease) bool {
	switch {
	case a.tokenID != "":
		return a.tokenID == l.tokenID
	case len(a.owners) > 0 && l.owner != "":
		return slices.Contains(a.owners, l.owner)
	default:
		return len(a.roles) == 0 || slices.Contains(a.roles, l.role)
	}
}

func (h *history) beginGiveBack(l *lease) {
	h.mu.Lock()
	defer h.mu.Unlock()
	l.backFrom = time.Now()
	h.noteLocked("reader %d gives %s back", l.reader, l.mark)
}

func (h *history) endGiveBack(l *lease) {
	h.mu.Lock()
	defer h.mu.Unlock()
	l.backTil = time.Now()
	h.noteLocked("reader %d has given %s back", l.reader, l.mark)
}

// recall lets all who hold a token of one of the roles give it back through a node, or with more tries through
// the others.
func (h *history) recall(roles []string, node, tries int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, l := range h.leases {
		if l.backFrom.IsZero() && slices.Contains(roles, l.role) {
			l.recalled, l.tries = node+1, tries
		}
	}
	h.noteLocked("all who hold tokens of %v give them back through %s, and try %d times", roles, name(node), tries)
}

func (h *history) recalledTo(l *lease) (node, tries int, recalled bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return l.recalled - 1, l.tries, l.recalled > 0
}

// held are the leases that somebody holds now.
func (h *history) held() (held []*lease) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, l := range h.leases {
		if l.backFrom.IsZero() && time.Now().Before(l.end) {
			held = append(held, l)
		}
	}
	return held
}

func (h *history) noteLost(p period) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lost = append(h.lost, p)
}
