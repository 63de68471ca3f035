package backend_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend"
	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/backend/zoho"
	"vault-plugin-secrets-zoho/zohosim"
)

// Zoho's rules about refresh tokens and grant codes, against a simulator that keeps
// them at their hardest.

// hardest is a mount for whom Zoho counts everything the harder way, with no role.
func hardest(t tb, change ...func(*zohosim.Options)) *world {
	t.Helper()
	options := zohosim.Hardest()
	for _, c := range change {
		c(&options)
	}
	w := newWorldWith(t, options)
	w.configure(settings.ConfigChange{CountRequestsPer: ptr(settings.CountPerClient)})
	w.deleteRole("crm-sync")
	require.True(t, w.sim.Kill(w.refreshToken))
	w.settle()
	return w
}

// evicts lets Zoho delete the oldest refresh token instead of refusing the newest.
func evicts(o *zohosim.Options) { o.RefuseExcessRefreshTokens = false }

// fill authorizes n roles with codes of one user, one after another, as slowly as
// Zoho wants it.
func (w *world) fill(n int) {
	w.t.Helper()
	for i := range n {
		_, err := w.writeCode(fmt.Sprintf("role-%02d", i), w.code())
		require.NoError(w.t, err)
		w.clock.Advance(3 * time.Minute)
	}
}

func (w *world) owned() []string {
	return w.sim.RefreshTokens(w.client, "us", "user@example.com")
}

func (w *world) mountKnows() int {
	w.t.Helper()
	clients, err := w.engine.Clients(w.t.Context())
	require.NoError(w.t, err)
	count := 0
	for _, c := range clients {
		count += c.Count
	}
	return count
}

func TestRefreshTokens_TheTwentyFirstCodeOfASelfClientIsRefusedAndSaysWhatWouldHaveDied(t *testing.T) {
	for name, change := range map[string]func(*zohosim.Options){"Zoho evicts": evicts, "Zoho refuses": func(*zohosim.Options) {}} {
		t.Run(name, func(t *testing.T) {
			w := hardest(t, change)
			w.fill(20)
			require.Len(t, w.owned(), 20)
			w.restart()
			asked := w.asked()
			_, err := w.writeCode("one-more", w.code())
			var bad *settings.UserError
			require.ErrorAs(t, err, &bad)
			for _, says := range []string{"not used", "20 refresh tokens", `role "role-00"`, "2026-11-21", "deauthorize", "force=true"} {
				require.Contains(t, bad.Error(), says)
			}
			require.Equal(t, asked, w.asked(), "Zoho was not asked")
			require.Len(t, w.owned(), 20)
			require.Empty(t, w.sim.Evicted())

			_, err = w.deauthorize("role-07", false)
			require.NoError(t, err)
			_, err = w.writeCode("one-more", w.code())
			require.NoError(t, err, "there is room again")
			require.True(t, w.alive(w.read("role-00")))
		})
	}
}

func TestRefreshTokens_ARoleThatIsAuthorizedAgainCountsTwiceUntilItsFormerOneIsRevoked(t *testing.T) {
	w := hardest(t, evicts)
	w.fill(20)
	_, err := w.writeCode("role-05", w.code())
	require.ErrorContains(t, err, `role "role-00"`, "its former refresh token would live on while the new one comes")
	_, err = w.deauthorize("role-05", false)
	require.NoError(t, err)
	_, err = w.writeCode("role-05", w.code())
	require.NoError(t, err)
	require.Empty(t, w.sim.Evicted())
}

func TestRefreshTokens_WithForceZohoDeletesTheOneThatTheWarningNames(t *testing.T) {
	w := hardest(t, evicts)
	w.fill(20)
	warnings, err := w.write("one-more", settings.RoleChange{Code: ptr(w.code()), Force: ptr(true)})
	require.NoError(t, err)
	require.Contains(t, strings.Join(warnings, "\n"), `role "role-00"`)
	w.clock.Advance(2 * time.Hour)
	require.Equal(t, zoho.Refused, grantError(t, w.readError("role-00")).Kind)
	require.True(t, w.alive(w.read("role-01")))
	require.Equal(t, 20, w.mountKnows(), "one that Zoho says is dead does not count")
}

func TestRefreshTokens_FromEighteenOnAWriteWarns(t *testing.T) {
	w := hardest(t)
	w.fill(17)
	for i := range 3 {
		warnings, err := w.writeCode(fmt.Sprintf("late-%d", i), w.code())
		require.NoError(t, err)
		require.Contains(t, strings.Join(warnings, "\n"), fmt.Sprintf("knows %d refresh tokens", 18+i))
		w.clock.Advance(3 * time.Minute)
	}
	require.Equal(t, 20, w.status("late-0").ClientTokens)
}

// A client of many customers: status and writes must not take longer with each of them.
func TestRefreshTokens_OfManyUsersAreCountedAndNotLookedAt(t *testing.T) {
	w := newWorld(t)
	var warnings []string
	for i := range 41 {
		name, consent := fmt.Sprintf("role-%d", i), w.sim.Consent(w.client, "us", fmt.Sprintf("user-%d@example.com", i), scopes)
		warnings = w.writeRole(name, settings.RoleChange{RefreshToken: &consent})
		w.read(name)
	}
	require.Contains(t, strings.Join(warnings, "\n"), "as far as this mount knows that of role", "40 were listed: each was looked at")
	w.storage.unreadable(below("client-refresh-tokens/"))
	require.Equal(t, 41, w.status("role-7").ClientTokens)
	warnings = w.writeRole("role-7", settings.RoleChange{RefreshToken: ptr(w.refreshTokenOf("role-7"))})
	require.Contains(t, strings.Join(warnings, "\n"), "knows 41 refresh tokens")
	require.Contains(t, strings.Join(warnings, "\n"), "does not know which of them are of one user")
}

// Nobody can know of which person a refresh token is.
func TestRefreshTokens_OfSeveralPeoplesConsentsAreNotRefused(t *testing.T) {
	w := hardest(t)
	web := w.sim.AddClient(zohosim.ClientSpec{Kind: zohosim.WebClient, RedirectURIs: []string{callbackURL}})
	var warnings []string
	for i := range 25 {
		code := w.sim.Code(web, "us", zohosim.CodeSpec{User: fmt.Sprintf("user-%d@example.com", i), RedirectURI: callbackURL, Scopes: scopes})
		var err error
		warnings, err = w.write(fmt.Sprintf("role-%d", i), settings.RoleChange{
			ClientID: &web.ID, ClientSecret: ptr(web.Secret("us")), Code: &code, RedirectURI: ptr(callbackURL)})
		require.NoError(t, err)
		w.clock.Advance(3 * time.Minute)
	}
	require.Contains(t, strings.Join(warnings, "\n"), "does not know which of them are of one user")
	w.configure(settings.ConfigChange{RedirectURI: ptr(callbackURL)})
	w.writeRole("role-0", settings.RoleChange{Scopes: &scopes})
	begun, err := w.engine.Authorize(t.Context(), "role-0")
	require.NoError(t, err)
	require.Contains(t, strings.Join(begun.Warnings, "\n"), "knows 25 refresh tokens")
	require.Equal(t, 25, w.status("role-0").ClientTokens)
	require.Empty(t, w.sim.Evicted())
}

// What somebody writes by hand and what never works is nobody's refresh token.
func TestRefreshTokens_ThatNeverWorkedFillNobodysList(t *testing.T) {
	w := hardest(t)
	for i := range 30 {
		w.writeRole(fmt.Sprintf("evil-%d", i), settings.RoleChange{RefreshToken: ptr(fmt.Sprintf("1000.%032x.%032x", i, i))})
	}
	require.Zero(t, w.mountKnows())
	_, err := w.writeCode("honest", w.code())
	require.NoError(t, err)
	require.Equal(t, 1, w.mountKnows())
}

func TestRefreshTokens_WrittenByHandCountFromTheFirstTokenOn(t *testing.T) {
	w := hardest(t)
	w.writeRole("by-hand", settings.RoleChange{RefreshToken: ptr(w.sim.Consent(w.client, "us", "user@example.com", scopes))})
	require.Zero(t, w.mountKnows())
	w.read("by-hand")
	require.Equal(t, 1, w.mountKnows())
	w.writeRole("same", settings.RoleChange{RefreshToken: ptr(w.owned()[0])})
	w.read("same")
	require.Equal(t, 1, w.mountKnows(), "two roles have it")
}

func TestRefreshTokens_TheListForgetsWhatTheMountKnowsNoLonger(t *testing.T) {
	for name, end := range map[string]func(w *world){
		"role deleted":       func(w *world) { w.deleteRole("x") },
		"deauthorized":       func(w *world) { _, err := w.deauthorize("x", false); require.NoError(w.t, err) },
		"another by hand":    func(w *world) { w.writeRole("x", settings.RoleChange{RefreshToken: ptr("1000.no.longer")}) },
		"client_credentials": func(w *world) { w.robot("x", "ZohoCRM.modules.READ") },
	} {
		t.Run(name, func(t *testing.T) {
			w := hardest(t)
			_, err := w.writeCode("x", w.code())
			require.NoError(t, err)
			require.Len(t, w.counted(), 1)
			end(w)
			w.settle()
			require.Empty(t, w.counted())
		})
	}
}

func TestRefreshTokens_ThatWaitToBeRevokedCount(t *testing.T) {
	w := hardest(t)
	_, err := w.writeCode("x", w.code())
	require.NoError(t, err)
	w.sim.SetDown(true)
	_, err = w.deauthorize("x", false)
	require.Error(t, err)
	w.settle()
	require.Equal(t, 1, w.mountKnows())
	clients, err := w.engine.Clients(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, clients[0].Pending)
	w.sim.SetDown(false)
	w.clock.Advance(5 * time.Minute)
	w.tick()
	require.Empty(t, w.counted())
}

// A crash can leave an entry behind; the daily round takes it out.
func TestRefreshTokens_TheDailyRoundTakesOutWhatACrashLeft(t *testing.T) {
	w := hardest(t)
	_, err := w.writeCode("x", w.code())
	require.NoError(t, err)
	w.settle()
	require.NoError(t, w.storage.Delete(t.Context(), "roles/x"))
	w.restart()
	w.clock.Advance(25 * time.Hour)
	w.tick()
	require.Empty(t, w.counted())
}

func TestExchange_AccessDeniedNamesTheLimitOfTwentyAndSilencesNobody(t *testing.T) {
	w := hardest(t)
	for range 20 { // of another program
		w.sim.Consent(w.client, "us", "user@example.com", scopes)
	}
	w.robot("robot", "ZohoCRM.modules.READ")
	_, err := w.writeCode("x", w.code())
	failed := grantError(t, err)
	require.Equal(t, zoho.Throttled, failed.Kind)
	for _, says := range []string{"Access Denied", "20 refresh tokens", "knows 0 of this client", "deauthorize"} {
		require.Contains(t, failed.Error(), says)
	}
	require.NotContains(t, failed.Error(), "other programs")
	require.Zero(t, failed.RetryAt)
	require.True(t, w.alive(w.read("robot")), "the client is not silenced")

	require.True(t, w.sim.Kill(w.owned()[0]))
	_, err = w.writeCode("x", w.code())
	require.NoError(t, err, "the user has removed a connection, and it goes on at once")
}

func TestExchange_AfterTwoAnswersOfAccessDeniedOnlyExchangesPause(t *testing.T) {
	w := hardest(t)
	for range 20 {
		w.sim.Consent(w.client, "us", "user@example.com", scopes)
	}
	w.robot("robot", "ZohoCRM.modules.READ")
	for range 2 {
		_, err := w.writeCode("x", w.code())
		require.ErrorContains(t, err, "Access Denied")
		w.restart()
	}
	asked := w.asked()
	_, err := w.writeCode("x", w.code())
	failed := grantError(t, err)
	require.Contains(t, failed.Error(), "twice in a row")
	require.Contains(t, failed.Error(), "not used")
	require.Equal(t, asked, w.asked())
	require.True(t, w.alive(w.read("robot")))
	w.clock.Advance(failed.RetryAt.Sub(w.clock.Now()))
	require.True(t, w.sim.Kill(w.owned()[0]))
	_, err = w.writeCode("x", w.code())
	require.NoError(t, err)
}

func TestExchange_AThrottleThatSaysSoSilencesTheClient(t *testing.T) {
	w := hardest(t)
	w.robot("robot", "ZohoCRM.modules.READ")
	w.sim.Fault(zohosim.EndpointToken, zohosim.Fault{Kind: zohosim.FaultThrottled, Count: 1})
	_, err := w.writeCode("x", w.code())
	require.ErrorContains(t, err, "too many requests")
	require.ErrorContains(t, err, "20 refresh tokens")
	require.NotZero(t, grantError(t, err).RetryAt)
	require.Equal(t, zoho.Throttled, grantError(t, w.readError("robot")).Kind)
}

// Four codes a minute, ten in ten minutes.
func TestExchange_KeepsToZohosOwnLimitsWhateverTheBudgetSays(t *testing.T) {
	w := hardest(t, func(o *zohosim.Options) { o.Throttle.Limit = -1; o.MaxRefreshTokens = 100 })
	w.configure(settings.ConfigChange{RequestBudget: ptr(1000)})
	written, refused := 0, 0
	for range 60 { // fifteen minutes
		_, err := w.write(fmt.Sprintf("role-%d", written), settings.RoleChange{Code: ptr(w.code()), Force: ptr(true)})
		if err == nil {
			written++
		} else {
			require.Contains(t, err.Error(), "grant codes of this client")
			refused++
		}
		if written == 10 {
			w.restart()
		}
		w.clock.Advance(15 * time.Second)
	}
	require.NotZero(t, refused)
	require.Equal(t, 20, written, "ten, and after ten minutes ten more")
	for _, r := range w.sim.Requests() {
		require.NotEqual(t, "Access Denied", r.Error, "Zoho never had to say so")
	}
}

func TestExchange_TheRefusalSpeaksTheTruthAboutTheAgeOfTheCode(t *testing.T) {
	w := hardest(t)
	for i := range 4 {
		_, err := w.writeCode(fmt.Sprintf("role-%d", i), w.code())
		require.NoError(t, err)
	}
	_, err := w.writeCode("soon", w.code())
	require.ErrorContains(t, err, "If this one is young enough, write it again")
	for i := range 3 {
		w.clock.Advance(75 * time.Second)
		_, err := w.writeCode(fmt.Sprintf("more-%d", i), w.code())
		require.NoError(t, err)
	}
	_, err = w.writeCode("late", w.code())
	require.ErrorContains(t, err, "It will be too old at the time below")
	require.Greater(t, grantError(t, err).RetryAt.Sub(w.clock.Now()), 2*time.Minute)
}

func TestExchange_ARefreshTokenWithoutAnAccessTokenIsKept(t *testing.T) {
	for _, shape := range []zohosim.AccessTokenShape{zohosim.AccessTokenMissing, zohosim.AccessTokenEmpty, zohosim.AccessTokenNull} {
		t.Run(string(shape), func(t *testing.T) {
			w := hardest(t)
			w.sim.SetAnswer(zohosim.Answer{BesideRefreshToken: shape})
			warnings, err := w.writeCode("x", w.code())
			require.NoError(t, err)
			require.Contains(t, strings.Join(warnings, "\n"), "no access token that could be used")
			require.Empty(t, w.unknown())
			w.restart()
			require.Len(t, w.owned(), 1)
			require.Equal(t, 1, w.mountKnows())
			require.True(t, w.alive(w.read("x")))
			require.Empty(t, w.unwanted())
		})
	}
}

// An answer that says no is no answer that brings a refresh token.
func TestExchange_ARefreshTokenBesideAnErrorWordIsNotTaken(t *testing.T) {
	w := hardest(t)
	w.sim.Fault(zohosim.EndpointToken, zohosim.Fault{Kind: zohosim.FaultAnswer, Body: `{"error":"invalid_code","refresh_token":"1000.aa.bb"}`, Count: 1})
	_, err := w.writeCode("x", w.code())
	require.Equal(t, zoho.Refused, grantError(t, err).Kind)
	require.Empty(t, w.unwanted())
	require.Empty(t, w.counted())
}

// Invariant 4, for whom Zoho counts for the client.
func TestBudget_CountedPerClientIsKeptAcrossItsRefreshTokensAndRestarts(t *testing.T) {
	w := hardest(t)
	for i := range 5 {
		w.writeRole(fmt.Sprintf("role-%d", i), settings.RoleChange{RefreshToken: ptr(w.sim.Consent(w.client, "us", fmt.Sprintf("user-%d@example.com", i), scopes))})
	}
	w.robot("robot", "ZohoCRM.modules.READ")
	for i := range 40 {
		role := fmt.Sprintf("role-%d", i%5)
		if i%7 == 0 {
			role = "robot"
		}
		if issued, err := w.engine.Issue(t.Context(), role, backend.Reader{MinTTL: 59 * time.Minute}); err == nil {
			require.True(t, w.alive(issued))
		}
		if i%10 == 0 {
			w.restart()
		}
		w.clock.Advance(61 * time.Second)
	}
	for _, r := range w.sim.Requests() {
		require.NotEqual(t, "Access Denied", r.Error)
	}
	require.Less(t, w.status("role-0").RequestsLeft, 10)
	require.Equal(t, w.status("role-0").RequestsLeft, w.status("role-1").RequestsLeft)
}

// At once, too: two refresh tokens have two turns, and one budget.
func TestBudget_CountedPerClientIsKeptWhenManyMintAtOnce(t *testing.T) {
	w := hardest(t)
	for i := range 16 {
		w.writeRole(fmt.Sprintf("role-%d", i), settings.RoleChange{RefreshToken: ptr(w.sim.Consent(w.client, "us", fmt.Sprintf("user-%d@example.com", i), scopes))})
	}
	atOnce(16, func(i int) error {
		_, err := w.engine.Issue(t.Context(), fmt.Sprintf("role-%d", i), backend.Reader{})
		return err
	})
	require.LessOrEqual(t, w.asked(), 10)
	for _, r := range w.sim.Requests() {
		require.NotEqual(t, "Access Denied", r.Error)
	}
}

func TestBudget_AThrottleOfTheClientSilencesAllItsRefreshTokens(t *testing.T) {
	w := hardest(t)
	for _, role := range []string{"one", "other"} {
		w.writeRole(role, settings.RoleChange{RefreshToken: ptr(w.sim.Consent(w.client, "us", role+"@example.com", scopes))})
	}
	w.sim.Fault(zohosim.EndpointToken, zohosim.Fault{Kind: zohosim.FaultThrottled, Count: 1})
	_ = w.readError("one")
	require.Equal(t, zoho.Throttled, grantError(t, w.readError("other")).Kind)
	require.Equal(t, backend.StateThrottled, w.status("other").State)
	require.Equal(t, 1, w.asked())
	w.clock.Advance(11 * time.Minute)
	require.True(t, w.alive(w.read("other")))
	require.True(t, w.alive(w.read("one")))
	require.Equal(t, backend.StateReady, w.status("one").State)
}

// A single role of a client may have all of its budget.
func TestBudget_OfTheOnlyRefreshTokenOfAClientIsWhole(t *testing.T) {
	w := hardest(t)
	w.writeRole("only", settings.RoleChange{RefreshToken: ptr(w.sim.Consent(w.client, "us", "user@example.com", scopes)), Exclusive: ptr(true)})
	got := 0
	for range 12 {
		if _, err := w.engine.Issue(t.Context(), "only", backend.Reader{}); err == nil {
			got++
		}
	}
	require.Equal(t, 10, got)
}

// What is kept in reserve for the other refresh tokens of a client is not for one of
// them alone.
func TestBudget_CountedPerClientKeepsTheReserveForItsOtherRefreshTokens(t *testing.T) {
	w := hardest(t)
	for _, role := range []string{"greedy", "other"} {
		w.writeRole(role, settings.RoleChange{RefreshToken: ptr(w.sim.Consent(w.client, "us", role+"@example.com", scopes)), Exclusive: ptr(true)})
	}
	require.NoError(t, w.release(w.read("other")))
	for range 20 {
		_, _ = w.engine.Issue(t.Context(), "greedy", backend.Reader{})
	}
	require.Equal(t, 8, w.asked(), "seven, and one of the reserve")
	require.True(t, w.alive(w.read("other")))
}

// A code without a redirect_uri among consents does not make a Self Client.
func TestRefreshTokens_OneConsentIsEnoughToKnowThatTheClientHasManyUsers(t *testing.T) {
	w := hardest(t)
	web := w.sim.AddClient(zohosim.ClientSpec{Kind: zohosim.WebClient, RedirectURIs: []string{callbackURL}})
	own := settings.RoleChange{ClientID: &web.ID, ClientSecret: ptr(web.Secret("us"))}
	for i := range 20 {
		change := own
		if i == 3 {
			change.Code, change.RedirectURI = ptr(w.sim.Code(web, "us", zohosim.CodeSpec{User: "person@example.com", Scopes: scopes})), ptr(callbackURL)
		} else {
			change.RefreshToken, change.Verify = ptr(w.sim.Consent(web, "us", fmt.Sprintf("user-%d@example.com", i), scopes)), ptr(true)
		}
		_, err := w.write(fmt.Sprintf("role-%d", i), change)
		require.NoError(t, err)
		w.clock.Advance(3 * time.Minute)
	}
	require.Equal(t, 20, w.mountKnows())
	change := own
	change.Code = ptr(w.sim.Code(web, "us", zohosim.CodeSpec{Scopes: scopes}))
	_, err := w.write("one-more", change)
	require.Equal(t, "invalid_redirect_uri", grantError(t, err).Code, "Zoho was asked")
}

// With the budget used up, the time that is told is when a code may be exchanged, and
// not when the first request leaves the window.
func TestExchange_TheTimeThatIsToldIsWhenACodeIsTaken(t *testing.T) {
	w := newWorld(t)
	w.robot("robot", "ZohoCRM.modules.READ")
	w.writeRole("own", settings.RoleChange{GrantType: clientCredentials, Scopes: &scopes, Exclusive: ptr(true)})
	for range 10 {
		_, _ = w.engine.Issue(t.Context(), "own", backend.Reader{})
		w.clock.Advance(5 * time.Second)
	}
	_, err := w.writeCode("x", w.code())
	failed := grantError(t, err)
	w.clock.Advance(failed.RetryAt.Sub(w.clock.Now()))
	_, err = w.writeCode("x", w.code())
	require.NoError(t, err)
}

// Refresh tokens that were written by hand do not tell of whom they are.
func TestRefreshTokens_WrittenByHandMakeNobodyTheOnlyOwner(t *testing.T) {
	w := hardest(t)
	w.writeRole("x", settings.RoleChange{RefreshToken: ptr(w.sim.Consent(w.client, "us", "user@example.com", scopes))})
	w.read("x")
	clients, err := w.engine.Clients(t.Context())
	require.NoError(t, err)
	require.False(t, clients[0].OneOwner)
	_, err = w.writeCode("y", w.code())
	require.NoError(t, err)
	clients, err = w.engine.Clients(t.Context())
	require.NoError(t, err)
	require.True(t, clients[0].OneOwner, "its code was a Self Client's")
}
