package backend_test

import (
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
	require.Len(t, w.storage.written(), 1)
}

func TestLedger_ConcurrentReadsShareAWriteAndSoDoConcurrentRevocations(t *testing.T) {
	w := newWorld(t)
	tokenID := w.read("crm-sync").TokenID
	leases := make([]*backend.Issued, 200)

	w.crowd(tokenID, len(leases), func(i int) (err error) {
		leases[i], err = w.engine.Issue(t.Context(), "crm-sync", backend.Reader{})
		return err
	})
	require.Len(t, w.storage.written(), 2, "one that was held back, and one for all that came meanwhile")

	w.crowd(tokenID, len(leases), func(i int) error { return w.release(leases[i]) })
	require.Len(t, w.storage.written(), 2)
}

// crowd holds the write of a read back until n calls of do wait for theirs.
func (w *world) crowd(tokenID string, n int, do func(i int) error) {
	w.t.Helper()
	w.storage.written()
	finish, done := w.holdBack("holders/", func() error {
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
