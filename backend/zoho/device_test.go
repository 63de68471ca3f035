package zoho_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend/secret"
	"vault-plugin-secrets-zoho/backend/zoho"
	"vault-plugin-secrets-zoho/zohosim"
)

func newDeviceWorld(t *testing.T) *world {
	t.Helper()
	return newWorldOf(t, zohosim.ClientSpec{Kind: zohosim.DeviceClient}, zohosim.Options{})
}

func (w *world) startDevice() zoho.DeviceStart {
	w.t.Helper()
	start, err := w.client.StartDevice(w.t.Context(), w.app, []string{modules, orgRead})
	require.NoError(w.t, err)
	return start
}

// pollDevice lets the time pass that Zoho demands between polls.
func (w *world) pollDevice(start zoho.DeviceStart) zoho.DevicePoll {
	w.t.Helper()
	w.clock.Advance(30 * time.Second)
	poll, err := w.client.PollDevice(w.t.Context(), w.app, start.DeviceCode)
	require.NoError(w.t, err)
	return poll
}

func TestDevice_IsPolledUntilThePersonHasAgreed(t *testing.T) {
	w := newDeviceWorld(t)
	start := w.startDevice()
	require.Equal(t, w.app.AccountsURL+"/oauth/v3/device", start.VerificationURL)
	require.Equal(t, 5*time.Second, start.Interval, "Zoho sends milliseconds")
	require.Equal(t, 5*time.Minute, start.Life)
	require.Equal(t, zoho.DevicePending, w.pollDevice(start).State)
	early, err := w.client.PollDevice(t.Context(), w.app, start.DeviceCode)
	require.NoError(t, err)
	require.Equal(t, zoho.DeviceSlowDown, early.State)
	require.True(t, w.Agree(start.UserCode, true))
	given := w.pollDevice(start)
	require.Equal(t, zoho.DeviceGiven, given.State)
	require.True(t, w.Alive(given.RefreshToken.Reveal()))
	require.True(t, w.Alive(given.AccessToken.Reveal()))
	_, err = w.client.Refresh(t.Context(), w.app, given.RefreshToken)
	require.NoError(t, err, "refresh and revocation have the usual endpoints")
}

func TestDevice_TellsDenialExpiryAndTheOtherDataCentre(t *testing.T) {
	w := newDeviceWorld(t)
	start := w.startDevice()
	require.True(t, w.Agree(start.UserCode, false))
	require.Equal(t, zoho.DeviceDenied, w.pollDevice(start).State)

	start = w.startDevice()
	w.clock.Advance(5 * time.Minute)
	require.Equal(t, zoho.DeviceExpired, w.pollDevice(start).State)

	w.SetUser("anna@example.com", "in")
	start = w.startDevice()
	require.True(t, w.Agree(start.UserCode, true))
	elsewhere := w.pollDevice(start)
	require.Equal(t, zoho.DeviceElsewhere, elsewhere.State)
	require.Equal(t, "in", elsewhere.Home.Name)
}

func TestDevice_OfAnotherKindOfClientIsRefusedInWordsThatSayWhichKindItTakes(t *testing.T) {
	for _, kind := range []zohosim.ClientKind{zohosim.SelfClient, zohosim.WebClient} {
		w := newWorldOf(t, zohosim.ClientSpec{Kind: kind}, zohosim.Options{})
		_, err := w.client.StartDevice(t.Context(), w.app, []string{modules})
		var refused *zoho.Error
		require.ErrorAs(t, err, &refused)
		require.Equal(t, zoho.Misconfigured, refused.Kind)
		require.Contains(t, refused.Error(), "Non-browser Mobile Applications")
	}
}

// answering is an Accounts server that answers everything alike.
func answering(t *testing.T, body string) zoho.App {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, strings.ReplaceAll(body, "<here>", "http://"+r.Host)) //nolint:gosec // G705: a test
	}))
	t.Cleanup(server.Close)
	return zoho.App{AccountsURL: server.URL, ClientID: "1004.ABC", ClientSecret: secret.New("shhh")}
}

func TestDevice_AnAnswerThatWouldSendPeopleElsewhereOrIsNoneIsRefused(t *testing.T) {
	client := newClient(t, "")
	for _, body := range []string{
		`{"user_code":"A1B2-C3D4","device_code":"1004.a.b","verification_url":"https://evil.example/oauth/v3/device"}`,
		`{"user_code":"A1B2-C3D4","device_code":"1004.a.b","verification_url":"<here>.evil.example/"}`,
		`{"user_code":"A1B2-C3D4","device_code":"1004.a.b","verification_url":"<here>/oauth/v3/device?to=x"}`,
		`{"user_code":"A1B2-C3D4","device_code":"1004.a.b","verification_url":"javascript:alert(1)"}`,
		`{"user_code":"A1B2-C3D4","device_code":"1004.a.b"}`,
		`{"user_code":"go to evil.example","device_code":"1004.a.b","verification_url":"<here>/oauth/v3/device"}`,
		`{"user_code":"` + strings.Repeat("A", 65) + `","device_code":"1004.a.b","verification_url":"<here>/oauth/v3/device"}`,
		`{"user_code":"A1B2-C3D4","device_code":"` + strings.Repeat("a", zoho.MaxToken+1) + `","verification_url":"<here>/oauth/v3/device"}`,
		`{"user_code":"A1B2","device_code":"A1B2","verification_url":"<here>/oauth/v3/device"}`,
		`{"verification_url":"<here>/oauth/v3/device"}`, `[]`, ``, `<html></html>`,
	} {
		_, err := client.StartDevice(t.Context(), answering(t, body), []string{modules})
		var failed *zoho.Error
		require.ErrorAs(t, err, &failed, body)
		require.Equal(t, zoho.BadAnswer, failed.Kind, body)
		require.NotContains(t, failed.Error(), "1004.a.b")
	}
	start, err := client.StartDevice(t.Context(), answering(t, `{"user_code":"A1B2-C3D4","device_code":"1004.a.b","verification_url":"https://accounts.zoho.eu/oauth/v3/device","interval":5,"expires_in":"300"}`), []string{modules})
	require.NoError(t, err, "Zoho's own page, and seconds as RFC 8628 has them")
	require.Equal(t, 5*time.Second, start.Interval)
	require.Equal(t, 5*time.Minute, start.Life)
}

func TestDevice_AThrottledPollIsNoDenial(t *testing.T) {
	client := newClient(t, "")
	app := answering(t, `{"error":"access_denied","status":"failure","error_description":"You have made too many requests continuously."}`)
	_, err := client.PollDevice(t.Context(), app, secret.New("1004.a.b"))
	var failed *zoho.Error
	require.ErrorAs(t, err, &failed)
	require.Equal(t, zoho.Throttled, failed.Kind)
}

func TestDevice_TokensBesideAnErrorWordOfAPollAreNotLost(t *testing.T) {
	client := newClient(t, "")
	poll, _ := client.PollDevice(t.Context(), answering(t, `{"error":"slow_down","access_token":"1004.a.b","expires_in":3600}`), secret.New("1004.c.d"))
	require.Equal(t, zoho.DeviceGiven, poll.State)
	require.False(t, poll.AccessToken.IsZero())
}
