package quota_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"vault-plugin-secrets-zoho/backend/quota"
)

var (
	start  = time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	limits = quota.Limits{Budget: 10, Window: 10 * time.Minute, Timeout: 10 * time.Second, MaxLive: 10}
)

func TestRequest_NeverLetsMoreThanTheBudgetIntoAWindow(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var rec quota.Record
		var sent []time.Time
		now := start
		for range rapid.IntRange(1, 60).Draw(t, "requests") {
			now = now.Add(time.Duration(rapid.IntRange(0, 200).Draw(t, "seconds")) * time.Second)
			fromReserve := rapid.Bool().Draw(t, "the reserve is open")
			switch d := rec.Request(now, limits); {
			case d.Verdict == quota.Go, d.Verdict == quota.Reserved && fromReserve:
				rec.Count(quota.Request{At: now}, limits)
				sent = append(sent, now)
			default:
				require.True(t, d.Until.After(now), "it says when to come back")
				after := rec.Request(d.Until, limits)
				require.Contains(t, []quota.Verdict{quota.Go, quota.Reserved}, after.Verdict, "and then something has changed")
			}
			inWindow := slices.DeleteFunc(slices.Clone(sent), func(at time.Time) bool { return !at.Add(limits.Window).After(now) })
			require.LessOrEqual(t, len(inWindow), limits.Budget)
		}
	})
}

func TestRequest_SevenOfTenAreForAnybodyAndThreeForThoseWhoHaveNoToken(t *testing.T) {
	t.Parallel()
	var rec quota.Record
	for i := range 10 {
		want := quota.Go
		if i >= 7 {
			want = quota.Reserved
		}
		require.Equal(t, want, rec.Request(start, limits).Verdict, i)
		rec.Count(quota.Request{At: start, ReserveOf: fmt.Sprint(i)}, limits)
	}
	d := rec.Request(start, limits)
	require.Equal(t, quota.Used, d.Verdict)
	require.Equal(t, start.Add(limits.Window+limits.Timeout), d.Until)
	left, free := rec.Left(start, limits)
	require.Zero(t, left)
	require.Equal(t, d.Until, free)
}

func TestRequest_AfterAThrottleAnswerThereIsSilence(t *testing.T) {
	t.Parallel()
	rec := quota.Record{Throttled: quota.NewSilence(start, "Access Denied", "too many", nil, limits)}
	d := rec.Request(start.Add(limits.Window-time.Second), limits)
	require.Equal(t, quota.Silent, d.Verdict)
	require.Equal(t, "too many", d.Silence.Text)
	require.Equal(t, quota.Go, rec.Request(d.Until, limits).Verdict)
	again := quota.NewSilence(start, "", "", rec.Throttled, limits)
	require.Equal(t, 2, again.InARow)
	rec.Count(quota.Request{At: d.Until}, limits)
	rec.Succeeded(d.Until, "token", time.Hour, limits)
	require.Nil(t, rec.Throttled)
	require.True(t, rec.HasWorked)
}

// Invariant 4: the same, where the other request is one of client_credentials.
func TestQuota_ASuccessEndsOnlyASilenceThatBeganBeforeItsRequest(t *testing.T) {
	t.Parallel()
	sent := start
	var rec quota.Record
	rec.Count(quota.Request{At: sent}, limits)
	rec.Throttled = quota.NewSilence(sent.Add(time.Second), "Access Denied", "too many", nil, limits)
	rec.Succeeded(sent, "a", time.Hour, limits)
	require.NotNil(t, rec.Throttled)
	rec.Count(quota.Request{At: sent.Add(20 * time.Minute)}, limits)
	rec.Succeeded(sent.Add(20*time.Minute), "b", time.Hour, limits)
	require.Nil(t, rec.Throttled)
}

// A token on which somebody has a lease is never the one that Zoho kills.
func TestRoom_NeverLetsZohoEvictATokenThatIsHeld(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var rec quota.Record
		held, known := map[string]bool{}, map[string]bool{}
		for i := range rapid.IntRange(0, 12).Draw(t, "tokens") {
			rec.Count(quota.Request{At: start.Add(time.Duration(i) * time.Second)}, limits)
			if id := fmt.Sprint(i); rapid.Bool().Draw(t, "its outcome is known") {
				rec.Succeeded(start.Add(time.Duration(i)*time.Second), id, time.Hour, limits)
				known[id], held[id] = true, rapid.Bool().Draw(t, "held")
			}
		}
		now := start.Add(time.Minute)
		room := rapid.IntRange(1, 10).Draw(t, "room")
		d := rec.Room(now, limits, room, func(id string) (bool, bool) { return known[id], held[id] })
		if d.Verdict == quota.Full {
			require.True(t, d.Until.After(now))
			return
		}
		dead := map[string]bool{}
		for _, ending := range d.End {
			require.True(t, known[ending.Token])
			require.False(t, held[ending.Token], "nobody's token is ended who holds it")
			if ending.MustDie { // the others may be alive at Zoho still
				dead[ending.Token] = true
			}
		}
		// Zoho kills the oldest until there are room of them with the new one.
		alive := slices.DeleteFunc(rec.Live(now), func(r quota.Request) bool { return dead[r.Token] })
		for _, evicted := range alive[:max(0, len(alive)+1-room)] {
			require.False(t, held[evicted.Token], "Zoho would kill a token that is held")
		}
	})
}

func TestRecord_ARequestCountsAsALiveTokenUnlessItIsCertainThatNoneCame(t *testing.T) {
	t.Parallel()
	var rec quota.Record
	rec.Count(quota.Request{At: start}, limits)
	require.Len(t, rec.Live(start), 1, "nobody knows yet")
	rec.Failed(start, false)
	require.Len(t, rec.Live(start), 1, "its answer was lost")
	rec.Failed(start, true)
	require.Empty(t, rec.Live(start))
	rec.Count(quota.Request{At: start}, limits)
	rec.Succeeded(start, "token", time.Hour, limits)
	require.Len(t, rec.Live(start), 1)
	rec.Ended("token")
	require.Empty(t, rec.Live(start))
}

// A time that a wrong clock wrote counts from when it was seen.
func TestRecord_ATimeInTheFutureIsNotBelievedForLongerThanARequestCounts(t *testing.T) {
	t.Parallel()
	var rec quota.Record
	ahead := start.Add(1000 * time.Hour)
	for range 10 {
		rec.Count(quota.Request{At: ahead}, limits)
	}
	rec.Throttled = quota.NewSilence(ahead, "", "", nil, limits)
	rec = rec.Clone()
	rec.SeeFuture(start)
	require.Equal(t, quota.Silent, rec.Request(start, limits).Verdict)
	rec.Throttled = nil
	require.Equal(t, quota.Used, rec.Request(start, limits).Verdict)
	require.Equal(t, quota.Go, rec.Request(start.Add(limits.Window+limits.Timeout), limits).Verdict)
	require.False(t, rec.IsNeedless(start, limits, time.Minute))
	require.True(t, rec.IsNeedless(start.Add(2*time.Hour), limits, time.Minute))
}

func TestBackoff_GrowsToTwoMinutes(t *testing.T) {
	t.Parallel()
	require.Equal(t, 4*time.Second, quota.Backoff(1))
	require.Equal(t, 8*time.Second, quota.Backoff(2))
	require.Equal(t, quota.LongestBackoff, quota.Backoff(1000))
}

func TestDoubt_GrowsFromAMinuteToHalfAnHour(t *testing.T) {
	require.Equal(t, time.Minute, quota.Doubt(1))
	require.Equal(t, 2*time.Minute, quota.Doubt(2))
	require.Equal(t, quota.LongestDoubt, quota.Doubt(6))
	require.Equal(t, quota.LongestDoubt, quota.Doubt(1000))
}
