package backend_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend"
	"vault-plugin-secrets-zoho/backend/settings"
)

// closeWhile lets do reach Zoho, closes the engine, and then lets Zoho answer.
func (w *world) closeWhile(do func(context.Context) error) error {
	w.t.Helper()
	release := w.holdAnswers()
	before := len(w.sim.Requests())
	done := make(chan error, 1)
	go func() { done <- do(context.Background()) }()
	w.waitForRequests(before + 1)
	closed := make(chan struct{})
	go func() { w.engine.Close(); close(closed) }()
	require.Eventually(w.t, w.engine.IsClosing, 10*time.Second, time.Millisecond)
	release()
	err := <-done
	<-closed
	return err
}

// Invariants 8 and 9: a plugin reload in the middle of something.

func TestClose_DuringAMintStoresTheTokenThatZohoGives(t *testing.T) {
	w := newWorld(t)
	_ = w.closeWhile(func(ctx context.Context) error {
		_, err := w.engine.Issue(ctx, "crm-sync", backend.Reader{})
		return err
	})
	require.Len(t, w.keys("tokens/"), len(w.living("access")), "what lives at Zoho is known")
	require.NotEmpty(t, w.keys("tokens/"))
}

func TestClose_DuringADeauthorizationEndsIt(t *testing.T) {
	w := newWorld(t)
	w.read("crm-sync")
	require.NoError(t, w.closeWhile(func(ctx context.Context) error {
		_, err := w.engine.Deauthorize(ctx, "crm-sync", false, settings.Requester{})
		return err
	}))
	w.start()
	require.Empty(t, w.refreshTokenOf("crm-sync"))
}

func TestClose_DuringAConsentStoresTheRole(t *testing.T) {
	w := newConsentWorld(t)
	callback := w.agreed()
	require.NoError(t, w.closeWhile(func(ctx context.Context) error {
		_, err := w.engine.CompleteConsent(ctx, callback)
		return err
	}))
	w.start()
	require.True(t, w.sim.Alive(w.refreshTokenOf("desk")))
	require.Empty(t, w.unknown())
}

func TestTick_StopsAskingZohoWhenItsTimeIsUp(t *testing.T) {
	w := newWorld(t)
	w.writeRole("crm-sync", settings.RoleChange{Exclusive: ptr(true)})
	var held []*backend.Issued
	for range 8 {
		held = append(held, w.read("crm-sync"))
	}
	w.sim.SetDown(true)
	for _, issued := range held {
		require.Error(t, w.release(issued))
	}
	w.sim.SetDown(false)
	before := len(w.sim.Requests())
	ctx, cancel := context.WithCancel(t.Context())
	w.storage.listing(func(prefix string) {
		if prefix == "tokens/" {
			cancel()
		}
	})
	_ = w.engine.Tick(ctx, notTainted)
	w.settle()
	require.Len(t, w.sim.Requests(), before)
}
