package backend_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend"
	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/backend/zoho"
	"vault-plugin-secrets-zoho/zohosim"
)

// reject reads a role and refuses one token.
func (w *world) reject(role, tokenID string) (*backend.Issued, error) {
	return w.engine.Issue(w.t.Context(), role, backend.Reader{Reject: tokenID})
}

// another is reject, and has to bring another token.
func (w *world) another(role string, than *backend.Issued) *backend.Issued {
	w.t.Helper()
	issued, err := w.reject(role, than.TokenID)
	require.NoError(w.t, err)
	require.NotEqual(w.t, than.TokenID, issued.TokenID)
	return issued
}

// dead is the token of a read, which Zoho then kills.
func (w *world) dead(role string) *backend.Issued {
	w.t.Helper()
	issued := w.read(role)
	require.True(w.t, w.sim.Kill(issued.AccessToken.Reveal()))
	return issued
}

func TestReject_TheAnswerIsAnyTokenButThatOne(t *testing.T) {
	w := newWorld(t)
	dead := w.dead("crm-sync")
	require.Equal(t, dead.TokenID, w.read("crm-sync").TokenID, "nobody has told Vault")
	fresh := w.another("crm-sync", dead)
	require.True(t, w.alive(fresh))
	require.Empty(t, fresh.Warnings)
	require.Equal(t, fresh.TokenID, w.read("crm-sync").TokenID, "and so do readers who reject nothing")
	require.Equal(t, 2, w.asked())
}

func TestReject_WhoRejectsTheSameTokenLaterGetsTheNewOneWithoutAMint(t *testing.T) {
	w := newWorld(t)
	w.writeRole("also", settings.RoleChange{RefreshToken: &w.refreshToken})
	dead := w.dead("crm-sync")
	fresh := w.another("crm-sync", dead)
	w.restart()
	for range 20 {
		require.Equal(t, fresh.TokenID, w.another("crm-sync", dead).TokenID)
		require.Equal(t, fresh.TokenID, w.another("also", dead).TokenID)
	}
	require.Equal(t, 2, w.asked())
}

// Invariant 3.
func TestReject_ACrowdThatRejectsOneTokenMakesOneTokenRequest(t *testing.T) {
	w := newWorld(t)
	dead := w.dead("crm-sync")
	issued := make([]*backend.Issued, 200)
	var wg sync.WaitGroup
	for i := range issued {
		wg.Go(func() {
			var err error
			if issued[i], err = w.engine.Issue(context.Background(), "crm-sync", backend.Reader{Reject: dead.TokenID}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	require.Equal(t, 2, w.asked())
	for _, i := range issued {
		require.Equal(t, issued[0].TokenID, i.TokenID)
		require.True(t, w.alive(i))
	}
}

// The mint that a reader waits for was begun by somebody who does not reject what comes of
// it.
func TestReject_OfTheTokenThatAMintUnderWayBringsGetsTheOneAfterIt(t *testing.T) {
	w := newWorld(t)
	w.sim.SetTokenLife(20 * time.Minute)
	first := w.read("crm-sync")
	release := w.holdAnswers()
	second := make(chan *backend.Issued, 1)
	go func() { second <- w.another("crm-sync", first) }()
	w.waitForRequests(2)
	release()
	got := <-second
	require.True(t, w.alive(w.another("crm-sync", got)))
	require.Equal(t, 3, w.asked())
}

// Tenants: the token may be the host's or the reader's fault, and be good for others.
func TestReject_EndsNoTokenThatOthersLease(t *testing.T) {
	w := newWorld(t)
	w.writeRole("also", settings.RoleChange{RefreshToken: &w.refreshToken})
	held := w.read("also")
	mine := w.read("crm-sync")
	require.Equal(t, held.TokenID, mine.TokenID)
	w.another("crm-sync", mine)
	require.NoError(t, w.release(mine))
	w.settle()
	require.True(t, w.alive(held))
	info, err := w.engine.Token(t.Context(), held.TokenID)
	require.NoError(t, err)
	require.Equal(t, backend.TokenSuperseded, info.State)
	require.NoError(t, w.release(held))
	w.settle()
	require.False(t, w.alive(held), "with its last lease")
}

func TestReject_OfATokenThatNobodyLeasesEndsItAtZoho(t *testing.T) {
	w := newWorld(t)
	w.writeRole("crm-sync", settings.RoleChange{})
	first := w.read("crm-sync")
	w.clock.Advance(40 * time.Minute)
	w.tick() // the next one is minted ahead, and nobody leases it
	ahead := w.status("crm-sync").TokenID
	require.NotEqual(t, first.TokenID, ahead)
	issued, err := w.reject("crm-sync", ahead)
	require.NoError(t, err)
	w.settle()
	require.NotEqual(t, ahead, issued.TokenID)
	info, err := w.engine.KnownToken(t.Context(), ahead)
	require.NoError(t, err)
	require.Equal(t, backend.TokenEnded, info.State)
	require.True(t, w.alive(first), "it is leased")
}

func TestReject_OfWhatIsNotTheRolesTokenChangesNothing(t *testing.T) {
	w := newWorld(t)
	other := w.consent()
	w.writeRole("books", settings.RoleChange{RefreshToken: &other})
	books := w.read("books")
	crm := w.read("crm-sync")
	for _, id := range []string{books.TokenID, strings.Repeat("0", 32), ""} {
		issued, err := w.reject("crm-sync", id)
		require.NoError(t, err)
		require.Equal(t, crm.TokenID, issued.TokenID)
		require.Empty(t, issued.Warnings, "nor does the answer tell whether there is such a token")
	}
	require.Equal(t, books.TokenID, w.read("books").TokenID)
	require.Equal(t, 2, w.asked())
}

func TestReject_OfAnExclusiveRoleIsAReadLikeAnyOther(t *testing.T) {
	w := newWorld(t)
	w.writeRole("crm-sync", settings.RoleChange{Exclusive: ptr(true)})
	dead := w.dead("crm-sync")
	require.True(t, w.alive(w.another("crm-sync", dead)))
	require.Equal(t, 2, w.asked())
}

// While no new token can be had, a reader gets one that still lives - but not the one
// that it has just said is dead.
func TestReject_WhileNoNewTokenCanBeHadIsAnErrorAndNeverTheRejectedOne(t *testing.T) {
	for name, c := range map[string]struct {
		fault zohosim.Fault
		kind  zoho.Kind
	}{
		"Zoho is down":      {zohosim.Fault{Kind: zohosim.FaultClose}, zoho.Unreachable},
		"Zoho answers HTML": {zohosim.Fault{Kind: zohosim.FaultHTML500}, zoho.BadAnswer},
		"Zoho throttles":    {zohosim.Fault{Kind: zohosim.FaultThrottled}, zoho.Throttled},
		"Zoho refuses":      {zohosim.Fault{Kind: zohosim.FaultAnswer, Body: `{"error":"invalid_code"}`}, zoho.Refused},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			dead := w.dead("crm-sync")
			c.fault.Count = 1
			w.sim.Fault(zohosim.EndpointToken, c.fault)
			for range 3 { // from Zoho, and then from memory
				_, err := w.reject("crm-sync", dead.TokenID)
				require.Equal(t, c.kind, grantError(t, err).Kind)
			}
			require.Equal(t, dead.TokenID, w.read("crm-sync").TokenID)
			require.Equal(t, 2, w.asked())
		})
	}
}

// Zoho ends the oldest tokens first. And a program that rejects one after the other must
// come to an end.
func TestReject_WhileNoNewTokenCanBeHadGetsNoneThatIsOlderThanTheRejectedOne(t *testing.T) {
	w := newWorld(t)
	first := w.read("crm-sync")
	w.clock.Advance(time.Minute)
	second := w.another("crm-sync", first)
	w.sim.SetDown(true)
	require.Equal(t, second.TokenID, w.another("crm-sync", first).TokenID)
	_, err := w.reject("crm-sync", second.TokenID)
	require.Equal(t, zoho.Unreachable, grantError(t, err).Kind)

	w.sim.SetDown(false)
	w.kill(second.TokenID)
	w.sim.SetDown(true)
	require.Equal(t, first.TokenID, w.another("crm-sync", second).TokenID, "what is dead in Vault as well says nothing of those before it")
}

// Zoho never does that. The read must not ask until the budget is used up.
func TestReject_OfATokenThatTheServerAnswersWithAgainIsAnErrorAfterOneRequest(t *testing.T) {
	w := newWorld(t)
	first := w.read("crm-sync")
	w.sim.Fault(zohosim.EndpointToken, zohosim.Fault{Kind: zohosim.FaultAnswer, Count: 9, Body: fmt.Sprintf(`{"access_token":%q,"expires_in":3600}`, first.AccessToken.Reveal())})
	_, err := w.reject("crm-sync", first.TokenID)
	require.Equal(t, zoho.BadAnswer, grantError(t, err).Kind)
	require.ErrorContains(t, err, "rejects")
	require.Equal(t, 2, w.asked())
	require.Equal(t, first.TokenID, w.read("crm-sync").TokenID)
}

func TestReject_InALoopUsesUpWhatIsNotKeptInReserveAndNoMore(t *testing.T) {
	for name, keep := range map[string]bool{"each lease given back": false, "each lease kept": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.writeRole("also", settings.RoleChange{RefreshToken: &w.refreshToken})
			w.writeRole("evil", settings.RoleChange{RefreshToken: &w.refreshToken})
			kept := w.read("also")
			last := w.read("evil")
			for range 50 {
				issued, err := w.reject("evil", last.TokenID)
				if err != nil {
					require.Equal(t, zoho.Throttled, grantError(t, err).Kind)
					continue
				}
				if !keep {
					require.NoError(t, w.release(last))
				}
				last = issued
			}
			require.LessOrEqual(t, w.asked(), 7)
			require.True(t, w.alive(kept), "a token that others lease lives on")
			w.read("crm-sync")
			w.read("also")
			w.settle()
			ids, err := w.engine.TokenIDs(t.Context(), "", 0)
			require.NoError(t, err)
			for _, id := range ids {
				w.kill(id)
			}
			require.True(t, w.alive(w.read("crm-sync")), "this is what the reserve is for")
			require.True(t, w.alive(w.read("also")))
		})
	}
}

// Invariants 4 and 5: leases on all superseded tokens take no place that is kept for those
// who have none.
func TestReject_WithLeasesOnAllTokensLeavesPlacesForReadersWhoHaveNone(t *testing.T) {
	w := newWorldWith(t, zohosim.Options{Throttle: throttleOff})
	w.configure(settings.ConfigChange{RequestBudget: ptr(100)})
	w.writeRole("also", settings.RoleChange{RefreshToken: &w.refreshToken})
	last := w.read("crm-sync")
	leases := []*backend.Issued{last}
	var failed error
	for failed == nil {
		var issued *backend.Issued
		if issued, failed = w.reject("crm-sync", last.TokenID); failed == nil {
			leases, last = append(leases, issued), issued
		}
	}
	require.Equal(t, zoho.Throttled, grantError(t, failed).Kind)
	require.Len(t, leases, 7)
	for _, lease := range leases {
		require.True(t, w.alive(lease))
	}
	w.clock.Advance(51 * time.Minute) // all have less than their role's min_ttl
	fresh := w.read("also")
	require.True(t, w.alive(fresh))
	for _, lease := range leases {
		require.True(t, w.alive(lease))
	}
}

func TestReject_OfATokenInsteadOfItsIDIsRefusedWithoutRepeatingIt(t *testing.T) {
	w := newWorld(t)
	issued := w.read("crm-sync")
	token := issued.AccessToken.Reveal()
	for _, text := range []string{token, "Zoho-oauthtoken " + token, strings.ToUpper(token)} {
		_, err := w.reject("crm-sync", text)
		var bad *settings.UserError
		require.ErrorAs(t, err, &bad)
		require.ErrorContains(t, err, "token_id")
		require.ErrorContains(t, err, "in clear in Vault's audit log")
		require.NotContains(t, strings.ToLower(err.Error()), token)
		require.NotContains(t, err.Error(), issued.TokenID, "this is not where one finds out whose a token is")
	}
	for _, text := range []string{"x", issued.TokenID + "\n", issued.TokenID[:31], "zoho/creds/crm-sync/abc"} {
		_, err := w.reject("crm-sync", text)
		var bad *settings.UserError
		require.ErrorAs(t, err, &bad)
		require.ErrorContains(t, err, "reject is not a token_id")
	}
}
