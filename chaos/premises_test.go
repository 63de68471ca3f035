//go:build unix

package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/zohosim"
)

// These break what a rule demands, at the simulator and without Vault, and see that the rule notices.

// brokenWorld has one refresh token of one client.
type brokenWorld struct {
	*world
	t            *testing.T
	client       *zohosim.Client
	refreshToken string
}

func newBrokenWorld(t *testing.T, options zohosim.Options) *brokenWorld {
	t.Helper()
	w := &brokenWorld{t: t, world: &world{sim: zohosim.New(options), h: newHistory(), totals: newTotals(1), logs: newLogScan(), life: time.Minute}}
	t.Cleanup(w.sim.Close)
	w.client = w.sim.AddClient(zohosim.ClientSpec{})
	w.refreshToken = w.sim.Consent(w.client, "us", "anna", []string{"ZohoCRM.modules.ALL"})
	return w
}

func (w *brokenWorld) form() url.Values {
	return url.Values{"grant_type": {"refresh_token"}, "client_id": {w.client.ID}, "client_secret": {w.client.Secret("us")}, "refresh_token": {w.refreshToken}}
}

func (w *brokenWorld) ask(query, body string) (accessToken string) {
	r := httptest.NewRequest(http.MethodPost, "https://accounts.zoho.com/oauth/v2/token"+query, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer := httptest.NewRecorder()
	w.sim.Handler("us").ServeHTTP(answer, r)
	var fields struct {
		AccessToken string `json:"access_token"`
	}
	require.NoError(w.t, json.Unmarshal(answer.Body.Bytes(), &fields), answer.Body.String())
	return fields.AccessToken
}

func (w *brokenWorld) mint() (accessToken string) { return w.ask("", w.form().Encode()) }

// leaseOf notes a lease on a token that somebody holds.
func (w *brokenWorld) leaseOf(token string) *lease {
	now := time.Now()
	l := &lease{role: "books", node: "node1", token: token, mark: zohosim.Fingerprint(token), owner: "anna", sent: now, got: now, end: now.Add(time.Minute), expires: now.Add(time.Minute)}
	w.h.addLease(l)
	return l
}

func TestRule1_NoticesATokenThatIsDeadWhileItIsHeld(t *testing.T) {
	t.Parallel()
	w := newBrokenWorld(t, zohosim.Options{})
	l := w.leaseOf(w.mint())
	require.True(t, w.look(l))
	require.NoError(t, w.failure())

	ended := w.leaseOf(w.mint())
	w.sim.Kill(ended.token)
	w.h.beginAct(&act{what: "rotate", owners: []string{"anna"}})
	require.False(t, w.look(ended))
	require.NoError(t, w.failure(), "an operator wanted it")

	w.h.acts = nil
	w.sim.Kill(l.token)
	require.False(t, w.look(l))
	require.ErrorContains(t, w.failure(), "rule 1")
}

func TestRule3_NoticesThatZohoThrottlesAndEvicts(t *testing.T) {
	t.Parallel()
	w := newBrokenWorld(t, zohosim.Options{MaxLiveTokens: 2})
	l := w.leaseOf(w.mint())
	w.mint()
	require.NoError(t, w.checkTraffic())
	w.mint()
	require.ErrorContains(t, w.checkTraffic(), "rule 3: Zoho has evicted")
	require.Equal(t, 1, w.totals.get(evicted))
	w.evicted, l.backFrom = 0, time.Now()
	require.ErrorContains(t, w.checkTraffic(), "rule 3: Zoho has evicted", "the engine has not tried to end it")
	w.mint()
	w.evicted = 1
	require.NoError(t, w.checkTraffic(), "nobody ever got that one")

	w = newBrokenWorld(t, zohosim.Options{Throttle: zohosim.Throttle{Limit: 1, Window: time.Minute, Block: time.Minute}})
	w.sim.Fault(zohosim.EndpointToken, zohosim.Fault{Kind: zohosim.FaultThrottled, Count: 1})
	w.mint()
	require.NoError(t, w.checkTraffic(), "this answer was injected")
	w.mint()
	require.ErrorContains(t, w.checkTraffic(), "rule 3: Zoho had to throttle")
	require.Equal(t, 1, w.totals.get(throttled))
}

func TestRule3_LetsZohoEvictWhatItHasRefusedToEnd(t *testing.T) {
	t.Parallel()
	asked := []zohosim.Request{{Endpoint: zohosim.EndpointRevoke, Token: "m", Time: at(30)}}
	for name, c := range map[string]struct {
		back, died time.Time
		want       bool
	}{
		"given back, and refused":   {at(29), at(40), true},
		"given back, and not asked": {at(29), at(29), false},
		"still held":                {time.Time{}, at(40), false},
		"given back later":          {at(50), at(40), false},
	} {
		h := newHistory()
		h.dead["m"] = c.died
		h.leases = []*lease{leaseAt(5)}
		h.leases[0].backFrom = c.back
		require.Equal(t, c.want, h.nobodyMisses("m", asked), name)
	}
}

func TestRule4_NoticesATokenThatLivesWithoutALease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newBrokenWorld(t, zohosim.Options{TokenLife: time.Hour})
		l := w.leaseOf(w.mint())
		lost := false
		w.answersLost = func(context.Context, string) bool { return lost }
		require.ErrorContains(t, w.checkTheDead(t.Context()), "rule 4")
		lost = true
		require.NoError(t, w.checkTheDead(t.Context()), "nobody can know of such a holder")
		lost = false

		w.logs.changes = []time.Time{time.Now().Add(2 * time.Minute)}
		begun := time.Now()
		require.ErrorContains(t, w.checkTheDead(t.Context()), "rule 4")
		require.Greater(t, time.Since(begun), 2*time.Minute, "another active node begins its background work anew")

		w.sim.Kill(l.token)
		require.NoError(t, w.checkTheDead(t.Context()))
	})
}

func TestRule6_NoticesASecretInAnAddress(t *testing.T) {
	t.Parallel()
	w := newBrokenWorld(t, zohosim.Options{})
	w.ask("?"+w.form().Encode(), "")
	require.ErrorContains(t, w.checkTraffic(), "rule 6")
}

func TestRule8_KnowsWhoHoldsATokenFromBeforeTheQuestionUntilAfterTheAnswer(t *testing.T) {
	t.Parallel()
	h := newHistory()
	for range 4 {
		h.addLease(leaseAt(0))
	}
	h.leases[1].backFrom = at(20)
	h.leases[2].got = at(15)
	h.leases[3].tokenID = "another"
	require.Equal(t, h.leases[:1], h.holders("id", at(10), at(30)))
	require.Empty(t, h.holders("id", at(10), at(60)), "its lease has ended")
}
