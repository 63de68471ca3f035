package backend_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend"
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

// crashCase is an operation during which the process dies.
type crashCase struct {
	name      string
	prepare   func(*world)       // beyond a mount with a role and a lease
	do        func(*world) error // and again after the crash, as its caller would
	ends      int                // how many leases, the oldest first, it ends
	exchanges bool               // a grant code: see TestCrash
}

// TestCrash_AfterEachStorageWriteOfEachOperation: whatever was being done, what
// was there before works as before, doing it again succeeds, and in the end
// nothing is left behind - except that a crash between Zoho's answer and the
// first write of a code exchange leaves one refresh token at Zoho that nobody
// can know. No order of writes can help against that; after the first write a
// crash loses nothing.
func TestCrash_AfterEachStorageWriteOfEachOperation(t *testing.T) {
	for _, c := range slices.Concat(crashesOfOperators(), crashesOfReaders(), crashesOfTick(), crashesOfAuthorizations()) {
		t.Run(c.name, func(t *testing.T) {
			var lost int
			for writes, crashed := 0, true; crashed; writes++ {
				require.Less(t, writes, 30)
				crashed = c.crash(t, writes, &lost)
			}
			require.LessOrEqual(t, lost, 1)
		})
	}
}

func (c crashCase) crash(t *testing.T, writes int, lost *int) (crashed bool) {
	what := fmt.Sprintf("crash after %d writes", writes)
	w := newWorld(t)
	w.leases = []*backend.Issued{w.read("crm-sync")}
	if c.prepare != nil {
		c.prepare(w)
	}
	w.settle() // so that what is written behind is no write of the operation
	came := w.crashAfter(writes)
	_ = c.do(w)
	crashed = came()

	for _, lease := range w.leases[c.ends:] {
		require.True(t, w.alive(lease), "%s: a lease that was there has a dead token", what)
	}
	w.countsWhatLives(what)
	unknown := w.unknown()
	require.NoError(t, c.do(w), what)
	w.endsClean(what)
	if c.exchanges {
		*lost += len(unknown)
		require.ElementsMatch(t, unknown, w.unknown(), what)
		require.Len(t, w.living("refresh"), len(unknown)+c.authorized(w), what)
	}
	return crashed
}

// countsWhatLives requires that of no refresh token more access tokens live at Zoho than
// the engine counts: it could otherwise make Zoho end one that somebody leases.
func (w *world) countsWhatLives(what string) {
	w.t.Helper()
	names, err := w.engine.RoleNames(w.t.Context())
	require.NoError(w.t, err)
	for _, name := range names {
		if refreshToken := w.refreshTokenOf(name); refreshToken != "" {
			require.GreaterOrEqual(w.t, w.status(name).LiveTokens, w.sim.LiveTokens(refreshToken), "%s: tokens of %s", what, name)
		}
	}
}

// authorized counts the roles that have a refresh token.
func (c crashCase) authorized(w *world) (n int) {
	names, err := w.engine.RoleNames(w.t.Context())
	require.NoError(w.t, err)
	for _, name := range names {
		if w.refreshTokenOf(name) != "" {
			n++
		}
	}
	return n
}

// endsClean revokes all leases and lets time pass: nothing may be left, except
// at Zoho a token whose minting was cut off before anybody could learn of it.
func (w *world) endsClean(what string) {
	w.t.Helper()
	for _, lease := range w.leases {
		require.NoError(w.t, w.release(lease), what)
	}
	// A reader's grant is refreshed for an hour, and its last token lives for one more.
	for range 26 {
		w.clock.Advance(5 * time.Minute)
		w.tick()
	}
	require.Empty(w.t, w.keys("tokens/"), what)
	require.Empty(w.t, w.keys("holders/"), what)
	require.Empty(w.t, w.unwanted(), what)
	require.Empty(w.t, w.keys("consents/"), what)
}
