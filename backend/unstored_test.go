package backend_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"
	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend"
	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/zohosim"
)

// Invariant 9: the entry in the index says for minutes that the role may be about to be
// stored. Whenever Tick comes meanwhile, the note about the refresh token stands.
func TestExchange_ThatTookLongAndStoredNoRoleLosesNoRefreshToken(t *testing.T) {
	w := newWorld(t)
	w.storage.holding(func(key string) error {
		if strings.HasPrefix(key, "refresh-tokens/") {
			w.clock.Advance(10 * time.Second) // the time that Zoho may take to say whose account it is
		}
		return nil
	})
	w.storage.failing(func(key string) bool { return key == "roles/books" })
	_, err := w.writeCode("books", w.code())
	require.ErrorIs(t, err, errDisk)
	w.storage.holding(nil)
	w.storage.failing(nil)
	w.settle()
	for range 80 {
		w.clock.Advance(5 * time.Second)
		w.tick()
		require.Empty(t, w.unknown(), "a refresh token lives at Zoho that nobody will revoke")
	}
	require.Len(t, w.living("refresh"), 1)
}

// Invariant 9: an access token that comes with a refresh token and cannot be kept.
func TestExchange_AnAccessTokenThatCannotBeKeptIsRevoked(t *testing.T) {
	w := newWorld(t)
	w.storage.unreadable(below("tokens/"))
	_, err := w.writeCode("books", w.code())
	require.NoError(t, err)
	w.storage.unreadable(nil)
	require.Zero(t, w.sim.LiveTokens(w.refreshTokenOf("books")))
	require.True(t, w.alive(w.read("books")))
}

// Invariant 9: the code is used up, and the operator has to know.
func TestExchange_AnErrorAfterItSaysWhatBecomesOfTheRefreshToken(t *testing.T) {
	w := newWorld(t)
	w.storage.failing(below("roles/"))
	_, err := w.writeCode("books", w.code())
	w.storage.failing(nil)
	require.ErrorIs(t, err, errDisk)
	require.ErrorContains(t, err, "is revoked by itself in a few minutes")
	for range 4 {
		w.clock.Advance(2 * time.Minute)
		w.tick()
	}
	require.Len(t, w.living("refresh"), 1)
}

// A server may answer with the refresh token that the role has already.
func TestExchange_OfARoleThatCannotBeStoredLeavesTheRefreshTokenThatItHas(t *testing.T) {
	w := newWorld(t)
	w.sim.Fault(zohosim.EndpointToken, zohosim.Fault{
		Kind: zohosim.FaultAnswer, Count: 1,
		Body: fmt.Sprintf(`{"access_token":"1000.aaaaaaaaaaaaaaaa.bbbbbbbbbbbbbbbb","refresh_token":%q,"expires_in":3600}`, w.refreshToken),
	})
	w.storage.failing(below("refresh-tokens/"))
	_, err := w.writeCode("crm-sync", w.code())
	w.storage.failing(nil)
	require.ErrorIs(t, err, errDisk)
	for range 4 {
		w.clock.Advance(2 * time.Minute)
		w.tick()
	}
	require.True(t, w.alive(w.read("crm-sync")))
}

// Invariant 9: what could not be stored because the time was up.
func TestMint_ATokenThatIsNotKeptIsRevokedAlsoWhenTheTimeIsUp(t *testing.T) {
	w := newWorld(t)
	issued := w.read("crm-sync")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, w.engine.RevokeUnstored(ctx, w.accounts.URL, w.client.ID, w.client.Secret("us"), issued.AccessToken))
	require.False(t, w.alive(issued))
}

// A reader whose token is there gets it, whatever else could not be written.
func TestMint_ThatSucceededIsNoErrorIfTheEndOfAThrottleIsNotStored(t *testing.T) {
	w := newWorld(t)
	w.configure(settings.ConfigChange{CountRequestsPer: ptr(settings.CountPerClient)})
	w.writeRole("own", settings.RoleChange{RefreshToken: &w.refreshToken, Exclusive: ptr(true)})
	w.sim.Fault(zohosim.EndpointToken, zohosim.Fault{Kind: zohosim.FaultThrottled, Count: 1})
	require.Error(t, w.readError("own"))
	w.clock.Advance(20 * time.Minute)
	client := ""
	for key := range w.stored("clients/") {
		client = key
	}
	require.NotEmpty(t, client)
	writes := 0
	w.storage.failing(func(key string) bool {
		if key == client {
			writes++
		}
		return key == client && writes > 1 // the request itself is counted
	})
	require.True(t, w.alive(w.read("own")))
	w.storage.failing(nil)
	require.Greater(t, writes, 1)
}

// Invariants 4 and 5: the daily round comes to a damaged record before any reader.
func TestDamage_ToARecordThatTheDailyRoundMeetsFirstLeavesItsTokensCounted(t *testing.T) {
	w := newWorld(t)
	require.NoError(t, w.release(w.read("crm-sync")))
	records := w.keys("refresh-tokens/")
	held := w.read("crm-sync")
	w.damageEntries("refresh-tokens/")
	w.tick()
	require.Equal(t, held.TokenID, w.read("crm-sync").TokenID)
	require.Equal(t, 1, w.status("crm-sync").LiveTokens)
	require.True(t, w.alive(held))
	require.Equal(t, records, w.keys("refresh-tokens/"))
	require.Equal(t, []string{"crm-sync"}, w.entered())
}

// Invariant 7: neither record is needed to revoke.
func TestDamage_ToTheConfigAndAQuotaBlocksNoRevocation(t *testing.T) {
	w := newWorld(t)
	lease := w.read("crm-sync")
	w.damageEntries("config")
	w.damageEntries("refresh-tokens/")
	require.NoError(t, w.release(lease))
	require.False(t, w.alive(lease))
}

// A damaged note that cannot be deleted holds up nobody else's.
func TestDamage_ToAPendingRevocationHoldsUpNoOther(t *testing.T) {
	w := newWorld(t)
	w.writeRole("books", settings.RoleChange{RefreshToken: ptr(w.consent())})
	held := map[string]*backend.Issued{w.refreshToken: w.read("crm-sync"), w.refreshTokenOf("books"): w.read("books")}
	for _, role := range []string{"crm-sync", "books"} {
		_, err := w.writeCode(role, w.code())
		require.NoError(t, err)
	}
	w.settle()
	notes := w.unwanted()
	require.Len(t, notes, 2)
	slices.Sort(notes)
	first := notes[0] // the other one comes after it
	for refreshToken := range held {
		if strings.Contains(w.stored(first)[first], refreshToken) {
			delete(held, refreshToken)
		}
	}
	w.damageEntries(first)
	w.storage.failing(func(key string) bool { return key == first || strings.HasPrefix(key, "ended/") })
	for _, issued := range held {
		require.ErrorIs(t, w.release(issued), errDisk) // so that what is left is the work of Tick
	}
	w.storage.failing(func(key string) bool { return key == first })
	for range 3 {
		w.clock.Advance(2 * time.Minute)
		require.ErrorIs(t, w.engine.Tick(t.Context(), notTainted), errDisk)
		w.settle()
	}
	for refreshToken := range held {
		require.False(t, w.sim.Alive(refreshToken))
	}
	w.storage.failing(nil)
	w.tick()
	require.Empty(t, w.unwanted())
}

// Zoho has revoked it, whatever is left in storage.
func TestDeauthorize_ThatZohoHasCarriedOutIsNoErrorIfItIsNotForgotten(t *testing.T) {
	w := newWorld(t)
	w.storage.failing(func(key string) bool { return strings.HasPrefix(key, "refresh-tokens/") && !w.formerLives() })
	_, err := w.deauthorize("crm-sync", false)
	require.NoError(t, err)
	w.storage.failing(nil)
	w.tick()
	require.Empty(t, w.unwanted())
}

// Of roles that give up one refresh token, one is told that it lives on at Zoho.
func TestRoles_ThatGiveUpARefreshTokenAtOnceAreToldThatItLivesOn(t *testing.T) {
	for _, how := range []string{"deleted", "written over"} {
		t.Run(how, func(t *testing.T) {
			for range 20 {
				w := newWorld(t)
				roles := []string{"crm-sync", "books", "desk"}
				others := []string{w.consent(), w.consent(), w.consent()}
				for _, role := range roles[1:] {
					w.writeRole(role, settings.RoleChange{RefreshToken: &w.refreshToken})
				}
				told := make([][]string, len(roles))
				for _, err := range atOnce(len(roles), func(i int) (err error) {
					if how == "deleted" {
						told[i], err = w.engine.DeleteRole(t.Context(), roles[i])
					} else {
						told[i], err = w.write(roles[i], settings.RoleChange{RefreshToken: &others[i], Verify: ptr(false)})
					}
					return err
				}) {
					require.NoError(t, err)
				}
				require.Equal(t, 1, strings.Count(strings.Join(slices.Concat(told...), "\n"), "lives on at Zoho"))
			}
		})
	}
}

// Invariant 16: nobody is told that a token is given to nobody any more whose end is not
// decided.
func TestRotate_NamesNoTokenWhoseEndCouldNotBeStored(t *testing.T) {
	w := newWorld(t)
	ids := []string{w.read("crm-sync").TokenID}
	w.clock.Advance(55 * time.Minute)
	ids = append(ids, w.read("crm-sync").TokenID)
	w.settle()
	slices.Sort(ids)
	for _, endpoint := range []zohosim.Endpoint{zohosim.EndpointToken, zohosim.EndpointRevoke, zohosim.EndpointLegacyRevoke} {
		w.sim.Fault(endpoint, zohosim.Fault{Kind: zohosim.FaultClose})
	}
	w.storage.failing(below("holders/" + ids[1]))
	_, err := w.engine.Rotate(t.Context(), "crm-sync", true)
	w.storage.failing(nil)
	require.ErrorContains(t, err, "given to nobody any more: "+ids[0]+". ")
}

// Invariant 9: a write by another role that came to nothing does not keep the operator from
// being told.
func TestRoles_ThatAreNotStoredDoNotHideThatARefreshTokenLivesOn(t *testing.T) {
	w := newWorld(t)
	w.storage.failing(func(key string) bool { return key == "roles/books" })
	_, err := w.write("books", settings.RoleChange{RefreshToken: &w.refreshToken})
	require.ErrorIs(t, err, errDisk)
	w.storage.failing(nil)
	warnings := w.writeRole("crm-sync", settings.RoleChange{RefreshToken: ptr(w.consent())})
	require.Contains(t, strings.Join(warnings, "\n"), "lives on at Zoho")
}

// Invariant 9: storage reports a failure, and has carried out what it was asked.
func TestRoles_WhoseWriteOrDeletionMayHaveBeenCarriedOutSaySo(t *testing.T) {
	for _, how := range []string{"deleted", "written over"} {
		w := newWorld(t)
		other := w.consent()
		w.storage.lying(true)
		w.storage.failing(func(key string) bool { return key == "roles/crm-sync" })
		var err error
		if how == "deleted" {
			_, err = w.engine.DeleteRole(t.Context(), "crm-sync")
		} else {
			_, err = w.write("crm-sync", settings.RoleChange{RefreshToken: &other})
		}
		require.ErrorIs(t, err, errDisk)
		require.ErrorContains(t, err, "lives on at Zoho", how)
	}
}

// A refresh token that another role has given up by force is being revoked, and does not
// live on.
func TestRoles_ThatLoseARefreshTokenByForceAreNotToldThatItLivesOn(t *testing.T) {
	w := newWorld(t)
	w.writeRole("books", settings.RoleChange{RefreshToken: &w.refreshToken})
	for _, endpoint := range []zohosim.Endpoint{zohosim.EndpointRevoke, zohosim.EndpointLegacyRevoke} {
		w.sim.Fault(endpoint, zohosim.Fault{Kind: zohosim.FaultClose})
	}
	_, err := w.deauthorize("crm-sync", true)
	require.Error(t, err)
	warnings := w.writeRole("books", settings.RoleChange{RefreshToken: ptr(w.consent())})
	require.NotContains(t, strings.Join(warnings, "\n"), "lives on at Zoho")
}

// Who asks after a write does not get what was read before it, nor its error.
func TestMemory_WhatWasReadBeforeAWriteIsNotForThoseWhoAskAfterwards(t *testing.T) {
	w := newWorld(t)
	require.NoError(t, w.storage.Put(t.Context(), &logical.StorageEntry{Key: "roles/books", Value: []byte("{")}))
	finish, done := w.holdBack(func(key string) bool { return key == "roles/books" }, func() error {
		_, err := w.write("books", settings.RoleChange{Scopes: &scopes, RefreshToken: nil})
		return err
	})
	reached, goOn := make(chan struct{}), make(chan struct{})
	var met atomic.Bool
	w.storage.reading(func(key string) {
		if key == "roles/books" && met.CompareAndSwap(false, true) {
			close(reached)
			<-goOn
		}
	})
	early := make(chan error, 1)
	go func() {
		_, err := w.engine.Role(context.Background(), "books")
		early <- err
	}()
	<-reached
	finish(nil)
	require.NoError(t, <-done)
	role, err := w.engine.Role(t.Context(), "books")
	require.NoError(t, err)
	require.Equal(t, scopes, role.Scopes)
	close(goOn)
	if err := <-early; err != nil { // this one has asked before, so either will do
		require.True(t, backend.IsBroken(err))
	}
	role, err = w.engine.Role(t.Context(), "books")
	require.NoError(t, err)
	require.Equal(t, scopes, role.Scopes)
}
