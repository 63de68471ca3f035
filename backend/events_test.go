package backend_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend"
	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/zohosim"
)

// told collects events, and lines of the log.
type told struct {
	mu     sync.Mutex
	events []backend.Event
	log    bytes.Buffer
}

func (e *told) hear(event backend.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.events = append(e.events, event)
}

func (e *told) Write(p []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.log.Write(p)
}

// listen lets the world tell what happens from now on.
func (w *world) listen(level hclog.Level) *told {
	w.t.Helper()
	e := &told{}
	w.notify = e.hear
	w.logger = hclog.New(&hclog.LoggerOptions{Output: e, Level: level, JSONFormat: true})
	w.restart()
	w.engine.MountedAt("zoho/")
	return e
}

// named returns the events of a type, with "-fail" at its end for those that
// report of a failure.
func (w *world) named(e *told, name string) (found []backend.Event) {
	w.settle()
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, event := range e.events {
		if nameOf(event) == name {
			found = append(found, event)
		}
	}
	return found
}

func nameOf(event backend.Event) string {
	if event.Failed {
		return event.Type + "-fail"
	}
	return event.Type
}

// lines returns what was logged with that message.
func (w *world) lines(e *told, message string) (found []map[string]any) {
	w.t.Helper()
	w.settle()
	e.mu.Lock()
	defer e.mu.Unlock()
	for line := range strings.Lines(e.log.String()) {
		var entry map[string]any
		require.NoError(w.t, json.Unmarshal([]byte(line), &entry))
		if entry["@message"] == message {
			found = append(found, entry)
		}
	}
	return found
}

func disk(w *world, prefix string, do func()) {
	w.storage.failing(below(prefix))
	do()
	w.storage.failing(nil)
}

// down runs do while Zoho cannot be reached, and lets the silence after that pass.
func down(w *world, do func()) {
	w.sim.SetDown(true)
	do()
	w.settle() // what goes on behind it meets the outage, too
	w.sim.SetDown(false)
	w.clock.Advance(15 * time.Minute)
}

// everything lets each event happen.
func everything(w *world) {
	ctx := w.t.Context()
	ignore := func(_ any, err error) { require.Error(w.t, err) }
	done := func(_ any, err error) { require.NoError(w.t, err) }
	w.configure(settings.ConfigChange{RequestBudget: ptr(100)})
	disk(w, "config", func() { ignore(w.engine.WriteConfig(ctx, settings.ConfigChange{Verify: ptr(false)})) })
	ignore(w.engine.WriteRole(ctx, "crm-sync", settings.RoleChange{TTL: ptr(-time.Second)}))
	w.writeRole("crm-sync", settings.RoleChange{Scopes: &scopes})

	w.kill(w.read("crm-sync").TokenID)
	leased := w.read("crm-sync")
	down(w, func() { require.Error(w.t, w.release(leased)) })
	down(w, func() { ignore(w.engine.Issue(ctx, "crm-sync", backend.Reader{})) })
	w.sim.Fault(zohosim.EndpointToken, zohosim.Fault{Kind: zohosim.FaultThrottled, Count: 1})
	_ = w.readError("crm-sync")
	w.clock.Advance(15 * time.Minute)

	consent(w)
	w.sim.Kill(w.refreshToken)
	w.read("crm-sync")
	down(w, func() { ignore(w.engine.Deauthorize(ctx, "crm-sync", false, settings.Requester{})) })
	done(w.engine.Deauthorize(ctx, "crm-sync", false, settings.Requester{}))

	w.writeRole("forsaken", settings.RoleChange{RefreshToken: ptr(w.sim.Consent(w.client, "us", "former@example.com", scopes)), ClientID: &w.client.ID, ClientSecret: ptr(w.client.Secret("us"))})
	w.read("forsaken")
	w.sim.SetDown(true)
	ignore(w.engine.Deauthorize(ctx, "forsaken", false, settings.Requester{}))
	for range 20 {
		w.clock.Advance(18 * time.Hour)
		w.tick()
	}
	w.sim.SetDown(false)

	w.writeRole("dead", settings.RoleChange{RefreshToken: ptr("1000.no.longer")})
	_ = w.readError("dead")
	ignore(w.engine.DeleteRole(ctx, "no role name!"))
	w.deleteRole("dead")
	disk(w, "config", func() { _, err := w.engine.DeleteConfig(ctx, true); require.Error(w.t, err) })
	w.deleteConfig()
	w.settle()
}

// consent authorizes crm-sync anew, which at first fails; its former refresh
// token is then revoked, which at first fails, too.
func consent(w *world) {
	w.t.Helper()
	begin := func() (state string) {
		authorization, err := w.engine.Authorize(w.t.Context(), "crm-sync")
		require.NoError(w.t, err)
		_, state, _ = strings.Cut(authorization.URL, "state=")
		state, _, _ = strings.Cut(state, "&")
		return state
	}
	web := w.sim.AddClient(zohosim.ClientSpec{Kind: zohosim.WebClient, RedirectURIs: []string{"https://vault.example.com/v1/zoho/callback"}})
	id, secret := web.ID, web.Secret("us")
	former := w.sim.Consent(web, "us", "user@example.com", scopes)
	w.configure(settings.ConfigChange{ClientID: &id, ClientSecret: &secret, RedirectURI: ptr("https://vault.example.com/v1/zoho/callback")})
	w.writeRole("crm-sync", settings.RoleChange{RefreshToken: &former})
	_, err := w.engine.CompleteConsent(w.t.Context(), backend.Callback{State: begin(), Error: "access_denied"})
	require.Error(w.t, err)
	w.sim.Fault(zohosim.EndpointRevoke, zohosim.Fault{Kind: zohosim.FaultHTML500})
	w.sim.Fault(zohosim.EndpointLegacyRevoke, zohosim.Fault{Kind: zohosim.FaultHTML500})
	code := w.sim.Code(web, "us", zohosim.CodeSpec{Scopes: scopes, PromptConsent: true})
	_, err = w.engine.CompleteConsent(w.t.Context(), backend.Callback{State: begin(), Code: code})
	require.NoError(w.t, err)
	w.tick()
	w.sim.ClearFaults()
	w.clock.Advance(time.Hour)
	w.tick()
}

// documented is what docs/auditing.md says of each event's metadata, and
// whether it has a "-fail" variant.
func documented() map[string]struct {
	path    string
	details []string
	canFail bool
} {
	role, token := []string{"role"}, []string{"expires_at", "grant", "roles", "token_id"}
	failure := []string{"code", "grant", "kind", "roles"}
	type event = struct {
		path    string
		details []string
		canFail bool
	}
	return map[string]event{
		backend.EventConfigWrite:         {"config", nil, true},
		backend.EventConfigDelete:        {"config", nil, true},
		backend.EventRoleWrite:           {"roles/", role, true},
		backend.EventRoleDelete:          {"roles/", role, true},
		backend.EventRoleAuthorize:       {"roles/", role, true},
		backend.EventRoleDeauthorize:     {"roles/", role, true},
		backend.EventTokenMint:           {"tokens/", token, true},
		backend.EventTokenRevoke:         {"tokens/", token, true},
		backend.EventRefreshTokenRevoke:  {"", []string{"quota", "role"}, true},
		backend.EventRefreshTokenAbandon: {"", []string{"accounts_url", "client_id", "quota", "role", "since"}, false},
		backend.EventGrantRefuse:         {"roles/", failure, false},
		backend.EventGrantThrottle:       {"roles/", append(failure, "retry_at"), false},
		backend.EventReauthorizeRequired: {"roles/", failure, false},
	}
}

func TestEvents_TellOfAllThatHappensWithItsMetadata(t *testing.T) {
	w := newWorld(t)
	e := w.listen(hclog.Trace)
	everything(w)
	events := documented()
	require.Len(t, events, len(backend.EventTypes()))
	for _, name := range backend.EventTypes() {
		want, known := events[name]
		require.True(t, known, name)
		happened := w.named(e, name)
		require.NotEmpty(t, happened, name)
		failed := w.named(e, name+"-fail")
		require.Equal(t, want.canFail, len(failed) > 0, "%s-fail", name)
		for _, event := range happened {
			require.True(t, strings.HasPrefix(event.Path, want.path), "%s: %s", name, event.Path)
			require.ElementsMatch(t, want.details, keysOf(event.Details), name)
			for key, value := range event.Details {
				require.True(t, value != "" || key == "code", "%s: %s is empty", name, key)
			}
		}
		for _, event := range failed {
			require.False(t, event.Modified, name)
		}
	}
	modified := w.named(e, backend.EventRoleWrite)[0]
	require.True(t, modified.Modified)
	require.Equal(t, "roles/crm-sync", modified.Path)
}

func keysOf(details map[string]string) (keys []string) {
	for key := range details {
		keys = append(keys, key)
	}
	return keys
}

func TestEventsAndLog_HoldNoSecretAlsoAtTrace(t *testing.T) {
	w := newWorld(t)
	e := w.listen(hclog.Trace)
	token := w.read("crm-sync").AccessToken.Reveal()
	everything(w)
	heard := e.log.String() + fmt.Sprint(e.events)
	require.Contains(t, heard, "minted an access token")
	for _, secret := range []string{token, w.refreshToken, w.client.Secret("us")} {
		require.NotContains(t, heard, secret)
		require.NotContains(t, heard, secret[:len(secret)-8])
	}
	for _, key := range w.keys("tokens/") {
		entry, err := w.storage.Get(t.Context(), key)
		require.NoError(t, err)
		var stored map[string]any
		require.NoError(t, entry.DecodeJSON(&stored))
		require.NotContains(t, heard, stored["access_token"])
	}
}

func TestEvents_CallForAPersonOnceAndNotWithEveryRead(t *testing.T) {
	w := newWorld(t)
	w.writeRole("reports", settings.RoleChange{RefreshToken: &w.refreshToken})
	e := w.listen(hclog.Off)
	require.NoError(t, w.release(w.read("crm-sync")))
	w.sim.Kill(w.refreshToken)
	for _, role := range []string{"crm-sync", "reports", "crm-sync"} {
		_ = w.readError(role)
		w.tick()
		w.clock.Advance(time.Hour)
		w.restart()
	}
	called := w.named(e, backend.EventReauthorizeRequired)
	require.Len(t, called, 1)
	require.Equal(t, "roles/crm-sync/status", called[0].Path)
	require.Equal(t, "crm-sync,reports", called[0].Details["roles"])
	require.Equal(t, "invalid_code", called[0].Details["code"])

	fresh := w.sim.Consent(w.client, "us", "user@example.com", scopes)
	w.writeRole("crm-sync", settings.RoleChange{RefreshToken: &fresh})
	require.NoError(t, w.release(w.read("crm-sync")))
	w.sim.Kill(fresh)
	_ = w.readError("crm-sync")
	require.Len(t, w.named(e, backend.EventReauthorizeRequired), 2, "another grant, another consent")
}

func TestEvents_ATrialCallsForNobody(t *testing.T) {
	w := newWorld(t)
	e := w.listen(hclog.Off)
	_, err := w.engine.WriteRole(t.Context(), "typo", settings.RoleChange{RefreshToken: ptr("1000.mistyped"), Verify: ptr(true)})
	require.Error(t, err)
	require.Len(t, w.named(e, "role-write-fail"), 1)
	refused := w.named(e, backend.EventGrantRefuse)
	require.Len(t, refused, 1)
	require.Equal(t, "typo", refused[0].Details["roles"])
	require.Empty(t, w.named(e, backend.EventReauthorizeRequired), "whoever wrote it knows")
}

func TestEvents_HoldNobodyUpWhateverTheListenerDoes(t *testing.T) {
	w := newWorld(t)
	listening := make(chan struct{})
	w.notify = func(backend.Event) { <-listening; panic("a listener that is broken") }
	w.restart()
	w.kill(w.read("crm-sync").TokenID)
	require.True(t, w.alive(w.read("crm-sync")))
	close(listening)
	w.settle()
	require.True(t, w.alive(w.read("crm-sync")))
}

// requireLine demands one line of that level with the fields that lead on.
func (w *world) requireLine(e *told, level, message string, want map[string]any) {
	w.t.Helper()
	lines := w.lines(e, message)
	require.Len(w.t, lines, 1, message)
	require.Equal(w.t, level, lines[0]["@level"])
	require.Equal(w.t, "zoho/", lines[0]["mount"])
	for key, value := range want {
		require.Equal(w.t, value, lines[0][key], "%s: %s", message, key)
	}
}

func TestLog_TellsTheStoryAtInfoAndTheDetailAtDebug(t *testing.T) {
	w := newWorld(t)
	w.configure(settings.ConfigChange{RefreshAhead: ptr(false)})
	e := w.listen(hclog.Trace)
	issued := w.readAs("crm-sync", "anna")
	status, err := w.engine.Status(t.Context(), "crm-sync")
	require.NoError(t, err)
	named := map[string]any{"roles": []any{"crm-sync"}, "grant": status.GrantID, "token_id": issued.TokenID}
	w.requireLine(e, "info", "minted an access token", named)
	require.NoError(t, w.release(issued))
	w.requireLine(e, "info", "revoked an access token", named)
	w.requireLine(e, "debug", "a lease has ended", map[string]any{
		"role": "crm-sync", "grant": status.GrantID, "token_id": issued.TokenID, "entity_id": "anna", "request_id": "request-of-anna",
	})

	expiring := w.readAs("crm-sync", "ben")
	w.clock.Advance(time.Hour)
	require.NoError(t, w.release(expiring)) // as Vault does when a lease expires
	w.requireLine(e, "debug", "a lease has ended with its access token", map[string]any{"token_id": expiring.TokenID})
	w.tick()
	w.requireLine(e, "info", "an access token has expired", map[string]any{"roles": []any{"crm-sync"}, "grant": status.GrantID, "token_id": expiring.TokenID})

	w.sim.Kill(w.refreshToken)
	_ = w.readError("crm-sync")
	w.requireLine(e, "warn", "could not mint an access token", map[string]any{"roles": []any{"crm-sync"}, "grant": status.GrantID, "kind": "refused", "code": "invalid_code"})
	w.requireLine(e, "debug", "a read was refused", map[string]any{"role": "crm-sync"})
	_ = w.readError("crm-sync")
	require.Len(t, w.lines(e, "could not mint an access token"), 1, "Zoho is asked once")
	require.Len(t, w.lines(e, "a read was refused"), 2)
}

func TestLog_NamesTheRoleOfAMintThatTriesItsCredentials(t *testing.T) {
	w := newWorld(t)
	e := w.listen(hclog.Info)
	_, err := w.engine.WriteRole(t.Context(), "new", settings.RoleChange{RefreshToken: ptr(w.sim.Consent(w.client, "us", "other@example.com", scopes))})
	require.NoError(t, err)
	w.requireLine(e, "info", "minted an access token", map[string]any{"roles": []any{"new"}})
}

func TestLog_NamesTheTokensThatDieWithTheirRefreshToken(t *testing.T) {
	w := newWorld(t)
	e := w.listen(hclog.Info)
	issued := w.read("crm-sync")
	_, err := w.engine.Deauthorize(t.Context(), "crm-sync", false, settings.Requester{})
	require.NoError(t, err)
	w.requireLine(e, "info", "an access token was revoked with its refresh token", map[string]any{"roles": []any{"crm-sync"}, "token_id": issued.TokenID})
	require.Len(t, w.named(e, backend.EventTokenRevoke), 1)
}
