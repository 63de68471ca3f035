package zoho

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"vault-plugin-secrets-zoho/backend/secret"
)

// DeviceStart is what an initiation of the device flow has answered.
type DeviceStart struct {
	DeviceCode      secret.Value
	UserCode        string        // what the person types; not guessable while it is good, and no secret of the client's
	VerificationURL string        // where; on the Accounts server, or another of Zoho's
	Interval        time.Duration // between polls, as the answer has it
	Life            time.Duration // from the initiation on; zero: not said
}

// StartDevice asks Zoho for a user code that a person can type, with which they agree to the
// scopes. It needs no client secret. Errors are *Error of any Kind.
// Source: zoho.com/accounts/protocol/oauth/devices/initiation-request.html.
func (c *Client) StartDevice(ctx context.Context, app App, scopes []string) (DeviceStart, error) {
	if isPortal(app.AccountsURL) {
		return DeviceStart{}, &Error{Kind: Misconfigured, msg: "A portal has no page for user codes that Zoho's documentation names. Use a browser: method=browser."}
	}
	call := call{app.AccountsURL, "a user code", url.Values{
		"grant_type": {"device_request"}, "client_id": {app.ClientID}, "scope": {JoinScopes(scopes)},
		"access_type": {"offline"}, "prompt": {"consent"}, // without them a refresh token comes seldom, or never
	}}
	got, err := c.post(ctx, call, app.AccountsURL+"/oauth/v3/device/code", nil)
	if err != nil {
		return DeviceStart{}, err
	}
	ans, err := decode(call, got)
	if err != nil {
		return DeviceStart{}, err
	}
	if ans.Error != "" || ans.DeviceCode == "" && ans.throttled() {
		return DeviceStart{}, ans.refusedStart(call, got)
	}
	return ans.deviceStart(call, got)
}

func (a answer) deviceStart(call call, got reply) (DeviceStart, error) {
	start := DeviceStart{
		DeviceCode: secret.New(string(a.DeviceCode)), UserCode: string(a.UserCode), VerificationURL: string(a.VerificationURL),
		Interval: a.Interval.milliseconds(), Life: a.ExpiresIn.milliseconds(),
	}
	switch {
	case !IsToken(string(a.DeviceCode)), !userCodeForm.MatchString(start.UserCode):
		return DeviceStart{}, errorBadAnswer(call, got.status, "codes that cannot be ones")
	case start.UserCode == string(a.DeviceCode):
		return DeviceStart{}, errorBadAnswer(call, got.status, "a user code that repeats the device code")
	case !isPageOf(call.accounts, start.VerificationURL):
		return DeviceStart{}, errorBadAnswer(call, got.status, "a verification_url that is not one of the Accounts server's")
	}
	return start, nil
}

// refusedStart explains the refusal of an initiation. It has no secret, so what it blames is
// the client's ID, the client's kind or the scopes.
func (a answer) refusedStart(call call, got reply) *Error {
	failed := a.failure(call, got)
	if failed.Kind != Refused && (failed.Kind != Misconfigured || BlamesScopes(failed.Code)) {
		return failed
	}
	return &Error{Kind: Misconfigured, Code: failed.Code, Status: failed.Status,
		msg: fmt.Sprintf("Zoho (%s) refused a user code with %s. Check in Zoho's API console that the client is of the type Non-browser Mobile Applications (its client_id begins with 1004.), and that it is registered in this data centre. With a client of another type use a browser: method=browser.", call.accounts, failed.Code)}
}

// userCodeForm has no room for what could look like something else on a terminal. Zoho's look
// like A1B2-C3D4.
var userCodeForm = regexp.MustCompile(`^[A-Za-z0-9](-?[A-Za-z0-9]){3,31}$`)

// isPageOf reports whether a page can be shown to people as one of the Accounts server: on its
// host or another of Zoho's, without query or fragment. Somebody else's page would ask for their
// password.
func isPageOf(accounts, page string) bool {
	const longest = 255
	u, err := url.Parse(page)
	if err != nil || len(page) > longest || !pageForm.MatchString(page) {
		return false
	}
	origin := u.Scheme + "://" + u.Host
	return isOrigin(origin) && (origin == accounts || isZohoOrigin(origin))
}

var pageForm = regexp.MustCompile(`^https?://[\w.:\[\]-]+(/[\w./-]*)?$`)

// DeviceState is what a poll has brought.
type DeviceState int

// The answers to a poll that are no failure of the call. They are not the names of RFC 8628.
// Source: zoho.com/accounts/protocol/oauth/devices/polling-request.html.
const (
	DeviceGiven     DeviceState = iota + 1 // tokens
	DevicePending                          // nobody has agreed yet
	DeviceSlowDown                         // likewise, and the poll came too early
	DeviceDenied                           // the person has denied
	DeviceExpired                          // nobody has agreed in time
	DeviceElsewhere                        // the person's account is in another data centre
)

// DevicePoll is the answer to a poll.
type DevicePoll struct {
	State DeviceState
	Home  DataCenter // of DeviceElsewhere; zero: the answer names none of Zoho's
	Exchanged
}

// PollDevice asks once whether a person has agreed, and exchanges the device code for tokens if
// so. Errors are *Error, and what comes beside one is as with [Client.Exchange]. State is zero
// beside an error, unless the answer has tokens.
func (c *Client) PollDevice(ctx context.Context, app App, code secret.Value) (DevicePoll, error) {
	call := call{app.AccountsURL, "a poll for a person's consent", url.Values{
		"grant_type": {"device_token"}, "code": {code.Reveal()},
		"client_id": {app.ClientID}, "client_secret": {app.ClientSecret.Reveal()},
	}}
	got, err := c.post(ctx, call, app.AccountsURL+"/oauth/v3/device/token", nil)
	if err != nil {
		return DevicePoll{}, err
	}
	if ans, err := decode(call, got); err == nil && got.status < http.StatusInternalServerError && ans.AccessToken == "" && ans.RefreshToken == "" {
		if poll, ok := ans.devicePoll(); ok {
			return poll, nil
		}
	}
	exchanged, err := parseExchanged(call, got)
	return DevicePoll{State: DeviceGiven, Exchanged: exchanged}, err
}

// devicePoll is the answer to a poll that has brought no tokens; ok is false if it is none that
// the documents name. "access_denied" with the "status" of a throttle answer is one.
func (a answer) devicePoll() (poll DevicePoll, ok bool) {
	switch strings.ToLower(strings.TrimSpace(string(a.Error))) {
	case "authorization_pending":
		poll.State = DevicePending
	case "slow_down":
		poll.State = DeviceSlowDown
	case "access_denied":
		poll.State = DeviceDenied
		return poll, a.Status == "" && !a.saysTooMany()
	case "expired", "expired_token": // the latter: RFC 8628
		poll.State = DeviceExpired
	case "other_dc":
		poll.State = DeviceElsewhere
		poll.Home, _ = LookupDataCenter(string(a.UserLocation))
	default:
		return poll, false
	}
	return poll, true
}

// milliseconds reads a time of the device flow. Zoho sends milliseconds (5000 and 300000); what
// is below a thousand can only be the seconds of RFC 8628.
func (n number) milliseconds() time.Duration {
	const most = 24 * time.Hour
	unit := time.Millisecond
	if n.value < 1000 {
		unit = time.Second
	}
	if !n.set || n.value <= 0 || n.value > float64(most/time.Millisecond) {
		return 0
	}
	return time.Duration(n.value * float64(unit))
}
