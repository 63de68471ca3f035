package refreshtoken_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"vault-plugin-secrets-zoho/backend/quota"
	"vault-plugin-secrets-zoho/backend/refreshtoken"
)

func inClient(t require.TestingT, was *refreshtoken.Client, now time.Time, change func(*refreshtoken.Usage)) *refreshtoken.Client {
	return changeClient(t, was, refreshtoken.InClient("https://accounts.zoho.eu", "client", now, change))
}

// changeClient changes the entry of a client, stores it and loads it again.
func changeClient(t require.TestingT, was *refreshtoken.Client, change refreshtoken.ClientChange) *refreshtoken.Client {
	after, err := change(was)
	require.NoError(t, err)
	if after == nil {
		return nil
	}
	encoded, err := refreshtoken.EncodeClient(after)
	require.NoError(t, err)
	loaded, err := refreshtoken.DecodeClient(encoded, start)
	require.NoError(t, err)
	again, err := refreshtoken.EncodeClient(loaded)
	require.NoError(t, err)
	require.Equal(t, string(encoded), string(again))
	return loaded
}

func clientEntered(t require.TestingT, was *refreshtoken.Client, role, grant string) *refreshtoken.Client {
	return changeClient(t, was, refreshtoken.EnterClient("https://accounts.zoho.eu", "client", role, grant, start))
}

func clientMinted(t require.TestingT, was *refreshtoken.Client, grant, token string, at time.Time) *refreshtoken.Client {
	r := inClient(t, was, at, func(u *refreshtoken.Usage) { u.Quota.Count(quota.Request{At: at}, limits) })
	return inClient(t, r, at, func(u *refreshtoken.Usage) {
		u.Succeeded(refreshtoken.Minted{EnteringRole: refreshtoken.EnteringRole{Grant: grant}, TokenID: token, Asked: at, Life: time.Hour, Limits: limits})
	})
}

func TestClient_GrantsOfClientCredentialsShareItsRequestsAndEachHasItsOwnToken(t *testing.T) {
	t.Parallel()
	c := clientEntered(t, clientEntered(t, clientEntered(t, nil, "robot", "g-1"), "bot", "g-1"), "other", "g-2")
	c = clientMinted(t, clientMinted(t, c, "g-1", "at-1", start), "g-2", "at-2", start.Add(time.Second))
	require.Equal(t, map[string]string{"bot": "g-1", "robot": "g-1", "other": "g-2"}, c.Roles)
	require.Equal(t, "at-1", c.Grants["g-1"].Current)
	require.Equal(t, "at-2", c.Grants["g-2"].Current)
	require.Len(t, c.Quota.Live(start), 2)
	c = inClient(t, c, start, func(u *refreshtoken.Usage) { require.True(t, u.Ended("at-1")) })
	require.False(t, c.Counts("at-1"))
	require.Empty(t, c.Grants["g-1"].Current)
	require.True(t, c.Keeps("at-2"))
	c = inClient(t, c, start, func(u *refreshtoken.Usage) {
		u.Failed(refreshtoken.Failed{Failure: refreshtoken.Failure{At: start, Definite: true}, Grant: "g-2"})
	})
	require.True(t, c.Grants["g-2"].Failure.Forbids(start))
	require.Nil(t, c.Grants["g-1"].Failure)
}

func TestClient_KeepsTheDenialsOfCodesAndWhoClaimedWhat(t *testing.T) {
	t.Parallel()
	var c *refreshtoken.Client
	for range 2 {
		c = inClient(t, c, start, func(u *refreshtoken.Usage) {
			u.Quota.Count(quota.Request{At: start, Exchange: true, ClaimOf: "evil", Guess: true}, limits)
			u.Quota.Failed(start, true)
			u.Quota.Deny(start, "access_denied", "denied", "evil", limits)
		})
	}
	require.Equal(t, quota.Silent, c.Quota.Claim(start, limits, quota.Claim{Role: "evil", Code: true}).Verdict)
	require.Equal(t, quota.Go, c.Quota.Claim(start, limits, quota.Claim{Role: "honest", Code: true}).Verdict)
	require.Empty(t, c.Quota.Live(start))
}

func TestClient_ItsEntryIsBoundedInBytes(t *testing.T) {
	t.Parallel()
	var c *refreshtoken.Client
	for i := 0; ; i++ {
		role := fmt.Sprintf("%0128d", i)
		after, err := refreshtoken.EnterClient("https://accounts.zoho.eu", "client", role, strings.Repeat("f", 32), start)(c)
		if err != nil {
			requireRefused(t, err, refreshtoken.ClientFull)
			require.Greater(t, i, 300)
			break
		}
		c = after
	}
	encoded, err := refreshtoken.EncodeClient(c)
	require.NoError(t, err)
	require.LessOrEqual(t, len(encoded), refreshtoken.MaxClientBytes)
	same, err := refreshtoken.EnterClient("https://accounts.zoho.eu", "client", fmt.Sprintf("%0128d", 7), strings.Repeat("f", 32), start)(c)
	require.NoError(t, err)
	require.Same(t, c, same, "one that is there can be written again, without a write")
}

func TestClient_ItsEntryGoesWhenNoRoleIsLeftAndNothingCounts(t *testing.T) {
	t.Parallel()
	c := clientMinted(t, clientEntered(t, clientEntered(t, nil, "robot", "g-1"), "stale", "g-1"), "g-1", "at-1", start)
	world := func(now time.Time, is map[string]refreshtoken.Presence) refreshtoken.World {
		return refreshtoken.World{Now: now, Limits: limits, Role: func(name string) refreshtoken.Presence { return is[name] }}
	}
	require.Nil(t, refreshtoken.ReconcileClient(nil, world(start, nil)))
	require.Nil(t, refreshtoken.ReconcileClient(c, world(start, roles{"robot": refreshtoken.Has, "stale": refreshtoken.Writing})))
	c = changeClient(t, c, refreshtoken.ReconcileClient(c, world(start, roles{"robot": refreshtoken.Has, "stale": refreshtoken.NotThere})))
	require.Equal(t, map[string]string{"robot": "g-1"}, c.Roles)
	c = changeClient(t, c, refreshtoken.LeaveClient(start, limits, "robot"))
	require.Nil(t, refreshtoken.ReconcileClient(c, world(start, nil)), "its token counts")
	later := start.Add(3 * time.Hour)
	require.Nil(t, changeClient(t, c, refreshtoken.ReconcileClient(c, world(later, nil))))
	require.Nil(t, changeClient(t, nil, refreshtoken.LeaveClient(start, limits, "robot")))
}

func TestClient_OfADamagedEntryAsksNothingForAWindow(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "null", "{", `{"u":"https://accounts.zoho.eu"}`} {
		_, err := refreshtoken.DecodeClient([]byte(bad), start)
		require.ErrorIs(t, err, refreshtoken.ErrDamaged)
	}
	c := refreshtoken.RebuildClient("https://accounts.zoho.eu", "client", map[string]string{"robot": "g-1"}, refreshtoken.Found{
		Now: start, Limits: limits, Live: []quota.Request{{At: start, Until: start.Add(time.Hour), Token: "at-1"}},
	})
	require.True(t, c.Counts("at-1"))
	require.Equal(t, quota.Silent, c.Quota.Request(start.Add(limits.Window), limits).Verdict)
}

// Where Zoho counts all requests for the client, one counts here as well, and its token does not.
func TestClient_CountsTheRequestsOfItsRefreshTokensAndNotTheirTokens(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var c *refreshtoken.Client
		now, sent := start, 0
		for range rapid.IntRange(1, 30).Draw(t, "requests") {
			now = now.Add(time.Duration(rapid.IntRange(0, 60).Draw(t, "seconds")) * time.Second)
			if c != nil && c.Quota.Request(now, limits).Verdict != quota.Go {
				continue
			}
			after, err := refreshtoken.InClient("https://accounts.zoho.eu", "client", now, func(u *refreshtoken.Usage) {
				u.Quota.Count(quota.Request{At: now, NoLiveToken: true}, limits)
			})(c)
			require.NoError(t, err)
			c = after
			sent++
		}
		require.LessOrEqual(t, sent, 3*limits.Unreserved()+limits.Unreserved())
		require.Empty(t, c.Quota.Live(now))
	})
}
