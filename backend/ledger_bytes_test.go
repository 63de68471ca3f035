package backend_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/hashicorp/go-hclog"
	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend"
	"vault-plugin-secrets-zoho/backend/ledger"
	"vault-plugin-secrets-zoho/backend/settings"
)

// Vault's raft storage refuses entries above 1 MiB, and what a reader is called is
// up to whoever made the reader's Vault token.

// issueAs reads as somebody with texts of that many bytes, none of which JSON
// writes in less than six.
func (w *world) issueAs(i, bytes int) (*backend.Issued, error) {
	text := fmt.Sprintf("%04d", i) + strings.Repeat("<", bytes-4)
	return w.engine.Issue(w.t.Context(), "crm-sync", backend.Reader{Requester: settings.Requester{EntityID: text, DisplayName: text, RequestID: text}})
}

func (w *world) readNamed(i, bytes int) *backend.Issued {
	w.t.Helper()
	issued, err := w.issueAs(i, bytes)
	require.NoError(w.t, err)
	return issued
}

// requireSmallEntries: no entry may come near to what storage refuses. Consul's
// takes half of what raft's takes.
func (w *world) requireSmallEntries(prefix string) {
	w.t.Helper()
	for _, key := range w.keys(prefix) {
		entry, err := w.storage.Get(w.t.Context(), key)
		require.NoError(w.t, err)
		require.Less(w.t, len(entry.Value), 400<<10, key)
	}
}

// Invariant 15.
func TestLedger_ReadersWithLongNamesKeepNobodyFromATokenNorItFromItsEnd(t *testing.T) {
	w := newWorld(t)
	w.read("crm-sync")
	var leases []*backend.Issued
	for i := range 3 {
		leases = append(leases, w.readNamed(i, 500_000))
	}
	w.read("crm-sync")
	for _, lease := range leases {
		require.NoError(t, w.release(lease))
	}
	require.Empty(t, w.kill(leases[0].TokenID))
	require.False(t, w.alive(leases[0]))
	require.Empty(t, w.keys("tokens/"))
	w.requireSmallEntries("ended/")
}

func TestLedger_TextsOfAReaderAreCutBetweenTwoCharactersAndMadeValid(t *testing.T) {
	w := newWorld(t)
	for name, want := range map[string]string{
		"approle":                              "approle",
		strings.Repeat("é", 128):               strings.Repeat("é", 128),
		strings.Repeat("é", 129):               strings.Repeat("é", 128),
		"a" + strings.Repeat("é", 128):         "a" + strings.Repeat("é", 127),
		"a\xffb":                               "a\uFFFDb",
		strings.Repeat("a", 255) + "\xff":      strings.Repeat("a", 255),
		strings.Repeat("a", 253) + "\xff\xffb": strings.Repeat("a", 253) + "\uFFFD",
	} {
		issued, err := w.engine.Issue(t.Context(), "crm-sync", backend.Reader{Requester: settings.Requester{EntityID: name, DisplayName: name, RequestID: name}})
		require.NoError(t, err)
		held := w.engine.Holding(issued.TokenID)
		require.Len(t, held, 1)
		require.Equal(t, []string{want, want, want}, []string{held[0].EntityID, held[0].DisplayName, held[0].RequestID})
		require.True(t, utf8.ValidString(held[0].DisplayName))
		require.Equal(t, want, w.known(issued.TokenID).Readers[0].DisplayName)
		require.NoError(t, w.release(issued))
	}
}

// Invariant 15.
func TestLedger_ACrowdOfReadersWithLongNamesFitsIntoStorage(t *testing.T) {
	w := newWorld(t)
	const crowd = 600
	leases := make([]*backend.Issued, crowd)
	w.crowd(w.read("crm-sync").TokenID, crowd, func(i int) (err error) {
		leases[i], err = w.issueAs(i, 256)
		return err
	})
	w.settle()
	w.requireSmallEntries("holders/")
	w.die()
	w.requireHolders(leases[0], crowd+2, 0)
}

// Invariant 15.
func TestLedger_NamesThatAreWrittenBehindFitIntoStorage(t *testing.T) {
	w := newWorld(t)
	issued := w.hurry(3)
	w.hurry(50) // reserves a hundred places and more
	w.settle()
	w.pauses.lasting(true)
	n := 53
	for ; w.engine.Queued(issued[0].TokenID) < 400; n++ {
		w.readNamed(n, 256)
	}
	w.settle()
	w.requireSmallEntries("holders/")
	w.die()
	w.requireHolders(issued[0], n, 0)
}

// Invariant 15.
func TestTick_SweepsATokenWhoseReadersAreMoreThanAnEntryTakes(t *testing.T) {
	w := newWorld(t)
	const readers = 400 // of 3 kB and more each
	var last *backend.Issued
	for i := range readers {
		last = w.readNamed(i, 256)
		w.clock.Advance(time.Second)
	}
	w.clock.Advance(time.Hour)
	w.tick()
	require.Empty(t, w.keys("tokens/"))
	require.Empty(t, w.keys("holders/"))
	w.requireSmallEntries("ended/")
	ended := w.known(last.TokenID)
	require.NotNil(t, ended)
	require.Greater(t, len(ended.Readers), 50)
	for i, reader := range ended.Readers {
		require.Equal(t, fmt.Sprintf("%04d", readers-len(ended.Readers)+i), reader.EntityID[:4], "the earliest are left out")
	}
}

// A record that can never be written is its caller's failure alone.
func TestLedger_ARecordThatIsTooLargeIsRefusedAtOnceAndNotTriedAgain(t *testing.T) {
	for what, prepare := range map[string]func(*world) *backend.Issued{
		"with a write of its own": func(w *world) *backend.Issued { return w.read("crm-sync") },
		"in a reserved place":     func(w *world) *backend.Issued { return w.hurry(3)[0] },
	} {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t)
			issued := prepare(w)
			w.settle()
			before := len(w.engine.Holding(issued.TokenID))
			w.storage.written()
			_, err := w.engine.Hold(t.Context(), issued.TokenID, ledger.Holder{Role: strings.Repeat("x", largestEntry)})
			require.ErrorContains(t, err, "bytes")
			require.Empty(t, w.storage.written())
			require.Len(t, w.engine.Holding(issued.TokenID), before)
			w.read("crm-sync")
			w.settle()
			w.die()
			w.requireHolders(issued, before+1, 0)
		})
	}
}

// The last holder's release has a caller. Of the others nobody waits for the write.
func TestLedger_ARecordThatIsTooLargeAndThatNobodyWaitsForIsDropped(t *testing.T) {
	w := newWorld(t)
	heard := w.listen(hclog.Error)
	issued := w.read("crm-sync")
	large := strings.Repeat("x", 200_000)
	w.addToLedger(issued, fmt.Sprintf(`{"s":%q}
{"h":1,"w":9,"n":["crm-sync","",""],"t":%d,"l":3600000}
`, large, w.clock.Now().UnixMilli()))
	w.restart()
	w.requireHolders(issued, 2, 0)

	require.NoError(t, w.engine.Release(t.Context(), backend.Lease{TokenID: issued.TokenID, HolderID: large + "-1", ExpiresAt: issued.ExpiresAt}, notTainted))
	require.Len(t, w.lines(heard, "dropped what storage can never take of a token's holders"), 1)
	w.read("crm-sync")
	w.settle()
	w.requireHolders(issued, 2, 0)
}

// addToLedger adds to the first segment of a token's stored ledger.
func (w *world) addToLedger(of *backend.Issued, lines string) {
	w.t.Helper()
	w.settle()
	key := w.keys("holders/" + of.TokenID + "/")[0]
	entry, err := w.storage.Get(w.t.Context(), key)
	require.NoError(w.t, err)
	entry.Value = append(entry.Value, lines...)
	require.NoError(w.t, w.storage.Put(w.t.Context(), entry))
}
