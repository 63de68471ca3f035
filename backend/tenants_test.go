package backend_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend"
	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/backend/zoho"
	"vault-plugin-secrets-zoho/zohosim"
)

// Somebody who may write and read a role of their own on a shared mount knows the
// others' client ID, scopes and refresh token, and not the client's secret.

const guess = "0123456789abcdef0123456789abcdef0123456789"

// evilTwin is a change that writes everything of a role but the client's secret.
func (w *world) evilTwin(change settings.RoleChange) settings.RoleChange {
	change.ClientID, change.ClientSecret = &w.client.ID, ptr(guess)
	return change
}

// twins are the two kinds of roles to which somebody may write a twin.
func twins() map[string]settings.RoleChange {
	return map[string]settings.RoleChange{
		"refresh token":      {},
		"client_credentials": {GrantType: clientCredentials, Scopes: &[]string{"ZohoCRM.modules.READ"}, SOID: ptr("ZohoCRM.600123434")},
	}
}

// eachTwin runs a test with a victim role and what its evil twin is written with.
func eachTwin(t *testing.T, run func(t *testing.T, w *world, victim string, evil settings.RoleChange)) {
	for kind, change := range twins() {
		t.Run(kind, func(t *testing.T) {
			w := newWorld(t)
			victim := "crm-sync"
			if change.GrantType != nil {
				w.robot("robot", "ZohoCRM.modules.READ")
				victim = "robot"
			} else {
				change.RefreshToken = &w.refreshToken
			}
			run(t, w, victim, w.evilTwin(change))
		})
	}
}

// Invariant 14.
func TestGrant_WhoDoesNotKnowTheClientSecretGetsNoTokenOfAnotherRole(t *testing.T) {
	eachTwin(t, func(t *testing.T, w *world, victim string, evil settings.RoleChange) {
		held := w.read(victim)
		evil.Verify = ptr(false)
		w.writeRole("evil", evil)
		require.Equal(t, "invalid_client_secret", grantError(t, w.readError("evil")).Code)
		w.restart()
		require.Equal(t, "invalid_client_secret", grantError(t, w.readError("evil")).Code)
		require.Equal(t, held.TokenID, w.read(victim).TokenID)
		require.Equal(t, backend.StateReady, w.status(victim).State)
		require.Equal(t, backend.StateRefused, w.status("evil").State)
	})
}

// Invariant 14: an outage lets a role be written that was not tried.
func TestGrant_ATrialThatCouldNotBeMadeGetsNobodyATokenOfAnotherRole(t *testing.T) {
	eachTwin(t, func(t *testing.T, w *world, victim string, evil settings.RoleChange) {
		w.read(victim)
		w.sim.SetDown(true)
		warnings, err := w.write("evil", evil)
		require.NoError(t, err)
		require.Contains(t, joined(warnings), "without having been tried")
		require.Error(t, w.readError("evil"))
		w.sim.SetDown(false)
		w.clock.Advance(time.Minute)
		require.Equal(t, "invalid_client_secret", grantError(t, w.readError("evil")).Code)
	})
}

// Invariant 14.
func TestGrant_NobodyWithoutTheClientSecretEndsTheTokenOfAnotherRole(t *testing.T) {
	eachTwin(t, func(t *testing.T, w *world, victim string, evil settings.RoleChange) {
		held := w.read(victim)
		evil.Verify = ptr(false)
		w.writeRole("evil", evil)
		_, err := w.rotate("evil")
		require.Equal(t, "invalid_client_secret", grantError(t, err).Code)
		_, err = w.deauthorize("evil", true)
		var bad *settings.UserError
		require.ErrorAs(t, err, &bad)
		_, err = w.writeCode("evil", "1000.bogus.code")
		require.Error(t, err)
		w.deleteRole("evil")
		w.clock.Advance(4 * time.Minute)
		w.tick()
		require.True(t, w.alive(held))
		require.True(t, w.formerLives())
		require.Equal(t, held.TokenID, w.read(victim).TokenID)
	})
}

// Invariant 14: a reader joins a mint that is under way only if it is with the
// same credentials.
func TestGrant_AReaderNeverGetsTheRefusalOfAnotherClientSecret(t *testing.T) {
	eachTwin(t, func(t *testing.T, w *world, victim string, evil settings.RoleChange) {
		evil.Verify = ptr(false)
		w.writeRole("evil", evil)
		release := w.holdAnswers()
		refused, served := make(chan error, 1), make(chan error, 1)
		go func() { _, err := w.engine.Issue(t.Context(), "evil", backend.Reader{}); refused <- err }()
		w.waitForRequests(1)
		go func() { _, err := w.engine.Issue(t.Context(), victim, backend.Reader{}); served <- err }()
		release()
		require.Error(t, <-refused)
		require.NoError(t, <-served)
		for range 3 {
			require.Error(t, w.readError("evil"))
			w.read(victim)
		}
	})
}

// Invariant 14: mints ahead go out with the credentials of the grant, not of the
// latest reader.
func TestGrant_AMintAheadIsMadeWithItsOwnClientSecret(t *testing.T) {
	eachTwin(t, func(t *testing.T, w *world, victim string, evil settings.RoleChange) {
		evil.Verify = ptr(false)
		w.writeRole("evil", evil)
		first := w.read(victim)
		require.Error(t, w.readError("evil"))
		w.clock.Advance(40 * time.Minute)
		w.tick()
		second := w.read(victim)
		require.NotEqual(t, first.TokenID, second.TokenID)
		require.Equal(t, 3, w.asked(), "the first, the refused one, and the one ahead")
		require.Equal(t, backend.StateReady, w.status(victim).State)
	})
}

// Invariant 14: an Accounts server that answers with the token of another role.
func TestGrant_ATokenOfOtherCredentialsIsNotTakenFromAServer(t *testing.T) {
	w := newWorld(t)
	held := w.read("crm-sync")
	w.writeRole("books", settings.RoleChange{RefreshToken: ptr(w.consent())})
	w.sim.Fault(zohosim.EndpointToken, zohosim.Fault{Kind: zohosim.FaultAnswer, Count: 1, Body: fmt.Sprintf(`{"access_token":%q,"expires_in":3600}`, held.AccessToken.Reveal())})
	require.Equal(t, zoho.BadAnswer, grantError(t, w.readError("books")).Kind)
	require.True(t, w.alive(held), "nor is it revoked")
	require.Equal(t, held.TokenID, w.read("crm-sync").TokenID)
	w.clock.Advance(time.Minute)
	require.NotEqual(t, held.TokenID, w.read("books").TokenID)
}

// A new secret of the mount's client writes no role, and makes another grant of
// each that uses the mount's client. (Zoho has one secret for a client, so here the
// new one is wrong, until it is corrected.)
func TestConfig_ANewClientSecretCostsOneRequestForEachGrantInUse(t *testing.T) {
	w := newWorld(t)
	w.writeRole("also", settings.RoleChange{RefreshToken: &w.refreshToken})
	w.robot("robot", "ZohoCRM.modules.READ")
	held := map[string]*backend.Issued{"crm-sync": w.read("crm-sync"), "also": w.read("also"), "robot": w.read("robot")}
	require.Equal(t, 2, w.asked())
	w.configure(settings.ConfigChange{ClientSecret: ptr(guess)})
	for range 3 {
		for role := range held {
			require.Equal(t, "invalid_client_secret", grantError(t, w.readError(role)).Code)
		}
		w.clock.Advance(time.Minute)
		w.restart()
		w.tick()
	}
	require.Equal(t, 4, w.asked(), "one for each grant")
	require.Equal(t, []string{"also"}, w.status("crm-sync").SharedWith)
	_, err := w.deauthorize("crm-sync", false)
	require.ErrorContains(t, err, "in common with also", "the index does not depend on the secret")

	w.configure(settings.ConfigChange{ClientSecret: ptr(w.client.Secret("us"))})
	for role, lease := range held {
		require.Equal(t, lease.TokenID, w.read(role).TokenID)
	}
	require.Equal(t, 4, w.asked(), "what was minted before is still there")
}

func TestConfig_ANewClientSecretLeavesLeasesRevocableAndEndsWhatNobodyHolds(t *testing.T) {
	w := newWorld(t)
	held := w.aheadUnheld()
	w.configure(settings.ConfigChange{ClientSecret: ptr(guess)})
	w.clock.Advance(3 * time.Minute)
	w.tick()
	require.Equal(t, 1, w.sim.LiveTokens(w.refreshToken))
	require.True(t, w.alive(held), "it is leased")
	require.NoError(t, w.release(held))
	require.False(t, w.alive(held))
}

// Invariant 15: whoever asks for more than the role's own min_ttl leaves what is
// kept in reserve, and gets the best token there is.
func TestBudget_ReadersWhoAskForMoreThanTheirRoleLeaveTheReserve(t *testing.T) {
	w := newWorld(t)
	w.writeRole("greedy", settings.RoleChange{RefreshToken: &w.refreshToken})
	w.clock.Advance(time.Second)
	kept := w.read("crm-sync")
	greedy := func() (*backend.Issued, error) {
		w.clock.Advance(time.Second)
		issued, err := w.engine.Issue(t.Context(), "greedy", backend.Reader{MinTTL: 3598 * time.Second})
		if err == nil {
			require.NoError(t, w.release(issued))
		}
		return issued, err
	}
	for range 30 {
		issued, err := greedy()
		require.NoError(t, err, "there is a token with almost an hour of life")
		require.Positive(t, issued.TTL)
	}
	require.Equal(t, 7, w.asked())
	issued, err := greedy()
	require.NoError(t, err)
	require.Equal(t, kept.TokenID, issued.TokenID, "the superseded token is the best there is")
	require.Contains(t, joined(issued.Warnings), "less than min_ttl")
	require.Equal(t, kept.TokenID, w.read("crm-sync").TokenID)
	_, err = w.rotate("crm-sync")
	require.Error(t, err, "a rotation is no reader either")
	w.kill(kept.TokenID)
	require.True(t, w.alive(w.read("crm-sync")), "this is what the reserve is for")
	require.Equal(t, 8, w.asked())
}

// Invariant 15: not even somebody who reads and gives back in a loop uses up what
// other roles need.
func TestBudget_NoRoleUsesUpTheReserveOfTheOthers(t *testing.T) {
	w := newWorld(t)
	w.writeRole("loop", settings.RoleChange{RefreshToken: &w.refreshToken})
	w.writeRole("third", settings.RoleChange{RefreshToken: &w.refreshToken})
	for range 30 {
		if issued, err := w.engine.Issue(t.Context(), "loop", backend.Reader{}); err == nil {
			require.NoError(t, w.release(issued))
		}
	}
	require.Equal(t, 8, w.asked(), "seven, and one of the reserve")
	for i, role := range []string{"crm-sync", "third"} {
		issued := w.read(role)
		require.True(t, w.alive(issued))
		require.NoError(t, w.release(issued))
		require.Equal(t, 9+i, w.asked())
	}
	failed := grantError(t, w.readError("crm-sync"))
	require.Equal(t, zoho.Throttled, failed.Kind)
	w.clock.Advance(failed.RetryAt.Sub(w.clock.Now()))
	w.read("crm-sync")
}

func TestBudget_ARoleThatIsAloneMayUseAllOfIt(t *testing.T) {
	w := newWorld(t)
	for range 10 {
		require.NoError(t, w.release(w.read("crm-sync")))
	}
	require.Equal(t, 10, w.asked())
	require.Equal(t, zoho.Throttled, grantError(t, w.readError("crm-sync")).Kind)
}

// Invariant 15.
func TestBudget_CredentialsThatNeverWorkedLeaveTheReserve(t *testing.T) {
	for what, attack := range map[string]func(w *world, i int){
		"codes": func(w *world, i int) {
			_, _ = w.write("evil", w.evilTwin(settings.RoleChange{Code: ptr(fmt.Sprintf("1000.bogus.%d", i))}))
		},
		"trials": func(w *world, i int) {
			change := w.evilTwin(settings.RoleChange{GrantType: clientCredentials, Scopes: &scopes})
			change.ClientSecret = ptr(fmt.Sprintf("guess %d", i)[6:])
			_, _ = w.write("evil", change)
		},
		"reads": func(w *world, i int) {
			change := w.evilTwin(settings.RoleChange{GrantType: clientCredentials, Scopes: &scopes, Verify: ptr(false)})
			change.ClientSecret = ptr(fmt.Sprintf("guess-%d", i))
			w.writeRole("evil", change)
			_ = w.readError("evil")
		},
		"scopes with the mount's client": func(w *world, i int) {
			w.writeRole("evil", settings.RoleChange{GrantType: clientCredentials, Scopes: &[]string{fmt.Sprintf("ZohoCRM.module%d.READ", i)}, Verify: ptr(false)})
			if issued, err := w.engine.Issue(w.t.Context(), "evil", backend.Reader{}); err == nil {
				_ = w.release(issued)
			}
		},
	} {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t)
			w.robot("robot", "ZohoCRM.modules.READ")
			require.NoError(t, w.release(w.read("robot")))
			for i := range 30 {
				attack(w, i)
				w.clock.Advance(15 * time.Second)
			}
			require.Equal(t, 1+3, w.asked(), "the role's share")
			require.True(t, w.alive(w.read("robot")))
		})
	}
}

// Invariants 15 and 17: each refresh token and each client has a quota of its own,
// so that nothing else would limit a stream of them.
func TestBudget_CredentialsThatZohoRefusesHaveALimitForTheirRole(t *testing.T) {
	w := newWorld(t)
	old := w.read("crm-sync")
	junk := func(i int) settings.RoleChange {
		return settings.RoleChange{RefreshToken: ptr(fmt.Sprintf("1000.%032x.%032x", i, i))}
	}
	for i := range 10 {
		_, err := w.write("evil", junk(i))
		require.Equal(t, "invalid_code", grantError(t, err).Code)
	}
	for i := range 20 {
		warnings, err := w.write("evil", junk(100+i))
		require.NoError(t, err)
		require.Contains(t, joined(warnings), "different credentials of role")
		failed := grantError(t, w.readError("evil"))
		require.Equal(t, zoho.Throttled, failed.Kind)
	}
	require.Equal(t, 11, w.asked())
	require.NoError(t, w.release(old))
	require.True(t, w.alive(w.read("crm-sync")), "one that has worked is not concerned")
	w.clock.Advance(11 * time.Minute)
	_, err := w.write("fresh", settings.RoleChange{RefreshToken: ptr(w.consent())})
	require.NoError(t, err)
	require.True(t, w.alive(w.read("fresh")))
}

// A refresh token that works is no junk, however many there are.
func TestBudget_ManyNewRefreshTokensThatWorkAreNotLimited(t *testing.T) {
	w := newWorld(t)
	for i := range 30 {
		_, err := w.write(fmt.Sprintf("role-%d", i), settings.RoleChange{RefreshToken: ptr(w.consent())})
		require.NoError(t, err)
	}
	require.Equal(t, 30, w.asked())
}
