//go:build unix

package main

import (
	"fmt"
	"slices"
	"time"

	"vault-plugin-secrets-zoho/zohosim"
)

// checkTraffic is rules 2 and 3, for the requests that the simulator remembers.
func (w *world) checkTraffic() error {
	requests := w.sim.Requests()
	quotas := map[string][]zohosim.Request{}
	for _, r := range requests {
		fresh := !r.Time.Before(w.h.begun)
		if fresh && r.SecretInURL {
			return fmt.Errorf("rule 6: a secret is in the address of a request to %s", r.Endpoint)
		}
		if fresh && (r.Endpoint == zohosim.EndpointRevoke || r.Endpoint == zohosim.EndpointLegacyRevoke) {
			w.totals.add("revocations at Zoho", 1)
		}
		if r.Endpoint != zohosim.EndpointToken {
			continue
		}
		if fresh {
			w.totals.add("token requests", 1)
		}
		if fresh && r.Error == "Access Denied" && r.Fault == "" && !w.forgiven[r.ClientID] {
			w.totals.add(throttled, 1)
			return fmt.Errorf("rule 3: Zoho had to throttle at %s\n%s", clock(r.Time), w.h.story(r.Token, r.Time.Add(-window), r.Time, requests))
		}
		for _, key := range w.quotasOf(r) {
			quotas[key] = append(quotas[key], r)
		}
	}
	for _, all := range quotas {
		if err := w.checkBudget(all); err != nil {
			return err
		}
	}
	return w.checkEvictions()
}

// quotasOf names what Zoho counts a request in: its refresh token, its client if it has none, and with the harder
// way always its client.
func (w *world) quotasOf(r zohosim.Request) (keys []string) {
	if r.GrantType == "refresh_token" {
		keys = append(keys, r.Token)
	}
	if r.GrantType != "refresh_token" || w.harder {
		keys = append(keys, r.ClientID)
	}
	return keys
}

func (w *world) checkBudget(requests []zohosim.Request) error {
	slices.SortFunc(requests, func(a, b zohosim.Request) int { return a.Time.Compare(b.Time) })
	for i := budget; i < len(requests); i++ {
		first, last := requests[i-budget].Time, requests[i].Time
		if last.Sub(first) < window && !w.forgiven[requests[i].ClientID] {
			return fmt.Errorf("rule 2: %d token requests of one quota in %s, until %s\n%s", budget+1, last.Sub(first), clock(last), w.h.story(requests[i].Token, first, last, requests))
		}
	}
	return nil
}

// checkEvictions lets Zoho push out only what nobody can miss. At the limit the engine makes room by ending tokens
// that nobody holds, and if Zoho refuses that, it is those that Zoho pushes out.
func (w *world) checkEvictions() error {
	all, requests := w.sim.Evicted(), w.sim.Requests()
	fresh := all[min(w.evicted, len(all)):]
	w.evicted = len(all)
	for _, token := range fresh {
		switch {
		case w.forgiven[token.ClientID]:
			w.totals.add("tokens that Zoho evicted after a restore", 1)
		case token.Kind == "access" && w.h.nobodyMisses(token.Fingerprint, requests):
			w.totals.add("tokens that Zoho evicted after it had refused to end them, or lost", 1)
		default:
			w.totals.add(evicted, 1)
			return fmt.Errorf("rule 3: Zoho has evicted %s\n%s", token.Fingerprint, w.h.story(token.Fingerprint, w.h.begun, time.Now(), requests))
		}
	}
	return nil
}

// nobodyMisses reports whether a token was never handed out, as where Zoho's answer was lost, or was given back by all
// who had it, and Zoho was asked to end it, before it died.
func (h *history) nobodyMisses(mark string, requests []zohosim.Request) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	mine := h.leasesOnLocked(mark)
	died, seen := h.dead[mark]
	if !seen {
		died = time.Now()
	}
	held := slices.ContainsFunc(mine, func(l *lease) bool {
		return l.got.Before(died) && l.end.After(died) && (l.backFrom.IsZero() || l.backFrom.After(died))
	})
	asked := slices.ContainsFunc(requests, func(r zohosim.Request) bool {
		return r.Token == mark && r.Endpoint == zohosim.EndpointRevoke && r.Time.Before(died)
	})
	return len(mine) == 0 || !held && asked
}
