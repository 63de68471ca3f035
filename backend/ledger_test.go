package backend_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend"
)

func TestLedger_AReadOfACachedTokenCostsOneStorageWriteAndSoDoesItsRevocation(t *testing.T) {
	w := newWorld(t)
	w.read("crm-sync")
	w.storage.written()
	issued := w.read("crm-sync")
	require.Len(t, w.storage.written(), 1)
	require.NoError(t, w.release(issued))
	w.settle()
	require.Len(t, w.storage.written(), 1)
}

func TestLedger_AReleaseThatIsNotTheLastIsWrittenBehindAndTriedAgain(t *testing.T) {
	w := newWorld(t)
	first, second := w.read("crm-sync"), w.read("crm-sync")
	w.storage.failing(below("holders/"))
	require.NoError(t, w.release(first))
	w.settle()
	w.storage.failing(nil)
	w.tick()
	w.restart()
	holders, _, err := w.engine.Holders(t.Context(), second.TokenID, "", 0)
	require.NoError(t, err)
	require.Len(t, holders, 1)
	require.NoError(t, w.release(second))
	require.False(t, w.alive(second))
}

func TestLedger_ConcurrentReadsShareAWriteAndSoDoConcurrentRevocations(t *testing.T) {
	w := newWorld(t)
	tokenID := w.read("crm-sync").TokenID
	leases := make([]*backend.Issued, 200)

	w.crowd(tokenID, len(leases), func(i int) (err error) {
		leases[i], err = w.engine.Issue(t.Context(), "crm-sync", backend.Reader{})
		return err
	})
	w.settle()
	require.Len(t, w.storage.written(), 3, "one that was held back, one for all that came meanwhile, and one that gives back what was reserved for more")

	w.crowd(tokenID, len(leases), func(i int) error { return w.release(leases[i]) })
	w.settle()
	require.Len(t, w.storage.written(), 2)
}

// crowd holds the write of a read back until n calls of do wait for theirs.
func (w *world) crowd(tokenID string, n int, do func(i int) error) {
	w.t.Helper()
	w.allNamed(tokenID)
	w.storage.written()
	finish, done := w.holdBack(below("holders/"), func() error {
		_, err := w.engine.Issue(w.t.Context(), "crm-sync", backend.Reader{})
		return err
	})
	var wg sync.WaitGroup
	errs := make([]error, n)
	for i := range n {
		wg.Go(func() { errs[i] = do(i) })
	}
	require.Eventually(w.t, func() bool { return w.engine.Queued(tokenID) == n }, 10*time.Second, time.Millisecond)
	finish(nil)
	wg.Wait()
	require.NoError(w.t, errors.Join(<-done, errors.Join(errs...)))
}

// A token that is stored and not yet current is found by Tick. If that gave it a
// second ledger, the holders of the first would count for nothing.
func TestLedger_ATokenHasOnlyOneAlsoWhenItIsFoundInStorageWhileItIsAdopted(t *testing.T) {
	w := newWorld(t)
	var first *backend.Issued
	adopt, adopted := w.holdBack(func(key string) bool {
		return below("refresh-tokens/")(key) && w.sim.MintCount(w.refreshToken) == 1
	}, func() (err error) {
		first, err = w.engine.Issue(t.Context(), "crm-sync", backend.Reader{})
		return err
	})

	loading, goOn := make(chan struct{}), make(chan struct{})
	w.storage.listing(func(prefix string) {
		if below("holders/")(prefix) {
			close(loading)
			<-goOn
		}
	})
	ticked := make(chan error, 1)
	go func() { ticked <- w.engine.Tick(context.Background(), notTainted) }()
	var tickErr error
	select {
	case <-loading: // it reads the ledger as it was before anybody held the token
	case tickErr = <-ticked:
		ticked <- tickErr
	}
	adopt(nil)
	require.NoError(t, <-adopted)
	close(goOn)
	require.NoError(t, <-ticked)
	w.storage.listing(nil)

	second := w.read("crm-sync")
	require.Equal(t, first.TokenID, second.TokenID)
	require.NoError(t, w.release(second))
	require.True(t, w.alive(first))
	require.NoError(t, w.release(first))
	require.False(t, w.alive(first))
}

func TestLedger_AWriteThatIsUnderWayDoesNotComeBackAfterTheTokenIsGone(t *testing.T) {
	w := newWorld(t)
	first, second := w.read("crm-sync"), w.read("crm-sync")
	finish, released := w.holdBack(below("holders/"), func() error { return w.release(first) })
	require.NoError(t, <-released)
	gone := make(chan error, 1)
	go func() { gone <- w.release(second) }()
	require.Eventually(t, func() bool { return len(w.engine.Holding(first.TokenID)) == 0 }, 10*time.Second, time.Millisecond)
	finish(nil)
	require.NoError(t, <-gone)
	w.settle()
	require.Empty(t, w.keys("holders/"))

	w.read("crm-sync")
	third := w.read("crm-sync")
	finish, released = w.holdBack(below("holders/"), func() error { return w.release(third) })
	require.NoError(t, <-released)
	w.clock.Advance(time.Hour)
	ticked := make(chan error, 1)
	go func() { ticked <- w.engine.Tick(context.Background(), notTainted) }()
	require.Eventually(t, func() bool { return w.engine.IsClosed(third.TokenID) }, 10*time.Second, time.Millisecond)
	finish(nil)
	require.NoError(t, <-ticked)
	w.settle()
	require.Empty(t, w.keys("holders/"))
}

// A reader who gives up while the ledger is written never had a lease.
func TestLedger_AReaderWhoGivesUpDoesNotStayAHolder(t *testing.T) {
	w := newWorld(t)
	held := w.read("crm-sync")
	ctx, cancel := context.WithCancel(t.Context())
	finish, gaveUp := w.holdBack(below("holders/"), func() error {
		_, err := w.engine.Issue(ctx, "crm-sync", backend.Reader{})
		return err
	})
	cancel()
	require.ErrorIs(t, <-gaveUp, context.Canceled)
	finish(nil)
	w.settle()
	w.restart()
	require.Equal(t, 1, w.tokenInfo(held).Holders)
	require.NoError(t, w.release(held))
	require.False(t, w.alive(held))
}

// allNamed waits until the ledger of a token has written all that it knows.
func (w *world) allNamed(tokenID string) {
	w.t.Helper()
	require.Eventually(w.t, func() bool { return w.engine.IsWritten(tokenID) }, 10*time.Second, time.Millisecond)
}
