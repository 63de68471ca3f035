package backend_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend"
	"vault-plugin-secrets-zoho/zohosim"
)

// crashAfter lets the process die after n more writes: the rest fails, and
// Zoho gets no more calls. It reports whether it came to that.
func (w *world) crashAfter(n int) (crashed func() bool) {
	dead := false
	w.storage.failing(func(string) bool {
		if n--; n < 0 && !dead {
			dead = true
			w.sim.SetDown(true)
		}
		return dead
	})
	return func() bool {
		w.restart() // waits for what is under way
		w.storage.failing(nil)
		w.sim.SetDown(false)
		return dead
	}
}

// TestCrash_AfterEachStorageWriteOfEachOperation: whatever was being done, what
// was there before works as before, doing it again succeeds, and in the end
// nothing is left behind.
func TestCrash_AfterEachStorageWriteOfEachOperation(t *testing.T) {
	other := func(w *world) string { return w.sim.Consent(w.client, "us", "other@example.com", scopes) }
	for _, c := range []struct {
		name    string
		prepare func(*world)       // beyond a mount with a role and a lease
		do      func(*world) error // and again after the crash, as its caller would
		ends    int                // how many leases, the oldest first, it ends
	}{
		{name: "config write", do: func(w *world) error {
			_, err := w.engine.WriteConfig(w.t.Context(), backend.ConfigChange{MinTTL: ptr(time.Minute)})
			return err
		}},
		{name: "role write", do: func(w *world) error {
			_, err := w.engine.WriteRole(w.t.Context(), "books", backend.RoleChange{RefreshToken: &w.refreshToken})
			return err
		}},
		{name: "role replaced", do: func(w *world) error {
			_, err := w.engine.WriteRole(w.t.Context(), "crm-sync", backend.RoleChange{RefreshToken: ptr(other(w))})
			return err
		}},
		{name: "role deleted", do: func(w *world) error { _, err := w.engine.DeleteRole(w.t.Context(), "crm-sync"); return err }},
		{name: "warm read", do: readAgain},
		{name: "cold read", prepare: func(w *world) { w.clock.Advance(51 * time.Minute) }, do: readAgain},
		{name: "exclusive read", prepare: func(w *world) {
			w.writeRole("crm-sync", backend.RoleChange{Exclusive: ptr(true)})
		}, do: readAgain},
		{name: "failed mint", prepare: func(w *world) {
			w.clock.Advance(51 * time.Minute)
			w.sim.Fault(zohosim.EndpointToken, zohosim.Fault{Kind: zohosim.FaultHTML500, Count: 1})
		}, do: readAgain},
		{name: "revocation of one of two", prepare: func(w *world) { w.leases = append(w.leases, w.read("crm-sync")) }, do: revokeFirst, ends: 1},
		{name: "revocation of the last", do: revokeFirst, ends: 1},
		{name: "tick that mints ahead", prepare: func(w *world) { w.clock.Advance(40 * time.Minute) }, do: tickOnce},
		{name: "tick that sweeps", prepare: func(w *world) { w.clock.Advance(2 * time.Hour) }, do: tickOnce, ends: 1},
		{name: "tick that goes on revoking", prepare: func(w *world) {
			w.sim.SetDown(true)
			require.Error(w.t, w.release(w.leases[0]))
			w.sim.SetDown(false)
		}, do: tickOnce, ends: 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			for writes, crashed := 0, true; crashed; writes++ {
				require.Less(t, writes, 30)
				what := fmt.Sprintf("crash after %d writes", writes)
				w := newWorld(t)
				w.leases = []*backend.Issued{w.read("crm-sync")}
				if c.prepare != nil {
					c.prepare(w)
				}
				came := w.crashAfter(writes)
				_ = c.do(w)
				crashed = came()

				for _, lease := range w.leases[c.ends:] {
					require.True(t, w.alive(lease), "%s: a lease that was there has a dead token", what)
				}
				require.NoError(t, c.do(w), what)
				w.endsClean(what)
			}
		})
	}
}

func readAgain(w *world) error {
	issued, err := w.engine.Issue(w.t.Context(), "crm-sync", backend.Reader{})
	if err == nil {
		w.leases = append(w.leases, issued)
	}
	return err
}

func revokeFirst(w *world) error { return w.release(w.leases[0]) }

func tickOnce(w *world) error {
	err := w.engine.Tick(w.t.Context())
	w.settle()
	return err
}

// endsClean revokes all leases and lets time pass: nothing may be left, except
// at Zoho a token whose minting was cut off before anybody could learn of it.
func (w *world) endsClean(what string) {
	w.t.Helper()
	for _, lease := range w.leases {
		require.NoError(w.t, w.release(lease), what)
	}
	for range 20 {
		w.clock.Advance(5 * time.Minute)
		w.tick()
	}
	require.Empty(w.t, w.keys("tokens/"), what)
	require.Empty(w.t, w.keys("holders/"), what)
}
