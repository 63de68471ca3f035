package backend_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend"
	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/backend/zoho"
	"vault-plugin-secrets-zoho/zohosim"
)

// deviceWorld has a role tv of a client of the device flow.
type deviceWorld struct {
	*world
	device *zohosim.Client
}

func newDeviceWorld(t *testing.T, options zohosim.Options) *deviceWorld {
	t.Helper()
	w := &deviceWorld{world: newWorldWith(t, options)}
	w.device = w.sim.AddClient(zohosim.ClientSpec{Kind: zohosim.DeviceClient})
	w.addRole("tv", w.device)
	return w
}

func (w *deviceWorld) addRole(name string, client *zohosim.Client) {
	w.t.Helper()
	w.writeRole(name, settings.RoleChange{ClientID: &client.ID, ClientSecret: ptr(client.Secret("us")), Scopes: ptr([]string{"ZohoCRM.modules.ALL", "ZohoCRM.settings.READ"})})
}

func (w *deviceWorld) begin() *backend.DeviceAuthorization {
	w.t.Helper()
	begun, err := w.engine.AuthorizeDevice(w.t.Context(), "tv")
	require.NoError(w.t, err)
	return begun
}

// pass lets time pass in which Vault looks once a second what is due.
func (w *deviceWorld) pass(d time.Duration) {
	w.t.Helper()
	for range d / time.Second {
		w.clock.Advance(time.Second)
		w.tick()
	}
}

func (w *deviceWorld) polls() int { return w.sim.Count(zohosim.EndpointDeviceToken) }

func (w *deviceWorld) last() *backend.LastConsent {
	w.t.Helper()
	return w.status("tv").LastConsent
}

func (w *deviceWorld) requireEnded(state backend.ConsentState, says string) {
	w.t.Helper()
	require.Equal(w.t, state, w.last().State, w.last().Error)
	require.Contains(w.t, w.last().Error, says)
	require.Empty(w.t, w.keys("devices/"))
	polls := w.polls()
	w.pass(time.Minute)
	require.Equal(w.t, polls, w.polls(), "nobody asks any more")
}

func TestDevice_ConsentThatIsGivenAuthorizesTheRoleWithoutAnybodyComingBack(t *testing.T) {
	w := newDeviceWorld(t, zohosim.Options{})
	begun := w.begin()
	require.Equal(t, w.accounts.URL+"/oauth/v3/device", begun.VerificationURL)
	require.Equal(t, w.clock.Now().Add(5*time.Minute), begun.ExpiresAt)
	require.Equal(t, w.device.ID, begun.ClientID)
	require.Equal(t, backend.ConsentPending, w.last().State)
	w.pass(40 * time.Second)
	require.Equal(t, backend.ConsentPending, w.last().State)
	require.True(t, w.sim.Agree(begun.UserCode, true))
	w.pass(40 * time.Second)
	require.Equal(t, backend.ConsentGranted, w.last().State)
	require.Empty(t, w.keys("devices/"))
	asked := w.asked()
	require.True(t, w.alive(w.read("tv")))
	require.Equal(t, asked, w.asked(), "the access token that came is handed out")
	w.clock.Advance(55 * time.Minute)
	require.True(t, w.alive(w.read("tv")), "and mints on")
}

func TestDevice_IsNeverPolledFasterThanZohoAllowsAlsoAfterRestarts(t *testing.T) {
	w := newDeviceWorld(t, zohosim.Hardest())
	w.begin()
	for range 300 {
		w.clock.Advance(time.Second)
		w.tick()
		w.restart()
	}
	require.GreaterOrEqual(t, w.polls(), 9)
	var former time.Time
	for _, r := range w.sim.Requests() {
		if r.Endpoint != zohosim.EndpointDeviceToken {
			continue
		}
		require.NotEqual(t, "slow_down", r.Error)
		require.True(t, former.IsZero() || r.Time.Sub(former) >= 30*time.Second, "%s after the last", r.Time.Sub(former))
		former = r.Time
	}
}

func TestDevice_ThatIsTooLateIsExpired(t *testing.T) {
	w := newDeviceWorld(t, zohosim.Options{DeviceLife: time.Hour}) // whatever Zoho says
	w.begin()
	w.pass(5*time.Minute - time.Second)
	require.Equal(t, backend.ConsentPending, w.last().State)
	w.pass(2 * time.Second)
	w.requireEnded(backend.ConsentExpired, "five minutes")
	require.Contains(t, w.last().Error, "authorize method=device")
}

func TestDevice_WhoAgreesInTheLastHalfMinuteIsNotTooLate(t *testing.T) {
	w := newDeviceWorld(t, zohosim.Options{})
	begun := w.begin()
	w.pass(4*time.Minute + 50*time.Second)
	require.True(t, w.sim.Agree(begun.UserCode, true))
	w.pass(10 * time.Second)
	require.Equal(t, backend.ConsentGranted, w.last().State)
}

func TestDevice_ThatIsDeniedChangesNothing(t *testing.T) {
	w := newDeviceWorld(t, zohosim.Options{})
	require.True(t, w.sim.Agree(w.begin().UserCode, false))
	w.pass(6 * time.Second)
	w.requireEnded(backend.ConsentDeclined, "denied")
	require.False(t, w.status("tv").Authorized)
}

func TestDevice_OfAnAccountElsewhereNamesItsDataCentreAndWhatToDo(t *testing.T) {
	w := newDeviceWorld(t, zohosim.Options{})
	w.sim.SetUser("anna@example.com", "in")
	require.True(t, w.sim.Agree(w.begin().UserCode, true))
	w.pass(6 * time.Second)
	w.requireEnded(backend.ConsentElsewhere, "data centre in")
	require.Contains(t, w.last().Error, "data_center=in client_id=... client_secret=...")
}

func TestDevice_SlowDownLengthensTheInterval(t *testing.T) {
	w := newDeviceWorld(t, zohosim.Options{DevicePollInterval: 33 * time.Second})
	begun := w.begin()
	w.pass(5*time.Second + 31*time.Second)
	require.Equal(t, 2, w.polls(), "the second was too early")
	w.pass(35 * time.Second)
	require.Equal(t, 2, w.polls())
	require.True(t, w.sim.Agree(begun.UserCode, true))
	w.pass(time.Second)
	require.Equal(t, backend.ConsentGranted, w.last().State)
}

func TestDevice_OfARoleThatWasChangedIsVoidWithoutAskingZoho(t *testing.T) {
	for name, change := range map[string]func(*deviceWorld){
		"other scopes": func(w *deviceWorld) {
			w.writeRole("tv", settings.RoleChange{Scopes: ptr([]string{"ZohoCRM.org.READ"})})
		},
		"other client": func(w *deviceWorld) { w.addRole("tv", w.sim.AddClient(zohosim.ClientSpec{Kind: zohosim.DeviceClient})) },
		"authorized otherwise": func(w *deviceWorld) {
			w.writeRole("tv", settings.RoleChange{RefreshToken: ptr(w.sim.Consent(w.device, "us", "user@example.com", scopes))})
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newDeviceWorld(t, zohosim.Options{})
			require.True(t, w.sim.Agree(w.begin().UserCode, true))
			change(w)
			w.pass(time.Minute)
			require.Zero(t, w.polls())
			require.Empty(t, w.keys("devices/"))
			require.Equal(t, backend.ConsentFailed, w.last().State)
		})
	}
}

func TestDevice_OfARoleThatWasDeletedAndMadeAnewIsVoid(t *testing.T) {
	w := newDeviceWorld(t, zohosim.Options{})
	require.True(t, w.sim.Agree(w.begin().UserCode, true))
	w.deleteRole("tv")
	require.Empty(t, w.keys("devices/"))
	w.addRole("tv", w.device)
	w.pass(time.Minute)
	require.Zero(t, w.polls())
	require.False(t, w.status("tv").Authorized)
}

func TestDevice_ANewCodeMakesTheFormerVoid(t *testing.T) {
	w := newDeviceWorld(t, zohosim.Options{})
	former := w.begin()
	begun := w.begin()
	require.Len(t, w.keys("devices/"), 1)
	require.True(t, w.sim.Agree(former.UserCode, true))
	w.pass(time.Minute)
	require.Equal(t, backend.ConsentPending, w.last().State)
	require.True(t, w.sim.Agree(begun.UserCode, true))
	w.pass(time.Minute)
	require.Equal(t, backend.ConsentGranted, w.last().State)
}

func TestDevice_TheFormerRefreshTokenIsRevokedWhenNobodyNeedsIt(t *testing.T) {
	w := newDeviceWorld(t, zohosim.Options{})
	former := w.sim.Consent(w.device, "us", "user@example.com", scopes)
	w.writeRole("tv", settings.RoleChange{RefreshToken: &former})
	lease := w.read("tv")
	begun := w.begin()
	require.Contains(t, strings.Join(begun.Warnings, " "), "authorized already")
	require.True(t, w.sim.Agree(begun.UserCode, true))
	w.pass(time.Minute)
	require.True(t, w.sim.Alive(former), "somebody leases its access token")
	require.NoError(t, w.release(lease))
	w.pass(2 * time.Minute)
	require.False(t, w.sim.Alive(former))
}

func TestDevice_MoreScopesThanAskedForOrAnotherAccountAreRefusedAndRevoked(t *testing.T) {
	w := newDeviceWorld(t, zohosim.Options{})
	w.writeRole("tv", settings.RoleChange{Scopes: ptr([]string{"ZohoCRM.modules.ALL", "email"}), Expected: ptr("anna@example.com")})
	require.True(t, w.sim.Agree(w.begin().UserCode, true))
	w.pass(time.Minute)
	w.requireEnded(backend.ConsentFailed, "expects a certain Zoho account")
	require.Empty(t, w.sim.RefreshTokens(w.device, "us", "user@example.com"), "what came was revoked")
}

func TestDevice_ALostAnswerIsToldIfItMayHaveHadARefreshToken(t *testing.T) {
	w := newDeviceWorld(t, zohosim.Options{})
	require.True(t, w.sim.Agree(w.begin().UserCode, true))
	w.sim.Fault(zohosim.EndpointDeviceToken, zohosim.Fault{Kind: zohosim.FaultClose, Processed: true, Count: 1})
	w.pass(time.Minute)
	w.requireEnded(backend.ConsentFailed, "one that Vault does not know lives at Zoho")
}

func TestDevice_ALostAnswerThatHadNothingIsNoLoss(t *testing.T) {
	w := newDeviceWorld(t, zohosim.Options{})
	begun := w.begin()
	w.sim.Fault(zohosim.EndpointDeviceToken, zohosim.Fault{Kind: zohosim.FaultClose, Processed: true, Count: 1})
	w.pass(50 * time.Second)
	require.GreaterOrEqual(t, w.polls(), 2)
	require.True(t, w.sim.Agree(begun.UserCode, false))
	w.pass(time.Minute)
	w.requireEnded(backend.ConsentDeclined, "denied")
	require.NotContains(t, w.last().Error, "lives at Zoho")
}

func TestDevice_AnOutageOfZohoIsWaitedForAndTold(t *testing.T) {
	w := newDeviceWorld(t, zohosim.Options{})
	begun := w.begin()
	w.sim.SetDown(true)
	w.pass(2 * time.Minute)
	require.Equal(t, backend.ConsentPending, w.last().State)
	w.sim.SetDown(false)
	require.True(t, w.sim.Agree(begun.UserCode, true))
	w.pass(time.Minute)
	require.Equal(t, backend.ConsentGranted, w.last().State)

	w.begin()
	w.sim.SetDown(true)
	w.pass(5*time.Minute + 10*time.Second)
	require.Equal(t, backend.ConsentExpired, w.last().State)
	require.Contains(t, w.last().Error, "the latest poll for the consent failed")
}

func TestDevice_AThrottledClientIsLeftAlone(t *testing.T) {
	w := newDeviceWorld(t, zohosim.Options{})
	w.begin()
	w.sim.Fault(zohosim.EndpointDeviceToken, zohosim.Fault{Kind: zohosim.FaultThrottled})
	w.pass(5 * time.Minute)
	require.Equal(t, 1, w.polls())
}

// A crash after any write of a consent leaves the role without a refresh token, or with one, and
// no refresh token at Zoho that nobody knows.
func TestDevice_ACrashAfterAnyWriteLosesNothing(t *testing.T) {
	writes := func(w *deviceWorld) int {
		w.storage.mu.Lock()
		defer w.storage.mu.Unlock()
		return len(w.storage.writes)
	}
	whole := newDeviceWorld(t, zohosim.Options{})
	require.True(t, whole.sim.Agree(whole.begin().UserCode, true))
	before := writes(whole)
	whole.pass(10 * time.Second)
	total := writes(whole) - before
	require.Greater(t, total, 4)
	for crash := 1; crash <= total; crash++ {
		t.Run(fmt.Sprint(crash), func(t *testing.T) {
			w := newDeviceWorld(t, zohosim.Options{})
			require.True(t, w.sim.Agree(w.begin().UserCode, true))
			limit := writes(w) + crash
			w.storage.failing(func(string) bool { return len(w.storage.writes) >= limit })
			w.clock.Advance(6 * time.Second)
			_ = w.engine.Tick(context.Background(), notTainted)
			w.settle()
			w.storage.failing(nil)
			w.restart()
			w.pass(6 * time.Minute)
			require.Empty(t, w.keys("devices/"))
			known := 0
			if role := w.status("tv"); role.Authorized {
				known = 1
				require.True(t, w.alive(w.read("tv")))
			}
			require.Len(t, w.sim.RefreshTokens(w.device, "us", "user@example.com"), known)
		})
	}
}

func TestDevice_OnlyAClientOfThatKindHasUserCodes(t *testing.T) {
	w := newDeviceWorld(t, zohosim.Options{})
	w.writeRole("crm-sync", settings.RoleChange{Scopes: ptr(scopes)})
	_, err := w.engine.AuthorizeDevice(t.Context(), "crm-sync")
	var failed *backend.GrantError
	require.ErrorAs(t, err, &failed)
	require.Equal(t, zoho.Misconfigured, failed.Kind)
	require.Contains(t, failed.Text, "Non-browser Mobile Applications")
	require.Empty(t, w.keys("devices/"))
	require.Nil(t, w.status("crm-sync").LastConsent)
}

func TestDevice_CannotBeBegunForAnOrganisationOrWithoutScopes(t *testing.T) {
	w := newDeviceWorld(t, zohosim.Options{})
	for _, role := range []string{"crm-sync", "org"} {
		w.writeRole("org", settings.RoleChange{ClientID: &w.device.ID, ClientSecret: ptr("s"), Scopes: ptr(scopes), Consent: ptr(settings.ConsentOrg)})
		_, err := w.engine.AuthorizeDevice(t.Context(), role)
		var bad *settings.UserError
		require.ErrorAs(t, err, &bad, role)
	}
	require.Zero(t, w.sim.Count(zohosim.EndpointDeviceCode))
}

func TestDevice_OneRoleUsesUpNoMoreThanItsShareOfTheClient(t *testing.T) {
	w := newDeviceWorld(t, zohosim.Options{})
	w.addRole("neighbour", w.device)
	var err error
	for range 5 {
		_, err = w.engine.AuthorizeDevice(t.Context(), "tv")
	}
	var failed *backend.GrantError
	require.ErrorAs(t, err, &failed)
	require.Equal(t, zoho.Throttled, failed.Kind)
	require.Equal(t, 3, w.sim.Count(zohosim.EndpointDeviceCode))
	_, err = w.engine.AuthorizeDevice(t.Context(), "neighbour")
	require.NoError(t, err)
	w.pass(4 * time.Minute)
	begun, err := w.engine.AuthorizeDevice(t.Context(), "neighbour")
	require.NoError(t, err, "polls use up nothing")
	require.True(t, w.sim.Agree(begun.UserCode, true))
	w.pass(time.Minute)
	require.Equal(t, backend.ConsentGranted, w.status("neighbour").LastConsent.State)
}

func TestDevice_PendingOnesAreBoundedInTheMount(t *testing.T) {
	w := newDeviceWorld(t, zohosim.Options{})
	begun := w.begin()
	stored, err := w.storage.Get(t.Context(), "devices/tv")
	require.NoError(t, err)
	require.Less(t, len(stored.Value), 2<<10)
	for i := range 100 {
		stored.Key = fmt.Sprintf("devices/other-%d", i)
		require.NoError(t, w.storage.Put(t.Context(), stored))
	}
	_, err = w.engine.AuthorizeDevice(t.Context(), "tv")
	var failed *backend.GrantError
	require.ErrorAs(t, err, &failed)
	require.Contains(t, failed.Text, "100")
	w.pass(time.Second)
	require.True(t, w.sim.Agree(begun.UserCode, true))
	w.pass(10 * time.Second)
	require.Len(t, w.keys("devices/"), 0, "entries of no role are void")
	require.Equal(t, backend.ConsentGranted, w.last().State)
}

func TestDevice_TheDeviceCodeIsInNoAnswerErrorLogOrEvent(t *testing.T) {
	w := newDeviceWorld(t, zohosim.Options{})
	begun := w.begin()
	stored := w.stored("devices/")["devices/tv"]
	_, code, found := strings.Cut(stored, `"device_code":"`)
	require.True(t, found)
	code, _, _ = strings.Cut(code, `"`)
	require.NotEmpty(t, code)
	require.NotContains(t, fmt.Sprintf("%+v", begun), code)
	require.NotContains(t, fmt.Sprintf("%+v", w.status("tv")), code)
	require.NotContains(t, stored, begun.UserCode, "the user code is nowhere but in the answer")
	require.Contains(t, backend.SealWrapped(), "devices/")
	w.sim.Fault(zohosim.EndpointDeviceToken, zohosim.Fault{Kind: zohosim.FaultAnswer, Status: http.StatusOK, Body: `{"error":"` + code + `"}`})
	w.pass(5*time.Minute + 2*time.Second)
	require.NotContains(t, w.last().Error, code)
}

// failsAfterPoll lets nothing of a consent be written after the poll was entered, as if the plugin
// had crashed.
func (w *deviceWorld) failsAfterPoll() {
	w.t.Helper()
	entered := 0
	w.storage.failing(func(key string) bool {
		if key == "devices/tv" {
			entered++
		}
		return key == "devices/tv" && entered > 1 || key == "last-consents/tv"
	})
	w.clock.Advance(6 * time.Second)
	_ = w.engine.Tick(w.t.Context(), notTainted)
	w.settle()
	require.Equal(w.t, 1, w.polls())
	w.storage.failing(nil)
	w.restart()
}

func TestDevice_ACrashAfterAPollWasSentDoesNotMakeTheNextOneTooEarly(t *testing.T) {
	w := newDeviceWorld(t, zohosim.Options{})
	begun := w.begin()
	w.failsAfterPoll()
	w.pass(29 * time.Second)
	require.Equal(t, 1, w.polls())
	require.True(t, w.sim.Agree(begun.UserCode, true))
	w.pass(30 * time.Second)
	require.Equal(t, 2, w.polls())
	require.Equal(t, backend.ConsentGranted, w.last().State)
}

func TestDevice_ACrashAfterTheRoleWasStoredIsNoFailedConsent(t *testing.T) {
	w := newDeviceWorld(t, zohosim.Options{})
	require.True(t, w.sim.Agree(w.begin().UserCode, true))
	w.failsAfterPoll()
	require.True(t, w.status("tv").Authorized)
	w.pass(time.Minute)
	require.Equal(t, 1, w.polls())
	require.Empty(t, w.keys("devices/"))
	require.Equal(t, backend.ConsentGranted, w.last().State)
}

func TestDevice_AClientThatIsThrottledForOneRoleIsNotPolledForAnother(t *testing.T) {
	w := newDeviceWorld(t, zohosim.Options{})
	w.addRole("neighbour", w.device)
	w.begin()
	_, err := w.engine.AuthorizeDevice(t.Context(), "neighbour")
	require.NoError(t, err)
	w.sim.Fault(zohosim.EndpointDeviceToken, zohosim.Fault{Kind: zohosim.FaultThrottled, Count: 1})
	w.pass(2 * time.Minute)
	require.Equal(t, 1, w.polls())
}
