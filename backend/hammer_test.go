package backend_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend"
	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/backend/zoho"
)

// TestHammer_ReadersRevokersWritersAndTimeAtOnce is for the race detector, and
// for what only interleaving can break: a lease that is valid before and after
// a look at its token had a live token in between.
func TestHammer_ReadersRevokersWritersAndTimeAtOnce(t *testing.T) {
	w := newWorld(t)
	w.pauses.real = true
	w.configure(settings.ConfigChange{RequestBudget: ptr(1000)})
	w.sim.SetThrottle(throttleOff)
	w.writeRole("books", settings.RoleChange{RefreshToken: &w.refreshToken})
	w.writeRole("desk", settings.RoleChange{RefreshToken: ptr(w.sim.Consent(w.client, "us", "desk@example.com", scopes))})
	_, err := w.writeCode("mail", w.code())
	require.NoError(t, err)
	roles := []string{"crm-sync", "books", "desk", "mail"}

	const rounds = 300
	var wg sync.WaitGroup
	var reads, dead atomic.Int64
	for range 8 {
		wg.Go(func() {
			for range rounds {
				ctx, cancel := context.WithCancel(context.Background())
				if rand.IntN(20) == 0 {
					cancel() // a reader that gives up
				}
				issued, err := w.engine.Issue(ctx, roles[rand.IntN(len(roles))], backend.Reader{})
				cancel()
				var failed *backend.GrantError
				var bad *settings.UserError // its role is being deleted
				switch {
				case errors.Is(err, context.Canceled), errors.As(err, &failed), errors.As(err, &bad):
					continue
				case err != nil:
					t.Error(err)
					return
				}
				reads.Add(1)
				if !w.alive(issued) && issued.ExpiresAt.After(w.clock.Now()) {
					dead.Add(1)
				}
				if err := w.engine.Release(context.Background(), leaseOf(issued), notTainted); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Go(func() {
		for i := range rounds {
			if _, err := w.engine.WriteConfig(context.Background(), settings.ConfigChange{MinTTL: ptr(time.Duration(i%600) * time.Second)}); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Go(func() {
		for range rounds / 3 {
			if _, err := w.engine.DeleteRole(context.Background(), "books"); err != nil {
				t.Error(err)
			}
			w.hammerWrite(t, "books", settings.RoleChange{RefreshToken: &w.refreshToken})
		}
	})
	for range 2 {
		wg.Go(func() { w.hammerWithVerify(t, rounds/3) })
	}
	wg.Go(func() {
		for range rounds {
			w.clock.Advance(7 * time.Second)
			if err := w.engine.Tick(context.Background(), notTainted); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	require.Zero(t, dead.Load(), "readers got a token that was dead already")
	require.Greater(t, reads.Load(), int64(rounds))
	w.endsClean("after the hammer")
	require.Empty(t, w.unknown())
	require.Zero(t, w.sim.LiveTokens(w.refreshToken))
}

func (w *world) hammerWrite(t *testing.T, role string, change settings.RoleChange) {
	if _, err := w.engine.WriteRole(context.Background(), role, change); err != nil {
		t.Error(err)
	}
}

// hammerWithVerify writes roles of all grants, with a trial, and authorizes one
// of them again and again.
func (w *world) hammerWithVerify(t *testing.T, rounds int) {
	desk := w.refreshTokenOf("desk")
	for i := range rounds {
		role, refreshToken := "books", w.refreshToken
		if i%2 == 0 {
			role, refreshToken = "desk", desk
		}
		w.hammerWrite(t, role, settings.RoleChange{RefreshToken: &refreshToken, Verify: ptr(true)})
		if i%10 == 0 {
			// A code lives for two minutes, and what came of it for a little longer
			// until its role is stored. Time runs fast here.
			var late *backend.GrantError
			_, err := w.engine.WriteRole(context.Background(), "mail", settings.RoleChange{Code: ptr(w.code())})
			if err != nil && (!errors.As(err, &late) || late.Kind != zoho.Refused && late.Kind != zoho.Throttled && late.Kind != zoho.Unreachable) {
				t.Error(err)
			}
		}
	}
}
