package backend_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend"
	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/zohosim"
)

func joined(warnings []string) string { return strings.Join(warnings, "\n") }

// atOnce runs do n times at once, and returns the errors.
func atOnce(n int, do func(i int) error) []error {
	outcomes := make(chan error, n)
	for i := range n {
		go func() { outcomes <- do(i) }()
	}
	errs := make([]error, n)
	for i := range errs {
		errs[i] = <-outcomes
	}
	return errs
}

func TestVerify_ManyWritesOnOneGrantAtOnceCostOneRequest(t *testing.T) {
	w := newWorld(t)
	release := w.holdAnswers()
	done := make(chan []error)
	go func() {
		done <- atOnce(10, func(i int) error {
			_, err := w.write(fmt.Sprintf("role-%d", i), settings.RoleChange{RefreshToken: &w.refreshToken})
			return err
		})
	}()
	w.waitForRequests(1)
	release()
	for _, err := range <-done {
		require.NoError(t, err)
	}
	require.Equal(t, 1, w.asked())
}

func TestVerify_ManyWritesOfADeadCredentialAtOnceAreAllRefusedWithinTheBudget(t *testing.T) {
	w := newWorld(t)
	w.sim.Kill(w.refreshToken)
	for _, err := range atOnce(20, func(i int) error {
		_, err := w.write(fmt.Sprintf("role-%d", i), settings.RoleChange{RefreshToken: &w.refreshToken})
		return err
	}) {
		if err != nil { // those that found the budget used up are saved with a warning
			require.Equal(t, "invalid_code", grantError(t, err).Code)
		}
	}
	require.LessOrEqual(t, w.asked(), 10)
}

// Invariant 3.
func TestVerify_WhileReadersMintSharesTheirRequest(t *testing.T) {
	w := newWorld(t)
	release := w.holdAnswers()
	read := make(chan error, 1)
	go func() {
		_, err := w.engine.Issue(t.Context(), "crm-sync", backend.Reader{})
		read <- err
	}()
	w.waitForRequests(1)
	written := make(chan error, 1)
	go func() {
		_, err := w.write("crm-sync", settings.RoleChange{RefreshToken: &w.refreshToken})
		written <- err
	}()
	release()
	require.NoError(t, <-read)
	require.NoError(t, <-written)
	require.Equal(t, 1, w.asked())
}

// Invariant 3.
func TestVerify_ReadersThatComeDuringTheTrialShareItsRequest(t *testing.T) {
	w := newWorld(t)
	release := w.holdAnswers()
	written := make(chan error, 1)
	go func() {
		_, err := w.write("crm-sync", settings.RoleChange{RefreshToken: &w.refreshToken})
		written <- err
	}()
	w.waitForRequests(1)
	read := make(chan []error)
	go func() {
		read <- atOnce(5, func(int) error {
			_, err := w.engine.Issue(t.Context(), "crm-sync", backend.Reader{})
			return err
		})
	}()
	release()
	require.NoError(t, <-written)
	for _, err := range <-read {
		require.NoError(t, err)
	}
	require.Equal(t, 1, w.asked())
}

func TestVerify_ACallerThatDisconnectsDuringTheTrialDoesNotCutItInHalf(t *testing.T) {
	w := newWorld(t)
	refreshToken := w.consent()
	release := w.holdAnswers()
	ctx, cancel := context.WithCancel(t.Context())
	written := make(chan error, 1)
	go func() {
		_, err := w.engine.WriteRole(ctx, "books", settings.RoleChange{RefreshToken: &refreshToken})
		written <- err
	}()
	w.waitForRequests(1)
	cancel()
	require.ErrorIs(t, <-written, context.Canceled)
	release()
	w.settle()
	require.True(t, w.alive(w.read("books")))
	require.Equal(t, 1, w.asked())
}

func TestConfig_ANewClientSecretThatIsRefusedLeavesTheOldOneInForce(t *testing.T) {
	w := newWorld(t)
	lease := w.read("crm-sync")
	_, err := w.engine.WriteConfig(t.Context(), settings.ConfigChange{ClientSecret: ptr("0123456789abcdef"), MinTTL: ptr(time.Minute)})
	failed := grantError(t, err)
	require.Equal(t, "invalid_client_secret", failed.Code)
	require.Contains(t, failed.Error(), "stays in force")
	require.Contains(t, failed.Error(), `"crm-sync"`)
	w.restart()
	require.True(t, w.alive(lease))
	w.clock.Advance(55 * time.Minute)
	require.NotEqual(t, lease.TokenID, w.read("crm-sync").TokenID)
	config, err := w.engine.Config(t.Context())
	require.NoError(t, err)
	require.Zero(t, config.MinTTL, "nothing of the write is stored")
}

func TestConfig_ANewClientSecretIsProvenOnceAndServesTheNextReader(t *testing.T) {
	w := newWorld(t)
	good := w.client.Secret("us")
	w.configure(settings.ConfigChange{ClientSecret: ptr("0123456789abcdef")})
	for range 2 {
		warnings, err := w.engine.WriteConfig(t.Context(), settings.ConfigChange{ClientSecret: &good})
		require.NoError(t, err)
		require.Empty(t, warnings)
	}
	require.True(t, w.alive(w.read("crm-sync")))
	require.Equal(t, 1, w.asked())
}

func TestConfig_ALeaseOfTheFormerClientSecretLivesOnAndIsRevocable(t *testing.T) {
	w := newWorld(t)
	lease := w.read("crm-sync")
	w.configure(settings.ConfigChange{ClientSecret: ptr("0123456789abcdef")})
	w.restart()
	require.True(t, w.alive(lease))
	require.NoError(t, w.release(lease))
	require.False(t, w.alive(lease))
}

func TestConfig_ANewClientSecretIsWrittenWithAWarningWhenZohoCannotTell(t *testing.T) {
	for name, spoil := range map[string]func(*world){
		"outage": func(w *world) { w.sim.SetDown(true) },
		"the role's own refresh token is dead": func(w *world) {
			w.sim.Kill(w.refreshToken)
		},
		"the role's own scopes are refused": func(w *world) {
			w.writeRole("a-first", settings.RoleChange{GrantType: ptr(settings.GrantTypeClientCredentials), Scopes: ptr([]string{"nonsense"})})
			w.deleteRole("crm-sync") // which would prove the secret
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			good := w.client.Secret("us")
			w.configure(settings.ConfigChange{ClientSecret: ptr("0123456789abcdef")})
			spoil(w)
			warnings, err := w.engine.WriteConfig(t.Context(), settings.ConfigChange{ClientSecret: &good})
			require.NoError(t, err)
			require.Contains(t, joined(warnings), "could not be tried")
			config, err := w.engine.Config(t.Context())
			require.NoError(t, err)
			require.Equal(t, good, config.ClientSecret.Reveal())
		})
	}
}

func TestRole_ANewClientSecretOfItsOwnIsProvenWithoutDowntime(t *testing.T) {
	w := newWorld(t)
	w.writeRole("crm-sync", settings.RoleChange{ClientID: &w.client.ID, ClientSecret: ptr("0123456789abcdef"), RefreshToken: &w.refreshToken})
	require.Equal(t, "invalid_client_secret", grantError(t, w.readError("crm-sync")).Code)
	_, err := w.write("crm-sync", settings.RoleChange{ClientSecret: ptr(w.client.Secret("us"))})
	require.NoError(t, err)
	requests := w.asked()
	require.True(t, w.alive(w.read("crm-sync")))
	require.Equal(t, requests, w.asked())
}

func TestRole_AnswersThatOmitTheAPIDomainKeepTheOneThatIsRemembered(t *testing.T) {
	w := newWorld(t)
	first := w.read("crm-sync")
	require.NotEmpty(t, first.APIDomain)
	w.sim.SetAnswer(zohosim.Answer{NoAPIDomain: true})
	w.restart()
	w.clock.Advance(55 * time.Minute)
	second := w.read("crm-sync")
	require.NotEqual(t, first.TokenID, second.TokenID)
	require.Equal(t, first.APIDomain, second.APIDomain)
}
