package tokenserver

import (
	"net"
	"slices"
	"strings"
	"time"
)

// The package's documentation has a picture of these times.
const (
	// shortestCall is less than a call to Zoho takes. Threads that start together ask
	// within it; nobody learns in it that a token is dead.
	shortestCall = 100 * time.Millisecond
	// settled is when programs that start together have done so.
	settled = 5 * time.Second
	// longestSkew is a minute more than the longest time before a token's end at which a
	// client is known to refresh by habit: a quarter of an hour.
	longestSkew = 16 * time.Minute
	// shortestToken is too short for a retry: its successor is about to come anyway.
	shortestToken = time.Minute

	firstPause   = 5 * time.Minute
	longestPause = time.Hour

	// maxTold bounds what is kept of a role's callers, maxToldOne what is kept of a
	// process, and toldFor for how long after its end.
	maxTold    = 1000
	maxToldOne = 64
	toldFor    = 24 * time.Hour
)

// told is an answer that a caller may rely on.
type told struct {
	tokenID   string
	at, until time.Time
}

// isNearlyOver reports whether a caller refreshes by habit.
func (t told) isNearlyOver(now time.Time) bool {
	return t.until.Sub(now) <= max(shortestToken, min(longestSkew, t.until.Sub(t.at)*3/4))
}

// callers is what the callers of a role were told. From it, and from nothing
// else, follows whether a caller who comes has found its token dead.
type callers struct {
	told         map[string][]told // by process, the oldest first
	count        int
	doubted      string // a token that somebody came back for early,
	doubtedSince time.Time
}

// came reports whether a caller who comes while the token is the current one has had it
// already, and comes long before its end: a retry. A caller is taken for as
// harmless as it can be: if its process may have been told something that is
// nearly over, that is why it comes.
func (c *callers) came(process, tokenID string, now time.Time) bool {
	if i := slices.IndexFunc(c.told[process], func(t told) bool { return t.isNearlyOver(now) }); i >= 0 {
		c.drop(process, i)
		return false
	}
	i := slices.IndexFunc(c.told[process], func(t told) bool { return t.tokenID == tokenID })
	if i < 0 {
		return false
	}
	age := now.Sub(c.told[process][i].at)
	if age < shortestCall {
		return false
	}
	if process != "" { // of unknown ones this may be another, and that one comes back for what it was told
		c.drop(process, i)
	}
	if c.doubted != tokenID {
		c.doubted, c.doubtedSince = tokenID, now
	}
	// A program that runs for a second cannot come back later than that: the next one counts.
	return age >= settled || now.Sub(c.doubtedSince) >= settled
}

func (c *callers) tell(process string, t told) {
	if c.told == nil {
		c.told = make(map[string][]told)
	}
	for list := c.told[process]; len(list) > 0 && (len(list) >= maxToldOne || t.at.Sub(list[0].until) > toldFor); list = c.told[process] {
		c.drop(process, 0)
	}
	for other := range c.told { // any one: it is then taken for one that starts
		if c.count < maxTold {
			break
		}
		c.drop(other, 0)
	}
	c.told[process] = append(c.told[process], t)
	c.count++
}

func (c *callers) drop(process string, i int) {
	c.told[process] = slices.Delete(c.told[process], i, i+1)
	c.count--
	if len(c.told[process]) == 0 {
		delete(c.told, process)
	}
}

// trust bounds how often the callers of a role get another token for one that
// may be dead: after each the pause is twice as long.
type trust struct {
	pause time.Duration
	next  time.Time
}

func (t *trust) allows(now time.Time) bool { return !now.Before(t.next) }

// spent notes that callers got another token. After an hour in which they could
// have got one and did not need it, the pause is as short as at first.
func (t *trust) spent(now time.Time) {
	if now.Sub(t.next) >= longestPause {
		t.pause = 0
	}
	t.pause = min(max(2*t.pause, firstPause), longestPause)
	t.next = now.Add(t.pause)
}

// failed notes that there was no other token, which has cost Zoho nothing.
func (t *trust) failed(now time.Time) { t.next = now.Add(maxRetry) }

// cameBack doubts the current token if the caller has had it for a while, and comes long
// before its end.
func (r *role) cameBack(process string, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.current
	if !l.isUsable(now) || l.TokenID == "" {
		return
	}
	if r.callers.came(process, l.TokenID, now) && r.trust.allows(now) {
		r.doubted = l.TokenID
	}
}

func (r *role) doubt() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.doubted
}

// doubtEnds notes whether there was another token for one that was doubted.
func (r *role) doubtEnds(another bool, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.doubted = ""
	if another {
		r.trust.spent(now)
	} else {
		r.trust.failed(now)
	}
}

// handOut notes what a caller is told of a lease.
func (r *role) handOut(l *Lease, process string, now, until time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	// Meanwhile another lease may hold the token.
	for _, held := range append([]*Lease{l, r.current}, r.former...) {
		if held != nil && held.Token.Equal(l.Token) {
			held.promise(until)
		}
	}
	if l.end().After(r.inUseUntil) {
		r.inUseUntil = l.end()
	}
	r.callers.tell(process, told{tokenID: l.TokenID, at: now, until: until})
}

// processOf tells one process among the callers from the others: it is "" for one that the
// kernel does not name, over TCP or from another PID namespace (pid=0).
func processOf(caller string) string {
	if _, _, err := net.SplitHostPort(caller); err == nil || caller == "unix" || strings.HasSuffix(caller, " pid=0") {
		return ""
	}
	return caller
}
