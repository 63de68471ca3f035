package quota_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"vault-plugin-secrets-zoho/backend/quota"
)

func never(string) bool  { return false }
func always(string) bool { return true }

// Invariant 4: the reserve is for readers who have no token, one request for each role in a
// window, and all that is left for one whose role is alone.
func TestMint_TheReserveIsSharedByTheRolesThatWait(t *testing.T) {
	t.Parallel()
	var rec quota.Record
	q := quota.Quotas{Own: &rec, Requests: &rec}
	for range limits.Unreserved() {
		rec.Count(quota.Request{At: start}, limits)
	}
	decision, _ := q.Mint(start, limits, quota.Mint{})
	require.Equal(t, quota.Reserved, decision.Verdict, "nobody waits")
	waiting := quota.Mint{Waiting: []string{"books", "crm"}, Alone: never}
	for _, role := range waiting.Waiting {
		decision, sent := q.Mint(start, limits, waiting)
		require.Equal(t, quota.Decision{}, decision)
		require.Equal(t, role, sent.ReserveOf)
		sent.At = start
		rec.Count(sent, limits)
	}
	decision, _ = q.Mint(start, limits, waiting)
	require.Equal(t, quota.Reserved, decision.Verdict, "each has had one")
	waiting.Alone = func(role string) bool { return role == "crm" }
	decision, sent := q.Mint(start, limits, waiting)
	require.Equal(t, quota.Go, decision.Verdict)
	require.Equal(t, "crm", sent.ReserveOf)
	sent.At = start
	rec.Count(sent, limits)
	decision, _ = q.Mint(start, limits, quota.Mint{Waiting: []string{"crm"}, Alone: always})
	require.Equal(t, quota.Used, decision.Verdict)
	decision, sent = q.Mint(decision.Until, limits, waiting)
	require.Equal(t, quota.Decision{}, decision)
	require.Empty(t, sent.ReserveOf, "the window is over")
}

// With count_requests_per=client nobody's requests together are more than the client's budget,
// and a throttle answer to any of them silences all.
func TestMint_RequestsOfSeveralRefreshTokensCountTogether(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var client quota.Record
		own := make([]quota.Record, 3)
		var sent []time.Time
		now := start
		for range rapid.IntRange(1, 60).Draw(t, "requests") {
			now = now.Add(time.Duration(rapid.IntRange(0, 120).Draw(t, "seconds")) * time.Second)
			i := rapid.IntRange(0, 2).Draw(t, "refresh token")
			q := quota.Quotas{Own: &own[i], Requests: &client}
			mint := quota.Mint{Waiting: []string{string(rune('a' + i))}, Alone: never}
			if rapid.Bool().Draw(t, "unproven") {
				mint = quota.Mint{Claim: &quota.Claim{Role: "new", Guess: true, Readers: true}, Alone: never}
			}
			silence := q.Silence()
			decision, request := q.Mint(now, limits, mint)
			if decision.Verdict != quota.Go {
				require.True(t, decision.Until.After(now))
				continue
			}
			require.False(t, silence.Forbids(now, limits))
			request.At = now
			client.Count(request, limits)
			own[i].Count(quota.Request{At: now}, limits)
			sent = append(sent, now)
			if rapid.IntRange(0, 9).Draw(t, "answer") == 0 {
				client.Throttled = quota.NewSilence(now, "", "", client.Throttled, limits)
			}
			within := 0
			for _, at := range sent {
				if at.Add(limits.Window).After(now) {
					within++
				}
			}
			require.LessOrEqual(t, within, limits.Budget)
		}
	})
}

func TestMint_OfTwoSilencesTheLatestIsTold(t *testing.T) {
	t.Parallel()
	first, second := quota.NewSilence(start, "", "first", nil, limits), quota.NewSilence(start.Add(time.Second), "", "second", nil, limits)
	for _, q := range []quota.Quotas{
		{Own: &quota.Record{Throttled: first}, Requests: &quota.Record{Throttled: second}},
		{Own: &quota.Record{Throttled: second}, Requests: &quota.Record{Throttled: first}},
		{Own: &quota.Record{Throttled: second}, Requests: &quota.Record{}},
		{Own: &quota.Record{}, Requests: &quota.Record{Throttled: second}},
	} {
		require.Equal(t, second, q.Silence())
		decision, _ := q.Mint(start.Add(time.Minute), limits, quota.Mint{})
		require.Equal(t, quota.Silent, decision.Verdict)
	}
	require.Nil(t, quota.Quotas{Own: &quota.Record{}, Requests: &quota.Record{}}.Silence())
}
