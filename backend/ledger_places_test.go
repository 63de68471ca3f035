package backend_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend"
)

// hurry reads n times without a pause between the ledger's writes. The third
// of a crowd reserves two places, who finds none left six, and then fourteen.
func (w *world) hurry(n int) (issued []*backend.Issued) {
	w.t.Helper()
	w.pauses.lasting(true)
	for range n {
		issued = append(issued, w.read("crm-sync"))
	}
	return issued
}

// die lets the process end without another write.
func (w *world) die() {
	w.storage.failing(func(string) bool { return true })
	w.restart()
	w.storage.failing(nil)
	w.pauses.lasting(false)
}

func (w *world) tokenInfo(of *backend.Issued) *backend.TokenInfo {
	w.t.Helper()
	info, err := w.engine.Token(w.t.Context(), of.TokenID)
	require.NoError(w.t, err)
	require.NotNil(w.t, info)
	return info
}

// requireHolders compares what is known of a token's holders, after a restart
// and so as storage has it.
func (w *world) requireHolders(of *backend.Issued, named, unnamed int) {
	w.t.Helper()
	info := w.tokenInfo(of)
	holders, _, err := w.engine.Holders(w.t.Context(), of.TokenID, "", 0)
	require.NoError(w.t, err)
	require.Equal(w.t, named, len(holders))
	require.Equal(w.t, named+unnamed, info.Holders)
	require.Equal(w.t, unnamed, info.Unnamed)
}

func TestPlaces_ReadersInACrowdDoNotWaitForStorage(t *testing.T) {
	w := newWorld(t)
	w.hurry(3)
	w.storage.written()
	issued := w.hurry(2)
	require.Empty(t, w.storage.written(), "their places are reserved")
	w.settle()
	require.Len(t, w.storage.written(), 2, "their names with places for more, and then the end of the reservation")
	w.die()
	w.requireHolders(issued[0], 5, 0)
}

func TestPlaces_ACrowdSharesItsWrites(t *testing.T) {
	w := newWorld(t)
	w.hurry(3)
	w.storage.written()
	w.hurry(200)
	w.settle()
	require.Less(t, len(w.storage.written()), 10)
}

func TestPlaces_WhoComesAloneGetsNoReservedPlace(t *testing.T) {
	w := newWorld(t)
	w.read("crm-sync")
	w.storage.written()
	for range 5 {
		w.read("crm-sync")
	}
	require.Len(t, w.storage.written(), 5)
	w.die()
	w.requireHolders(w.read("crm-sync"), 7, 0)

	w = newWorld(t)
	pair := w.hurry(2)
	w.die()
	w.requireHolders(pair[0], 2, 0)
}

// Invariants 6 and 8: two readers have reserved places and no names when the
// process dies. Their leases count, and the last of all kills the token.
func TestPlaces_ACrashCountsWhoHasNoNameYet(t *testing.T) {
	w := newWorld(t)
	issued := w.hurry(5)
	w.die()
	w.requireHolders(issued[0], 3, 2)
	for i, lease := range issued {
		require.True(t, w.alive(lease), "killed with lease %d of 5", i)
		require.NoError(t, w.release(lease))
		require.NoError(t, w.release(lease), "Vault may ask twice")
		if i == 3 {
			w.restart()
			w.requireHolders(lease, 0, 1)
		}
	}
	require.False(t, w.alive(issued[0]))
}

// Invariants 6 and 8: whether a lease is in the place that was reserved and not
// taken nobody can know after a crash. The token lives until it expires.
func TestPlaces_ACrashCountsAReservedPlaceEvenIfNobodyHasIt(t *testing.T) {
	w := newWorld(t)
	issued := w.hurry(4)
	w.die()
	for _, lease := range issued {
		require.NoError(t, w.release(lease))
	}
	w.requireHolders(issued[0], 0, 1)
	w.tick()
	require.True(t, w.alive(issued[0]))
	w.endsClean("after the crash")
}

// Invariant 8: a second crash in the middle of a crowd adds to the first one's.
func TestPlaces_ASecondCrashForgetsNothingOfTheFirst(t *testing.T) {
	w := newWorld(t)
	issued := w.hurry(5)
	w.die()
	issued = append(issued, w.hurry(5)...)
	w.die()
	w.requireHolders(issued[0], 6, 4)
	for i, lease := range issued {
		require.True(t, w.alive(lease), "killed with lease %d of 10", i)
		require.NoError(t, w.release(lease))
	}
	require.False(t, w.alive(issued[0]))
}

func TestPlaces_AreGivenBackWhenTheCrowdIsGone(t *testing.T) {
	w := newWorld(t)
	issued := w.hurry(4)
	w.settle()
	w.die()
	w.requireHolders(issued[0], 4, 0)
	for _, lease := range issued {
		require.NoError(t, w.release(lease))
	}
	require.False(t, w.alive(issued[0]))
}

// Invariant 8: a plugin reload, a seal, a leader that steps down.
func TestPlaces_AreGivenBackWhenTheMountIsClosed(t *testing.T) {
	w := newWorld(t)
	issued := w.hurry(4)
	w.restart()
	w.requireHolders(issued[0], 4, 0)
}

func TestPlaces_WhoComesWhileTheyAreReservedNeedsNoWriteOfItsOwn(t *testing.T) {
	w := newWorld(t)
	issued := w.hurry(2)
	w.storage.written()
	read := func() error {
		_, err := w.engine.Issue(t.Context(), "crm-sync", backend.Reader{})
		return err
	}
	finish, third := w.holdBack(below("holders/"), read)
	others := make(chan error, 2)
	for range 2 {
		go func() { others <- read() }()
	}
	require.Eventually(t, func() bool { return w.engine.Queued(issued[0].TokenID) == 2 }, 10*time.Second, time.Millisecond)
	finish(nil)
	require.NoError(t, errors.Join(<-third, <-others, <-others))
	require.Len(t, w.storage.written(), 1)
	w.settle()
	w.die()
	w.requireHolders(issued[0], 5, 0)
}

// While a reservation is given back nobody may take a place of it: after the
// write storage does not count it any more.
func TestPlaces_NobodyTakesOneThatIsBeingGivenBack(t *testing.T) {
	w := newWorld(t)
	w.hurry(3)
	finish, done := w.holdBack(below("holders/"), func() error { w.settle(); return nil })
	late := make(chan error, 1)
	go func() {
		_, err := w.engine.Issue(t.Context(), "crm-sync", backend.Reader{})
		late <- err
	}()
	require.Eventually(t, func() bool { return w.engine.Queued(w.currentID()) == 1 }, 10*time.Second, time.Millisecond)
	w.storage.failing(func(string) bool { return true })
	finish(nil)
	require.ErrorIs(t, <-late, errDisk, "got a token that storage does not count it for")
	require.NoError(t, <-done)
}

// currentID is the token_id of the role's current token.
func (w *world) currentID() string {
	w.t.Helper()
	status, err := w.engine.Status(w.t.Context(), "crm-sync")
	require.NoError(w.t, err)
	return status.TokenID
}

// A reservation that could not be given back, and names that could not be
// written, are tried again.
func TestPlaces_NamesThatCouldNotBeWrittenAreTriedAgain(t *testing.T) {
	w := newWorld(t)
	issued := w.hurry(4)
	w.storage.failing(below("holders/"))
	w.settle()
	w.die()
	w.requireHolders(issued[0], 3, 2)

	for n := 4; n <= 5; n++ { // with a place that is left, and without
		w = newWorld(t)
		issued = w.hurry(n)
		w.storage.failing(below("holders/"))
		w.settle()
		w.storage.failing(nil)
		w.tick()
		w.die()
		w.requireHolders(issued[0], n, 0)
	}

	w = newWorld(t)
	issued = w.hurry(4)
	w.storage.failing(below("holders/"))
	w.settle()
	w.storage.failing(nil)
	w.restart()
	w.requireHolders(issued[0], 4, 0)
}

// Not even the readers who wait for a write may make a reservation be forgotten.
func TestPlaces_ThatCouldNotBeGivenBackAreGivenBackLater(t *testing.T) {
	w := newWorld(t)
	issued := w.hurry(3)
	w.storage.failing(below("holders/"))
	w.settle()
	require.ErrorIs(t, w.readError("crm-sync"), errDisk)
	require.ErrorIs(t, w.readError("crm-sync"), errDisk)
	w.storage.failing(nil)
	w.read("crm-sync")
	w.tick()
	w.die()
	w.requireHolders(issued[0], 4, 0)
}

// Readers whom a full write leaves over wait for the next one.
func TestPlaces_NobodyIsLetGoWhoIsLeftOverFromAFullWrite(t *testing.T) {
	w := newWorld(t)
	tokenID := w.read("crm-sync").TokenID
	w.pauses.lasting(true)
	finish, done := w.holdBack(below("holders/"), func() error {
		_, err := w.engine.Issue(t.Context(), "crm-sync", backend.Reader{})
		return err
	})
	const crowd = 600 // a write takes 500
	var got atomic.Int64
	var wg sync.WaitGroup
	for range crowd {
		wg.Go(func() {
			if _, err := w.engine.Issue(t.Context(), "crm-sync", backend.Reader{}); err == nil {
				got.Add(1)
			}
		})
	}
	require.Eventually(t, func() bool { return w.engine.Queued(tokenID) == crowd }, 10*time.Second, time.Millisecond)
	writes := 0
	w.storage.failing(func(key string) bool {
		if below("holders/")(key) {
			writes++
		}
		return writes > 1
	})
	finish(nil)
	require.NoError(t, <-done)
	wg.Wait()
	require.Equal(t, int64(500), got.Load(), "got a token that storage does not count it for")
}

// The decision to end a token can be stored although its write has failed. Who
// gets the token after that has to be stored, or a crash would kill it.
func TestPlaces_NobodyTakesOneAfterADecisionThatMayBeStored(t *testing.T) {
	w := newWorld(t)
	issued := w.hurry(4)
	for _, lease := range issued[:3] {
		require.NoError(t, w.release(lease))
	}
	w.storage.lying(true)
	w.storage.failing(below("holders/"))
	require.ErrorIs(t, w.release(issued[3]), errDisk)
	w.storage.failing(nil)
	w.storage.lying(false)
	late := w.hurry(1)[0]
	require.Equal(t, issued[0].TokenID, late.TokenID)
	w.die()
	w.tick()
	require.True(t, w.alive(late))
}

// Writes that follow closely on each other are no crowd if nobody reads.
func TestPlaces_OtherWritesInBetweenDoNotMakeACrowd(t *testing.T) {
	w := newWorld(t)
	first := w.hurry(1)[0]
	finish, second := w.holdBack(below("holders/"), func() error {
		_, err := w.engine.Issue(t.Context(), "crm-sync", backend.Reader{})
		return err
	})
	require.NoError(t, w.release(first)) // its record waits for the second's write
	finish(nil)
	require.NoError(t, <-second)
	w.pauses.endOne()
	require.Eventually(t, func() bool { return w.engine.Queued(first.TokenID) == 0 }, 10*time.Second, time.Millisecond)
	w.hurry(1)
	w.die()
	w.requireHolders(first, 2, 0)
}

// A write takes five hundred names at most. Who has no name after it keeps the
// place that is reserved.
func TestPlaces_StayReservedWhileThereAreMoreNamesThanAWriteTakes(t *testing.T) {
	w := newWorld(t)
	var before []*backend.Issued
	for range 500 {
		before = append(before, w.read("crm-sync"))
	}
	issued := w.hurry(3)
	for _, lease := range before {
		require.NoError(t, w.release(lease))
	}
	issued = append(issued, w.hurry(2)...)
	writes := 0
	w.storage.failing(func(string) bool { writes++; return writes > 1 })
	w.settle()
	w.die()
	w.requireHolders(issued[0], 3, 2)
}

// A token that is gone does not wait for what was to be written of it.
func TestPlaces_APauseDoesNotHoldUpTheEndOfAToken(t *testing.T) {
	w := newWorld(t)
	issued := w.hurry(3)
	w.sim.SetDown(true)
	_, err := w.engine.KillToken(t.Context(), issued[0].TokenID)
	require.Error(t, err)
	w.sim.SetDown(false)
	require.NoError(t, w.release(issued[0]))
	require.NoError(t, w.engine.Tick(t.Context()))
	require.Empty(t, w.keys("holders/"))
}

// A kill is an operator's: whoever has a reserved place gets a newer token.
func TestPlaces_AreWorthNothingOnATokenThatIsKilled(t *testing.T) {
	w := newWorld(t)
	issued := w.hurry(3)
	_, err := w.engine.KillToken(t.Context(), issued[0].TokenID)
	require.NoError(t, err)
	require.NotEqual(t, issued[0].TokenID, w.read("crm-sync").TokenID)
}
