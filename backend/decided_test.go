package backend_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"
	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend"
	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/zohosim"
)

// Invariant 16: what is to end is noted in storage before Zoho is asked to end it,
// and nobody hands out what is noted so.

// deposed is the storage of a leader that is deposed at its write of a key: that
// write is carried out and reported as failed, later ones are not carried out, and what
// it reads is as it was before.
type deposed struct {
	logical.Storage
	at string // prefix of the key

	mu     sync.Mutex
	over   bool
	former *logical.InmemStorage // what a leader that is deposed reads; nil: what there is
}

func (s *deposed) isOver() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.over
}

func (s *deposed) Put(ctx context.Context, entry *logical.StorageEntry) error {
	if s.isOver() {
		return errDisk
	}
	if !below(s.at)(entry.Key) {
		return s.Storage.Put(ctx, entry)
	}
	former := &logical.InmemStorage{}
	keys, err := logical.CollectKeys(ctx, s.Storage)
	if err != nil {
		return err
	}
	for _, key := range keys {
		old, err := s.Storage.Get(ctx, key)
		if err == nil && old != nil {
			err = former.Put(ctx, old)
		}
		if err != nil {
			return err
		}
	}
	if err := s.Storage.Put(ctx, entry); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over, s.former = true, former
	return errDisk
}

func (s *deposed) Get(ctx context.Context, key string) (*logical.StorageEntry, error) {
	if s.isOver() {
		return s.former.Get(ctx, key)
	}
	return s.Storage.Get(ctx, key)
}

func (s *deposed) List(ctx context.Context, prefix string) ([]string, error) {
	if s.isOver() {
		return s.former.List(ctx, prefix)
	}
	return s.Storage.List(ctx, prefix)
}

func (s *deposed) Delete(ctx context.Context, key string) error {
	if s.isOver() {
		return errDisk
	}
	return s.Storage.Delete(ctx, key)
}

// deposeAt runs do on a leader that is deposed at a write, and returns the engine
// of that leader; w is the new leader's world afterwards.
func (w *world) deposeAt(prefix string, do func()) (former *backend.Engine) {
	w.t.Helper()
	shared := w.storage
	w.engine.Close()
	w.storage = &storage{Storage: &deposed{Storage: shared, at: prefix}}
	w.start()
	former = w.engine
	w.t.Cleanup(former.Close)
	do()
	w.storage = shared
	w.start()
	return former
}

func TestMint_ATokenWhosePublicationIsInDoubtIsNeverHandedOutDead(t *testing.T) {
	for _, prefix := range []string{"tokens/", "refresh-tokens/"} {
		for name, lies := range map[string]func(w *world){
			"one write was carried out and reported as failed": func(w *world) {
				once := true
				w.storage.lying(true)
				w.storage.failing(func(key string) bool {
					hit := once && below(prefix)(key) && w.sim.MintCount(w.refreshToken) > 0
					once = once && !hit
					return hit
				})
			},
			"all later ones fail": func(w *world) {
				w.storage.lying(true)
				w.storage.failing(func(key string) bool {
					hit := below(prefix)(key) && w.sim.MintCount(w.refreshToken) > 0
					if hit {
						w.storage.lies = true
						w.storage.fail = func(string) bool { w.storage.lies = false; return true }
					}
					return hit
				})
			},
		} {
			t.Run(prefix+" "+name, func(t *testing.T) {
				w := newWorld(t)
				lies(w)
				require.ErrorIs(t, w.readError("crm-sync"), errDisk)
				w.settle()
				w.storage.lying(false)
				w.storage.failing(nil)
				w.restart()
				require.True(t, w.alive(w.read("crm-sync")))
				w.clock.Advance(4 * time.Minute)
				w.tick()
				require.Equal(t, 1, w.sim.LiveTokens(w.refreshToken), "the other has ended by now")
			})
		}
	}
}

func TestMint_ADeposedLeaderRevokesNoTokenThatTheNewOneHandsOut(t *testing.T) {
	w := newWorld(t)
	former := w.deposeAt("tokens/", func() { require.Error(t, w.readError("crm-sync")) })
	held := w.read("crm-sync")
	require.True(t, w.alive(held))
	w.clock.Advance(4 * time.Minute)
	_ = former.Tick(t.Context(), notTainted)
	former.Settle()
	require.True(t, w.alive(held))
}

func TestExchange_ADeposedLeaderRevokesNoRefreshTokenThatWasStored(t *testing.T) {
	w := newWorld(t)
	former := w.deposeAt("roles/", func() {
		_, err := w.writeCode("crm-sync", w.code())
		require.ErrorContains(t, err, "the role works")
	})
	for range 3 {
		w.clock.Advance(2 * time.Minute)
		_ = former.Tick(t.Context(), notTainted)
		former.Settle()
	}
	stored := w.refreshTokenOf("crm-sync")
	require.NotEqual(t, w.refreshToken, stored)
	require.True(t, w.sim.Alive(stored))
	require.True(t, w.alive(w.read("crm-sync")))
}

func TestRevocation_ADeposedLeaderAsksZohoForNothingThatItCouldNotNote(t *testing.T) {
	w := newWorld(t)
	w.reauthorize()
	w.writeRole("gone", settings.RoleChange{RefreshToken: ptr(w.consent())})
	token := w.refreshTokenOf("gone")
	w.storage.failing(below("refresh-tokens/"))
	_, err := w.deauthorize("gone", false)
	require.ErrorIs(t, err, errDisk)
	w.storage.failing(nil)
	require.True(t, w.sim.Alive(token))
	require.Equal(t, token, w.refreshTokenOf("gone"), "nothing was decided")
}

// A shared refresh token is revoked; the answer gets lost, or the process dies.
func TestDeauthorize_LeavesNoDeadTokenThatIsHandedOut(t *testing.T) {
	lost := func(w *world, processed bool) {
		for _, endpoint := range []zohosim.Endpoint{zohosim.EndpointRevoke, zohosim.EndpointLegacyRevoke} {
			w.sim.Fault(endpoint, zohosim.Fault{Kind: zohosim.FaultClose, Processed: processed})
		}
	}
	for name, arrange := range map[string]func(w *world){
		"the answer was lost":             func(w *world) { lost(w, true) },
		"the request was lost":            func(w *world) { lost(w, false) },
		"the role could not be stored":    func(w *world) { w.storage.failing(below("roles/")) },
		"the tokens could not be dropped": func(w *world) { w.storage.failing(below("ended/")) },
		"the ledger could not be written": func(w *world) { w.storage.failing(below("holders/")) },
	} {
		for _, restart := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				w := newWorld(t)
				w.writeRole("books", settings.RoleChange{RefreshToken: &w.refreshToken})
				w.read("books")
				arrange(w)
				_, _ = w.deauthorize("crm-sync", true)
				w.settle()
				if restart {
					w.restart()
				}
				w.storage.failing(nil)
				if issued, err := w.engine.Issue(t.Context(), "books", backend.Reader{}); err == nil {
					require.True(t, w.alive(issued), "Zoho was not asked yet, and is not before nobody gets the token any more")
				}
				for range 3 {
					w.clock.Advance(time.Minute)
					w.tick()
					require.Error(t, w.readError("books"))
				}
				w.sim.ClearFaults()
				w.clock.Advance(10 * time.Minute)
				w.tick()
				require.False(t, w.formerLives(), "what is decided is carried out")
			})
		}
	}
}

func TestRevocation_WaitsForARoleThatIsBeingWrittenWithTheRefreshToken(t *testing.T) {
	for _, verify := range []bool{true, false} {
		w := newWorld(t)
		finish, done := w.holdBack(func(key string) bool { return key == "roles/books" }, func() error {
			_, err := w.write("books", settings.RoleChange{RefreshToken: &w.refreshToken, Verify: &verify})
			return err
		})
		_, err := w.writeCode("crm-sync", w.code()) // crm-sync gives the refresh token up
		require.NoError(t, err)
		w.look()
		finish(nil)
		require.NoError(t, <-done)
		w.settle()
		require.True(t, w.formerLives(), "books has it")
		require.True(t, w.alive(w.read("books")))
		w.clock.Advance(10 * time.Minute)
		w.tick()
		require.True(t, w.formerLives())
	}
}

// failedReauthorization lets crm-sync be authorized anew, which fails when its former
// refresh token is noted already.
func (w *world) failedReauthorization() {
	w.t.Helper()
	w.storage.failing(below("roles/"))
	_, err := w.writeCode("crm-sync", w.code())
	require.ErrorIs(w.t, err, errDisk)
	w.storage.failing(nil)
	require.Len(w.t, w.records(), 2)
}

func TestRevocation_OfAFailedReauthorizationIsVoidWhenTheRoleIsWrittenOverOrDeleted(t *testing.T) {
	for name, do := range map[string]func(w *world) []string{
		"written over": func(w *world) []string {
			return w.writeRole("crm-sync", settings.RoleChange{RefreshToken: ptr(w.consent())})
		},
		"deleted": func(w *world) []string { return w.deleteRole("crm-sync") },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.failedReauthorization()
			require.Contains(t, joined(do(w)), "lives on at Zoho")
			for range 6 {
				w.clock.Advance(2 * time.Minute)
				w.tick()
			}
			require.True(t, w.formerLives(), "so the warning said")
			require.Empty(t, w.unwanted())
		})
	}
}

func TestConsent_ThatRacesTheDeletionOfItsRoleDoesNotCompleteOneThatIsMadeAnew(t *testing.T) {
	w := newConsentWorld(t)
	again := func() {
		w.writeRole("desk", settings.RoleChange{ClientID: &w.web.ID, ClientSecret: ptr(w.web.Secret("us")), Scopes: ptr([]string{"ZohoCRM.modules.ALL", "ZohoCRM.settings.READ"})})
	}
	var begun *backend.Authorization
	finish, done := w.holdBack(below("consents/"), func() (err error) {
		begun, err = w.engine.Authorize(t.Context(), "desk")
		return err
	})
	deleted := make(chan error, 1)
	go func() { _, err := w.engine.DeleteRole(t.Context(), "desk"); deleted <- err }()
	w.waitUntilDeletionWaits("desk")
	finish(nil)
	require.NoError(t, <-done)
	require.NoError(t, <-deleted)
	again()
	w.refused(w.decide(begun.URL, "accept"), "not valid")

	// The same when the deletion comes while the callback is on its way.
	callback := w.agreed()
	w.storage.listing(func(prefix string) {
		if !below("consents/")(prefix) {
			return
		}
		w.storage.listing(nil)
		w.deleteRole("desk")
		again()
	})
	_, err := w.complete(callback)
	require.ErrorContains(t, err, "not valid")
	require.Empty(t, w.refreshTokenOf("desk"))
}

// A revocation that is decided is not undone by writing the refresh token again.
func TestRevocation_ARefreshTokenWhoseEndIsDecidedIsRefused(t *testing.T) {
	w := newWorld(t)
	w.read("crm-sync")
	w.sim.Fault(zohosim.EndpointRevoke, zohosim.Fault{Kind: zohosim.FaultHTML500})
	w.sim.Fault(zohosim.EndpointLegacyRevoke, zohosim.Fault{Kind: zohosim.FaultHTML500})
	_, err := w.deauthorize("crm-sync", false)
	require.Error(t, err)
	_, err = w.write("books", settings.RoleChange{RefreshToken: &w.refreshToken, Verify: ptr(false)})
	require.ErrorContains(t, err, "is being revoked at Zoho")
	w.sim.ClearFaults()
	w.clock.Advance(2 * time.Minute)
	w.tick()
	require.False(t, w.formerLives())
}

func (w *world) waitUntilDeletionWaits(role string) {
	w.t.Helper()
	require.Eventually(w.t, func() bool { return w.engine.WaitingForRole(role) == 2 }, 10*time.Second, time.Millisecond)
}
