package backend_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend"
	"vault-plugin-secrets-zoho/backend/ledger"
	"vault-plugin-secrets-zoho/backend/secret"
	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/backend/zoho"
	"vault-plugin-secrets-zoho/zohosim"
)

// readAs is read by a reader who has an entity.
func (w *world) readAs(role, entity string) *backend.Issued {
	w.t.Helper()
	issued, err := w.engine.Issue(w.t.Context(), role, backend.Reader{Requester: settings.Requester{EntityID: entity, DisplayName: "approle-" + entity, RequestID: "request-of-" + entity}})
	require.NoError(w.t, err)
	return issued
}

// known is what tokens/:token_id tells; nil if nothing.
func (w *world) known(id string) *backend.TokenInfo {
	w.t.Helper()
	info, err := w.engine.KnownToken(w.t.Context(), id)
	require.NoError(w.t, err)
	return info
}

// lookup is nil for a token that is said not to be known.
func (w *world) lookup(found string) *backend.TokenInfo {
	w.t.Helper()
	known, err := w.engine.Lookup(w.t.Context(), secret.New(found))
	if known.Token == nil {
		var unknown *settings.UserError
		require.ErrorAs(w.t, err, &unknown)
		require.ErrorContains(w.t, err, "not known here")
		return nil
	}
	require.NoError(w.t, err)
	return known.Token
}

func (w *world) kill(id string) (warnings []string) {
	w.t.Helper()
	warnings, err := w.engine.KillToken(w.t.Context(), id)
	require.NoError(w.t, err)
	return warnings
}

func (w *world) ids(after string, limit int) []string {
	w.t.Helper()
	ids, err := w.engine.TokenIDs(w.t.Context(), after, limit)
	require.NoError(w.t, err)
	return ids
}

func entities(readers []ledger.Readership) (ids []string) {
	for _, r := range readers {
		ids = append(ids, r.EntityID)
	}
	return ids
}

func TestTokens_AreListedWithTheirStateWhileTheyLive(t *testing.T) {
	w := newWorld(t)
	w.writeRole("own", settings.RoleChange{RefreshToken: &w.refreshToken, Exclusive: ptr(true)})
	old := w.readAs("crm-sync", "anna")
	own := w.readAs("own", "ben")
	w.clock.Advance(40 * time.Minute)
	w.tick() // mints ahead
	current := w.readAs("crm-sync", "carla")
	require.ElementsMatch(t, []string{old.TokenID, own.TokenID, current.TokenID}, w.ids("", 0))
	for id, want := range map[string]backend.TokenState{old.TokenID: backend.TokenSuperseded, own.TokenID: backend.TokenExclusive, current.TokenID: backend.TokenCurrent} {
		info := w.known(id)
		require.Equal(t, want, info.State)
		require.Equal(t, 1, info.Holders)
		require.Equal(t, w.accounts.URL, info.AccountsURL)
		require.Zero(t, info.EndedAt)
	}
	require.Equal(t, []string{"own"}, w.known(own.TokenID).Roles)

	w.sim.SetDown(true)
	_, err := w.engine.KillToken(t.Context(), own.TokenID)
	require.Error(t, err)
	require.Equal(t, backend.TokenEnding, w.known(own.TokenID).State)
	w.sim.SetDown(false)
	w.tick()
	require.NotContains(t, w.ids("", 0), own.TokenID)
	require.Equal(t, backend.TokenEnded, w.known(own.TokenID).State)
}

func TestTokens_NameTheirHoldersAndEverybodyWhoWasGivenThemAlsoAfterARestart(t *testing.T) {
	w := newWorld(t)
	w.writeRole("reports", settings.RoleChange{RefreshToken: &w.refreshToken})
	first := w.readAs("crm-sync", "anna")
	w.clock.Advance(time.Minute)
	second := w.readAs("reports", "ben")
	w.clock.Advance(time.Minute)
	w.readAs("reports", "ben")
	require.Equal(t, first.TokenID, second.TokenID)
	require.NoError(t, w.release(first))
	w.settle()
	w.restart()

	info := w.known(first.TokenID)
	require.Equal(t, []string{"crm-sync", "reports"}, info.Roles)
	require.Equal(t, 2, info.Holders)
	require.Equal(t, []string{"anna", "ben"}, entities(info.Readers), "anna gave it back, and may have lost it before")
	require.Equal(t, 2, info.Readers[1].Leases)
	require.Equal(t, time.Minute, info.Readers[1].Last.Sub(info.Readers[1].First))

	holders, next, err := w.engine.Holders(t.Context(), first.TokenID, "", 0)
	require.NoError(t, err)
	require.Empty(t, next)
	require.Len(t, holders, 2)
	require.Equal(t, "request-of-ben", holders[0].RequestID)
	require.Equal(t, "reports", holders[0].Role)
	require.True(t, holders[0].Since.Before(holders[1].Since))
}

func TestTokens_PageThroughHoldersMissingNobodyWhoStays(t *testing.T) {
	w := newWorld(t)
	leases := make([]*backend.Issued, 25)
	for i := range leases {
		leases[i] = w.readAs("crm-sync", fmt.Sprintf("entity-%02d", i))
		w.clock.Advance(time.Duration(i%2) * time.Second) // some of the same moment
	}
	seen := map[string]int{}
	after := ""
	for page := 0; page == 0 || after != ""; page++ {
		holders, next, err := w.engine.Holders(t.Context(), leases[0].TokenID, after, 10)
		require.NoError(t, err)
		require.LessOrEqual(t, len(holders), 10)
		for _, h := range holders {
			seen[h.EntityID]++
		}
		if page == 0 { // the one whom the cursor names leaves
			for _, lease := range leases {
				if lease.HolderID == holders[len(holders)-1].ID {
					require.NoError(t, w.release(lease))
				}
			}
		}
		after = next
	}
	require.Len(t, seen, len(leases))
	for entity, times := range seen {
		require.Equal(t, 1, times, entity)
	}
}

func TestTokens_PageThroughTheList(t *testing.T) {
	w := newWorld(t)
	w.configure(settings.ConfigChange{RequestBudget: ptr(100)})
	w.sim.SetThrottle(throttleOff)
	w.writeRole("crm-sync", settings.RoleChange{Exclusive: ptr(true)})
	for range 7 {
		w.read("crm-sync")
	}
	all := w.ids("", 0)
	require.Len(t, all, 7)
	require.Equal(t, all[:3], w.ids("", 3))
	require.Equal(t, all[3:6], w.ids(all[2], 3))
	require.Equal(t, all[6:], w.ids(all[5], 3))
	require.Empty(t, w.ids(all[6], 3))
	w.kill(all[2])
	require.Equal(t, all[3:6], w.ids(all[2], 3), "the one behind which the page begins is gone")
}

func TestTokens_OfTenThousandHoldersAreListedCountedAndEnded(t *testing.T) {
	const n = 10_000
	w := newWorld(t)
	var last *backend.Issued
	for i := range n {
		last = w.readAs("crm-sync", fmt.Sprintf("entity-%d", i))
	}
	require.Len(t, w.ids("", 0), 1)
	require.Equal(t, n, w.known(last.TokenID).Holders)
	require.Len(t, w.lookup(last.AccessToken.Reveal()).Readers, n)
	holders, next, err := w.engine.Holders(t.Context(), last.TokenID, "", 100)
	require.NoError(t, err)
	require.Len(t, holders, 100)
	require.NotEmpty(t, next)
	w.kill(last.TokenID)
	require.False(t, w.alive(last))
	require.Less(t, len(w.lookup(last.AccessToken.Reveal()).Readers), n, "what is kept of the dead is bounded")
}

func TestKill_EndsTheTokenWhoeverHoldsItAndTheNextReadMintsANewOne(t *testing.T) {
	w := newWorld(t)
	first, second := w.read("crm-sync"), w.read("crm-sync")
	require.Empty(t, w.kill(first.TokenID))
	require.False(t, w.alive(first))
	require.Empty(t, w.ids("", 0))

	newer := w.read("crm-sync")
	require.NotEqual(t, first.TokenID, newer.TokenID)
	require.True(t, w.alive(newer))
	calls := w.revocations()
	require.NoError(t, w.release(first))
	require.NoError(t, w.release(second))
	require.Equal(t, calls, w.revocations(), "the leases have nothing left to give up")
	require.True(t, w.alive(newer))

	warnings := w.kill(first.TokenID)
	require.Len(t, warnings, 1)
	require.Contains(t, warnings[0], "dead already: it was revoked at 2026-11-21T09:00:00Z")
}

func TestKill_WhileZohoIsDownHandsTheTokenOutNoMoreAndGoesOnAlsoAfterARestart(t *testing.T) {
	w := newWorld(t)
	leaked := w.read("crm-sync")
	w.sim.SetDown(true)
	_, err := w.engine.KillToken(t.Context(), leaked.TokenID)
	failed := grantError(t, err)
	require.Equal(t, zoho.Unreachable, failed.Kind)
	require.Contains(t, failed.Error(), leaked.TokenID)
	require.Contains(t, failed.Error(), "not handed out any more")
	require.Error(t, w.readError("crm-sync"))
	require.True(t, w.alive(leaked))

	w.restart()
	w.sim.SetDown(false)
	w.tick()
	require.False(t, w.alive(leaked))
	w.clock.Advance(time.Minute)
	require.NotEqual(t, leaked.TokenID, w.read("crm-sync").TokenID)
}

func TestKill_OfWhatNobodyKnowsIsAMistake(t *testing.T) {
	w := newWorld(t)
	for _, id := range []string{"0123456789abcdef0123456789abcdef", "..", "../config", "a/b", w.read("crm-sync").AccessToken.Reveal()} {
		_, err := w.engine.KillToken(t.Context(), id)
		var bad *settings.UserError
		require.ErrorAs(t, err, &bad, id)
	}
}

func TestLookup_KnowsATokenForADayAfterItsEnd(t *testing.T) {
	for name, end := range map[string]struct {
		do  func(w *world, issued *backend.Issued)
		how string
	}{
		"its last lease was revoked": {func(w *world, issued *backend.Issued) { require.NoError(w.t, w.release(issued)) }, "it was revoked"},
		"it was killed":              {func(w *world, issued *backend.Issued) { w.kill(issued.TokenID) }, "it was revoked"},
		"somebody else revoked it": {func(w *world, issued *backend.Issued) {
			w.sim.Kill(issued.AccessToken.Reveal())
			w.kill(issued.TokenID)
		}, "it was gone before it was revoked"},
		"it expired just now":     {func(w *world, issued *backend.Issued) { w.clock.Advance(issued.ExpiresAt.Sub(w.clock.Now())) }, "it expired"},
		"it expired and is swept": {func(w *world, _ *backend.Issued) { w.clock.Advance(time.Hour); w.tick() }, "it expired"},
		"its refresh token was revoked": {func(w *world, _ *backend.Issued) {
			_, err := w.engine.Deauthorize(w.t.Context(), "crm-sync", false, settings.Requester{})
			require.NoError(w.t, err)
			w.settle()
		}, "its refresh token was revoked"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.configure(settings.ConfigChange{RefreshAhead: ptr(false)})
			issued := w.readAs("crm-sync", "anna")
			end.do(w, issued)
			for range 3 {
				info := w.lookup(issued.AccessToken.Reveal())
				require.NotNil(t, info)
				require.Equal(t, backend.TokenEnded, info.State)
				require.Equal(t, end.how, info.EndedBy)
				require.False(t, info.EndedAt.After(info.ExpiresAt))
				require.Equal(t, []string{"anna"}, entities(info.Readers))
				require.Equal(t, []string{"crm-sync"}, info.Roles)
				require.Zero(t, info.Holders)
				require.Equal(t, info, w.known(issued.TokenID))
				w.restart()
				w.clock.Advance(11 * time.Hour)
				w.tick()
			}
			w.clock.Advance(4 * time.Hour)
			w.tick()
			require.Nil(t, w.lookup(issued.AccessToken.Reveal()))
			require.Empty(t, w.keys("ended/"), "the memory of the dead does not pile up")
		})
	}
}

func TestLookup_TakesWhatPeopleFind(t *testing.T) {
	w := newWorld(t)
	issued := w.read("crm-sync")
	token := issued.AccessToken.Reveal()
	for _, found := range []string{token, " " + token + "\n", "Zoho-oauthtoken " + token, "Authorization: Zoho-oauthtoken " + token} {
		info := w.lookup(found)
		require.NotNil(t, info, found)
		require.Equal(t, issued.TokenID, info.ID)
	}
	for _, other := range []string{"1000.0123.4567", issued.TokenID, token + "x"} {
		require.Nil(t, w.lookup(other))
	}
	for _, bad := range []string{"", " \n", string(make([]byte, 1<<20))} {
		_, err := w.engine.Lookup(t.Context(), secret.New(bad))
		var wrong *settings.UserError
		require.ErrorAs(t, err, &wrong)
	}
}

func TestTokenID_IsOfTheMountAloneAndWorthNothing(t *testing.T) {
	w := newWorld(t)
	issued := w.read("crm-sync")
	require.Regexp(t, `^[0-9a-f]{32}$`, issued.TokenID)
	require.False(t, w.sim.Alive(issued.TokenID), "Zoho does not take it for a token")
	require.NotContains(t, issued.AccessToken.Reveal(), issued.TokenID[:8])

	w.restart()
	require.Equal(t, issued.TokenID, w.lookup(issued.AccessToken.Reveal()).ID, "the salt is stored")
	// Another mount that is given the same access token by Zoho.
	other := newWorld(t)
	other.sim.Fault(zohosim.EndpointToken, zohosim.Fault{Kind: zohosim.FaultAnswer, Body: fmt.Sprintf(`{"access_token": %q, "expires_in": 3600}`, issued.AccessToken.Reveal())})
	theirs := other.read("crm-sync")
	require.Equal(t, issued.AccessToken.Reveal(), theirs.AccessToken.Reveal())
	require.NotEqual(t, issued.TokenID, theirs.TokenID, "so nobody can tell by the IDs whether two mounts have the same token")
}
