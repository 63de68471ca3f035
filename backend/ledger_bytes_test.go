package backend_test

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend"
)

// Vault's raft storage refuses entries above 1 MiB, and what a reader is called is
// up to whoever made the reader's Vault token.

// issueAs reads as somebody with texts of that many bytes, none of which JSON
// writes in less than six.
func (w *world) issueAs(i, bytes int) (*backend.Issued, error) {
	text := fmt.Sprintf("%04d", i) + strings.Repeat("<", bytes-4)
	return w.engine.Issue(w.t.Context(), "crm-sync", backend.Reader{EntityID: text, DisplayName: text, RequestID: text})
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
		issued, err := w.engine.Issue(t.Context(), "crm-sync", backend.Reader{EntityID: name, DisplayName: name, RequestID: name})
		require.NoError(t, err)
		held := w.engine.Holding(issued.TokenID)
		require.Len(t, held, 1)
		require.Equal(t, []string{want, want, want}, []string{held[0].EntityID, held[0].DisplayName, held[0].RequestID})
		require.True(t, utf8.ValidString(held[0].DisplayName))
		require.Equal(t, want, w.known(issued.TokenID).Readers[0].DisplayName)
		require.NoError(t, w.release(issued))
	}
}
