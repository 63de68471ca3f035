package tokenserver

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// readies requires what /readyz answers.
func (w *world) readies(status int, says ...string) {
	w.t.Helper()
	got := w.send(probe("/readyz"))
	require.Equal(w.t, status, got.Code, got.Body.String())
	for _, text := range says {
		require.Contains(w.t, got.Body.String(), text)
	}
	require.Equal(w.t, http.StatusOK, w.send(probe("/healthz")).Code, "it lives, whatever it lacks")
}

func TestReady_WhenCallersWouldGetAToken(t *testing.T) {
	inBubble(t, func(w *world) {
		w.leases.Start([]string{crmSync})
		synctest.Wait()
		w.readies(http.StatusOK, `"status":"ok"`, `"vault":"ok"`)
		w.clock.advance(30 * time.Hour)
		w.readies(http.StatusOK)
		require.Equal(t, 1, w.vault.readings(), "a role that nobody uses is read once")
	})
}

func TestReady_NotWithARoleThatDoesNotExist(t *testing.T) {
	inBubble(t, func(w *world) {
		w.leases.Start([]string{"crm-snyc"})
		synctest.Wait()
		w.readies(http.StatusServiceUnavailable, `"status":"not ready"`, "role crm-snyc: Vault answers HTTP 400: there is no role ROLE")
		require.Contains(t, w.log.String(), "role=crm-snyc", "the log says so at the start")
		w.vault.set(func() { w.vault.roles = []string{"crm-snyc"} })
		w.clock.advance(maxUntilRead)
		w.readies(http.StatusOK)
	})
}

func TestReady_NotWithoutAVaultTokenThatVaultAccepts(t *testing.T) {
	for name, roles := range map[string][]string{"a role is named": {crmSync}, "none is": nil} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				w.vault.set(func() { w.vault.accepted = []string{"another"} })
				w.leases.Start(roles)
				synctest.Wait()
				w.readies(http.StatusServiceUnavailable, "Vault answers HTTP 403: permission denied")
				require.Contains(t, w.log.String(), "HTTP 403")
				w.vault.set(func() { w.vault.accepted = nil })
				w.clock.advance(maxUntilRead)
				w.readies(http.StatusOK)
				w.vault.set(func() { w.vault.accepted = []string{"another"} })
				w.clock.advance(checkEvery)
				w.readies(http.StatusServiceUnavailable, "Vault answers HTTP 403", `"vault":"Vault token refused"`)
			})
		})
	}
}

func TestReady_SaysSomeReasonsOfMany(t *testing.T) {
	inBubble(t, func(w *world) {
		w.leases.Start([]string{"a", "b", "c", "d", "e", "f", "g"})
		synctest.Wait()
		w.readies(http.StatusServiceUnavailable, "role a: ", "role e: ", `"and 2 more"`)
	})
}

// What is leased lasts.
func TestReady_WhileVaultIsAwayAsLongAsThereIsAToken(t *testing.T) {
	inBubble(t, func(w *world) {
		w.takes()
		w.vault.set(func() { w.vault.down = true })
		w.clock.advance(50 * time.Minute)
		w.readies(http.StatusOK, `"vault":"unavailable"`)
		w.clock.advance(10 * time.Minute)
		w.readies(http.StatusServiceUnavailable, "Vault cannot be reached")
	})
}

// Everybody who can connect may ask.
func TestReady_HoweverOftenItIsAskedForCostsVaultLittle(t *testing.T) {
	inBubble(t, func(w *world) {
		for range 1000 {
			w.readies(http.StatusOK)
		}
		w.vault.set(func() { require.Equal(t, 1, w.vault.lookups) })
		require.Zero(t, w.vault.readings())
	})
}

// A named role stays, however often it is refused.
func TestStart_TriesANamedRoleAgainUntilItHasWorkedOnce(t *testing.T) {
	inBubble(t, func(w *world) {
		w.vault.set(func() { w.vault.down = true })
		w.leases.Start([]string{crmSync})
		w.clock.advance(time.Hour)
		asked := len(w.vault.requests())
		require.Greater(t, asked, 10)
		require.Less(t, asked, 30)
		w.vault.set(func() { w.vault.down = false })
		w.clock.advance(maxUntilRead)
		require.Equal(t, 1, w.vault.readings())
		require.NoError(t, w.closes(false))
		require.Empty(t, w.clock.timers)
	})
}
