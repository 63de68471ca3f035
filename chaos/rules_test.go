//go:build unix

package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/zohosim"
)

func at(seconds int) time.Time { return time.Unix(int64(1_000_000+seconds), 0) }

func leaseAt(seconds int) *lease {
	return &lease{role: "books", mark: "m", owner: "anna", tokenID: "id", sent: at(seconds), got: at(seconds), end: at(seconds + 60), expires: at(seconds + 90)}
}

func TestExcuse_IsAnOperatorsWordThatCameBeforeTheLookAndAfterTheRead(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		act  act
		want string
	}{
		"the grant's owner":           {act{what: "rotate", owners: []string{"anna"}, from: at(20), til: at(21)}, "rotate"},
		"still under way":             {act{what: "rotate", owners: []string{"anna"}, from: at(20)}, "rotate"},
		"another owner":               {act{what: "rotate", roles: []string{"books"}, owners: []string{"ben"}, from: at(20), til: at(21)}, ""},
		"after the look":              {act{what: "rotate", owners: []string{"anna"}, from: at(40), til: at(41)}, ""},
		"before the read":             {act{what: "rotate", owners: []string{"anna"}, from: at(1), til: at(2)}, ""},
		"the token":                   {act{what: "delete", tokenID: "id", from: at(20), til: at(21)}, "delete"},
		"another token":               {act{what: "delete", tokenID: "other", from: at(20), til: at(21)}, ""},
		"a restore, which is for all": {act{what: "restore", from: at(20), til: at(21)}, "restore"},
		"a role":                      {act{what: "restore", roles: []string{"books"}, from: at(20)}, "restore"},
		"another role":                {act{what: "restore", roles: []string{"own"}, from: at(20)}, ""},
	} {
		h := &history{acts: []*act{&c.act}}
		require.Equal(t, c.want, h.excuse(leaseAt(10), at(30)), name)
	}
}

func TestDeadBefore_IsExcusedByNothingButARestore(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		act  *act
		died time.Time
		want bool
	}{
		"before the read was sent":             {nil, at(5), true},
		"while the read was under way":         {nil, at(10), false},
		"ended by an operator":                 {&act{what: "rotate", owners: []string{"anna"}, from: at(4), til: at(11)}, at(5), true},
		"a snapshot was restored":              {&act{what: "restore", restore: true, from: at(4)}, at(5), false},
		"a snapshot was restored, long before": {&act{what: "restore", restore: true, from: at(4), til: at(6)}, at(5), true},
	} {
		h := newHistory()
		h.dead["m"] = c.died
		if c.act != nil {
			h.acts = append(h.acts, c.act)
		}
		_, dead := h.deadBefore(leaseAt(10))
		require.Equal(t, c.want, dead, name)
	}
	_, dead := newHistory().deadBefore(leaseAt(10))
	require.False(t, dead, "it lives")
}

func TestMayLive_OnlyIfACrashCameWhileSomethingWasInMemoryOnly(t *testing.T) {
	t.Parallel()
	crashes := []*crash{{what: "the death of node1", from: at(20), til: at(21)}}
	crowd := []*lease{leaseAt(5), leaseAt(19), leaseAt(19), leaseAt(20)}
	back := leaseAt(5)
	back.backTil = at(20)
	leftToVault, longAgo, ranOut := leaseAt(5), leaseAt(-100), leaseAt(-45)
	leftToVault.backFrom = at(15)
	longAgo.backFrom = at(-50)
	longAgo.expires, ranOut.expires = at(90), at(90)
	ended := leaseAt(5)
	ended.backTil = at(10)
	underWay := attempt{role: "books", sent: at(20), fail: at(22)}
	for name, c := range map[string]struct {
		h    *history
		free bool
	}{
		"nothing was under way":           {&history{leases: []*lease{leaseAt(5)}, crashes: crashes}, false},
		"no crash":                        {&history{leases: crowd}, false},
		"a crowd":                         {&history{leases: crowd, crashes: crashes}, true},
		"a lease was given back":          {&history{leases: []*lease{back}, crashes: crashes}, true},
		"a read failed":                   {&history{leases: []*lease{leaseAt(5)}, crashes: crashes, failed: []attempt{underWay}}, true},
		"it was left to Vault":            {&history{leases: []*lease{leftToVault}, crashes: crashes}, true},
		"it was left to Vault long ago":   {&history{leases: []*lease{longAgo}, crashes: crashes}, false},
		"it ran out":                      {&history{leases: []*lease{ranOut}, crashes: crashes}, true},
		"it had ended before":             {&history{leases: []*lease{ended}, crashes: crashes, failed: []attempt{underWay}}, false},
		"it may have had another holder":  {&history{leases: []*lease{ended}, crashes: crashes, failed: []attempt{{role: "books", sent: at(8), fail: at(9)}, underWay}}, true},
		"a read of another role failed":   {&history{leases: []*lease{leaseAt(5)}, crashes: crashes, failed: []attempt{{role: "own", sent: at(20), fail: at(22)}}}, false},
		"a read failed at another time":   {&history{leases: []*lease{leaseAt(5)}, crashes: crashes, failed: []attempt{{role: "books", sent: at(40), fail: at(42)}}}, false},
		"the token came after the crash":  {&history{leases: []*lease{leaseAt(30), leaseAt(30), leaseAt(30)}, crashes: crashes}, false},
		"a crowd long before the crashes": {&history{leases: []*lease{leaseAt(5), leaseAt(5), leaseAt(5)}, crashes: crashes}, false},
	} {
		require.Equal(t, c.free, c.h.mayLive("m") != "", name)
	}
}

func TestMayBeLate_OnlyIfARevocationOrAReadHasFailed(t *testing.T) {
	t.Parallel()
	asked := []zohosim.Request{{Endpoint: zohosim.EndpointRevoke, Token: "m"}}
	back := leaseAt(5)
	back.backTil = at(20)
	underWay := []attempt{{role: "books", sent: at(10), fail: at(12)}}
	for name, c := range map[string]struct {
		h    *history
		late bool
	}{
		"it could not be given back":      {&history{leases: []*lease{back, leaseAt(5)}}, true},
		"it was given back":               {&history{leases: []*lease{back}}, false},
		"it was given back, and another?": {&history{leases: []*lease{back}, failed: underWay}, true},
	} {
		require.Equal(t, c.late, c.h.mayBeLate("m", asked), name)
	}
	require.False(t, (&history{leases: []*lease{leaseAt(5)}}).mayBeLate("m", nil), "Zoho was never asked")
}

func TestAddChanges_CountsThoseThatNoCrashHasCaused(t *testing.T) {
	t.Parallel()
	h := &history{begun: at(0), crashes: []*crash{{from: at(10), til: at(11)}}}
	require.Equal(t, 1, h.addChanges([]time.Time{at(-5), at(10), at(20), at(40)}))
	require.Len(t, h.crashes, 2)
	require.Equal(t, at(20), h.crashes[0].til, "the former active node went on until then")
	require.Equal(t, at(40), h.crashes[1].til)
}

func TestBudget_CountsInEveryWindowAndForgivesOnlyAfterARestore(t *testing.T) {
	t.Parallel()
	var requests []zohosim.Request
	for i := range budget + 1 {
		requests = append(requests, zohosim.Request{Time: at(i * 5), Token: "m"})
	}
	w := &world{h: newHistory()}
	require.ErrorContains(t, w.checkBudget(requests), "rule 2")
	w.forgiven = map[string]bool{"": true}
	require.NoError(t, w.checkBudget(requests))
	w.forgiven = nil
	requests[budget].Time = at(60)
	require.NoError(t, w.checkBudget(requests))
}

func TestLogScan_FindsTokensSecretsAndPanicsOnceEach(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "vault.log")
	add := func(text string) {
		f, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		require.NoError(t, err)
		_, err = f.WriteString(text)
		require.NoError(t, err)
		require.NoError(t, f.Close())
	}
	s := newLogScan(file)
	s.addSecret("hush")
	for _, c := range []struct{ text, finds string }{
		{"all is well, token_id=0123456789abcdef\n", ""},
		{"access_token=1000.0123456789abcdef0123456789abcdef.0123456789abcdef0123456789abcdef\n", "token"},
		{"client_secret=hu", ""},
		{"sh\n", "client's secret"},
		{"panic: runtime error\n", "panic"},
		{"goroutine 1 [running]:\n", "panic"},
		{"all is well again\n", ""},
	} {
		add(c.text)
		found, err := s.look()
		require.NoError(t, err)
		if c.finds == "" {
			require.Empty(t, found, c.text)
			continue
		}
		require.Len(t, found, 1, c.text)
		require.Contains(t, found[0], c.finds)
	}
}

func TestTotals_AreAddedToThoseOfADocument(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "page.md")
	require.NoError(t, os.WriteFile(file, []byte("before\n"+tableBegin+tableEnd+"after\n"), 0o600))
	for seed := range uint64(2) {
		counts := newTotals(seed + 1)
		counts.add("leases", 5)
		require.NoError(t, counts.record(file))
	}
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Contains(t, string(text), "| seeds | 1 2 |\n")
	require.Contains(t, string(text), "| leases | 10 |\n")
	require.Contains(t, string(text), "| "+evicted+" | 0 |\n")
}
