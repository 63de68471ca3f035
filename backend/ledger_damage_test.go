package backend_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend"
	"vault-plugin-secrets-zoho/backend/ledger"
)

// A ledger that cannot be read in full: nobody knows whose lease is in the rest.

// damage replaces what is stored of a token's ledger, and lets the process forget
// what it knew.
func (w *world) damage(of *backend.Issued, change func(segment []byte) []byte) {
	w.t.Helper()
	w.settle()
	key := w.keys("holders/" + of.TokenID + "/")[0]
	entry, err := w.storage.Get(w.t.Context(), key)
	require.NoError(w.t, err)
	entry.Value = change(entry.Value)
	require.NoError(w.t, w.storage.Put(w.t.Context(), entry))
	w.restart()
}

func garbage([]byte) []byte { return []byte("\x00garbage") }

// withoutLine damages one record.
func withoutLine(n int) func(segment []byte) []byte {
	return func(segment []byte) []byte {
		lines := bytes.SplitAfter(segment, []byte("\n"))
		lines[n] = []byte("{\"h\":\n")
		return bytes.Join(lines, nil)
	}
}

// Invariants 6, 7 and 17.
func TestLedger_ThatIsDamagedLetsLeasesEndAndItsTokenDieOfAge(t *testing.T) {
	w := newWorld(t)
	heard := w.listen(hclog.Error)
	w.leases = []*backend.Issued{w.read("crm-sync"), w.read("crm-sync")}
	w.damage(w.leases[0], garbage)
	for _, lease := range w.leases {
		require.NoError(t, w.release(lease))
	}
	require.Len(t, w.lines(heard, "cannot decode who holds an access token; nobody new gets it, and it lives until it expires"), 1)
	w.requireHolders(w.leases[0], 0, 1)
	w.tick()
	require.True(t, w.alive(w.leases[0]), "somebody may hold it whom nobody can read")
	w.clock.Advance(time.Hour)
	w.tick()
	require.Empty(t, w.keys("tokens/"))
	require.Empty(t, w.keys("holders/"))
}

func TestLedger_ThatIsDamagedKeepsWhatCanBeRead(t *testing.T) {
	w := newWorld(t)
	var leases []*backend.Issued
	for range 4 {
		leases = append(leases, w.read("crm-sync"))
	}
	require.NoError(t, w.release(leases[3]))
	w.settle()
	w.damage(leases[0], withoutLine(2))
	w.requireHolders(leases[0], 2, 1)
}

// Invariants 6 and 16: its end may have been decided, and it may be dead.
func TestLedger_ThatIsDamagedTakesNoNewHolder(t *testing.T) {
	for what, change := range map[string]func([]byte) []byte{
		"altogether": garbage,
		"in a line":  withoutLine(0),
		"by a record that is none": func(segment []byte) []byte {
			return append(segment, "{\"other\":1}\n"...)
		},
	} {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t)
			issued := w.read("crm-sync")
			require.True(t, w.engine.CanBeHeld(issued.TokenID))
			w.damage(issued, change)
			require.NotNil(t, w.known(issued.TokenID)) // loads it
			require.False(t, w.engine.CanBeHeld(issued.TokenID))
			_, err := w.engine.Hold(t.Context(), issued.TokenID, ledger.Holder{})
			require.ErrorContains(t, err, "being revoked")
		})
	}
}

func TestLedger_WhatIsWrittenAfterDamageCanBeReadAgain(t *testing.T) {
	for what, change := range map[string]func([]byte) []byte{
		"without an end of line": garbage,
		"cut off":                func(segment []byte) []byte { return segment[:len(segment)-1] },
		"in a line":              withoutLine(0),
	} {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t)
			issued := w.read("crm-sync")
			w.sim.SetDown(true)
			w.damage(issued, change)
			_, err := w.engine.KillToken(t.Context(), issued.TokenID)
			require.ErrorContains(t, err, "not handed out any more")
			w.restart()
			require.Equal(t, backend.TokenEnding, w.tokenInfo(issued).State)
			w.sim.SetDown(false)
		})
	}
}

func TestLedger_AnEntryBelowItThatIsNoSegmentIsDamage(t *testing.T) {
	w := newWorld(t)
	issued := w.read("crm-sync")
	require.NoError(t, w.storage.Put(t.Context(), &logical.StorageEntry{Key: "holders/" + issued.TokenID + "/x", Value: []byte(`{"s":"x"}` + "\n")}))
	w.restart()
	w.requireHolders(issued, 1, 1)
	require.NoError(t, w.release(issued))
	require.Empty(t, w.kill(issued.TokenID))
	require.Empty(t, w.keys("holders/"))
}

func TestIssue_ATokenWhoseLedgerIsDamagedIsReplaced(t *testing.T) {
	w := newWorld(t)
	held := w.read("crm-sync")
	w.damage(held, garbage)
	issued := w.read("crm-sync")
	require.NotEqual(t, held.TokenID, issued.TokenID)
	require.True(t, w.alive(held))
	require.NoError(t, w.release(held))
	require.NoError(t, w.release(issued))
	require.False(t, w.alive(issued))
}
