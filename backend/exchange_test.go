package backend_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/backend/zoho"
	"vault-plugin-secrets-zoho/zohosim"
)

// code is a grant code as the API console makes one for the world's client.
func (w *world) code() string {
	return w.sim.Code(w.client, "us", zohosim.CodeSpec{Scopes: scopes})
}

func (w *world) writeCode(role, code string) (warnings []string, err error) {
	return w.write(role, settings.RoleChange{Code: &code})
}

// unknown lists the refresh tokens that live at Zoho, and that Vault knows
// neither of a role nor as one that is waiting for its end. Invariant 9 is that
// there is none of a code.
func (w *world) unknown() []string {
	w.t.Helper()
	known := make(map[string]bool)
	for _, key := range w.keys("roles/") {
		entry, err := w.storage.Storage.Get(w.t.Context(), key)
		require.NoError(w.t, err)
		var stored struct {
			RefreshToken string `json:"refresh_token"`
		}
		require.NoError(w.t, json.Unmarshal(entry.Value, &stored))
		known[zohosim.Fingerprint(stored.RefreshToken)] = true
	}
	for _, r := range w.records() {
		if r.IsTracked() {
			known[zohosim.Fingerprint(r.RefreshToken.Reveal())] = true
		}
	}
	var unknown []string
	for _, fingerprint := range w.living("refresh") {
		if !known[fingerprint] {
			unknown = append(unknown, fingerprint)
		}
	}
	return unknown
}

// living lists what is alive at Zoho: kind is "refresh" or "access".
func (w *world) living(kind string) (fingerprints []string) {
	for _, token := range w.sim.Tokens() {
		if token.Kind == kind {
			fingerprints = append(fingerprints, token.Fingerprint)
		}
	}
	return fingerprints
}

func (w *world) refreshTokenOf(role string) string {
	w.t.Helper()
	r, err := w.engine.Role(w.t.Context(), role)
	require.NoError(w.t, err)
	require.NotNil(w.t, r)
	return r.RefreshToken.Reveal()
}

func TestExchange_ACodeGivesTheRoleItsRefreshTokenAndTheFirstReaderItsToken(t *testing.T) {
	w := newWorld(t)
	warnings, err := w.writeCode("books", w.code())
	require.NoError(t, err)
	require.Empty(t, warnings)
	require.True(t, w.sim.Alive(w.refreshTokenOf("books")))
	w.restart()
	lease := w.read("books")
	require.True(t, w.alive(lease))
	require.Equal(t, 1, w.asked(), "the exchange brought the first access token")
	require.Empty(t, w.unknown())

	require.NoError(t, w.release(lease))
	require.False(t, w.alive(lease))
	require.True(t, w.alive(w.read("books")), "and the next one is minted from the refresh token")
}

func TestExchange_ForAnExclusiveRoleLeavesNoTokenBehind(t *testing.T) {
	w := newWorld(t)
	_, err := w.write("own", settings.RoleChange{Code: ptr(w.code()), Exclusive: ptr(true)})
	require.NoError(t, err)
	w.settle()
	require.Empty(t, w.living("access"))
}

func TestExchange_AnswersThatOmitTheAPIDomainLaterKeepTheOneOfTheExchange(t *testing.T) {
	w := newWorld(t)
	_, err := w.writeCode("books", w.code())
	require.NoError(t, err)
	domain := w.read("books").APIDomain
	require.NotEmpty(t, domain)
	w.sim.SetAnswer(zohosim.Answer{NoAPIDomain: true})
	w.restart()
	w.clock.Advance(55 * time.Minute)
	require.Equal(t, domain, w.read("books").APIDomain)
	require.Equal(t, 2, w.asked())
}

func TestExchange_WarnsWhenFewerScopesAreGrantedThanAskedFor(t *testing.T) {
	w := newWorld(t)
	w.sim.SetAnswer(zohosim.Answer{WithScope: true})
	warnings, err := w.write("books", settings.RoleChange{Code: ptr(w.code()), Scopes: ptr([]string{"zohocrm.modules.all", "ZohoBooks.fullaccess.all"})})
	require.NoError(t, err)
	require.Contains(t, joined(warnings), "did not grant ZohoBooks.fullaccess.all, ")
	require.Contains(t, joined(w.status("books").Doubts), "did not grant ZohoBooks.fullaccess.all, ")
}

// Invariant 19, also for a code that somebody has written.
func TestExchange_OfACodeThatBringsMoreScopesThanTheRoleAsksForIsRefusedAndRevoked(t *testing.T) {
	w := newWorld(t)
	w.sim.SetAnswer(zohosim.Answer{WithScope: true})
	_, err := w.write("books", settings.RoleChange{Code: ptr(w.code()), Scopes: ptr([]string{"ZohoCRM.modules.READ"})})
	require.ErrorContains(t, err, "ZohoCRM.modules.ALL, which role \"books\" does not ask for")
	require.ErrorContains(t, err, "has been revoked there")
	require.Equal(t, zoho.Misconfigured, grantError(t, err).Kind)
	require.Empty(t, w.unknown())
	require.Empty(t, w.keys("roles/books"))
	require.Empty(t, w.unwanted())
	require.Empty(t, w.counted())
	_, err = w.writeCode("books", w.code())
	require.NoError(t, err, "a role without scopes asks for none in particular")
}

func TestExchange_RedirectURIGoesAlongAndHasToBeTheRegisteredOne(t *testing.T) {
	const redirectURI = "https://app.example.com/back"
	w := newWorld(t)
	web := w.sim.AddClient(zohosim.ClientSpec{Kind: zohosim.WebClient, RedirectURIs: []string{redirectURI}})
	change := func(redirectURI string) settings.RoleChange {
		return settings.RoleChange{
			ClientID: &web.ID, ClientSecret: ptr(web.Secret("us")), RedirectURI: &redirectURI,
			Code: ptr(w.sim.Code(web, "us", zohosim.CodeSpec{Scopes: scopes, PromptConsent: true})),
		}
	}
	_, err := w.write("web", change("https://app.example.com/other"))
	failed := grantError(t, err)
	require.Equal(t, "invalid_redirect_uri", failed.Code)
	require.Contains(t, failed.Error(), "API console")
	_, err = w.write("web", change(redirectURI))
	require.NoError(t, err)
	require.True(t, w.alive(w.read("web")))
}

// The engine asks for offline access and for consent anew, and a Self Client has no
// address that could ask for it: what stands in the way is the former connection.
func TestExchange_WithoutARefreshTokenIsAnErrorThatSaysHowToGetOne(t *testing.T) {
	w := newWorld(t)
	const redirectURI = "https://app.example.com/back"
	web := w.sim.AddClient(zohosim.ClientSpec{Kind: zohosim.WebClient, RedirectURIs: []string{redirectURI}})
	for name, c := range map[string]struct {
		change settings.RoleChange
		says   []string
		not    string
	}{
		"of a Self Client": {
			settings.RoleChange{Code: ptr(w.sim.Code(w.client, "us", zohosim.CodeSpec{Scopes: scopes, Online: true}))},
			[]string{"Then get a new code"}, "access_type",
		},
		"of an address that somebody made": {
			settings.RoleChange{
				Code:     ptr(w.sim.Code(web, "us", zohosim.CodeSpec{Scopes: scopes, Online: true, RedirectURI: redirectURI})),
				ClientID: &web.ID, ClientSecret: ptr(web.Secret("us")), RedirectURI: ptr(redirectURI),
			},
			[]string{"Then get a new code", "it needs access_type=offline and prompt=consent"}, "/authorize",
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := w.write("books", c.change)
			failed := grantError(t, err)
			require.Equal(t, zoho.Misconfigured, failed.Kind)
			require.Contains(t, failed.Error(), "under Connected Apps of the user who consented")
			for _, says := range c.says {
				require.Contains(t, failed.Error(), says)
			}
			require.NotContains(t, failed.Error(), c.not)
			require.Empty(t, w.living("access"), "nobody will use the access token that came alone")
		})
	}
	require.Equal(t, w.refreshToken, w.refreshTokenOf("crm-sync"))
	require.True(t, w.alive(w.read("crm-sync")))
}

// Invariant 9.
func TestExchange_ARefusedCodeLeavesTheFormerRoleAndIsNotTriedTwice(t *testing.T) {
	for name, code := range map[string]func(*world) string{
		"that never was": func(*world) string { return "1000.abc.def" },
		"of another client": func(w *world) string {
			return w.sim.Code(w.sim.AddClient(zohosim.ClientSpec{}), "us", zohosim.CodeSpec{Scopes: scopes})
		},
		"of another data centre": func(w *world) string {
			return w.sim.Code(w.client, "eu", zohosim.CodeSpec{Scopes: scopes})
		},
		"that was used": func(w *world) string {
			code := w.code()
			_, err := w.writeCode("books", code)
			require.NoError(w.t, err)
			return code
		},
		"that has expired": func(w *world) string {
			code := w.code()
			w.clock.Advance(11 * time.Minute)
			return code
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			bad := code(w)
			asked := w.asked()
			_, err := w.writeCode("crm-sync", bad)
			failed := grantError(t, err)
			require.Equal(t, "invalid_code", failed.Code)
			require.NotContains(t, failed.Error(), bad)
			require.Equal(t, asked+1, w.asked())
			require.Equal(t, w.refreshToken, w.refreshTokenOf("crm-sync"))
			require.True(t, w.alive(w.read("crm-sync")), "a refused code says nothing of the refresh token")
		})
	}
}

func TestExchange_AWriteThatCannotBeMeantAsksNothing(t *testing.T) {
	w := newWorld(t)
	cc := ptr(settings.GrantTypeClientCredentials)
	for says, change := range map[string]settings.RoleChange{
		"either code or refresh_token": {Code: ptr("x"), RefreshToken: ptr("y")},
		"code is empty":                {Code: ptr("")},
		"code contains a blank":        {Code: ptr("a b")},
		"needs no code":                {Code: ptr("x"), GrantType: cc, Scopes: &scopes},
		"only used to exchange a code": {RedirectURI: ptr("https://app.example.com/back")},
		"not a web address":            {Code: ptr("x"), RedirectURI: ptr("javascript:alert(1)")},
		"there is no client":           {Code: ptr("x"), ClientID: ptr(""), DataCenter: ptr("us")},
	} {
		if says == "there is no client" {
			w.configure(settings.ConfigChange{ClientID: ptr(""), ClientSecret: ptr("")})
		}
		_, err := w.write("crm-sync", change)
		var bad *settings.UserError
		require.ErrorAs(t, err, &bad, says)
		require.Contains(t, err.Error(), says)
		w.configure(settings.ConfigChange{ClientID: &w.client.ID, ClientSecret: ptr(w.client.Secret("us"))})
	}
	require.Empty(t, w.sim.Requests())
	require.Equal(t, w.refreshToken, w.refreshTokenOf("crm-sync"))
}

// Invariant 4: Zoho counts exchanges for the client, and allows ten in ten minutes. A part
// is kept for the readers of client_credentials roles, where there are any.
func TestExchange_KeepsToTheBudgetOfTheClientAndLeavesTheCodeUnused(t *testing.T) {
	for name, codes := range map[string]int{"without readers": 10, "with readers": 6} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if codes < 10 {
				w.robot("robot", "ZohoCRM.modules.READ")
				w.read("robot")
			}
			keepsToTheBudget(t, w, codes)
		})
	}
}

func keepsToTheBudget(t *testing.T, w *world, codes int) {
	t.Helper()
	asked := w.asked()
	for i := range codes {
		_, err := w.writeCode(fmt.Sprintf("role-%d", i), w.code())
		require.NoError(t, err)
		w.clock.Advance(20 * time.Second)
	}
	w.restart()
	code := w.code()
	_, err := w.writeCode("crm-sync", code)
	failed := grantError(t, err)
	require.Equal(t, zoho.Throttled, failed.Kind)
	require.Contains(t, failed.Error(), "code was not used")
	require.Equal(t, asked+codes, w.asked(), "the rest is kept for readers")

	w.clock.Advance(failed.RetryAt.Sub(w.clock.Now()))
	_, err = w.writeCode("crm-sync", w.code())
	require.NoError(t, err)
}

// Invariant 4.
func TestExchange_AfterAThrottleAnswerThereIsSilenceForTheClient(t *testing.T) {
	w := newWorld(t)
	w.sim.Fault(zohosim.EndpointToken, zohosim.Fault{Kind: zohosim.FaultThrottled, Count: 1})
	for range 9 {
		_, err := w.writeCode("books", w.code())
		require.Equal(t, zoho.Throttled, grantError(t, err).Kind)
		w.restart()
		w.clock.Advance(time.Minute)
	}
	require.Equal(t, 1, w.asked())
	require.True(t, w.alive(w.read("crm-sync")), "the grant's own limit is another one")
	w.clock.Advance(time.Minute)
	_, err := w.writeCode("books", w.code())
	require.NoError(t, err)
}

func TestExchange_OfTwoWritesWithOneCodeAtOnceOneWins(t *testing.T) {
	w := newWorld(t)
	code := w.code()
	won := 0
	for _, err := range atOnce(2, func(i int) error { _, err := w.writeCode(fmt.Sprintf("role-%d", i), code); return err }) {
		if err == nil {
			won++
			continue
		}
		require.Equal(t, "invalid_code", grantError(t, err).Code)
	}
	require.Equal(t, 1, won)
	require.Empty(t, w.unknown())
}

// Invariant 9.
func TestExchange_ACallerThatDisconnectsLosesNothing(t *testing.T) {
	for name, spoil := range map[string]func(*world){
		"and the role is stored":              func(*world) {},
		"and the refresh token is revoked":    func(w *world) { w.storage.failing(below("roles/")) },
		"and the mount is unloaded meanwhile": func(w *world) { go w.engine.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			release := w.holdAnswers()
			ctx, cancel := context.WithCancel(t.Context())
			written := make(chan error, 1)
			code := w.code()
			go func() {
				_, err := w.engine.WriteRole(ctx, "crm-sync", settings.RoleChange{Code: &code})
				written <- err
			}()
			w.waitForRequests(1)
			cancel()
			require.ErrorIs(t, <-written, context.Canceled)
			spoil(w)
			release()
			w.restart()
			w.storage.failing(nil)
			require.Empty(t, w.unknown())
			require.True(t, w.alive(w.read("crm-sync")))
		})
	}
}

func TestExchange_WhoseAnswerGotLostTellsOfTheRefreshTokenThatItMayHaveCarried(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.sim.Fault(zohosim.EndpointToken, zohosim.Fault{Kind: zohosim.FaultClose, Processed: true, Count: 1})
	_, err := w.writeCode("crm-sync", w.code())
	require.ErrorContains(t, err, "Connected Apps")
	_, err = w.writeCode("crm-sync", "1000.no.code")
	require.ErrorContains(t, err, "invalid_code")
	require.NotContains(t, err.Error(), "Connected Apps", "Zoho has said no")
}
