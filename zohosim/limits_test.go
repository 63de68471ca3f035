package zohosim_test

import (
	"crypto/rand"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"vault-plugin-secrets-zoho/zohosim"
)

const accessDenied = `{"error_description":"You have made too many requests continuously. Please try again after some time.","error":"Access Denied","status":"failure"}`

func (w *world) spendLimit() {
	w.t.Helper()
	for range 10 {
		w.mint()
	}
}

func TestToken_EleventhRequestInTenMinutesIsThrottledWithA400Body(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{})
	w.spendLimit()
	out := w.refreshWith(w.refresh)
	assert.Equal(t, 400, out.status)
	assert.Equal(t, accessDenied, out.raw)
	assert.Empty(t, out.header.Get("Retry-After"))
	assert.Equal(t, 10, w.MintCount(w.refresh))
	assert.Equal(t, 11, w.TokenRequests(w.refresh))
}

func TestThrottle_CountsFailuresToo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{})
	for range 10 {
		w.token("grant_type", "refresh_token", "refresh_token", w.refresh, "client_id", w.client.ID, "client_secret", "wrong")
	}
	assert.Equal(t, 400, w.refreshWith(w.refresh).status)
}

func TestThrottle_CountsRequestsThatMetAFault(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{})
	w.Fault(zohosim.EndpointToken, zohosim.Fault{Kind: zohosim.FaultHTML500, Count: 10})
	for range 10 {
		assert.Equal(t, 500, w.refreshWith(w.refresh).status)
	}
	assert.Equal(t, accessDenied, w.refreshWith(w.refresh).raw)
}

func TestThrottle_WindowSlides(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{})
	w.spendLimit()
	w.clock.Advance(10 * time.Minute)
	w.spendLimit()
}

func TestThrottle_CountsPerRefreshToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{})
	w.spendLimit()
	assert.Equal(t, 400, w.refreshWith(w.refresh).status)
	assert.Equal(t, 200, w.refreshWith(w.Consent(w.client, "eu", "user@example.com", crm())).status)
}

func TestThrottle_CountsPerClientWithoutARefreshToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{})
	mint := func(client *zohosim.Client, scope string) int {
		return w.asClient(client, "grant_type", "client_credentials", "scope", scope, "refresh_token", rand.Text()).status
	}
	for range 10 {
		assert.Equal(t, 200, mint(w.client, "ZohoCRM.modules.ALL"))
	}
	assert.Equal(t, 400, mint(w.client, "ZohoCRM.org.READ"))
	assert.Equal(t, 400, w.exchange(w.client, w.Code(w.client, "eu", zohosim.CodeSpec{Scopes: crm()}), "").status)
	assert.Equal(t, 200, mint(w.AddClient(zohosim.ClientSpec{}), "ZohoCRM.org.READ"))
}

func TestThrottle_CallsDuringTheBlockExtendIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{})
	w.spendLimit()
	for range 3 {
		assert.Equal(t, 400, w.refreshWith(w.refresh).status)
		w.clock.Advance(9 * time.Minute)
	}
	w.clock.Advance(time.Minute)
	assert.Equal(t, 200, w.refreshWith(w.refresh).status, "ten minutes after the last call")
}

func TestThrottle_AFixedBlockEndsInSpiteOfCalls(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{Throttle: zohosim.Throttle{FixedBlock: true, Block: time.Minute}})
	w.spendLimit()
	assert.Equal(t, 400, w.refreshWith(w.refresh).status)
	w.clock.Advance(59 * time.Second)
	assert.Equal(t, 400, w.refreshWith(w.refresh).status)
	w.clock.Advance(time.Second)
	assert.Equal(t, 200, w.refreshWith(w.refresh).status)
}

func TestThrottle_MayAnswer200AndChinese(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{})
	w.SetThrottle(zohosim.Throttle{Status: 200, Chinese: true})
	w.spendLimit()
	out := w.refreshWith(w.refresh)
	assert.Equal(t, 200, out.status)
	assert.Equal(t, `{"error_description":"您已连续提出过多请求，请稍后再试。","error":"拒绝访问","status":"failure"}`, out.raw)
}

func TestCap_EleventhLiveTokenKillsTheOldestAtOnceAndSilently(t *testing.T) {
	t.Parallel()
	w := newWorld(t, unthrottled())
	var tokens []string
	for range 11 {
		tokens = append(tokens, w.mint())
	}
	assert.False(t, w.Alive(tokens[0]))
	for _, token := range tokens[1:] {
		assert.True(t, w.Alive(token))
	}
	assert.Equal(t, 10, w.LiveTokens(w.refresh))
	assert.Equal(t, "INVALID_TOKEN", w.callAPI(w.url, "Zoho-oauthtoken "+tokens[0]).text("code"))
}

func TestCap_ExpiredTokensDoNotCount(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{MaxLiveTokens: 2})
	w.mint()
	w.clock.Advance(30 * time.Minute)
	second := w.mint()
	w.clock.Advance(30 * time.Minute)
	w.mint()
	assert.True(t, w.Alive(second))
	w.mint()
	assert.False(t, w.Alive(second))
}

func TestCap_HoldsForClientCredentialsUnlessSwitchedOff(t *testing.T) {
	t.Parallel()
	for limit, alive := range map[int]bool{0: false, -1: true} {
		opts := unthrottled()
		opts.MaxClientTokens = limit
		w := newWorld(t, opts)
		mint := func() string {
			return w.asClient(w.client, "grant_type", "client_credentials", "scope", "ZohoCRM.org.READ").text("access_token")
		}
		first := mint()
		for range 10 {
			mint()
		}
		assert.Equal(t, alive, w.Alive(first))
	}
}

func TestCap_TwentyFirstRefreshTokenKillsTheOldestAndItsAccessTokens(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{})
	access := w.mint()
	other := w.Consent(w.client, "eu", "other@example.com", crm())
	for range 19 {
		w.Consent(w.client, "eu", "user@example.com", crm())
	}
	assert.True(t, w.Alive(w.refresh))
	w.Consent(w.client, "eu", "user@example.com", crm())
	assert.False(t, w.Alive(w.refresh))
	assert.False(t, w.Alive(access))
	assert.True(t, w.Alive(other), "the limit is per user")
	assert.Equal(t, "invalid_code", w.refreshWith(w.refresh).text("error"))
}
