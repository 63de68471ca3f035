package zohosim_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/zohosim"
)

// deviceWorld has a client of the device flow, and a user code of it.
type deviceWorld struct {
	*world
	device     *zohosim.Client
	user, code string // user code and device code
}

func newDeviceWorld(t *testing.T, opts zohosim.Options) *deviceWorld {
	t.Helper()
	w := &deviceWorld{world: newWorld(t, opts)}
	w.device = w.AddClient(zohosim.ClientSpec{Kind: zohosim.DeviceClient})
	out := w.initiate("scope", strings.Join(crm(), ","))
	w.user, w.code = out.text("user_code"), out.text("device_code")
	require.NotEmpty(t, w.code, out.raw)
	return w
}

func (w *deviceWorld) form(target string, form url.Values) reply {
	w.t.Helper()
	r := w.request(http.MethodPost, target, form.Encode())
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return w.do(r)
}

func (w *deviceWorld) initiate(pairs ...string) reply {
	w.t.Helper()
	form := values("client_id", w.device.ID, "grant_type", "device_request", "access_type", "offline", "prompt", "consent")
	for name, value := range values(pairs...) {
		form[name] = value
	}
	return w.form(w.url+"/oauth/v3/device/code", form)
}

func (w *deviceWorld) pollAt(base, dc string) reply {
	w.t.Helper()
	return w.form(base+"/oauth/v3/device/token", values("client_id", w.device.ID, "client_secret", w.device.Secret(dc), "grant_type", "device_token", "code", w.code))
}

// poll lets the time pass that Zoho demands, and asks.
func (w *deviceWorld) poll() reply {
	w.t.Helper()
	w.clock.Advance(30 * time.Second)
	return w.pollAt(w.url, "eu")
}

func TestDevice_GivesTokensOfItsOwnPrefixOnceThePersonHasAgreedOnThePage(t *testing.T) {
	t.Parallel()
	w := newDeviceWorld(t, zohosim.Options{})
	assert.True(t, strings.HasPrefix(w.device.ID, "1004."))
	assert.Equal(t, "authorization_pending", w.poll().text("error"))

	page := w.url + "/oauth/v3/device"
	assert.Contains(t, w.do(w.request(http.MethodGet, page, "")).raw, `name="user_code"`)
	assert.Contains(t, w.form(page, values("user_code", "AAAA-0000")).raw, "Invalid code")
	asked := w.form(page, values("user_code", strings.ToLower(w.user)))
	assert.Contains(t, asked.raw, "ZohoCRM.modules.ALL")
	assert.Equal(t, "authorization_pending", w.poll().text("error"), "a code that was entered is no consent yet")
	assert.Contains(t, w.form(page, values("user_code", w.user, "decision", "accept")).raw, "connected")
	assert.Contains(t, w.form(page, values("user_code", w.user, "decision", "deny")).raw, "Invalid code", "a decision is final")

	given := w.poll()
	assert.True(t, strings.HasPrefix(given.text("refresh_token"), "1004."))
	assert.True(t, strings.HasPrefix(given.text("access_token"), "1004."))
	assert.True(t, w.Alive(given.text("refresh_token")))
	assert.Equal(t, "invalid_code", w.poll().text("error"), "the device code is used up")
}

func TestDevice_AnswersMillisecondsAndAPageWithoutTheCode(t *testing.T) {
	t.Parallel()
	w := newDeviceWorld(t, zohosim.Options{})
	out := w.initiate("scope", "ZohoCRM.org.READ")
	assert.InDelta(t, 5000, out.json["interval"], 0)
	assert.InDelta(t, 300000, out.json["expires_in"], 0)
	assert.Equal(t, w.url+"/oauth/v3/device", out.text("verification_url"))
	assert.Regexp(t, `^[A-Z0-9]{4}-[A-Z0-9]{4}$`, out.text("user_code"))
}

func TestDevice_SlowsDownWhoPollsWithinThirtySecondsOfTheLastPoll(t *testing.T) {
	t.Parallel()
	w := newDeviceWorld(t, zohosim.Options{DeviceSlowDown: 5 * time.Second})
	assert.Equal(t, "authorization_pending", w.poll().text("error"))
	w.clock.Advance(29 * time.Second)
	assert.Equal(t, "slow_down", w.pollAt(w.url, "eu").text("error"))
	assert.Equal(t, "slow_down", w.poll().text("error"), "with DeviceSlowDown 35 seconds are demanded now")
	w.clock.Advance(40 * time.Second)
	assert.Equal(t, "authorization_pending", w.pollAt(w.url, "eu").text("error"))
}

func TestDevice_EndsByDenialAndByExpiry(t *testing.T) {
	t.Parallel()
	w := newDeviceWorld(t, zohosim.Options{})
	assert.True(t, w.Agree(w.user, false))
	assert.Equal(t, "access_denied", w.poll().text("error"))

	w = newDeviceWorld(t, zohosim.Options{})
	w.clock.Advance(5 * time.Minute)
	assert.False(t, w.Agree(w.user, true))
	assert.Equal(t, "expired", w.pollAt(w.url, "eu").text("error"))
}

func TestDevice_NamesTheOtherDataCentreAndGivesTokensOnlyThere(t *testing.T) {
	t.Parallel()
	w := newDeviceWorld(t, zohosim.Options{})
	india := listen(t, w.Sim, "in")
	assert.Equal(t, "invalid_code", w.pollAt(india, "in").text("error"))
	w.SetUser("anna@example.com", "in")
	assert.True(t, w.Agree(w.user, true))
	out := w.poll()
	assert.Equal(t, "other_dc", out.text("error"))
	assert.Equal(t, "in", out.text("user_location"))
	w.clock.Advance(30 * time.Second)
	assert.Equal(t, "invalid_client_secret", w.form(india+"/oauth/v3/device/token", values("client_id", w.device.ID, "client_secret", w.device.Secret("eu"), "grant_type", "device_token", "code", w.code)).text("error"))
	assert.True(t, w.Alive(w.pollAt(india, "in").text("refresh_token")))
}

func TestDevice_GivesNoRefreshTokenUnlessItIsAskedFor(t *testing.T) {
	t.Parallel()
	for _, lacks := range []string{"access_type", "prompt"} {
		w := newDeviceWorld(t, zohosim.Options{})
		assert.True(t, w.Agree(w.user, true))
		assert.NotEmpty(t, w.poll().text("refresh_token"))
		out := w.initiate("scope", "ZohoCRM.org.READ", lacks, "")
		w.code = out.text("device_code")
		assert.True(t, w.Agree(out.text("user_code"), true))
		out = w.poll()
		assert.NotEmpty(t, out.text("access_token"))
		assert.Empty(t, out.text("refresh_token"), lacks)
	}
}

func TestDevice_RefusesOtherClientsScopesThatAreNoneAndTooManyInitiations(t *testing.T) {
	t.Parallel()
	w := newDeviceWorld(t, zohosim.Options{})
	assert.Equal(t, "invalid_client", w.initiate("client_id", w.client.ID, "scope", "ZohoCRM.org.READ").text("error"), "a Self Client")
	assert.Equal(t, "invalid_scope", w.initiate("scope", "nonsense").text("error"))
	for range 9 {
		assert.NotEmpty(t, w.initiate("scope", "ZohoCRM.org.READ").text("user_code"))
	}
	assert.Equal(t, "Access Denied", w.initiate("scope", "ZohoCRM.org.READ").text("error"), "they count as grant codes do")
}
