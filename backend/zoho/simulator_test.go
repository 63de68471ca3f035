package zoho_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend/secret"
	"vault-plugin-secrets-zoho/backend/zoho"
	"vault-plugin-secrets-zoho/zohosim"
)

// A world is the simulator with one client and one grant in the EU.
type world struct {
	*zohosim.Sim
	t          *testing.T
	clock      *zohosim.Clock
	client     *zoho.Client
	registered *zohosim.Client
	app        zoho.App
	refresh    secret.Value
}

func newWorld(t *testing.T, options zohosim.Options) *world {
	t.Helper()
	return newWorldOf(t, zohosim.ClientSpec{}, options)
}

func newWorldOf(t *testing.T, spec zohosim.ClientSpec, options zohosim.Options) *world {
	t.Helper()
	clock := zohosim.StoppedClock(time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC))
	options.Clock = clock.Now
	sim := zohosim.New(options)
	t.Cleanup(sim.Close)
	accounts, err := sim.Listen("eu")
	require.NoError(t, err)
	registered := sim.AddClient(spec)
	grant := sim.Consent(registered, "eu", "user@example.com", []string{modules, orgRead})
	return &world{
		Sim: sim, t: t, clock: clock, client: newClient(t, ""), registered: registered, refresh: secret.New(grant),
		app: appOf(accounts, registered),
	}
}

func appOf(accounts *zohosim.Accounts, client *zohosim.Client) zoho.App {
	return zoho.App{AccountsURL: accounts.URL, ClientID: client.ID, ClientSecret: secret.New(client.Secret(accounts.DataCenter))}
}

func (w *world) mint() secret.Value {
	w.t.Helper()
	token, err := w.client.Refresh(w.t.Context(), w.app, w.refresh)
	require.NoError(w.t, err)
	require.True(w.t, w.Alive(token.AccessToken.Reveal()))
	return token.AccessToken
}

func TestSimulator_EveryShapeOfAnAnswerIsTheSameToken(t *testing.T) {
	t.Parallel()
	for _, expiry := range []zohosim.Expiry{
		zohosim.ExpirySeconds, zohosim.ExpiryMillisWithSec, zohosim.ExpiryMillis, zohosim.ExpiryString, zohosim.ExpiryMissing,
	} {
		for _, plain := range []bool{true, false} {
			w := newWorld(t, zohosim.Options{Answer: zohosim.Answer{Expiry: expiry, APIDomainSlash: !plain, WithScope: !plain}})
			token, err := w.client.Refresh(t.Context(), w.app, w.refresh)
			require.NoError(t, err)
			require.True(t, w.Alive(token.AccessToken.Reveal()))
			require.Equal(t, time.Hour, token.Life)
			require.Equal(t, w.app.AccountsURL, token.APIDomain)
			if plain {
				require.Nil(t, token.Scopes)
			} else {
				require.Equal(t, []string{"ZohoCRM.modules.ALL", "ZohoCRM.org.READ"}, token.Scopes)
			}
		}
	}
}

func TestSimulator_SeesNoSecretInAURL(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{Missing: []zohosim.Endpoint{zohosim.EndpointRevoke}})
	_, err := w.client.RevokeAccessToken(t.Context(), w.app, w.mint())
	require.NoError(t, err)
	code := w.Code(w.registered, "eu", zohosim.CodeSpec{Scopes: []string{modules}})
	exchanged, err := w.client.Exchange(t.Context(), w.app, secret.New(code), "")
	require.NoError(t, err)
	_, err = w.client.ClientCredentials(t.Context(), w.app, soid, []string{modules})
	require.NoError(t, err)
	_, err = w.client.RevokeRefreshToken(t.Context(), w.app, exchanged.RefreshToken)
	require.NoError(t, err)
	require.Len(t, w.Requests(), 7)
	for _, got := range w.Requests() {
		require.False(t, got.SecretInURL)
		require.Equal(t, "POST", got.Method)
		require.Equal(t, "application/x-www-form-urlencoded", got.ContentType)
	}
}

func TestSimulator_RefusesWhatZohoRefuses(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		spoil func(w *world)
		code  string
		kind  zoho.Kind
	}{
		"a revoked refresh token":         {func(w *world) { w.Kill(w.refresh.Reveal()) }, "invalid_code", zoho.Refused},
		"an unknown refresh token":        {func(w *world) { w.refresh = secret.New(refreshToken) }, "invalid_code", zoho.Refused},
		"a client that is not there":      {func(w *world) { w.app.ClientID = clientID }, "invalid_client", zoho.Misconfigured},
		"a client ID and a newline":       {func(w *world) { w.app.ClientID += "\n" }, "invalid_client", zoho.Misconfigured},
		"another secret":                  {func(w *world) { w.app.ClientSecret = secret.New(clientSecret) }, "invalid_client_secret", zoho.Misconfigured},
		"another data centre's own grant": {func(w *world) { w.app.AccountsURL = listen(w, "us") }, "invalid_client_secret", zoho.Misconfigured},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, zohosim.Options{})
			grant := w.refresh.Reveal()
			tc.spoil(w)
			_, err := w.client.Refresh(t.Context(), w.app, w.refresh)
			failed := asError(t, err)
			require.Equal(t, tc.code, failed.Code)
			require.Equal(t, tc.kind, failed.Kind)
			require.Equal(t, 200, failed.Status)
			require.True(t, failed.NoToken())
			require.Zero(t, w.MintCount(grant))
		})
	}
}

func listen(w *world, dataCenter string) string {
	accounts, err := w.Listen(dataCenter)
	require.NoError(w.t, err)
	return accounts.URL
}

func TestSimulator_TheEleventhRequestIsThrottled(t *testing.T) {
	t.Parallel()
	for _, rule := range []zohosim.Throttle{{}, {Chinese: true}, {Status: 200}, {Status: 200, Chinese: true}} {
		w := newWorld(t, zohosim.Options{Throttle: rule})
		for range 10 {
			w.mint()
		}
		_, err := w.client.Refresh(t.Context(), w.app, w.refresh)
		failed := asError(t, err)
		require.Equal(t, zoho.Throttled, failed.Kind)
		require.True(t, failed.NoToken())
		require.Equal(t, 10, w.MintCount(w.refresh.Reveal()))
	}
}

// NoToken is a promise: a caller that believes it and is wrong lets Zoho kill
// a token that somebody uses.
func TestSimulator_NoTokenIsOnlySaidWhereNoneWasMinted(t *testing.T) {
	t.Parallel()
	for _, kind := range zohosim.FaultKinds() {
		for _, processed := range []bool{false, true} {
			if kind == zohosim.FaultHang || (kind == zohosim.FaultThrottled && processed) {
				continue // hanging has tests of its own; Zoho throttles before it mints
			}
			t.Run(fmt.Sprint(kind, " processed ", processed), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, zohosim.Options{})
				w.Fault(zohosim.EndpointToken, zohosim.Fault{Kind: kind, Count: 1, Processed: processed, Status: 502, Body: "Bad Gateway"})
				_, err := w.client.Refresh(t.Context(), w.app, w.refresh)
				failed := asError(t, err)
				minted := w.MintCount(w.refresh.Reveal()) > 0
				require.False(t, minted && failed.NoToken(), "%s: %v", failed.Kind, failed)
				require.False(t, failed.Kind.Definite())
				require.Equal(t, 1, w.Count(zohosim.EndpointToken))
				w.mint()
			})
		}
	}
}

func TestSimulator_RevokingEndsThatTokenAndNoOther(t *testing.T) {
	t.Parallel()
	newer, older := zohosim.EndpointRevoke, zohosim.EndpointLegacyRevoke
	wrongSecret := func(w *world) { w.app.ClientSecret = secret.New(clientSecret) }
	cases := map[string]struct {
		options      zohosim.Options
		spoil        func(w *world)
		newer, older int // requests
	}{
		"the newer endpoint suffices":             {zohosim.Options{}, nil, 1, 0},
		"the older one is missing":                {zohosim.Options{Missing: []zohosim.Endpoint{older}}, nil, 1, 0},
		"the newer one is missing":                {zohosim.Options{Missing: []zohosim.Endpoint{newer}}, nil, 1, 1},
		"the newer one refuses the client":        {zohosim.Options{}, wrongSecret, 1, 1},
		"the older one takes refresh tokens only": {zohosim.Options{LegacyRevokeRefusesAccessTokens: true}, nil, 1, 0},
		"the newer one is throttled":              {zohosim.Options{}, func(w *world) { w.Fault(newer, zohosim.Fault{Kind: zohosim.FaultThrottled, Count: 1}) }, 1, 1},
		"the newer one is broken":                 {zohosim.Options{}, func(w *world) { w.Fault(newer, zohosim.Fault{Kind: zohosim.FaultHTML500, Count: 1}) }, 1, 1},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, tc.options)
			doomed, sibling := w.mint(), w.mint()
			if tc.spoil != nil {
				tc.spoil(w)
			}
			how, err := w.client.RevokeAccessToken(t.Context(), w.app, doomed)
			require.NoError(t, err)
			require.Equal(t, zoho.Revoked, how)
			require.False(t, w.Alive(doomed.Reveal()))
			require.True(t, w.Alive(sibling.Reveal()))
			require.True(t, w.Alive(w.refresh.Reveal()))
			require.Equal(t, tc.newer, w.Count(newer))
			require.Equal(t, tc.older, w.Count(older))
		})
	}
}

func TestSimulator_ASecondRevocationFindsTheTokenGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{})
	token := w.mint()
	for _, want := range []zoho.Revocation{zoho.Revoked, zoho.AlreadyGone, zoho.AlreadyGone} {
		how, err := w.client.RevokeAccessToken(t.Context(), w.app, token)
		require.NoError(t, err)
		require.Equal(t, want, how)
	}
	require.True(t, w.Alive(w.refresh.Reveal()))
}

func TestSimulator_RevokingARefreshTokenEndsItWithAllItsAccessTokensAndNoOther(t *testing.T) {
	t.Parallel()
	newer, older := zohosim.EndpointRevoke, zohosim.EndpointLegacyRevoke
	wrongSecret := func(w *world) { w.app.ClientSecret = secret.New(clientSecret) }
	cases := map[string]struct {
		options      zohosim.Options
		spoil        func(w *world)
		newer, older int // requests
	}{
		"the newer endpoint suffices":             {zohosim.Options{}, nil, 1, 0},
		"the older one is missing":                {zohosim.Options{Missing: []zohosim.Endpoint{older}}, nil, 1, 0},
		"the newer one is missing":                {zohosim.Options{Missing: []zohosim.Endpoint{newer}}, nil, 1, 1},
		"the newer one refuses the client":        {zohosim.Options{}, wrongSecret, 1, 1},
		"the older one takes refresh tokens only": {zohosim.Options{Missing: []zohosim.Endpoint{newer}, LegacyRevokeRefusesAccessTokens: true}, nil, 1, 1},
		"the newer one is throttled":              {zohosim.Options{}, func(w *world) { w.Fault(newer, zohosim.Fault{Kind: zohosim.FaultThrottled, Count: 1}) }, 1, 1},
		"the newer one is broken":                 {zohosim.Options{}, func(w *world) { w.Fault(newer, zohosim.Fault{Kind: zohosim.FaultHTML500, Count: 1}) }, 1, 1},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, tc.options)
			doomed := []secret.Value{w.refresh, w.mint(), w.mint(), w.mint()}
			gone := w.refresh
			w.refresh = secret.New(w.Consent(w.registered, "eu", "user@example.com", []string{modules}))
			spared := []secret.Value{w.refresh, w.mint()}
			if tc.spoil != nil {
				tc.spoil(w)
			}
			for _, want := range []zoho.Revocation{zoho.Revoked, zoho.AlreadyGone} {
				if want == zoho.AlreadyGone && len(tc.options.Missing) > 0 {
					continue // a 404 is no word on the token
				}
				how, err := w.client.RevokeRefreshToken(t.Context(), w.app, gone)
				require.NoError(t, err)
				require.Equal(t, want, how)
				if want == zoho.Revoked {
					require.Equal(t, tc.newer, w.Count(newer))
					require.Equal(t, tc.older, w.Count(older))
				}
			}
			for _, token := range doomed {
				require.False(t, w.Alive(token.Reveal()))
			}
			for _, token := range spared {
				require.True(t, w.Alive(token.Reveal()))
			}
		})
	}
}

func TestSimulator_ARefreshTokenIsNotCalledGoneWhileItLives(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{Missing: []zohosim.Endpoint{zohosim.EndpointRevoke, zohosim.EndpointLegacyRevoke}})
	how, err := w.client.RevokeRefreshToken(t.Context(), w.app, w.refresh)
	require.True(t, w.Alive(w.refresh.Reveal()))
	require.Zero(t, how)
	failed := asError(t, err)
	require.Equal(t, zoho.Misconfigured, failed.Kind)
	require.Contains(t, failed.Error(), "refresh token", "it says which token lives on")
}

func TestSimulator_ARevocationWhoseAnswerIsLostIsRepeatable(t *testing.T) {
	t.Parallel()
	for _, kind := range []zohosim.FaultKind{zohosim.FaultClose, zohosim.FaultCut, zohosim.FaultTruncated} {
		w := newWorld(t, zohosim.Options{})
		token := w.mint()
		w.Fault(zohosim.EndpointRevoke, zohosim.Fault{Kind: kind, Count: 1, Processed: true})
		_, err := w.client.RevokeAccessToken(t.Context(), w.app, token)
		require.Error(t, err, kind)
		how, err := w.client.RevokeAccessToken(t.Context(), w.app, token)
		require.NoError(t, err, kind)
		require.Equal(t, zoho.AlreadyGone, how)
	}
}

func TestSimulator_ATokenIsNotCalledGoneWhileItLives(t *testing.T) {
	t.Parallel()
	cases := map[string]zohosim.Options{
		"the newer endpoint is missing, the older refuses": {Missing: []zohosim.Endpoint{zohosim.EndpointRevoke}, LegacyRevokeRefusesAccessTokens: true},
		"both are missing": {Missing: []zohosim.Endpoint{zohosim.EndpointRevoke, zohosim.EndpointLegacyRevoke}},
	}
	for name, options := range cases {
		w := newWorld(t, options)
		token := w.mint()
		how, err := w.client.RevokeAccessToken(t.Context(), w.app, token)
		require.True(t, w.Alive(token.Reveal()))
		require.Zero(t, how, name)
		require.Equal(t, zoho.Misconfigured, asError(t, err).Kind, name)
	}
}

func TestSimulator_GivesTheAPIDomainOfTheTable(t *testing.T) {
	t.Parallel()
	sim := zohosim.New(zohosim.Options{RealDomains: true})
	t.Cleanup(sim.Close)
	registered := sim.AddClient(zohosim.ClientSpec{})
	for _, dc := range zoho.DataCenters() {
		accounts, err := sim.Listen(dc.Name)
		require.NoError(t, err)
		grant := sim.Consent(registered, dc.Name, "user@example.com", []string{"ZohoCRM.org.READ"})
		token, err := newClient(t, "").Refresh(t.Context(), appOf(accounts, registered), secret.New(grant))
		require.NoError(t, err)
		require.Equal(t, dc.APIDomain, token.APIDomain)
		host, err := url.Parse(token.APIDomain)
		require.NoError(t, err)
		require.True(t, strings.HasPrefix(host.Host, "www.zohoapis."))
	}
}
