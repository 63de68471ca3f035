package backend_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"
	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend/refreshtoken"
	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/zohosim"
)

// What one record for each refresh token has made possible: each of these went wrong before.

// kinds are the prefixes of the keys that were written since the last call.
func (w *world) kinds() (kinds []string) {
	for _, key := range w.storage.written() {
		kind, _, _ := strings.Cut(key, "/")
		kinds = append(kinds, kind)
	}
	return kinds
}

func TestExchange_WaitsForFourWrites(t *testing.T) {
	w := newWorld(t)
	_, err := w.writeCode("books", w.code())
	require.NoError(t, err)
	code := w.code()
	w.settle()
	w.kinds()
	later, done := w.holdBack(below("refresh-tokens/"), func() error { _, err := w.writeCode("books", code); return err })
	later(nil) // the first write of a record is that of the new one
	require.NoError(t, <-done)
	w.settle()
	kinds := w.kinds()
	require.Equal(t, []string{"clients", "refresh-tokens", "tokens", "roles"}, kinds[:4], "the request, the refresh token with its access token, that one's entry, the role")
}

// Invariant 9: the refresh token is what counts; its access token is ended, and not counted.
func TestExchange_AnAccessTokenThatCannotBeStoredEndsAndCountsNoMore(t *testing.T) {
	w := newWorld(t)
	code, once := w.code(), true
	w.storage.failing(func(key string) bool {
		fails := once && below("tokens/")(key)
		once = once && !fails
		return fails
	})
	_, err := w.writeCode("books", code)
	require.NoError(t, err)
	w.settle()
	require.False(t, once)
	require.Zero(t, w.sim.LiveTokens(w.refreshTokenOf("books")))
	require.Zero(t, w.status("books").LiveTokens)
	require.True(t, w.alive(w.read("books")))
}

// Nobody waits for the end of the former refresh token.
func TestExchange_DoesNotWaitUntilTheRoleHasLeftItsFormerRecord(t *testing.T) {
	w := newWorld(t)
	code := w.code()
	writes := 0
	finish, done := w.holdBack(func(key string) bool {
		if below("refresh-tokens/")(key) {
			writes++
		}
		return writes == 2
	}, func() error { _, err := w.writeCode("crm-sync", code); return err })
	require.NoError(t, <-done)
	require.NotEqual(t, w.refreshToken, w.refreshTokenOf("crm-sync"))
	require.True(t, w.formerLives())
	finish(nil)
	w.settle()
	require.False(t, w.formerLives())
}

// Invariant 9: Zoho gave it, so it is tried again for days, whatever became of its access token.
func TestDeauthorize_OfARefreshTokenWhoseAccessTokenWasUnusableIsTriedAgain(t *testing.T) {
	w := newWorld(t)
	given := w.consent()
	w.answersOnce(map[string]any{"access_token": "1000.$(touch x)", "refresh_token": given, "expires_in": 3600})
	_, err := w.writeCode("books", w.code())
	require.NoError(t, err)
	w.settle()
	for _, endpoint := range []zohosim.Endpoint{zohosim.EndpointRevoke, zohosim.EndpointLegacyRevoke} {
		w.sim.Fault(endpoint, zohosim.Fault{Kind: zohosim.FaultHTML500})
	}
	_, err = w.deauthorize("books", false)
	require.ErrorContains(t, err, "That is tried again by itself")
	w.sim.ClearFaults()
	w.clock.Advance(2 * time.Minute)
	w.tick()
	require.False(t, w.sim.Alive(given))
	require.Empty(t, w.unwanted())
}

// Invariant 9: nobody can read the role, and its record still knows the refresh token.
func TestRole_ThatIsDamagedSaysWhenItGoesWhetherItsRefreshTokenLivesOn(t *testing.T) {
	for _, how := range []string{"deleted", "written over"} {
		for _, origin := range []refreshtoken.Origin{refreshtoken.Hand, refreshtoken.Code} {
			t.Run(fmt.Sprintf("%s, %s", origin, how), func(t *testing.T) {
				w := newWorld(t)
				had := w.refreshToken
				if origin == refreshtoken.Code {
					w.reauthorize()
					had = w.refreshTokenOf("crm-sync")
				}
				w.damageEntries("roles/crm-sync")
				var warnings []string
				if how == "deleted" {
					warnings = w.deleteRole("crm-sync")
				} else {
					warnings = w.writeRole("crm-sync", settings.RoleChange{RefreshToken: ptr(w.consent())})
				}
				w.settle()
				if origin == refreshtoken.Hand {
					require.Contains(t, joined(warnings), "lives on at Zoho")
					require.True(t, w.sim.Alive(had))
				} else {
					require.NotContains(t, joined(warnings), "lives on at Zoho")
					require.False(t, w.sim.Alive(had), "Zoho gave it to this mount alone")
					require.Empty(t, w.unknown())
				}
			})
		}
	}
}

// A role whose entry is damaged may have the refresh token, which must live until somebody repairs the role.
func TestRole_ThatIsDamagedKeepsItsRefreshToken(t *testing.T) {
	w := newWorld(t)
	w.reauthorize()
	had := w.refreshTokenOf("crm-sync")
	w.damageEntries("roles/crm-sync")
	for range 3 {
		w.clock.Advance(25 * time.Hour)
		w.tick()
	}
	require.True(t, w.sim.Alive(had))
	require.Equal(t, []string{"crm-sync"}, w.entered())
}

// What is lost with a record, and what is found again.
func TestDamage_ToARecordFindsItsRolesAndTokensAgain(t *testing.T) {
	w := newWorld(t)
	w.writeRole("books", settings.RoleChange{RefreshToken: &w.refreshToken})
	held := w.read("books")
	w.damageEntries("refresh-tokens/")
	w.tick()
	require.Equal(t, []string{"books", "crm-sync"}, w.entered())
	require.Equal(t, 1, w.status("crm-sync").LiveTokens)
	require.NoError(t, w.release(held))
	require.False(t, w.alive(held), "no record is needed to revoke")
	w.clock.Advance(11 * time.Minute)
	require.True(t, w.alive(w.read("crm-sync")), "its credentials are in the role")
	_, err := w.deauthorize("crm-sync", true)
	require.NoError(t, err)
	require.False(t, w.formerLives())
}

// A refresh token that Zoho gave is revoked with its last role, after its leases.
func TestRole_ARefreshTokenThatZohoGaveGoesWithItsLastRole(t *testing.T) {
	for _, how := range []string{"deleted", "written over"} {
		t.Run(how, func(t *testing.T) {
			w := newWorld(t)
			w.reauthorize()
			given := w.refreshTokenOf("crm-sync")
			w.writeRole("books", settings.RoleChange{RefreshToken: &given})
			held := w.read("crm-sync")
			w.deleteRole("books")
			w.settle()
			require.True(t, w.sim.Alive(given), "crm-sync has it")
			if how == "deleted" {
				require.NotContains(t, joined(w.deleteRole("crm-sync")), "lives on")
			} else {
				require.NotContains(t, joined(w.writeRole("crm-sync", settings.RoleChange{RefreshToken: ptr(w.consent())})), "lives on")
			}
			w.settle()
			require.True(t, w.alive(held), "somebody leases its access token")
			require.NoError(t, w.release(held))
			w.settle()
			require.False(t, w.sim.Alive(given))
		})
	}
}

// Invariant 8: a node that becomes the active one again goes on with what another active node has
// begun meanwhile.
func TestReconcile_ANodeThatIsActiveAgainGoesOnWithWhatAnotherHasBegun(t *testing.T) {
	w := newWorld(t)
	require.NoError(t, w.release(w.read("crm-sync")))
	w.tick() // its round is over for a day
	first := w.engine
	t.Cleanup(first.Close)
	w.start()
	w.storage.written()
	for _, endpoint := range []zohosim.Endpoint{zohosim.EndpointRevoke, zohosim.EndpointLegacyRevoke} {
		w.sim.Fault(endpoint, zohosim.Fault{Kind: zohosim.FaultHTML500})
	}
	_, err := w.deauthorize("crm-sync", false)
	require.Error(t, err)
	w.engine.Close()
	for _, key := range w.storage.written() {
		first.Invalidate(key)
	}
	w.engine = first
	w.sim.ClearFaults()
	w.clock.Advance(2 * time.Minute)
	w.tick()
	require.False(t, w.formerLives())
	require.Empty(t, w.unwanted())
}

// One refresh token has a thousand roles at most, and the next one is told.
func TestRole_TheThousandAndFirstWithOneRefreshTokenIsRefused(t *testing.T) {
	w := newWorld(t)
	require.NoError(t, w.release(w.read("crm-sync"))) // proven, or a hundred are the most
	for i := range refreshtoken.MaxRoles - 1 {
		w.writeRole(fmt.Sprintf("r%04d", i), settings.RoleChange{RefreshToken: &w.refreshToken})
	}
	_, err := w.write("one-more", settings.RoleChange{RefreshToken: &w.refreshToken, Verify: ptr(false)})
	require.ErrorContains(t, err, "1000 roles have this refresh token already")
	var bad *settings.UserError
	require.ErrorAs(t, err, &bad)
	for _, record := range w.stored("refresh-tokens/") {
		require.Less(t, len(record), 256<<10)
	}
}

// A server that repeats a refresh token which a thousand roles have gives an access token beside
// it that nobody counts.
func TestExchange_AnAccessTokenBesideARefreshTokenThatTheRoleMayNotHaveEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	require.NoError(t, w.release(w.read("crm-sync")))
	w.settle()
	for key, r := range w.records() {
		for i := range refreshtoken.MaxRoles - 1 {
			r.Roles = append(r.Roles, fmt.Sprintf("r%04d", i))
		}
		encoded, err := refreshtoken.Encode(r)
		require.NoError(t, err)
		require.NoError(t, w.storage.Storage.Put(t.Context(), &logical.StorageEntry{Key: key, Value: encoded}))
	}
	w.restart()
	w.answersOnce(map[string]any{"access_token": "1000.beside.it", "refresh_token": w.refreshToken, "expires_in": 3600})
	before := w.revocations()
	_, err := w.writeCode("one-more", w.code())
	require.ErrorContains(t, err, "1000 roles have this refresh token already")
	w.settle()
	require.Greater(t, w.revocations(), before)
	require.True(t, w.formerLives())
}

// newWorldWithALeftover has a refresh token that Zoho gave, and that a crash kept from being
// revoked with its last role.
func newWorldWithALeftover(t *testing.T) (w *world, given string) {
	t.Helper()
	w = newWorld(t)
	w.reauthorize()
	given = w.refreshTokenOf("crm-sync")
	w.settle()
	w.storage.failing(below("refresh-tokens/"))
	w.deleteRole("crm-sync")
	w.storage.failing(nil)
	w.restart()
	return w, given
}

// What a crash has left is found by the round alone, so a look that has failed is repeated.
func TestReconcile_ARecordThatCouldNotBeReadIsLookedAtAgain(t *testing.T) {
	w, given := newWorldWithALeftover(t)
	w.storage.unreadable(below("refresh-tokens/"))
	require.Error(t, w.engine.Tick(t.Context(), notTainted))
	w.settle()
	w.storage.unreadable(nil)
	w.clock.Advance(time.Minute)
	w.tick()
	require.False(t, w.sim.Alive(given))
}

// A Tick whose time is up goes on where it was.
func TestReconcile_ARoundThatIsCutOffGoesOnWhereItWas(t *testing.T) {
	w, given := newWorldWithALeftover(t)
	ctx, cancel := context.WithCancel(t.Context())
	w.storage.listing(func(prefix string) {
		if prefix == "holders/" { // the last that the round asks for
			cancel()
		}
	})
	_ = w.engine.Tick(ctx, notTainted)
	w.storage.listing(nil)
	w.settle()
	w.clock.Advance(time.Minute)
	w.tick()
	require.False(t, w.sim.Alive(given))
}

// A role whose former refresh token goes is told so, also if its new one ends at the same moment.
func TestRole_ThatIsWrittenWithARefreshTokenThatEndsMeanwhileSaysSo(t *testing.T) {
	w := newWorld(t)
	shared := w.consent()
	w.writeRole("books", settings.RoleChange{RefreshToken: &shared})
	require.NoError(t, w.release(w.read("books")))
	finish, done := w.holdBack(func(key string) bool { return key == "roles/crm-sync" }, func() error {
		_, err := w.write("crm-sync", settings.RoleChange{RefreshToken: &shared, Verify: ptr(false)})
		return err
	})
	_, err := w.deauthorize("books", true)
	require.NoError(t, err)
	finish(nil)
	err = <-done
	var bad *settings.UserError
	require.ErrorAs(t, err, &bad)
	require.ErrorContains(t, err, `role "crm-sync" was written, and hands out nothing`)
	require.ErrorContains(t, err, "former refresh token lives on at Zoho")
	w.tick()
	require.True(t, w.formerLives())
	require.Empty(t, w.refreshTokenOf("crm-sync"))
}

// A record or an entry that was lost is made anew by what needs it.
func TestRole_WhoseRecordWasLostIsNamedAgain(t *testing.T) {
	w := newWorld(t)
	w.robot("robot", "ZohoCRM.modules.READ")
	w.writeRole("robot", settings.RoleChange{Exclusive: ptr(true)})
	for _, prefix := range []string{"refresh-tokens/", "clients/"} {
		for _, key := range w.keys(prefix) {
			require.NoError(t, w.storage.Delete(t.Context(), key))
		}
	}
	w.restart()
	asked := w.asked()
	require.True(t, w.alive(w.read("robot")))
	require.Equal(t, asked+1, w.asked())
	w.writeRole("crm-sync", settings.RoleChange{TTL: ptr(7 * time.Minute)})
	require.True(t, w.alive(w.read("crm-sync")))
}

// Invariant 9 and its other side: what was written by hand may be used elsewhere, also if a crash
// leaves it to Reconcile, and whatever another role has got from Zoho.
func TestReconcile_LeavesWhatWasWrittenByHandWhenTheRoleWasWrittenByHandAgain(t *testing.T) {
	t.Parallel()
	for what, given := range map[string]bool{"by hand": false, "by a code": true} {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t)
			_, err := w.writeCode("books", w.code())
			require.NoError(t, err)
			code, ofBooks := w.code(), w.refreshTokenOf("books")
			w.settle()
			stored := false
			w.storage.failing(func(key string) bool {
				was := stored
				stored = stored || key == "roles/crm-sync"
				return was && below("refresh-tokens/")(key)
			})
			if given {
				_, err = w.writeCode("crm-sync", code)
			} else {
				_, err = w.write("crm-sync", settings.RoleChange{RefreshToken: &ofBooks})
			}
			require.NoError(t, err)
			w.settle()
			w.restart()
			w.storage.failing(nil)
			w.tick()
			w.settle()
			require.Len(t, w.recordsWhere(func(r *refreshtoken.Record) bool { return slices.Contains(r.Roles, "crm-sync") }), 1, "the round has taken it out of the former record")
			require.Equal(t, given, !w.formerLives())
		})
	}
}
