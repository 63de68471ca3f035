package backend_test

import (
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend"
	"vault-plugin-secrets-zoho/backend/settings"
)

// A reader who joins a mint that was decided without him gets no refusal that is not his own.

// joined lets second join the mint of first's grant when that has been decided: when the function
// of that name looks at the clock, or reads that entry. It returns what each of them got.
func (w *world) joined(first, second, where string) (firstGot, secondGot error) {
	w.t.Helper()
	grant := w.status(second).GrantID
	w.restart() // so the entry is read
	reached, resume := make(chan struct{}), make(chan struct{})
	var once sync.Once
	pause := func() { once.Do(func() { close(reached); <-resume }) }
	w.storage.reading(func(key string) {
		if key == where {
			pause()
		}
	})
	w.lookingAtClock.Store(ptr(func() {
		if isCalledBy(where) {
			pause()
		}
	}))
	read := func(role string) chan error {
		got := make(chan error, 1)
		go func() {
			_, err := w.engine.Issue(w.t.Context(), role, backend.Reader{})
			got <- err
		}()
		return got
	}
	ofFirst := read(first)
	select {
	case <-reached:
	case err := <-ofFirst:
		require.FailNow(w.t, "was not reached", "%s: %v", where, err)
	}
	got := read(second)
	w.eventually(func() bool { return slices.Contains(w.engine.WaitingRoles(grant), second) }, "the second reader waits")
	for range 100 { // until he has joined
		runtime.Gosched()
	}
	close(resume)
	return <-ofFirst, <-got
}

func isCalledBy(function string) bool {
	stack := make([]uintptr, 32)
	frames := runtime.CallersFrames(stack[:runtime.Callers(1, stack)])
	for {
		frame, more := frames.Next()
		if strings.HasSuffix(frame.Function, "."+function) {
			return true
		}
		if !more {
			return false
		}
	}
}

// Invariants 4 and 15: the reserve is for each role, and the first reader's has had its part.
func TestIssue_AReaderWhoJoinsAMintThatMayNotHaveTheReserveIsDecidedOnAgain(t *testing.T) {
	w := newWorld(t)
	w.writeRole("books", settings.RoleChange{RefreshToken: &w.refreshToken})
	w.read("crm-sync")
	for range 10 { // until only the reserve is left
		if _, err := w.rotate("books"); err != nil {
			break
		}
		w.clock.Advance(time.Second)
	}
	w.kill(w.currentID())
	w.read("books") // by a request of the reserve
	w.kill(w.currentID())
	_, err := w.joined("books", "crm-sync", "decideMint")
	require.NoError(t, err)
}

// Invariant 15: what readers of one role have done is refused to them alone.
func TestIssue_AReaderWhoJoinsAMintThatIsRefusedToAnotherRoleIsDecidedOnAgain(t *testing.T) {
	w := newWorld(t)
	for i := range 12 {
		_, _ = w.write("evil", w.evilTwin(settings.RoleChange{RefreshToken: junk(i)}))
	}
	if role, err := w.engine.Role(t.Context(), "evil"); err == nil && role != nil {
		w.deleteRole("evil")
	}
	shared := w.consent()
	for _, role := range []string{"evil", "fresh"} {
		w.writeRole(role, settings.RoleChange{RefreshToken: &shared, Verify: ptr(false)})
	}
	refused, err := w.joined("evil", "fresh", "refused/evil")
	require.ErrorContains(t, refused, `credentials of role "evil"`)
	require.NoError(t, err)
}
