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

// write writes a role as an operator does, who leaves verify out.
func (w *world) write(name string, change settings.RoleChange) (warnings []string, err error) {
	return w.engine.WriteRole(w.t.Context(), name, change)
}

func (w *world) consent() string {
	return w.sim.Consent(w.client, "us", "other@example.com", scopes)
}

// own is the world's client as a role's own.
func (w *world) own(change settings.RoleChange) settings.RoleChange {
	change.ClientID, change.ClientSecret = &w.client.ID, ptr(w.client.Secret("us"))
	return change
}

func (w *world) asked() int { return w.sim.Count(zohosim.EndpointToken) }

func TestVerify_OneMintIsCachedForTheFirstReader(t *testing.T) {
	w := newWorld(t)
	warnings, err := w.write("books", settings.RoleChange{RefreshToken: ptr(w.consent())})
	require.NoError(t, err)
	require.Empty(t, warnings)
	require.Equal(t, 1, w.asked())
	w.restart()
	require.True(t, w.alive(w.read("books")))
	require.Equal(t, 1, w.asked())
}

func TestVerify_FalseAndRulesAloneAskNothing(t *testing.T) {
	w := newWorld(t)
	w.writeRole("books", settings.RoleChange{RefreshToken: ptr(w.consent()), Verify: ptr(false)})
	_, err := w.write("books", settings.RoleChange{TTL: ptr(30 * time.Minute), MinTTL: ptr(time.Minute), Exclusive: ptr(true)})
	require.NoError(t, err)
	require.Empty(t, w.sim.Requests())
}

// Invariant 9.
func TestVerify_ADefiniteRefusalRejectsTheWriteAndLeavesTheFormerRole(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*world) settings.RoleChange
		code   string
		says   []string
	}{
		{"a dead refresh token", func(w *world) settings.RoleChange {
			dead := w.consent()
			w.sim.Kill(dead)
			return settings.RoleChange{RefreshToken: &dead}
		}, "invalid_code", []string{"refresh token", "revoked", "API console", "authorize"}},
		{"a client that the data centre does not know", func(w *world) settings.RoleChange {
			return settings.RoleChange{ClientID: ptr("1000.NOBODY"), ClientSecret: ptr("x"), RefreshToken: ptr(w.consent())}
		}, "invalid_client", []string{"data_center", "its own client secret", "client_id"}},
		{"the secret of another data centre", func(w *world) settings.RoleChange {
			return settings.RoleChange{ClientID: &w.client.ID, ClientSecret: ptr(w.client.Secret("eu")), RefreshToken: &w.refreshToken}
		}, "invalid_client_secret", []string{"data_center", "its own client secret"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			before, err := w.engine.Role(t.Context(), "crm-sync")
			require.NoError(t, err)
			change := c.change(w)
			_, err = w.write("crm-sync", change)
			failed := grantError(t, err)
			require.Equal(t, c.code, failed.Code)
			for _, says := range append(c.says, "was not written") {
				require.Contains(t, failed.Error(), says)
			}
			_, err = w.write("books", change)
			require.Equal(t, c.code, grantError(t, err).Code)
			require.Equal(t, 2, w.asked(), "no trial is repeated by itself")

			w.restart()
			after, err := w.engine.Role(t.Context(), "crm-sync")
			require.NoError(t, err)
			require.Equal(t, before, after)
			require.True(t, w.alive(w.read("crm-sync")), "its readers do not pay for the trial")
			books, err := w.engine.Role(t.Context(), "books")
			require.NoError(t, err)
			require.Nil(t, books)
		})
	}
}

func TestVerify_WhatMayPassSavesTheRoleWithAWarning(t *testing.T) {
	for name, c := range map[string]struct{ spoil, mend func(*world) }{
		"outage": {func(w *world) { w.sim.SetDown(true) }, func(w *world) { w.sim.SetDown(false) }},
		"error page": {func(w *world) {
			w.sim.Fault(zohosim.EndpointToken, zohosim.Fault{Kind: zohosim.FaultHTML500, Count: 1})
		}, func(*world) {}},
		"throttle": {func(w *world) {
			w.sim.Fault(zohosim.EndpointToken, zohosim.Fault{Kind: zohosim.FaultThrottled, Count: 1})
		}, func(*world) {}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			refreshToken := w.consent()
			c.spoil(w)
			warnings, err := w.write("crm-sync", settings.RoleChange{RefreshToken: &refreshToken})
			require.NoError(t, err)
			require.Contains(t, warnings[0], "without having been tried")
			c.mend(w)
			w.clock.Advance(11 * time.Minute)
			require.True(t, w.alive(w.read("crm-sync")))
			require.Equal(t, 1, w.sim.LiveTokens(refreshToken))
		})
	}
}

// Invariant 4.
func TestVerify_LeavesTheReserveOfTheBudgetToReaders(t *testing.T) {
	w := newWorld(t)
	for range 7 {
		require.NoError(t, w.release(w.read("crm-sync")))
	}
	for range 5 {
		warnings, err := w.write("crm-sync", settings.RoleChange{RefreshToken: &w.refreshToken})
		require.NoError(t, err)
		require.Contains(t, warnings[0], "without having been tried")
	}
	require.Equal(t, 7, w.asked())
	for range 3 {
		require.NoError(t, w.release(w.read("crm-sync")))
	}
	warnings, err := w.write("crm-sync", settings.RoleChange{RefreshToken: &w.refreshToken})
	require.NoError(t, err)
	require.Contains(t, warnings[0], "without having been tried")
	require.Equal(t, 10, w.asked())
}

func TestVerify_ALivingTokenOfTheGrantIsProofSoTenRolesCostOneRequest(t *testing.T) {
	w := newWorld(t)
	for i := range 10 {
		warnings, err := w.write("role-"+string(rune('a'+i)), settings.RoleChange{RefreshToken: &w.refreshToken})
		require.NoError(t, err)
		require.Contains(t, warnings[len(warnings)-1], "same grant", "the operator learns that roles share")
	}
	require.Equal(t, 1, w.asked())
}

func TestVerify_ATokenOfAnotherClientSecretIsNoProof(t *testing.T) {
	w := newWorld(t)
	w.writeRole("crm-sync", w.own(settings.RoleChange{RefreshToken: &w.refreshToken}))
	lease := w.read("crm-sync")
	_, err := w.write("crm-sync", settings.RoleChange{ClientSecret: ptr("0123456789abcdef")})
	require.Equal(t, "invalid_client_secret", grantError(t, err).Code)

	require.True(t, w.alive(lease))
	w.restart()
	status := w.status("crm-sync")
	require.Equal(t, backend.StateReady, status.State)
	require.Empty(t, status.LastError, "the trial says nothing of what its readers use")
	asked := w.asked()
	_, err = w.write("crm-sync", settings.RoleChange{ClientSecret: ptr(w.client.Secret("us"))})
	require.NoError(t, err)
	require.Equal(t, asked, w.asked(), "and does not spoil the living token's proof")
	w.clock.Advance(55 * time.Minute)
	require.NotEqual(t, lease.TokenID, w.read("crm-sync").TokenID, "the former secret is in force, and mints")
}

func TestVerify_ATokenIsNoProofOnceZohoHasRefusedItsGrant(t *testing.T) {
	w := newWorld(t)
	w.read("crm-sync")
	w.clock.Advance(55 * time.Minute)
	w.sim.Kill(w.refreshToken)
	w.read("crm-sync") // served with a warning, for the token has not expired
	_, err := w.write("crm-sync", settings.RoleChange{RefreshToken: &w.refreshToken})
	require.Equal(t, zoho.Refused, grantError(t, err).Kind)
}

func TestVerify_WarnsWhenTheGrantedScopesAreNotThoseAskedFor(t *testing.T) {
	w := newWorld(t)
	w.sim.SetAnswer(zohosim.Answer{WithScope: true})
	for name, asked := range map[string][]string{
		"":                    scopes,
		"did not grant":       {"ZohoCRM.modules.ALL", "ZohoBooks.fullaccess.all"},
		"does not ask for":    {"ZohoCRM.settings.READ"},
		"OAUTH_SCOPE_MISMATC": {"ZohoBooks.fullaccess.all"},
	} {
		warnings, err := w.write("books", settings.RoleChange{RefreshToken: ptr(w.consent()), Scopes: &asked})
		require.NoError(t, err)
		if name == "" {
			require.Empty(t, warnings[min(len(warnings), 1):], "but for the former refresh token")
			continue
		}
		require.Contains(t, joined(warnings), name)
	}
}

func TestVerify_ForAnExclusiveRoleLeavesNoTokenBehind(t *testing.T) {
	w := newWorld(t)
	refreshToken := w.consent()
	_, err := w.write("own", settings.RoleChange{RefreshToken: &refreshToken, Exclusive: ptr(true)})
	require.NoError(t, err)
	w.settle()
	require.Equal(t, 1, w.sim.MintCount(refreshToken))
	require.Zero(t, w.sim.LiveTokens(refreshToken))
}

// Invariant 9.
func TestVerify_StorageThatFailsAfterTheTrialLeavesTheFormerRoleAndNoToken(t *testing.T) {
	w := newWorld(t)
	refreshToken := w.consent()
	w.storage.failing(below("roles/"))
	_, err := w.write("crm-sync", settings.RoleChange{RefreshToken: &refreshToken})
	require.ErrorIs(t, err, errDisk)
	w.storage.failing(nil)
	w.restart()
	w.clock.Advance(5 * time.Minute)
	w.tick()
	require.Zero(t, w.sim.LiveTokens(refreshToken))
	require.True(t, w.alive(w.read("crm-sync")))
	require.Equal(t, 1, w.sim.LiveTokens(w.refreshToken))
}

func TestVerify_ARefusedClientSaysWhereItIsToBeCorrected(t *testing.T) {
	w := newWorld(t)
	w.configure(settings.ConfigChange{ClientID: &w.client.ID, ClientSecret: ptr("wrong")})
	_, err := w.write("books", settings.RoleChange{RefreshToken: ptr(w.consent())})
	require.ErrorContains(t, err, "The client is the mount's: correct it in <mount>/config")
	require.ErrorContains(t, w.readError("crm-sync"), "The client is the mount's")
	_, err = w.write("own", settings.RoleChange{RefreshToken: ptr(w.consent()), ClientID: &w.client.ID, ClientSecret: ptr("wrong-too")})
	require.ErrorContains(t, err, `The client is role "own"'s own`)
}
