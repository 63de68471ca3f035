package quota_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"vault-plugin-secrets-zoho/backend/quota"
)

// anyClaim is a claim of one of three roles.
func anyClaim(t *rapid.T) quota.Claim {
	return quota.Claim{
		Role: fmt.Sprintf("role-%d", rapid.IntRange(0, 2).Draw(t, "role")), Code: rapid.Bool().Draw(t, "code"),
		Guess: rapid.Bool().Draw(t, "guess"), Readers: rapid.Bool().Draw(t, "readers"),
	}
}

func count(rec *quota.Record, now time.Time, c quota.Claim) {
	rec.Count(quota.Request{At: now, Exchange: c.Code, ClaimOf: c.Role, Guess: c.Guess}, limits)
}

func TestClaim_KeepsToEveryBoundAndSaysWhenItCanBeMade(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		type made struct {
			quota.Claim
			at time.Time
		}
		var rec quota.Record
		var sent []made
		now := start
		for range rapid.IntRange(1, 80).Draw(t, "claims") {
			now = now.Add(time.Duration(rapid.IntRange(0, 120).Draw(t, "seconds")) * time.Second)
			c := anyClaim(t)
			decision := rec.Claim(now, limits, c)
			if decision.Verdict != quota.Go {
				require.True(t, decision.Until.After(now))
				require.NotEqual(t, quota.Go, rec.Claim(decision.Until.Add(-time.Second), limits, c).Verdict, "not before")
				require.Equal(t, quota.Go, rec.Claim(decision.Until, limits, c).Verdict, "and then at once")
				continue
			}
			count(&rec, now, c)
			sent = append(sent, made{c, now})
			within := func(in time.Duration, matches func(quota.Claim) bool) (n int) {
				for _, s := range sent {
					if s.at.Add(in).After(now) && matches(s.Claim) {
						n++
					}
				}
				return n
			}
			require.LessOrEqual(t, within(limits.Window, func(quota.Claim) bool { return true }), limits.Budget)
			require.LessOrEqual(t, within(limits.Window, func(s quota.Claim) bool { return s.Role == c.Role }), 3)
			require.LessOrEqual(t, within(limits.Window, func(s quota.Claim) bool { return s.Guess }), 5)
			require.LessOrEqual(t, within(time.Minute, func(s quota.Claim) bool { return s.Code }), 4)
			require.LessOrEqual(t, within(10*time.Minute, func(s quota.Claim) bool { return s.Code }), 10)
		}
	})
}

// Invariant 15: whatever one role has claimed, guesses included, another gets a code.
func TestClaim_OfOneRoleLeavesAnotherItsOwn(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var rec quota.Record
		now := start
		for range rapid.IntRange(0, 40).Draw(t, "claims") {
			now = now.Add(time.Duration(rapid.IntRange(0, 60).Draw(t, "seconds")) * time.Second)
			c := anyClaim(t)
			if c.Role = "evil"; rec.Claim(now, limits, c).Verdict == quota.Go {
				count(&rec, now, c)
			}
		}
		require.Equal(t, quota.Go, rec.Claim(now, limits, quota.Claim{Role: "honest", Code: true, Guess: true, Readers: true}).Verdict)
	})
}

func TestClaim_SharesOfASmallBudgetAreOneRequestAtLeast(t *testing.T) {
	t.Parallel()
	for budget, want := range map[int][2]int{1: {1, 1}, 2: {1, 1}, 4: {1, 2}, 7: {2, 3}, 10: {3, 5}, 100: {3, 5}} {
		l := quota.Limits{Budget: budget}
		require.Equal(t, want, [2]int{l.RoleShare(), l.GuessShare()}, budget)
	}
}

func TestDeny_TwiceSilencesTheRoleAndOnlyThoseOfTwoRolesTheClient(t *testing.T) {
	t.Parallel()
	forbids := func(rec *quota.Record, role string) bool {
		return rec.Claim(start, limits, quota.Claim{Role: role, Code: true}).Verdict == quota.Silent
	}
	var rec quota.Record
	rec.Deny(start, "Access Denied", "denied", "evil", limits)
	require.False(t, forbids(&rec, "evil"))
	require.False(t, rec.Denied.ForbidsMore())
	rec.Deny(start, "Access Denied", "denied", "evil", limits)
	require.True(t, forbids(&rec, "evil"))
	require.True(t, rec.Denied.ForbidsMore())
	require.False(t, forbids(&rec, "honest"))
	require.Equal(t, quota.Go, rec.Claim(start, limits, quota.Claim{Role: "evil"}).Verdict, "a mint is no code")
	rec.Deny(start, "Access Denied", "denied", "honest", limits)
	require.True(t, forbids(&rec, "third"))
	require.False(t, forbids(&quota.Record{}, "third"))
	rec.Deny(start.Add(time.Hour), "Access Denied", "denied", "third", limits)
	require.False(t, forbids(&rec, "third"), "the former ones are long ago")
}
