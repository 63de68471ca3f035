//go:build unix

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"vault-plugin-secrets-zoho/zohosim"
)

func (w *world) zohoEvents() []event {
	fault := func(kind zohosim.FaultKind, processed bool) func(context.Context, *rand.Rand) error {
		return func(ctx context.Context, rng *rand.Rand) error {
			w.faulty(ctx, rng, endpoints()[rng.IntN(len(endpoints()))], zohosim.Fault{Kind: kind, Processed: processed})
			return nil
		}
	}
	return []event{
		{"Zoho drops connections", 3, fault(zohosim.FaultClose, false)},
		{"Zoho answers 500", 3, fault(zohosim.FaultHTML500, false)},
		{"Zoho loses answers after doing the work", 4, fault(zohosim.FaultClose, true)},
		{"Zoho breaks answers off after doing the work", 2, fault(zohosim.FaultCut, true)},
		{"Zoho does not answer", 1, fault(zohosim.FaultHang, false)},
		{"Zoho throttles without a reason", 1, fault(zohosim.FaultThrottled, false)},
		{"Zoho refuses revocations", 5, w.refuseRevocations},
		{"Zoho is slow", 4, w.slow},
		{"Zoho is away", 2, w.away},
	}
}

func endpoints() []zohosim.Endpoint {
	return []zohosim.Endpoint{zohosim.EndpointToken, zohosim.EndpointRevoke, zohosim.EndpointLegacyRevoke}
}

// faulty spoils the next few answers, or those of a few seconds.
func (w *world) faulty(ctx context.Context, rng *rand.Rand, endpoint zohosim.Endpoint, fault zohosim.Fault) {
	if fault.Count = 1 + rng.IntN(3); endpoint != zohosim.EndpointToken && rng.IntN(2) == 0 {
		fault.Count = 0
	}
	w.h.note("Zoho: fault %s of %s begins, done: %t", fault.Kind, endpoint, fault.Processed)
	w.sim.Fault(endpoint, fault)
	wait(ctx, between(rng, time.Second, 5*time.Second))
	w.sim.ClearFaults()
	w.h.note("Zoho: fault is over")
}

// refuseRevocations answers with a status or a word that is not documented, or with a word that says nothing of the
// token. (To refuse the token itself at both endpoints would say that it is dead, and be a lie.)
func (w *world) refuseRevocations(ctx context.Context, rng *rand.Rand) error {
	status, word := http.StatusBadRequest, "maintenance_window" // as if the token were dead, but for a word that nobody knows
	if rng.IntN(2) == 0 {
		status, word = []int{http.StatusForbidden, http.StatusServiceUnavailable, http.StatusOK}[rng.IntN(3)], "general_error"
	}
	refusal := zohosim.Fault{Kind: zohosim.FaultAnswer, Status: status, Body: fmt.Sprintf(`{"error":%q}`, word)}
	w.h.note("Zoho: revocations are refused with %d %s", status, word)
	w.sim.Fault(zohosim.EndpointRevoke, refusal)
	w.sim.Fault(zohosim.EndpointLegacyRevoke, refusal)
	w.recall(rng, rng.IntN(nodeCount))
	wait(ctx, between(rng, time.Second, 6*time.Second))
	w.sim.ClearFaults()
	w.h.note("Zoho: revocations are no longer refused")
	return nil
}

func (w *world) slow(ctx context.Context, rng *rand.Rand) error {
	latency := between(rng, 100*time.Millisecond, 4*time.Second)
	w.h.note("Zoho: takes %s", latency)
	w.sim.SetLatency(latency)
	wait(ctx, between(rng, 2*time.Second, 8*time.Second))
	w.sim.SetLatency(0)
	w.h.note("Zoho: is quick again")
	return nil
}

func (w *world) away(ctx context.Context, rng *rand.Rand) error {
	w.h.note("Zoho: is away")
	w.sim.SetDown(true)
	wait(ctx, between(rng, time.Second, 8*time.Second))
	w.sim.SetDown(false)
	w.h.note("Zoho: is there again")
	return nil
}

func (w *world) calmZoho() {
	w.sim.ClearFaults()
	w.sim.SetDown(false)
	w.sim.SetLatency(0)
}
