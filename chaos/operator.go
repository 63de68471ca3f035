//go:build unix

package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"time"

	"vault-plugin-secrets-zoho/zohosim"
)

// errForced marks a refusal that has ended tokens all the same.
var errForced = errors.New("carried out in spite of the error")

// errRefused: Vault has said no to an operator, which is no news.
var errRefused = errors.New("refused")

func (w *world) operatorEvents(run context.Context) []event {
	onAny := func(do func(context.Context, *rand.Rand, *grant) error) func(context.Context, *rand.Rand) error {
		return func(_ context.Context, rng *rand.Rand) error { // what is begun is done to its end
			return do(run, rng, w.grants[rng.IntN(len(w.grants))])
		}
	}
	return []event{
		{"role written with a new refresh token", 3, onAny(func(ctx context.Context, rng *rand.Rand, g *grant) error {
			return w.written(w.newCredentials(ctx, rng, g, false))
		})},
		{"role authorized again with a code", 2, onAny(func(ctx context.Context, rng *rand.Rand, g *grant) error {
			return w.written(w.newCredentials(ctx, rng, g, true))
		})},
		{"role written without new credentials", 3, onAny(w.touch)},
		{"role rotated", 3, onAny(w.rotate)},
		{"role deauthorized and authorized again", 2, onAny(w.deauthorize)},
		{"role deleted and written again", 1, onAny(w.deleteRole)},
		{"token ended by its token_id", 2, func(_ context.Context, rng *rand.Rand) error { return w.endToken(run, rng) }},
	}
}

func (w *world) written(came outcome) error {
	if came != done {
		return errRefused
	}
	return nil
}

// touch changes what ends no token.
func (w *world) touch(ctx context.Context, rng *rand.Rand, g *grant) error {
	_, err := w.write(ctx, rng.IntN(nodeCount), "zoho/roles/"+g.roles[0], map[string]any{"metadata": map[string]string{"ticket": "OPS-1"}, "min_ttl": []int{0, 5, 20}[rng.IntN(3)]})
	return err
}

// order carries out what ends tokens, and notes it as the operator's word unless Vault has refused it.
func (w *world) order(a *act, do func() error) error {
	w.h.beginAct(a)
	err := do()
	if outcomeOf(err) == refused && strings.Contains(err.Error(), "any more") {
		err = errors.Join(err, errForced) // decided, and Zoho could not be asked yet: that comes with any status
	}
	switch outcomeOf(err) {
	case done:
		w.h.endAct(a, 0)
	case refused:
		w.h.dropAct(a)
	case unclear:
		w.h.note("operator has no answer: %.200q", err.Error())
		w.h.endAct(a, afterEffect)
	}
	return err
}

// rotate. An exclusive role has nothing to rotate, so its grant is left alone.
func (w *world) rotate(ctx context.Context, rng *rand.Rand, g *grant) error {
	if g.roles[0] == exclusiveRole {
		return errRefused
	}
	role, force := g.roles[rng.IntN(len(g.roles))], rng.IntN(4) == 0
	return w.order(&act{what: "rotate " + role, roles: g.roles, owners: g.ownerNames()}, func() error {
		_, err := w.write(ctx, rng.IntN(nodeCount), "zoho/roles/"+role+"/rotate", map[string]any{"force": force})
		if force && outcomeOf(err) == refused {
			return errors.Join(err, errForced)
		}
		return err
	})
}

// deauthorize takes a refresh token away, half of the times the one that two roles have, and half of the times so that
// Zoho's answer is lost.
func (w *world) deauthorize(ctx context.Context, rng *rand.Rand, g *grant) error {
	if rng.IntN(2) == 0 {
		g = w.grants[0]
	}
	if g.robot {
		return errRefused
	}
	if rng.IntN(2) == 0 {
		w.h.note("Zoho: loses the answer to the next revocation")
		for _, endpoint := range []zohosim.Endpoint{zohosim.EndpointRevoke, zohosim.EndpointLegacyRevoke} {
			w.sim.Fault(endpoint, zohosim.Fault{Kind: zohosim.FaultClose, Processed: true, Count: 1})
		}
	}
	a := &act{what: "deauthorize " + g.roles[0], roles: g.roles, owners: g.ownerNames()}
	err := w.order(a, func() error {
		_, err := w.write(ctx, rng.IntN(nodeCount), "zoho/roles/"+g.roles[0]+"/deauthorize", map[string]any{"force": true})
		return err
	})
	wait(ctx, between(rng, 0, 3*time.Second))
	if again := w.newCredentials(ctx, rng, g, rng.IntN(2) == 0); again != done {
		return w.written(again)
	}
	if errors.Is(err, errForced) {
		return nil // it is decided
	}
	return err
}

// deleteRole leaves those who hold tokens of the role alone.
func (w *world) deleteRole(ctx context.Context, rng *rand.Rand, g *grant) error {
	err := w.delete(ctx, rng.IntN(nodeCount), "zoho/roles/"+g.roles[0])
	wait(ctx, between(rng, 0, 3*time.Second))
	return errors.Join(err, w.written(w.newCredentials(ctx, rng, g, false)))
}

// endToken ends the token of somebody who holds it.
func (w *world) endToken(ctx context.Context, rng *rand.Rand) error {
	held := w.h.held()
	if len(held) == 0 {
		return errRefused
	}
	l := held[rng.IntN(len(held))]
	return w.order(&act{what: "delete tokens/" + l.tokenID, tokenID: l.tokenID}, func() error {
		return w.delete(ctx, rng.IntN(nodeCount), "zoho/tokens/"+l.tokenID)
	})
}
