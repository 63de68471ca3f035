package zohosim

import (
	"crypto/rand"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"time"
)

// The device flow: a program without a browser gets a user code, a person types it into a page
// of Zoho's and agrees, and the program polls until then.
// Sources: zoho.com/accounts/protocol/oauth/limited-input-devices.html and
// zoho.com/accounts/protocol/oauth/devices/{initiation,polling}-request.html.

// devicePrefix begins client IDs, tokens and device codes of the device flow.
const devicePrefix = "1004."

// deviceInterval is what the initiation answers as interval. The pages demand more: see
// Options.DevicePollInterval.
const deviceInterval = 5 * time.Second

// A deviceRequest is one initiation, by its device code.
type deviceRequest struct {
	client   *Client
	dc       string // where it was begun
	userCode string
	scopes   []string
	online   bool
	prompted bool
	expires  time.Time

	lastPoll time.Time
	demanded time.Duration // between two polls

	// What the person decided; home is "" before that.
	home   string // data centre of the person
	user   string
	denied bool
}

// deviceCode answers POST /oauth/v3/device/code. It asks for no client secret. No page names an
// error of it: the words are those of the token endpoint and of the consent page.
func (s *Sim) deviceCode(c *call) answer {
	if c.r.Method != http.MethodPost {
		return bareBadRequest("server error")
	}
	client, ok := s.enabledClient(c.param("client_id"), c.dc.location)
	switch {
	case !ok, client.Kind != DeviceClient, c.param("grant_type") != "device_request":
		return refuse("invalid_client")
	case !slices.Contains([]string{"", "online", "offline"}, c.param("access_type")):
		return refuse("invalid_request")
	}
	scopes, known := client.parseScopes(c.param("scope"))
	if !known {
		return refuse("invalid_scope")
	}
	if !s.allowCode(c, client, "device") {
		return throttleAnswer(s.opts.Throttle)
	}
	request := &deviceRequest{
		client: client, dc: c.dc.location, userCode: newUserCode(), scopes: scopes,
		online: c.param("access_type") != "offline", prompted: c.param("prompt") == "consent",
		expires: c.now.Add(s.opts.DeviceLife), demanded: s.opts.DevicePollInterval,
	}
	code := newToken(devicePrefix)
	s.devices[code] = request
	page := s.devicePage(c)
	return jsonAnswer(http.StatusOK, map[string]any{
		"user_code": request.userCode, "device_code": code,
		"verification_url": page, "verification_uri_complete": page + "?user_code=" + request.userCode,
		"interval": deviceInterval.Milliseconds(), "expires_in": s.opts.DeviceLife.Milliseconds(),
	})
}

// devicePage is the address where a user code is entered.
func (s *Sim) devicePage(c *call) string {
	base, ok := s.accountsURL(c, c.dc)
	if !ok {
		base = c.base
	}
	return base + "/oauth/v3/device"
}

// deviceToken answers POST /oauth/v3/device/token: a poll. Polls do not count as token requests,
// but the one that gives tokens does. No page says whether that is so.
func (s *Sim) deviceToken(c *call) answer {
	if c.r.Method != http.MethodPost {
		return bareBadRequest("server error")
	}
	client, ok := s.enabledClient(c.param("client_id"), c.dc.location)
	switch {
	case !ok, c.param("grant_type") != "device_token":
		return refuse("invalid_client")
	case c.param("client_secret") != client.secrets[c.dc.location]:
		return refuse("invalid_client_secret")
	}
	code := c.param("code")
	request := s.devices[code]
	if request == nil || request.client != client {
		return refuse("invalid_code")
	}
	early := !request.lastPoll.IsZero() && c.now.Sub(request.lastPoll) < request.demanded
	request.lastPoll = c.now
	switch {
	case !c.now.Before(request.expires):
		delete(s.devices, code)
		return refuse("expired")
	case early:
		request.demanded += s.opts.DeviceSlowDown
		return refuse("slow_down")
	case request.home == "":
		if request.dc != c.dc.location { // nobody has said that it is good here
			return refuse("invalid_code")
		}
		return refuse("authorization_pending")
	case request.denied:
		delete(s.devices, code)
		return refuse("access_denied")
	case request.home != c.dc.location:
		out := jsonAnswer(http.StatusOK, map[string]string{"error": "other_dc", "user_location": request.home})
		out.word = "other_dc"
		return out
	case !s.allowTokenRequest(c):
		return throttleAnswer(s.opts.Throttle)
	}
	delete(s.devices, code)
	return s.deviceTokens(c, request)
}

// deviceTokens gives the tokens of a device code, which is used up.
func (s *Sim) deviceTokens(c *call, request *deviceRequest) answer {
	of := userOf(request.home, request.user)
	key := consent{of, request.client.ID}
	withRefresh := !request.online && (request.prompted || !s.tokens.consented[key])
	s.tokens.consented[key] = true
	access := &accessToken{
		value: newToken(devicePrefix), client: request.client, dc: request.home, owner: of, user: request.user,
		scopes: request.scopes, expires: c.now.Add(s.opts.TokenLife),
	}
	if withRefresh {
		if !s.allowRefreshToken(c, request.client, of) {
			return throttleAnswer(s.opts.Throttle)
		}
		if s.refusesExcess(request.client, of) {
			return tooManyRefreshTokens()
		}
		access.family = s.addRefreshToken(request.client, of, request.user, request.scopes)
	}
	s.tokens.addAccess(access, s.opts.MaxLiveTokens)
	return s.tokenAnswer(c, newTokens{access: access, refresh: access.family, idToken: s.idToken(c, access)})
}

// device answers the page where a person enters a user code, is asked, and agrees or denies.
// The person in front of it is that of Sim.SetUser.
func (s *Sim) device(c *call) answer {
	code := orDefault(c.form.Get("user_code"), c.query.Get("user_code"))
	request := s.deviceOf(code)
	switch {
	case c.r.Method == http.MethodGet && c.form.Get("user_code") == "": // also with the code in the address: the person has to click
		return s.deviceForm(map[string]any{"Enter": true, "Code": code})
	case c.r.Method != http.MethodPost:
		return bareBadRequest("server error")
	case request == nil || request.home != "" || !c.now.Before(request.expires):
		return s.deviceForm(map[string]any{"Enter": true, "Problem": "Invalid code"})
	}
	home := orDefault(s.user.home, request.dc)
	switch c.form.Get("decision") {
	case "":
		return s.deviceForm(map[string]any{"Ask": true, "Code": request.userCode, "Client": request.client.ID, "User": s.user.name, "Scopes": request.scopes, "Home": home})
	case "accept":
		request.home, request.user = home, s.user.name
		return s.deviceForm(map[string]any{"Done": "You have connected the device."})
	default:
		request.home, request.user, request.denied = home, s.user.name, true
		return s.deviceForm(map[string]any{"Done": "You have denied the device."})
	}
}

// deviceOf finds the initiation of a user code. People write them in small letters, too.
func (s *Sim) deviceOf(userCode string) *deviceRequest {
	for _, request := range s.devices {
		if strings.EqualFold(request.userCode, strings.TrimSpace(userCode)) {
			return request
		}
	}
	return nil
}

// Agree agrees to, or denies, the permission of a user code as the user of SetUser does on the
// page. It reports whether the code is one that waits for it.
func (s *Sim) Agree(userCode string, accept bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	request := s.deviceOf(userCode)
	if request == nil || request.home != "" || !s.clock().Before(request.expires) {
		return false
	}
	request.home, request.user, request.denied = orDefault(s.user.home, request.dc), s.user.name, !accept
	return true
}

// newUserCode is two words of four: Zoho's have been seen as A1B2-C3D4.
func newUserCode() string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	var code strings.Builder
	for i := range 8 {
		if i == 4 {
			code.WriteByte('-')
		}
		at, err := rand.Int(rand.Reader, big.NewInt(int64(len(alphabet))))
		if err != nil {
			panic("zohosim: " + err.Error())
		}
		code.WriteByte(alphabet[at.Int64()])
	}
	return code.String()
}

// expireDevices drops device codes that have been over for a while: until then a poll is
// answered with expired.
func (s *Sim) expireDevices(now time.Time) {
	for code, request := range s.devices {
		if now.Sub(request.expires) > time.Hour {
			delete(s.devices, code)
		}
	}
}
