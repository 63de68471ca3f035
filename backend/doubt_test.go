package backend_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend"
	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/backend/zoho"
	"vault-plugin-secrets-zoho/zohosim"
)

const inDoubt = "this access token may be dead: Zoho has refused its credentials since it was minted"

// removedUser is a mount whose only user has left Zoho, as one read with a large min_ttl
// has found out. The lease is on the token from before.
func removedUser(t *testing.T) (*world, *backend.Issued, *bytes.Buffer) {
	t.Helper()
	w := newWorld(t)
	log := &bytes.Buffer{}
	w.logger = hclog.New(&hclog.LoggerOptions{Output: log, Level: hclog.Warn})
	w.restart()
	held := w.read("crm-sync")
	require.Empty(t, held.Warnings)
	w.sim.RemoveUser("user@example.com")
	require.Empty(t, w.read("crm-sync").Warnings, "nobody knows yet")
	w.clock.Advance(time.Minute)
	first := w.longRead("crm-sync")
	require.Equal(t, held.TokenID, first.TokenID)
	require.Contains(t, joined(first.Warnings), "less than min_ttl")
	require.Contains(t, joined(first.Warnings), inDoubt)
	require.Equal(t, 1, strings.Count(joined(first.Warnings), "invalid_code"), "once is enough")
	return w, held, log
}

// longRead is one that the present token does not satisfy.
func (w *world) longRead(role string) *backend.Issued {
	w.t.Helper()
	issued, err := w.engine.Issue(w.t.Context(), role, backend.Reader{MinTTL: time.Hour - 10*time.Second})
	require.NoError(w.t, err)
	return issued
}

// Invariant 20.
func TestDoubt_EachReadOfATokenWhoseCredentialsWereRefusedSinceSaysSo(t *testing.T) {
	w, held, log := removedUser(t)
	for range 3 {
		for range 3 {
			issued := w.read("crm-sync")
			require.Equal(t, held.TokenID, issued.TokenID)
			require.Contains(t, joined(issued.Warnings), inDoubt)
			require.Contains(t, joined(issued.Warnings), "invalid_code")
			require.Contains(t, joined(w.longRead("crm-sync").Warnings), inDoubt)
		}
		w.clock.Advance(time.Minute)
		w.tick()
	}
	require.Equal(t, 2, w.asked(), "a warning costs no request")
	require.Equal(t, 1, strings.Count(log.String(), "handing out an access token although"), "the log has it once")
	w.restart()
	require.Contains(t, joined(w.read("crm-sync").Warnings), inDoubt)
}

func TestDoubt_IsToldToTheReadersOfAllRolesOfTheGrantAndToNoOthers(t *testing.T) {
	w := newWorld(t)
	w.writeRole("also", settings.RoleChange{RefreshToken: &w.refreshToken})
	w.writeRole("books", settings.RoleChange{RefreshToken: ptr(w.sim.Consent(w.client, "us", "books@example.com", scopes))})
	w.read("crm-sync")
	w.read("books")
	w.sim.RemoveUser("user@example.com")
	w.clock.Advance(time.Minute)
	w.longRead("crm-sync")
	require.Contains(t, joined(w.read("also").Warnings), inDoubt)
	require.Empty(t, w.read("books").Warnings)
}

// Whatever an operator does that lets Zoho be asked again brings no trust back; a token does.
func TestDoubt_EndsWithTheNextTokenAndNotBefore(t *testing.T) {
	w, held, _ := removedUser(t)
	states := func(want backend.GrantState) {
		t.Helper()
		overview, err := w.engine.RoleOverview(t.Context(), "crm-sync")
		require.NoError(t, err)
		require.Equal(t, want, overview.State)
		status := w.status("crm-sync")
		require.Equal(t, want, status.State)
		if want != backend.StateReady {
			require.NotEmpty(t, status.LastError)
		}
	}
	states(backend.StateRefused)
	w.writeRole("crm-sync", settings.RoleChange{RefreshToken: &w.refreshToken}) // without a trial
	require.Contains(t, joined(w.read("crm-sync").Warnings), inDoubt)
	states(backend.StateRefused)

	w.sim.SetDown(true)
	_, err := w.rotate("crm-sync")
	require.Equal(t, zoho.Unreachable, grantError(t, err).Kind)
	require.Contains(t, joined(w.read("crm-sync").Warnings), inDoubt)
	states(backend.StateUnreachable)
	w.sim.SetDown(false)

	w.clock.Advance(time.Minute)
	w.configure(settings.ConfigChange{RequestBudget: ptr(1)})
	_, err = w.rotate("crm-sync")
	require.Equal(t, zoho.Throttled, grantError(t, err).Kind)
	require.Contains(t, joined(w.read("crm-sync").Warnings), inDoubt)

	w.configure(settings.ConfigChange{RequestBudget: ptr(10)})
	w.clock.Advance(time.Minute)
	w.sim.Fault(zohosim.EndpointToken, zohosim.Fault{Kind: zohosim.FaultAnswer, Count: 1, Body: `{"access_token":"1000.11111111111111111111111111111111.22222222222222222222222222222222","expires_in":3600}`})
	rotated, err := w.engine.Rotate(t.Context(), "crm-sync", false)
	require.NoError(t, err)
	issued := w.read("crm-sync")
	require.Equal(t, rotated.TokenID, issued.TokenID)
	require.NotEqual(t, held.TokenID, issued.TokenID)
	require.Empty(t, issued.Warnings)
	states(backend.StateReady)
}

func TestDoubt_OfAReaderWhoWaitsForAnothersMint(t *testing.T) {
	w := newWorld(t)
	held := w.read("crm-sync")
	w.sim.RemoveUser("user@example.com")
	w.clock.Advance(time.Minute)
	release := w.holdAnswers()
	got := make(chan *backend.Issued, 2)
	for range 2 {
		go func() { got <- w.longRead("crm-sync") }()
	}
	w.waitForRequests(2)
	release()
	for range 2 {
		issued := <-got
		require.Equal(t, held.TokenID, issued.TokenID)
		require.Contains(t, joined(issued.Warnings), inDoubt)
	}
}

// A superseded token is handed out while no new one can be had.
func TestDoubt_OfASupersededToken(t *testing.T) {
	w := newWorld(t)
	first := w.read("crm-sync")
	w.clock.Advance(time.Minute)
	second := w.longRead("crm-sync")
	require.NotEqual(t, first.TokenID, second.TokenID)
	w.kill(second.TokenID)
	w.sim.RemoveUser("user@example.com")
	issued := w.read("crm-sync")
	require.Equal(t, first.TokenID, issued.TokenID)
	require.Contains(t, joined(issued.Warnings), inDoubt)
	require.NotContains(t, joined(issued.Warnings), "min_ttl")
}

// Each read of an exclusive role is a mint, so Zoho has the last word.
func TestDoubt_AnExclusiveReadThatGetsATokenHasNone(t *testing.T) {
	w := newWorld(t)
	w.writeRole("crm-sync", settings.RoleChange{Exclusive: ptr(true)})
	w.read("crm-sync")
	w.sim.Fault(zohosim.EndpointToken, zohosim.Fault{Kind: zohosim.FaultAnswer, Count: 1, Body: `{"error":"invalid_code"}`})
	require.Equal(t, zoho.Refused, grantError(t, w.readError("crm-sync")).Kind)
	require.Equal(t, zoho.Refused, grantError(t, w.readError("crm-sync")).Kind, "it is remembered")
	w.writeRole("crm-sync", settings.RoleChange{RefreshToken: &w.refreshToken})
	require.Empty(t, w.read("crm-sync").Warnings)
}
