package backend_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend"
	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/zohosim"
)

// What happens after somebody has regenerated the secret of a client with many roles. The
// figures are those of docs/troubleshooting.md.

// regenerated is a Self Client with twenty roles, each of which has a reader, and with a
// new secret, which the config has.
func regenerated(t tb, options zohosim.Options, change settings.ConfigChange) *world {
	t.Helper()
	options.RefuseExcessRefreshTokens = false
	w := newWorldWith(t, options)
	w.deleteRole("crm-sync")
	w.sim.Kill(w.refreshToken)
	w.configure(change)
	w.settle()
	w.fill(20)
	w.clock.Advance(time.Hour)
	for _, name := range twenty() {
		w.read(name)
		w.clock.Advance(2 * time.Minute)
	}
	secret := w.client.RegenerateSecret("us")
	_, err := w.engine.WriteConfig(t.Context(), settings.ConfigChange{ClientSecret: &secret})
	require.NoError(t, err)
	w.clock.Advance(15 * time.Minute)
	require.Error(t, w.readError("role-07"))
	require.Equal(t, backend.StateRefused, w.status("role-07").State)
	w.clock.Advance(15 * time.Minute)
	return w
}

func twenty() (names []string) {
	for i := range 20 {
		names = append(names, fmt.Sprintf("role-%02d", i))
	}
	return names
}

// authorizeAgain writes a new code to each role, and waits for as long as each error says. It
// returns how long it took.
func (w *world) authorizeAgain(names []string) (took time.Duration, err error) {
	w.t.Helper()
	began := w.clock.Now()
	for len(names) > 0 {
		_, err := w.writeCode(names[0], w.code())
		w.settle()
		var failed *backend.GrantError
		switch {
		case errors.As(err, &failed) && failed.RetryAt.After(w.clock.Now()):
			w.clock.Advance(failed.RetryAt.Sub(w.clock.Now()))
			w.tick()
		case err != nil:
			return 0, fmt.Errorf("%s: %w", names[0], err)
		default:
			require.True(w.t, w.alive(w.read(names[0])))
			names = names[1:]
		}
	}
	return w.clock.Now().Sub(began), nil
}

func TestRegenerated_TwentyRolesAreAuthorizedAgainInTheTimeThatThePageSays(t *testing.T) {
	t.Parallel()
	perClient := settings.ConfigChange{CountRequestsPer: ptr(settings.CountPerClient)}
	for name, c := range map[string]struct {
		world *world
		robot bool
		takes time.Duration
	}{
		"nothing else uses the client":                       {world: regenerated(t, zohosim.Options{}, settings.ConfigChange{}), takes: 12*time.Minute + 30*time.Second},
		"a role with client_credentials does":                {world: regenerated(t, zohosim.Options{}, settings.ConfigChange{}), robot: true, takes: 21*time.Minute + 30*time.Second},
		"Zoho counts for the client, and so does the engine": {world: regenerated(t, zohosim.Hardest(), perClient), takes: 21*time.Minute + 30*time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			w := c.world
			if c.robot {
				w.robot("robot", "ZohoCRM.modules.READ")
				w.read("robot")
			}
			for _, role := range twenty() {
				_, err := w.deauthorize(role, false)
				require.NoError(t, err)
			}
			w.settle()
			took, err := w.authorizeAgain(twenty())
			require.NoError(t, err)
			require.Equal(t, c.takes, took)
			require.Empty(t, w.sim.Evicted())
		})
	}
}

// The page says to deauthorize first. Otherwise the dead refresh tokens count among the
// twenty for as long as somebody leases their dead access tokens.
func TestRegenerated_WithoutDeauthorizingACodeOfASelfClientIsRefused(t *testing.T) {
	t.Parallel()
	w := regenerated(t, zohosim.Options{}, settings.ConfigChange{})
	for _, role := range twenty() {
		_, _ = w.engine.Issue(t.Context(), role, backend.Reader{})
	}
	_, err := w.authorizeAgain(twenty())
	require.ErrorContains(t, err, "The grant code was not used. This mount knows")
}
