package backend_test

import (
	"errors"
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
	w.allNamed(w.read("crm-sync").TokenID)
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

// A kill is an operator's: whoever has a reserved place gets a newer token.
func TestPlaces_AreWorthNothingOnATokenThatIsKilled(t *testing.T) {
	w := newWorld(t)
	issued := w.hurry(3)
	_, err := w.engine.KillToken(t.Context(), issued[0].TokenID)
	require.NoError(t, err)
	require.NotEqual(t, issued[0].TokenID, w.read("crm-sync").TokenID)
}
