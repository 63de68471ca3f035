package backend_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/backend/zoho"
	"vault-plugin-secrets-zoho/zohosim"
)

// An error word that nobody knows, in HTTP 200: Zoho says so that credentials are no
// good, and may say so that it is busy.

func newUnknownWorld(t *testing.T) *world {
	w := newWorld(t)
	w.sim.Fault(zohosim.EndpointToken, zohosim.Fault{Kind: zohosim.FaultAnswer, Body: `{"error":"inactive_user"}`})
	return w
}

func TestUnknownWord_IsAskedAgainMoreAndMoreSeldom(t *testing.T) {
	w := newUnknownWorld(t)
	var asked []time.Duration
	begin := w.clock.Now()
	for before := w.asked(); w.clock.Now().Sub(begin) < 6*time.Hour; w.clock.Advance(15 * time.Second) {
		failed := grantError(t, w.readError("crm-sync"))
		require.Equal(t, zoho.BadAnswer, failed.Kind)
		require.Contains(t, failed.Error(), "inactive_user")
		if now := w.asked(); now > before {
			asked, before = append(asked, w.clock.Now().Sub(begin)), now
		}
	}
	require.Equal(t, []time.Duration{0, time.Minute, 3 * time.Minute, 7 * time.Minute, 15 * time.Minute, 31 * time.Minute, 61 * time.Minute, 91 * time.Minute}, asked[:8])
	require.Len(t, asked, 16, "two an hour, not two a quarter of an hour")
}

func TestUnknownWord_ThatPassesIsForgottenWithTheFirstToken(t *testing.T) {
	w := newUnknownWorld(t)
	for range 4 {
		_ = w.readError("crm-sync")
		w.clock.Advance(10 * time.Minute)
	}
	w.sim.ClearFaults()
	w.clock.Advance(20 * time.Minute)
	require.True(t, w.alive(w.read("crm-sync")))
	require.Empty(t, w.status("crm-sync").LastError)
}

func TestUnknownWord_AnOperatorNeedNotWait(t *testing.T) {
	for name, again := range map[string]func(*world) error{
		"rotate": func(w *world) error { _, err := w.rotate("crm-sync"); return err },
		"the credentials once more": func(w *world) error {
			_, err := w.write("crm-sync", settings.RoleChange{RefreshToken: &w.refreshToken})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newUnknownWorld(t)
			for range 5 {
				_ = w.readError("crm-sync")
				w.clock.Advance(20 * time.Minute)
			}
			_ = w.readError("crm-sync")
			w.restart() // the pause is stored
			asked := w.asked()
			_ = w.readError("crm-sync")
			require.Equal(t, asked, w.asked())
			w.sim.ClearFaults()
			require.NoError(t, again(w))
			require.True(t, w.alive(w.read("crm-sync")))
		})
	}
}

// One that lives is worth more than a doubt.
func TestUnknownWord_TakesNoTokenAwayThatLives(t *testing.T) {
	w := newWorld(t)
	first := w.read("crm-sync")
	w.sim.Fault(zohosim.EndpointToken, zohosim.Fault{Kind: zohosim.FaultAnswer, Body: `{"error":"inactive_user"}`})
	w.clock.Advance(55 * time.Minute)
	served := w.read("crm-sync")
	require.Equal(t, first.TokenID, served.TokenID)
	require.Contains(t, joined(served.Warnings), "inactive_user")
}

func TestUnknownWord_OfAServerThatFailsIsAnOutageLikeOthers(t *testing.T) {
	w := newWorld(t)
	w.sim.Fault(zohosim.EndpointToken, zohosim.Fault{Kind: zohosim.FaultAnswer, Status: 503, Body: `{"error":"server_busy"}`, Count: 1})
	_ = w.readError("crm-sync")
	w.clock.Advance(4 * time.Second)
	require.True(t, w.alive(w.read("crm-sync")))
}
