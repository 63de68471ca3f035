package quota_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend/quota"
)

// The boundaries, each of which a change of one sign once survived: see tools/mutate.

func counted(n int, of quota.Request) *quota.Record {
	rec := &quota.Record{}
	for range n {
		of.At = start
		rec.Count(of, limits)
	}
	return rec
}

func TestLimits_OfSmallBudgets(t *testing.T) {
	t.Parallel()
	for budget, want := range map[int][2]int{1: {0, 1}, 2: {1, 1}, 3: {1, 2}, 10: {3, 7}} {
		l := quota.Limits{Budget: budget}
		require.Equal(t, want, [2]int{l.Reserve(), l.Unreserved()}, budget)
	}
	require.Equal(t, 7, limits.UnreservedLive())
}

func TestClaim_CountsWhatReadersHaveSentAndLeavesThemTheReserve(t *testing.T) {
	t.Parallel()
	claim := quota.Claim{Role: "crm", Readers: true}
	require.Equal(t, quota.Go, counted(6, quota.Request{}).Claim(start, limits, claim).Verdict)
	require.Equal(t, quota.Reserved, counted(7, quota.Request{}).Claim(start, limits, claim).Verdict)
	claim.Readers = false
	require.Equal(t, quota.Go, counted(9, quota.Request{}).Claim(start, limits, claim).Verdict)
	require.Equal(t, quota.Used, counted(10, quota.Request{}).Claim(start, limits, claim).Verdict)
}

// A code can reach Zoho a timeout after it was counted here, and is told as Zoho counts.
func TestClaim_OfCodesCountsFromWhenTheyCanHaveReachedZoho(t *testing.T) {
	t.Parallel()
	wide := limits
	wide.Budget = 100
	var rec quota.Record
	code := func(at time.Duration, role string) quota.Decision {
		now := start.Add(at)
		decision := rec.Claim(now, wide, quota.Claim{Role: role, Code: true})
		if decision.Verdict == quota.Go {
			rec.Count(quota.Request{At: now, Exchange: true, ClaimOf: role, NoLiveToken: true}, wide)
		}
		return decision
	}
	for i := range quota.CodesInAMinute {
		require.Equal(t, quota.Go, code(0, string(rune('a'+i))).Verdict)
	}
	refused := code(time.Second, "e")
	require.Equal(t, quota.Decision{Verdict: quota.CodesUsed, Until: start.Add(time.Minute + limits.Timeout), Most: quota.CodesInAMinute, In: time.Minute}, refused)
	for i := range quota.CodesInTenMinutes - quota.CodesInAMinute {
		require.Equal(t, quota.Go, code(time.Duration(2+i/3*2)*time.Minute, string(rune('e'+i))).Verdict)
	}
	refused = code(5*time.Minute, "z")
	require.Equal(t, quota.Decision{Verdict: quota.CodesUsed, Until: start.Add(10*time.Minute + limits.Timeout), Most: quota.CodesInTenMinutes, In: 10 * time.Minute}, refused)
}

func TestRoom_EndsTheOldestThatNobodyHoldsAndNoMore(t *testing.T) {
	t.Parallel()
	var rec quota.Record
	for i, id := range []string{"a", "b", "c"} {
		at := start.Add(time.Duration(i) * time.Second)
		rec.Count(quota.Request{At: at}, limits)
		rec.Succeeded(at, id, time.Hour, limits)
	}
	now := start.Add(time.Minute)
	holding := func(held string) func(string) (bool, bool) {
		return func(id string) (bool, bool) { return true, id == held }
	}
	require.Equal(t, quota.Decision{}, rec.Room(now, limits, 4, holding("")))
	require.Equal(t, quota.Decision{End: []quota.Ending{{Token: "a"}}}, rec.Room(now, limits, 3, holding("")))
	require.Equal(t, quota.Decision{End: []quota.Ending{{Token: "a"}, {Token: "b"}}}, rec.Room(now, limits, 2, holding("")))
	require.Equal(t, quota.Decision{End: []quota.Ending{{Token: "b", MustDie: true}}}, rec.Room(now, limits, 3, holding("a")))
	require.Equal(t, quota.Decision{End: []quota.Ending{{Token: "a"}}}, rec.Room(now, limits, 3, holding("b")))
	full := rec.Room(now, limits, 1, holding("b"))
	require.Equal(t, quota.Full, full.Verdict)
	require.Equal(t, 3, full.Live)
	require.Equal(t, start.Add(time.Second+time.Hour), full.Until, "when the one that is held has expired")
	full = rec.Room(now, limits, 1, func(string) (bool, bool) { return true, true })
	require.Equal(t, start.Add(time.Hour), full.Until)
	unknown := rec.Room(now, limits, 0, func(string) (bool, bool) { return false, false })
	require.Equal(t, now.Add(limits.Timeout), unknown.Until, "nobody knows what lives")
}

func TestMint_TheFirstOfThoseWhoWaitIsAlone(t *testing.T) {
	t.Parallel()
	rec := counted(7, quota.Request{ReserveOf: "books"})
	q := quota.Quotas{Own: rec, Requests: rec}
	_, sent := q.Mint(start, limits, quota.Mint{Waiting: []string{"books"}, Alone: always})
	require.Equal(t, "books", sent.ReserveOf)
}

func TestRecord_ForgetsWhatCountsNoMoreWhenItCounts(t *testing.T) {
	t.Parallel()
	later := start.Add(30 * time.Minute)
	for what, c := range map[string]struct {
		old  quota.Request
		kept bool
	}{
		"no token came":         {quota.Request{NoLiveToken: true}, false},
		"a token may live":      {quota.Request{}, true},
		"a code, for its limit": {quota.Request{Exchange: true, NoLiveToken: true}, true},
	} {
		rec := counted(1, c.old)
		rec.Count(quota.Request{At: later}, limits)
		require.Len(t, rec.Requests, map[bool]int{true: 2, false: 1}[c.kept], what)
	}
	rec := counted(1, quota.Request{NoLiveToken: true})
	rec.Count(quota.Request{At: start.Add(limits.Window)}, limits)
	require.Len(t, rec.Requests, 2, "it counts still")
	rec = counted(1, quota.Request{})
	rec.Count(quota.Request{At: start.Add(quota.MaxLife)}, limits)
	require.Len(t, rec.Requests, 1, "its token is dead")
}

func TestRecord_AClockThatIsBehindForAMomentMakesNoRequestLookOld(t *testing.T) {
	t.Parallel()
	rec := counted(1, quota.Request{})
	rec.Count(quota.Request{At: start.Add(-time.Minute)}, limits)
	require.Equal(t, start, rec.Requests[1].At)
	rec.Failed(start.Add(-time.Minute), true)
	require.True(t, rec.Requests[1].NoLiveToken, "it is found by the time at which it was sent")
	require.False(t, rec.Requests[0].NoLiveToken)
}

func TestRecord_EachAnswerBelongsToItsRequest(t *testing.T) {
	t.Parallel()
	var rec quota.Record
	rec.Count(quota.Request{At: start}, limits)
	rec.Count(quota.Request{At: start}, limits)
	rec.Count(quota.Request{At: start.Add(time.Second)}, limits)
	rec.Succeeded(start, "a", time.Hour, limits)
	rec.Failed(start, true)
	rec.Failed(start, true)
	live := rec.Live(start.Add(time.Second))
	require.Len(t, live, 2)
	require.Equal(t, "a", live[0].Token)
	require.Empty(t, live[1].Token, "nobody knows what came of the other one yet")

	var rebuilt quota.Record
	rebuilt.Succeeded(start, "a", time.Hour, limits)
	require.Len(t, rebuilt.Live(start), 1, "what is handed out counts")
}

func TestRecord_OnlyATimeInTheFutureIsNotedAsSeen(t *testing.T) {
	t.Parallel()
	rec := counted(1, quota.Request{})
	rec.Throttled = quota.NewSilence(start, "", "", nil, limits)
	rec.SeeFuture(start.Add(time.Minute))
	require.True(t, rec.Requests[0].Seen.IsZero())
	require.True(t, rec.Throttled.Seen.IsZero())

	ahead := start.Add(1000 * time.Hour)
	unseen := quota.Record{Throttled: quota.NewSilence(ahead, "", "", nil, limits)}
	require.True(t, unseen.Throttled.Until(start).IsZero())
	for range limits.Budget {
		unseen.Requests = append(unseen.Requests, quota.Request{At: ahead, Until: ahead.Add(time.Hour)})
	}
	unseen.Throttled = nil
	require.Equal(t, quota.Used, unseen.Request(start, limits).Verdict, "it counts from now")
}

func TestRecord_IsNeedlessWhenNothingInItCanMatterAnyMore(t *testing.T) {
	t.Parallel()
	rec, keep := counted(1, quota.Request{}), quota.MaxLife+time.Minute
	require.False(t, rec.IsNeedless(start.Add(keep), limits, time.Minute))
	require.True(t, rec.IsNeedless(start.Add(keep+time.Second), limits, time.Minute))
	silent := quota.NewSilence(start, "", "", nil, limits)
	require.False(t, (&quota.Record{Throttled: silent}).IsNeedless(start, limits, 0))
	require.False(t, (&quota.Record{Denied: silent}).IsNeedless(start, limits, 0))
	require.True(t, (&quota.Record{}).IsNeedless(start, limits, 0))
}
