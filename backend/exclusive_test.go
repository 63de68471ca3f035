package backend_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend"
	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/backend/zoho"
	"vault-plugin-secrets-zoho/zohosim"
)

func TestExclusive_EachLeaseHasATokenOfItsOwnAndItsEndKillsThatOne(t *testing.T) {
	w := newWorld(t)
	w.writeRole("crm-sync", settings.RoleChange{Exclusive: ptr(true)})
	first, second := w.read("crm-sync"), w.read("crm-sync")
	require.NotEqual(t, first.TokenID, second.TokenID)
	require.NoError(t, w.release(first))
	require.False(t, w.alive(first))
	require.True(t, w.alive(second))
}

func TestExclusive_ReadersAtOnceGetDifferentTokens(t *testing.T) {
	w := newWorld(t)
	w.writeRole("crm-sync", settings.RoleChange{Exclusive: ptr(true)})
	got := make(chan string, 5)
	for range cap(got) {
		go func() {
			issued, err := w.engine.Issue(t.Context(), "crm-sync", backend.Reader{})
			if err != nil {
				t.Error(err)
				got <- ""
				return
			}
			got <- issued.TokenID
		}()
	}
	different := make(map[string]bool)
	for range cap(got) {
		different[<-got] = true
	}
	require.Len(t, different, cap(got))
}

func TestExclusive_BeyondTheCapIsA429UntilALeaseEnds(t *testing.T) {
	w := newWorld(t)
	w.configure(settings.ConfigChange{RequestBudget: ptr(100)})
	w.sim.SetThrottle(throttleOff)
	w.writeRole("crm-sync", settings.RoleChange{Exclusive: ptr(true)})
	leases := make([]*backend.Issued, 10)
	for i := range leases {
		leases[i] = w.read("crm-sync")
		w.clock.Advance(time.Second)
	}
	failed := grantError(t, w.readError("crm-sync"))
	require.Equal(t, zoho.Throttled, failed.Kind)
	require.Contains(t, failed.Error(), "max_live_tokens")
	for _, lease := range leases {
		require.True(t, w.alive(lease))
	}
	require.NoError(t, w.release(leases[7]))
	eleventh := w.read("crm-sync")
	require.True(t, w.alive(leases[0]), "the oldest is not evicted")
	require.True(t, w.alive(eleventh))
}

func TestExclusive_ASharedTokenThatNobodyHoldsMakesRoomAndIsNotServedAfterwards(t *testing.T) {
	w := newWorld(t)
	w.configure(settings.ConfigChange{RequestBudget: ptr(100), MaxLiveTokens: ptr(2)})
	w.sim.SetMaxLiveTokens(2)
	w.writeRole("own", settings.RoleChange{RefreshToken: &w.refreshToken, Exclusive: ptr(true)})
	held := w.read("crm-sync")
	w.clock.Advance(40 * time.Minute)
	w.tick() // a shared token is minted ahead; nobody holds it yet
	w.clock.Advance(time.Minute)
	require.NoError(t, w.release(held))
	w.read("own")
	own := w.read("own")
	require.True(t, w.alive(own))
	w.clock.Advance(time.Second)
	var failed *backend.GrantError
	require.ErrorAs(t, w.readError("crm-sync"), &failed)
}

func TestMint_AYoungerTokenMakesRoomOnlyWhenItIsCertainlyGone(t *testing.T) {
	w := newWorld(t)
	w.configure(settings.ConfigChange{RequestBudget: ptr(100), MaxLiveTokens: ptr(2)})
	w.sim.SetMaxLiveTokens(2)
	w.writeRole("own", settings.RoleChange{RefreshToken: &w.refreshToken, Exclusive: ptr(true)})
	held := w.read("own")
	w.clock.Advance(time.Second)
	shared := w.read("crm-sync")
	w.sim.Fault(zohosim.EndpointRevoke, zohosim.Fault{Kind: zohosim.FaultHTML500, Count: 2})
	w.sim.Fault(zohosim.EndpointLegacyRevoke, zohosim.Fault{Kind: zohosim.FaultHTML500, Count: 2})
	require.Error(t, w.release(shared))

	require.Equal(t, zoho.Throttled, grantError(t, w.readError("own")).Kind)
	require.True(t, w.alive(held))
	w.tick() // the revocation goes on
	w.read("own")
	require.True(t, w.alive(held))
}

func TestTick_GoesOnRevokingATokenThatHadToMakeRoom(t *testing.T) {
	w := newWorld(t)
	w.configure(settings.ConfigChange{MaxLiveTokens: ptr(2)})
	w.writeRole("own", settings.RoleChange{RefreshToken: &w.refreshToken, Exclusive: ptr(true)})
	held := w.aheadUnheld()
	w.sim.Fault(zohosim.EndpointRevoke, zohosim.Fault{Kind: zohosim.FaultHTML500, Count: 1})
	w.sim.Fault(zohosim.EndpointLegacyRevoke, zohosim.Fault{Kind: zohosim.FaultHTML500, Count: 1})
	require.Equal(t, zoho.Throttled, grantError(t, w.readError("own")).Kind)
	require.Equal(t, 2, w.sim.LiveTokens(w.refreshToken))
	w.configure(settings.ConfigChange{RefreshAhead: ptr(false)})
	w.tick()
	require.Equal(t, 1, w.sim.LiveTokens(w.refreshToken))
	require.True(t, w.alive(held))
}
