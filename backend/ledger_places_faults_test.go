package backend_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend"
)

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
	w.allNamed(tokenID)
	w.pauses.lasting(true)
	finish, done := w.holdBack(below("holders/"), func() error {
		_, err := w.engine.Issue(t.Context(), "crm-sync", backend.Reader{})
		return err
	})
	const crowd = 100 // of readers with long names; a write takes two dozen
	var got atomic.Int64
	var wg sync.WaitGroup
	for i := range crowd {
		wg.Go(func() {
			if _, err := w.issueAs(i, 256); err == nil {
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
	require.Positive(t, got.Load())
	require.Less(t, got.Load(), int64(crowd))
	info, err := w.engine.Token(t.Context(), tokenID)
	require.NoError(t, err)
	require.Equal(t, int(got.Load())+2, info.Holders)
	w.die()
	info, err = w.engine.Token(t.Context(), tokenID)
	require.NoError(t, err)
	require.Equal(t, int(got.Load())+2, info.Holders, "got a token that storage does not count it for")
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
	w.allNamed(first.TokenID)
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

// A write takes so many bytes at most. Who has no name after it keeps the place
// that is reserved.
func TestPlaces_StayReservedWhileThereAreMoreNamesThanAWriteTakes(t *testing.T) {
	w := newWorld(t)
	var before []*backend.Issued
	for range 2500 { // the records of their ends are more than a write takes
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
	require.Equal(t, 2, w.tokenInfo(issued[0]).Unnamed)
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
	w.look()
	require.Empty(t, w.keys("holders/"))
}
