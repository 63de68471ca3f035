package backend_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend"
	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/backend/zoho"
	"vault-plugin-secrets-zoho/zohosim"
)

var clientCredentials = ptr(settings.GrantTypeClientCredentials)

// robot writes a role that mints with client_credentials.
func (w *world) robot(name string, scopes ...string) {
	w.t.Helper()
	w.writeRole(name, settings.RoleChange{GrantType: clientCredentials, Scopes: &scopes, SOID: ptr("ZohoCRM.600123434")})
}

func TestClientCredentials_EachRoleHasItsOwnScopesOfTheOrganisation(t *testing.T) {
	w := newWorld(t)
	w.robot("reader", "ZohoCRM.modules.READ", "ZohoCRM.settings.READ")
	w.robot("writer", "ZohoCRM.modules.ALL")
	reader, writer := w.read("reader"), w.read("writer")
	require.Equal(t, []string{"ZohoCRM.modules.READ", "ZohoCRM.settings.READ"}, reader.Scopes)
	require.Equal(t, []string{"ZohoCRM.modules.ALL"}, writer.Scopes)
	require.NotEqual(t, reader.TokenID, writer.TokenID)
	for _, token := range w.sim.Tokens() {
		if token.Kind == "access" {
			require.Equal(t, "ZohoCRM.600123434", token.Owner)
			require.Contains(t, [][]string{reader.Scopes, writer.Scopes}, token.Scopes)
		}
	}
	require.NoError(t, w.release(writer))
	require.False(t, w.alive(writer))
	require.True(t, w.alive(reader))
}

func TestClientCredentials_ATokenIsSharedAndSurvivesARestart(t *testing.T) {
	w := newWorld(t)
	w.robot("reader", "ZohoCRM.modules.READ", "ZohoCRM.settings.READ")
	w.robot("again", "ZohoCRM.settings.READ", "ZohoCRM.modules.READ", "ZohoCRM.modules.READ")
	first := w.read("reader")
	w.restart()
	require.Equal(t, first.TokenID, w.read("again").TokenID, "the order of scopes makes no other grant")
	require.Equal(t, 1, w.asked())
}

func TestClientCredentials_TheOrganisationMakesAnotherGrant(t *testing.T) {
	w := newWorld(t)
	w.robot("reader", "ZohoCRM.modules.READ")
	w.robot("abroad", "ZohoCRM.modules.READ")
	w.writeRole("abroad", settings.RoleChange{SOID: ptr("ZohoCRM.7")})
	require.NotEqual(t, w.read("reader").TokenID, w.read("abroad").TokenID)
}

// Invariant 4: Zoho counts per client.
func TestClientCredentials_AllRolesOfAClientShareItsBudget(t *testing.T) {
	w := newWorld(t)
	served := 0
	for i := range 15 {
		role := fmt.Sprintf("role-%d", i)
		w.robot(role, fmt.Sprintf("ZohoCRM.module%d.READ", i))
		if i%4 == 3 {
			w.restart()
		}
		_, err := w.engine.Issue(t.Context(), role, backend.Reader{})
		if err == nil {
			served++
			continue
		}
		require.Equal(t, zoho.Throttled, grantError(t, err).Kind)
	}
	require.Equal(t, 7, served, "the rest is kept for credentials that have worked")
	require.Equal(t, 7, w.asked())
	_, err := w.writeCode("books", w.code())
	require.Equal(t, zoho.Throttled, grantError(t, err).Kind, "the exchange of codes is counted there, too")
	require.True(t, w.alive(w.read("crm-sync")), "a refresh token has a budget of its own")
}

// Invariant 4.
func TestClientCredentials_AfterAThrottleAnswerAllRolesOfTheClientAreSilent(t *testing.T) {
	w := newWorld(t)
	w.robot("reader", "ZohoCRM.modules.READ")
	w.robot("writer", "ZohoCRM.modules.ALL")
	w.sim.Fault(zohosim.EndpointToken, zohosim.Fault{Kind: zohosim.FaultThrottled, Count: 1})
	require.Error(t, w.readError("reader"))
	w.restart()
	require.Equal(t, zoho.Throttled, grantError(t, w.readError("writer")).Kind)
	require.Equal(t, 1, w.asked())
	w.clock.Advance(10*time.Minute + time.Second)
	w.read("writer")
	w.read("reader")
}

// Invariant 5: Zoho counts per client.
func TestClientCredentials_NoRoleEvictsALeasedTokenOfAnother(t *testing.T) {
	w := newWorld(t)
	w.configure(settings.ConfigChange{RequestBudget: ptr(100)})
	w.sim.SetThrottle(throttleOff)
	var leases []*backend.Issued
	for i := range 10 {
		w.robot(fmt.Sprintf("role-%d", i), fmt.Sprintf("ZohoCRM.module%d.READ", i))
		leases = append(leases, w.read(fmt.Sprintf("role-%d", i)))
		w.clock.Advance(time.Second)
	}
	w.robot("one-more", "ZohoCRM.more.READ")
	w.restart()
	failed := grantError(t, w.readError("one-more"))
	require.Equal(t, zoho.Throttled, failed.Kind)
	require.Contains(t, failed.Error(), "max_live_tokens")
	require.NoError(t, w.release(leases[5]))
	w.read("one-more")
	for i, lease := range leases {
		require.Equal(t, i != 5, w.alive(lease))
	}
}

// Invariant 5, also when the process died while it wrote down what it got.
func TestClientCredentials_ACrashDuringAMintNeverLetsALeasedTokenBeEvicted(t *testing.T) {
	for k, crashed := 0, true; crashed; k++ {
		w := newWorld(t)
		w.configure(settings.ConfigChange{RequestBudget: ptr(100), RefreshAhead: ptr(false)})
		w.sim.SetThrottle(throttleOff)
		w.robot("reader", "ZohoCRM.modules.READ")
		came := w.crashAfter(k)
		_, _ = w.engine.Issue(t.Context(), "reader", backend.Reader{})
		crashed = came()
		w.clock.Advance(3 * time.Minute)
		w.tick()
		leases := []*backend.Issued{w.read("reader")}
		for i := range 12 {
			role := fmt.Sprintf("role-%d", i)
			w.robot(role, fmt.Sprintf("ZohoCRM.module%d.READ", i))
			if issued, err := w.engine.Issue(t.Context(), role, backend.Reader{}); err == nil {
				leases = append(leases, issued)
			}
			w.clock.Advance(time.Second)
		}
		require.GreaterOrEqual(t, len(leases), 9)
		for i, lease := range leases {
			require.True(t, w.alive(lease), "crash after %d writes: lease %d of %d", k, i, len(leases))
		}
	}
}

func TestClientCredentials_ARefusalIsExplainedAndRejectsTheWrite(t *testing.T) {
	w := newWorld(t)
	strict := w.sim.AddClient(zohosim.ClientSpec{RequireSOID: true})
	own := func(change settings.RoleChange) settings.RoleChange {
		change.GrantType, change.ClientID, change.ClientSecret = clientCredentials, &strict.ID, ptr(strict.Secret("us"))
		return change
	}
	_, err := w.write("robot", own(settings.RoleChange{Scopes: &scopes}))
	failed := grantError(t, err)
	require.Equal(t, "missing_org_info", failed.Code)
	require.Contains(t, failed.Error(), "Write soid to the role")
	_, err = w.write("robot", own(settings.RoleChange{Scopes: ptr([]string{"nonsense"}), SOID: ptr("ZohoCRM.1")}))
	failed = grantError(t, err)
	require.Equal(t, "invalid_scope", failed.Code)
	require.Contains(t, failed.Error(), "ZohoCRM.modules.ALL")
	require.Empty(t, slices.DeleteFunc(w.keys("roles/"), func(key string) bool { return key == "roles/crm-sync" }))
	_, err = w.write("robot", own(settings.RoleChange{Scopes: &scopes, SOID: ptr("ZohoCRM.1")}))
	require.NoError(t, err)
	asked := w.asked()
	require.True(t, w.alive(w.read("robot")))
	require.Equal(t, asked, w.asked())
}

func TestClientCredentials_WrongScopesThatAreWrittenLeaveTheFormerRole(t *testing.T) {
	w := newWorld(t)
	w.robot("reader", "ZohoCRM.modules.READ")
	lease := w.read("reader")
	_, err := w.write("reader", settings.RoleChange{Scopes: ptr([]string{"nonsense"})})
	require.Equal(t, "invalid_scope", grantError(t, err).Code)
	require.Equal(t, lease.TokenID, w.read("reader").TokenID)
}

func TestClientCredentials_FieldsThatDoNotFitAreRefusedUnasked(t *testing.T) {
	w := newWorld(t)
	for says, change := range map[string]settings.RoleChange{
		"needs scopes":        {GrantType: clientCredentials},
		"has no refresh_tok":  {GrantType: clientCredentials, Scopes: &scopes, RefreshToken: ptr("x")},
		"soid belongs to":     {SOID: ptr("ZohoCRM.1"), RefreshToken: ptr("x")},
		"write it like":       {GrantType: clientCredentials, Scopes: &scopes, SOID: ptr("a b")},
		"is neither":          {GrantType: ptr("password"), Scopes: &scopes},
		"no scope of Zoho's":  {GrantType: clientCredentials, Scopes: ptr([]string{"ZohoCRM.a ZohoCRM.b"})},
		"at most 200":         {GrantType: clientCredentials},
		"something to mint":   {},
		"refresh_token is em": {Scopes: &scopes, RefreshToken: ptr("")},
	} {
		if says == "at most 200" {
			many := make([]string, 201)
			for i := range many {
				many[i] = fmt.Sprintf("ZohoCRM.module%d.READ", i)
			}
			change.Scopes = &many
		}
		_, err := w.write("new", change)
		var bad *settings.UserError
		require.ErrorAs(t, err, &bad, says)
		require.Contains(t, err.Error(), says)
	}
	require.Empty(t, w.sim.Requests())
}

func TestClientCredentials_SwitchingToThemForgetsTheRefreshTokenAndBackNeedsANewOne(t *testing.T) {
	w := newWorld(t)
	lease := w.read("crm-sync")
	warnings, err := w.write("crm-sync", settings.RoleChange{GrantType: clientCredentials, Scopes: &scopes})
	require.NoError(t, err)
	require.Contains(t, joined(warnings), "lives on at Zoho")
	require.NotContains(t, w.stored("roles/")["roles/crm-sync"], w.refreshToken)
	require.NotEqual(t, lease.TokenID, w.read("crm-sync").TokenID)
	require.True(t, w.alive(lease))
	require.NoError(t, w.release(lease))
	require.False(t, w.alive(lease))
	_, err = w.write("crm-sync", settings.RoleChange{GrantType: ptr(settings.GrantTypeRefreshToken)})
	require.NoError(t, err)
	require.ErrorContains(t, w.readError("crm-sync"), "no refresh token yet")
}
