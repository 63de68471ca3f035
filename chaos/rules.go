//go:build unix

package main

import (
	"slices"
	"time"

	"vault-plugin-secrets-zoho/zohosim"
)

// These decide which exceptions of rule 4 a token has: see crash.

const (
	// crowdTime is how close to one another, and to a crash, reads are a crowd. The engine writes what nobody
	// waits for within 50 ms, unless the machine is slow.
	crowdTime = 2 * time.Second
	crowdSize = 3
)

// changeTime is how long a cluster may be without an active node when one has lost its office.
const changeTime = 15 * time.Second

// addChanges counts as crashes the changes of the active node that none of the noted ones has caused: on a
// machine that is busy with other things a leader may lose its followers by itself. Of the others each lasts until
// there is another active node: until then the former one may have had something in memory.
func (h *history) addChanges(changes []time.Time) (added int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, at := range slices.SortedFunc(slices.Values(changes), time.Time.Compare) {
		isCause := func(c *crash) bool { return !at.Before(c.from) && at.Before(c.til.Add(changeTime)) }
		if !at.After(h.begun) {
			continue
		}
		if i := slices.IndexFunc(h.crashes, isCause); i >= 0 {
			if h.crashes[i].til.Before(at) {
				h.crashes[i].til = at
			}
			continue
		}
		h.noteLocked("a node has become active at %s, and nobody knows why", clock(at))
		h.crashes = append(h.crashes, &crash{what: "a change of the active node", from: at.Add(-changeTime), til: at})
		added++
	}
	return added
}

// mayLive names the crash by which a token may live until it expires; empty if there is none.
func (h *history) mayLive(mark string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	mine := h.leasesOnLocked(mark)
	last := h.lastUseLocked(mine)
	for _, c := range h.crashes {
		around := period{c.from.Add(-crowdTime), c.til}
		switch {
		case c.til.Before(mine[0].sent) || around.from.After(last): // it was not there yet, or its end was decided and stored
		case h.failedDuringLocked(mine, around):
			return "a read of it was under way at " + c.what
		case readIn(mine, around) >= crowdSize:
			return "it was read in a crowd at " + c.what
		case slices.ContainsFunc(mine, func(l *lease) bool { return l.mayEndIn(around) }):
			return "a lease was given back at " + c.what
		}
	}
	return ""
}

// lastUseLocked is when the last lease on a token was given back, as far as that is known. A read without an
// answer until then may have left another lease, and a lease that runs out is revoked later.
func (h *history) lastUseLocked(mine []*lease) (last time.Time) {
	for _, l := range mine {
		if l.backTil.IsZero() {
			return l.expires
		}
		if l.backTil.After(last) {
			last = l.backTil
		}
	}
	if h.failedDuringLocked(mine, period{mine[0].sent, last}) {
		return mine[0].expires
	}
	return last
}

// failedDuringLocked: a read without an answer, of a role by which the token was handed out, was under way in a period.
func (h *history) failedDuringLocked(mine []*lease, p period) bool {
	return slices.ContainsFunc(h.failed, func(a attempt) bool {
		return !a.fail.Before(p.from) && !a.sent.After(p.til) && sharesToken(a.role, mine)
	})
}

// sharesToken: crm-sync and crm-report have one grant.
func sharesToken(role string, mine []*lease) bool {
	return slices.ContainsFunc(newGrants(), func(g *grant) bool { return slices.Contains(g.roles, role) && slices.Contains(g.roles, mine[0].role) })
}

func readIn(leases []*lease, p period) (n int) {
	for _, l := range leases {
		if p.has(l.got) {
			n++
		}
	}
	return n
}

// mayEndIn reports whether Vault may have revoked the lease in a period: it was given back then, or, if nobody knows
// when Vault did it, was left to Vault not long before.
func (l *lease) mayEndIn(p period) bool {
	if !l.backTil.IsZero() {
		return p.has(l.backTil)
	}
	from := l.end
	if !l.backFrom.IsZero() {
		from = l.backFrom
	}
	return !from.After(p.til) && !p.from.After(from.Add(afterEffect))
}

// isLost: a lease on the token began after the snapshot that was restored.
func (h *history) isLost(mark string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.ContainsFunc(h.leasesOnLocked(mark), func(l *lease) bool {
		return slices.ContainsFunc(h.lost, func(p period) bool { return p.has(l.sent) || p.has(l.got) })
	})
}

// mayBeLate: a revocation of the token has failed at Zoho, of which a lease that could not be given back tells, or a
// read failed that may have been about to get it.
func (h *history) mayBeLate(mark string, requests []zohosim.Request) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	mine := h.leasesOnLocked(mark)
	failed := slices.ContainsFunc(requests, func(r zohosim.Request) bool {
		return r.Token == mark && (r.Endpoint == zohosim.EndpointRevoke || r.Endpoint == zohosim.EndpointLegacyRevoke)
	})
	known := slices.ContainsFunc(mine, func(l *lease) bool { return l.backTil.IsZero() })
	return failed && known || h.failedDuringLocked(mine, period{mine[0].sent, mine[0].expires})
}

// leasesOnLocked are the leases on a token, the first one first.
func (h *history) leasesOnLocked(mark string) (mine []*lease) {
	for _, l := range h.leases {
		if l.mark == mark {
			mine = append(mine, l)
		}
	}
	return mine
}
