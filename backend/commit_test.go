package backend_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"
	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/zohosim"
)

// What was decided, revoked or stored stays so, whatever fails afterwards.

func TestKill_IsNotTakenBackByALaterWriteThatFails(t *testing.T) {
	w := newWorld(t)
	leaked := w.read("crm-sync")
	for _, endpoint := range []zohosim.Endpoint{zohosim.EndpointRevoke, zohosim.EndpointLegacyRevoke} {
		w.sim.Fault(endpoint, zohosim.Fault{Kind: zohosim.FaultHTML500})
	}
	_, err := w.engine.KillToken(t.Context(), leaked.TokenID)
	require.ErrorContains(t, err, "not handed out any more")
	w.storage.failing(below("holders/"))
	_ = w.release(leaked)
	w.storage.failing(nil)
	require.NotEqual(t, leaked.TokenID, w.read("crm-sync").TokenID)
	w.restart()
	require.NotEqual(t, leaked.TokenID, w.read("crm-sync").TokenID)
}

func TestRetire_SparesARoleWhoseClientIsGoneForTheMoment(t *testing.T) {
	w := newWorld(t)
	w.writeRole("books", settings.RoleChange{RefreshToken: &w.refreshToken})
	w.reauthorize()
	w.deleteConfig()
	w.clock.Advance(4 * time.Minute)
	w.tick()
	require.True(t, w.formerLives(), "books has it")
}

func TestRetire_SparesARoleThatCannotBeDecoded(t *testing.T) {
	w := newWorld(t)
	w.writeRole("books", settings.RoleChange{RefreshToken: &w.refreshToken})
	require.NoError(t, w.storage.Storage.Put(t.Context(), &logical.StorageEntry{Key: "roles/books", Value: []byte("{")}))
	w.restart()
	w.reauthorize()
	w.clock.Advance(4 * time.Minute)
	w.tick()
	require.True(t, w.formerLives(), "books may have it")
}

func TestRetire_GoesOnWhenTheRoleThatTookItUpCouldNotBeStored(t *testing.T) {
	w := newWorld(t)
	held := w.read("crm-sync")
	w.reauthorize()
	w.storage.failing(below("roles/books"))
	_, err := w.engine.WriteRole(t.Context(), "books", settings.RoleChange{RefreshToken: &w.refreshToken})
	require.ErrorIs(t, err, errDisk)
	w.storage.failing(nil)
	require.NoError(t, w.release(held))
	w.clock.Advance(10 * time.Minute)
	w.tick()
	require.False(t, w.formerLives())
}

func TestRetire_WaitsForARoleThatIsTakingItUp(t *testing.T) {
	w := newWorld(t)
	held := w.read("crm-sync")
	w.reauthorize()
	require.True(t, w.formerLives())
	finish, done := w.holdBack(func(key string) bool { return key == "roles/books" }, func() error {
		_, err := w.engine.WriteRole(t.Context(), "books", settings.RoleChange{RefreshToken: &w.refreshToken})
		return err
	})
	require.NoError(t, w.release(held))
	w.look()
	finish(nil)
	require.NoError(t, <-done)
	require.True(t, w.formerLives())
	w.clock.Advance(10 * time.Minute)
	w.tick()
	require.True(t, w.formerLives(), "books has it")
	require.Empty(t, w.unwanted())
}

// carriesOut is a storage that reports a failure of one write that it has
// carried out, as raft does when the time is up.
type carriesOut struct {
	logical.Storage
	key string
}

func (s *carriesOut) Put(ctx context.Context, entry *logical.StorageEntry) error {
	if err := s.Storage.Put(ctx, entry); err != nil || entry.Key != s.key {
		return err
	}
	s.key = ""
	return context.DeadlineExceeded
}

func TestExchange_AWriteThatWasCarriedOutAfterAllKeepsItsRefreshToken(t *testing.T) {
	w := newWorld(t)
	w.storage.Storage = &carriesOut{w.storage.Storage, "roles/crm-sync"}
	_, err := w.writeCode("crm-sync", w.code())
	require.ErrorContains(t, err, "the role works")
	for range 6 {
		w.clock.Advance(2 * time.Minute)
		w.tick()
	}
	require.True(t, w.sim.Alive(w.refreshTokenOf("crm-sync")))
	require.False(t, w.formerLives())
}

// failsAfter fails a read once a key was written.
type failsAfter struct {
	logical.Storage
	written, read string
	armed         bool
}

func (s *failsAfter) Put(ctx context.Context, entry *logical.StorageEntry) error {
	s.armed = s.armed || entry.Key == s.written
	return s.Storage.Put(ctx, entry)
}

func (s *failsAfter) Get(ctx context.Context, key string) (*logical.StorageEntry, error) {
	if s.armed && strings.HasPrefix(key, s.read) {
		s.armed = false
		return nil, errDisk
	}
	return s.Storage.Get(ctx, key)
}

func TestWriteRole_ThatIsWrittenIsNoErrorWhateverFailsAfterwards(t *testing.T) {
	w := newWorld(t)
	w.writeRole("books", settings.RoleChange{RefreshToken: &w.refreshToken})
	w.storage.Storage = &failsAfter{Storage: w.storage.Storage, written: "roles/crm-sync", read: "roles/"}
	_, err := w.writeCode("crm-sync", w.code())
	require.NoError(t, err)
	require.NotEqual(t, w.refreshToken, w.refreshTokenOf("crm-sync"))
}

// Invariant 16: the refresh token would take its access tokens along.
func TestDeauthorize_AsksZohoOnlyWhenTheEndOfItsTokensIsStored(t *testing.T) {
	w := newWorld(t)
	lease := w.read("crm-sync")
	w.storage.failing(below("refresh-tokens/"))
	_, err := w.engine.Deauthorize(t.Context(), "crm-sync", false, settings.Requester{})
	require.ErrorIs(t, err, errDisk)
	require.ErrorContains(t, err, "was not deauthorized")
	w.storage.failing(nil)
	w.tick()
	require.True(t, w.formerLives())
	require.True(t, w.alive(lease))
	require.Equal(t, w.refreshToken, w.refreshTokenOf("crm-sync"))
	_, err = w.engine.Deauthorize(t.Context(), "crm-sync", false, settings.Requester{})
	require.NoError(t, err)
	require.False(t, w.formerLives())
}

func TestGrants_ThatNobodyNeedsAreForgotten(t *testing.T) {
	w := newWorld(t)
	for i := range 10 {
		_, err := w.engine.WriteRole(t.Context(), "x", settings.RoleChange{RefreshToken: ptr(fmt.Sprintf("1000.%032x.%032x", i, i))})
		require.ErrorContains(t, err, "invalid_code")
	}
	for range 5 {
		w.reauthorize()
		w.clock.Advance(time.Hour)
		w.tick()
	}
	require.NotEmpty(t, w.keys("refresh-tokens/"))
	for range 30 {
		w.clock.Advance(time.Hour)
		w.tick()
	}
	require.Len(t, w.keys("refresh-tokens/"), 1, "that of crm-sync")
	require.Len(t, w.entered(), 1)
	w.read("crm-sync")
}

func TestConsent_BegunBeforeTheRoleChangedDoesNotUndoTheChange(t *testing.T) {
	for what, change := range map[string]func(*consentWorld){
		"deauthorized": func(w *consentWorld) { _, _ = w.engine.Deauthorize(t.Context(), "desk", false, settings.Requester{}) },
		"given other scopes": func(w *consentWorld) {
			w.writeRole("desk", settings.RoleChange{Scopes: ptr([]string{"ZohoCRM.settings.READ"})})
		},
		"authorized": func(w *consentWorld) { _, _ = w.complete(w.agreed()) },
	} {
		t.Run(what, func(t *testing.T) {
			w := newConsentWorld(t)
			_, err := w.complete(w.agreed())
			require.NoError(t, err)
			callback := w.agreed()
			change(w)
			w.settle() // the former tokens' end runs behind
			w.refused(callback, what)
		})
	}
}
