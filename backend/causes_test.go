package backend_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend"
	"vault-plugin-secrets-zoho/backend/settings"
)

// Each 429 of the budget names what of this role, or of this read, has caused it.
func TestBudget_TheErrorNamesTheCauseOfThisRole(t *testing.T) {
	for name, c := range map[string]struct {
		change settings.RoleChange
		reader backend.Reader
		says   string
		not    string
	}{
		"exclusive":           {settings.RoleChange{Exclusive: ptr(true)}, backend.Reader{}, `Role "crm-sync" is exclusive, so each read of it is a token request`, "min_ttl"},
		"min_ttl of the read": {settings.RoleChange{}, backend.Reader{MinTTL: 59 * time.Minute}, "This read asks for a token with min_ttl=59m0s", "exclusive"},
		"short ttl":           {settings.RoleChange{TTL: ptr(time.Minute)}, backend.Reader{}, "has a ttl of 1m0s", "exclusive"},
		"none":                {settings.RoleChange{}, backend.Reader{}, "Look for what needs many new tokens", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.writeRole("crm-sync", c.change)
			w.configure(settings.ConfigChange{RequestBudget: ptr(2)})
			var err error
			for err == nil { // a reader after the other, each of whom gives the token back
				var issued *backend.Issued
				if issued, err = w.engine.Issue(t.Context(), "crm-sync", c.reader); err == nil {
					require.NoError(t, w.release(issued))
					w.clock.Advance(2 * time.Second)
				}
			}
			failed := grantError(t, err)
			require.Contains(t, failed.Error(), c.says)
			if c.not != "" {
				require.NotContains(t, failed.Error(), c.not)
			}
			status := w.status("crm-sync")
			require.Equal(t, backend.StateOutOfBudget, status.State)
			require.Zero(t, status.RequestsLeft)
			require.Equal(t, failed.RetryAt, status.RetryAt, "when there is budget again")
		})
	}
}

func TestBudget_OfARoleThatWasTriedHasTheTrialInIt(t *testing.T) {
	w := newWorld(t)
	w.writeRole("own", settings.RoleChange{RefreshToken: ptr(w.consent()), Exclusive: ptr(true), Verify: ptr(true)})
	for range 9 {
		w.read("own")
	}
	require.Contains(t, w.readError("own").Error(), "trials of credentials included")
}

func TestConfig_LimitsThatHurtAreWarnedOf(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct {
		change settings.ConfigChange
		says   string
	}{
		"request_budget":  {settings.ConfigChange{RequestBudget: ptr(100)}, "more than the 10 that Zoho answers"},
		"max_live_tokens": {settings.ConfigChange{MaxLiveTokens: ptr(1000)}, "ends the oldest access token without a word"},
		"min_ttl":         {settings.ConfigChange{MinTTL: ptr(59 * time.Minute)}, "60 token requests an hour"},
	} {
		warnings, err := w.engine.WriteConfig(t.Context(), c.change)
		require.NoError(t, err)
		require.Len(t, warnings, 1, name)
		require.Contains(t, warnings[0], c.says)
	}
	warnings, err := w.engine.WriteConfig(t.Context(), settings.ConfigChange{RefreshAhead: ptr(true)})
	require.NoError(t, err)
	require.Empty(t, warnings, "only of what is written")
}

func TestRole_SettingsThatHurtAreWarnedOf(t *testing.T) {
	w := newWorld(t)
	require.Contains(t, w.writeRole("crm-sync", settings.RoleChange{MinTTL: ptr(50 * time.Minute)})[0], "6 token requests an hour")
	require.Contains(t, w.writeRole("crm-sync", settings.RoleChange{MinTTL: ptr(time.Duration(0)), TTL: ptr(5 * time.Minute)})[0], "12 token requests an hour instead of one")
	require.Empty(t, w.writeRole("crm-sync", settings.RoleChange{TTL: ptr(20 * time.Minute)}))
}

func TestRole_ThatIsExclusiveIsWarnedOf(t *testing.T) {
	w := newWorld(t)
	require.Contains(t, joined(w.writeRole("crm-sync", settings.RoleChange{Exclusive: ptr(true)})), "each read is a token request, of which the budget has 10 in 10m0s")
	require.Empty(t, w.writeRole("crm-sync", settings.RoleChange{Exclusive: ptr(false)}))
}

func TestRole_NewScopesOfOneThatIsAuthorizedAreWarnedOf(t *testing.T) {
	w := newWorld(t)
	warnings := w.writeRole("crm-sync", settings.RoleChange{Scopes: &[]string{"ZohoBooks.fullaccess.all"}})
	require.Len(t, warnings, 1)
	require.Contains(t, warnings[0], "until it is authorized again")
	require.Empty(t, w.writeRole("crm-sync", settings.RoleChange{Scopes: &[]string{"ZohoBooks.fullaccess.all"}}), "nothing new")
	require.Equal(t, []string{"ZohoBooks.fullaccess.all"}, w.status("crm-sync").Scopes)
}

// Zoho counts "an app": roles with other scopes have tokens of their own, and one
// budget.
func TestStatus_TellsWhatSharesTheBudgetBesideWhatSharesTheToken(t *testing.T) {
	w := newWorld(t)
	w.robot("read", "ZohoCRM.modules.READ")
	w.robot("write", "ZohoCRM.modules.ALL")
	w.robot("same", "ZohoCRM.modules.READ")
	status := w.status("read")
	require.Equal(t, []string{"same"}, status.SharedWith)
	require.Equal(t, []string{"same", "write"}, status.BudgetWith)
	require.Empty(t, w.status("crm-sync").BudgetWith)

	w.writeRole("books", settings.RoleChange{RefreshToken: ptr(w.consent())})
	w.read("books")
	w.read("crm-sync")
	w.configure(settings.ConfigChange{CountRequestsPer: ptr(settings.CountPerClient)})
	require.Equal(t, []string{"books", "read", "same", "write"}, w.status("crm-sync").BudgetWith)
}

func TestTokens_OfAFreshlyRotatedRoleNameTheRole(t *testing.T) {
	w := newWorld(t)
	w.writeRole("also", settings.RoleChange{RefreshToken: &w.refreshToken})
	rotated, err := w.rotate("crm-sync")
	require.NoError(t, err)
	info, err := w.engine.Token(t.Context(), rotated.TokenID)
	require.NoError(t, err)
	require.Equal(t, []string{"also", "crm-sync"}, info.Roles, "those that can hand it out")
	issued := w.read("crm-sync")
	info, err = w.engine.Token(t.Context(), rotated.TokenID)
	require.NoError(t, err)
	require.Equal(t, []string{"crm-sync"}, info.Roles, "the one that has")
	require.NoError(t, w.release(issued))
	info, err = w.engine.KnownToken(t.Context(), rotated.TokenID)
	require.NoError(t, err)
	require.Equal(t, backend.TokenEnded, info.State)
}

func TestLease_TheTTLOfAReadCapsThatLeaseAlone(t *testing.T) {
	w := newWorld(t)
	short, err := w.engine.Issue(t.Context(), "crm-sync", backend.Reader{TTL: 5 * time.Minute})
	require.NoError(t, err)
	require.Equal(t, 5*time.Minute, short.TTL)
	long := w.read("crm-sync")
	require.Equal(t, short.TokenID, long.TokenID)
	require.Greater(t, long.TTL, 50*time.Minute)
	w.writeRole("crm-sync", settings.RoleChange{TTL: ptr(20 * time.Minute)})
	for asked, want := range map[time.Duration]time.Duration{10 * time.Minute: 10 * time.Minute, 30 * time.Minute: 20 * time.Minute, 0: 20 * time.Minute} {
		issued, err := w.engine.Issue(t.Context(), "crm-sync", backend.Reader{TTL: asked})
		require.NoError(t, err)
		require.Equal(t, want, issued.TTL)
	}
	_, err = w.engine.Issue(t.Context(), "crm-sync", backend.Reader{TTL: -time.Second})
	require.ErrorContains(t, err, "ttl is negative")
}

func TestStatus_TellsWhoDeauthorizedTheRoleUntilItIsAuthorizedAgain(t *testing.T) {
	w := newWorld(t)
	by := settings.Requester{EntityID: "entity", DisplayName: "oidc-anna", RequestID: "request"}
	_, err := w.engine.Deauthorize(t.Context(), "crm-sync", false, by)
	require.NoError(t, err)
	at := w.clock.Now()
	w.clock.Advance(time.Hour)
	w.restart()
	status := w.status("crm-sync")
	require.Equal(t, backend.StateDeauthorized, status.State)
	require.Equal(t, &settings.Deauthorization{At: at, Requester: by}, status.Deauthorized)
	overview, err := w.engine.RoleOverview(t.Context(), "crm-sync")
	require.NoError(t, err)
	require.Equal(t, backend.StateDeauthorized, overview.State)
	require.False(t, overview.Authorized)
	_, err = w.writeCode("crm-sync", w.code())
	require.NoError(t, err)
	require.Nil(t, w.status("crm-sync").Deauthorized)
	_, err = w.deauthorize("crm-sync", false)
	require.NoError(t, err)
}

func TestStatus_TellsWhatBecameOfTheLatestConsent(t *testing.T) {
	w := newConsentWorld(t)
	require.Nil(t, w.status("desk").LastConsent)
	page := w.authorize().String()
	require.Equal(t, backend.ConsentPending, w.status("desk").LastConsent.State)
	begun := w.clock.Now()
	w.clock.Advance(time.Minute)
	consent, err := w.engine.CompleteConsent(t.Context(), w.decide(page, "reject"))
	require.Error(t, err)
	w.restart()
	last := w.status("desk").LastConsent
	require.Equal(t, &backend.LastConsent{
		BegunAt: begun, ExpiresAt: begun.Add(10 * time.Minute), Method: backend.MethodBrowser, State: backend.ConsentDeclined, EndedAt: w.clock.Now(), Error: consent.Cause + ". " + consent.Texts.Operator,
	}, last)

	w.authorize()
	w.clock.Advance(11 * time.Minute)
	w.tick()
	require.Equal(t, backend.ConsentExpired, w.status("desk").LastConsent.State)

	_, err = w.complete(w.agreed())
	require.NoError(t, err)
	require.Equal(t, &backend.LastConsent{State: backend.ConsentGranted}, w.status("desk").LastConsent)
	w.authorize()
	w.deleteRole("desk")
	require.Empty(t, w.keys("last-consents/"))
}

// A 429 is told to all who wait for the same mint, and each has a cause of its own.
func TestCauses_AReaderWhoJoinsAnothersMintIsToldItsOwnCause(t *testing.T) {
	w := newWorld(t)
	w.writeRole("own", settings.RoleChange{RefreshToken: &w.refreshToken, Exclusive: ptr(true)})
	w.writeRole("short", settings.RoleChange{RefreshToken: &w.refreshToken, TTL: ptr(time.Minute)})
	w.configure(settings.ConfigChange{RequestBudget: ptr(1)})
	grant := w.status("own").GrantID
	release := w.holdAnswers()
	var wg sync.WaitGroup
	read := func(role string, minTTL time.Duration, waiting []string) *error {
		var failed error
		wg.Go(func() { _, failed = w.engine.Issue(t.Context(), role, backend.Reader{MinTTL: minTTL}) })
		require.Eventually(t, func() bool { return slices.Equal(w.engine.WaitingRoles(grant), waiting) }, 10*time.Second, time.Millisecond)
		return &failed
	}
	exclusive := read("own", 0, []string{"own"}) // has the only request, and the turn
	w.waitForRequests(1)
	long := read("crm-sync", 55*time.Minute, []string{"crm-sync", "own"})
	short := read("short", 0, []string{"crm-sync", "own", "short"})
	release()
	wg.Wait()
	require.NoError(t, *exclusive)
	require.ErrorContains(t, *long, "This read asks for a token with min_ttl=55m0s")
	require.ErrorContains(t, *short, `Role "short" has a ttl of 1m0s`)
	require.NotContains(t, (*short).Error(), "55m")
}

func TestCauses_AMinTTLThatNoTokenHasIsExplained(t *testing.T) {
	w := newWorld(t)
	issued, err := w.engine.Issue(t.Context(), "crm-sync", backend.Reader{MinTTL: time.Hour - time.Second})
	require.NoError(t, err)
	require.Contains(t, joined(issued.Warnings), "no access token of this Accounts server has min_ttl (59m59s) left when somebody gets it")
	require.NotContains(t, joined(issued.Warnings), "is more than the 59m59s")
}
