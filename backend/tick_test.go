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

// otherServer is a second Accounts server, with a client of its own.
type otherServer struct {
	*zohosim.Sim
	accounts *zohosim.Accounts
	client   *zohosim.Client
	gate     gate
}

func (w *world) addServer() *otherServer {
	w.t.Helper()
	s := &otherServer{}
	s.Sim = zohosim.New(zohosim.Options{Clock: w.clock.Now, Wait: s.gate.wait})
	w.t.Cleanup(s.Close)
	var err error
	s.accounts, err = s.Listen("us")
	require.NoError(w.t, err)
	s.client = s.AddClient(zohosim.ClientSpec{})
	return s
}

// useServer makes an Accounts server the mount's, and a client of it the mount's client.
func (w *world) useServer(accounts *zohosim.Accounts, client *zohosim.Client) {
	w.t.Helper()
	id, secret := client.ID, client.Secret("us")
	w.configure(settings.ConfigChange{AccountsURL: &accounts.URL, ClientID: &id, ClientSecret: &secret})
}

// at runs do for n roles, with the mount at the other server.
func (w *world) at(s *otherServer, n int, do func(role string)) {
	w.t.Helper()
	w.useServer(s.accounts, s.client)
	for i := range n {
		role, refreshToken := fmt.Sprintf("there-%d", i), s.Consent(s.client, "us", fmt.Sprintf("user%d@example.com", i), scopes)
		w.writeRole(role, settings.RoleChange{RefreshToken: &refreshToken})
		do(role)
	}
	w.useServer(w.accounts, w.client)
}

// failedReleasesAt leaves the mount with n tokens whose revocation has failed there.
func (w *world) failedReleasesAt(s *otherServer, n int) (leases []*backend.Issued) {
	w.t.Helper()
	w.at(s, n, func(role string) {
		issued := w.read(role)
		s.SetDown(true)
		require.Error(w.t, w.release(issued))
		s.SetDown(false)
		leases = append(leases, issued)
	})
	return leases
}

// hang keeps every answer of the server back until release is called.
func (s *otherServer) hang() (release func()) {
	shut := make(chan struct{})
	s.gate.mu.Lock()
	defer s.gate.mu.Unlock()
	s.gate.shut = shut
	s.SetLatency(time.Second)
	return func() { s.SetLatency(0); close(shut) }
}

// failedRelease is a lease whose token could not be revoked.
func (w *world) failedRelease(role string) *backend.Issued {
	w.t.Helper()
	issued := w.read(role)
	w.sim.SetDown(true)
	require.Error(w.t, w.release(issued))
	w.sim.SetDown(false)
	return issued
}

func (w *world) eventually(holds func() bool, message string) {
	w.t.Helper()
	require.Eventually(w.t, holds, 10*time.Second, time.Millisecond, message)
}

func TestTick_AServerThatHangsKeepsNoTokenOfAnotherFromBeingRevoked(t *testing.T) {
	w := newWorld(t)
	there := w.addServer()
	w.failedReleasesAt(there, 18)
	var undead []*backend.Issued
	for i := range 3 {
		role := fmt.Sprintf("here-%d", i)
		w.writeRole(role, settings.RoleChange{RefreshToken: ptr(w.consent())})
		undead = append(undead, w.failedRelease(role))
	}
	release := there.hang()
	before := len(there.Requests())
	w.clock.Advance(time.Minute)
	go func() { _ = w.engine.Tick(context.WithoutCancel(t.Context()), notTainted) }()
	defer w.settle()
	defer release()
	for _, issued := range undead {
		w.eventually(func() bool { return !w.alive(issued) }, "its server is well")
	}
	require.LessOrEqual(t, len(there.Requests())-before, 4, "and the other is asked no more at a time")
}

func TestTick_AServerThatHangsKeepsNoGrantOfAnotherFromBeingRefreshed(t *testing.T) {
	w := newWorld(t)
	former := w.read("crm-sync")
	there := w.addServer()
	w.failedReleasesAt(there, 18)
	release := there.hang()
	w.clock.Advance(40 * time.Minute)
	go func() { _ = w.engine.Tick(context.WithoutCancel(t.Context()), notTainted) }()
	defer w.settle()
	defer release()
	w.eventually(func() bool { return w.sim.MintCount(w.refreshToken) == 2 }, "it was minted ahead")
	require.True(t, w.alive(former))
}

func TestTick_TheNextOneDoesNotWaitForAServerThatHangs(t *testing.T) {
	w := newWorld(t)
	there := w.addServer()
	w.failedReleasesAt(there, 18)
	release := there.hang()
	w.clock.Advance(time.Minute)
	require.NoError(t, w.engine.Tick(t.Context(), notTainted))
	w.eventually(func() bool { return len(there.Requests()) > 0 }, "the server was asked")
	undead := w.failedRelease("crm-sync")
	w.clock.Advance(time.Minute)
	require.NoError(t, w.engine.Tick(t.Context(), notTainted))
	w.eventually(func() bool { return !w.alive(undead) }, "its server is well")
	release()
	w.settle()
}

func TestTick_ARefreshTokenAtAServerThatHangsKeepsNoOtherFromBeingRevoked(t *testing.T) {
	w := newWorld(t)
	there := w.addServer()
	w.at(there, 18, func(role string) {
		w.read(role)
		there.SetDown(true)
		_, err := w.deauthorize(role, false)
		require.Error(t, err)
		there.SetDown(false)
	})
	w.read("crm-sync")
	w.sim.SetDown(true)
	_, err := w.deauthorize("crm-sync", false)
	require.Error(t, err)
	w.sim.SetDown(false)
	release := there.hang()
	w.clock.Advance(2 * time.Minute)
	go func() { _ = w.engine.Tick(context.WithoutCancel(t.Context()), notTainted) }()
	defer w.settle()
	defer release()
	w.eventually(func() bool { return !w.formerLives() }, "its server is well")
}

// A token that cannot be revoked is tried ever more rarely, but not too rarely.
func TestTick_ATokenThatCannotBeRevokedIsTriedMoreRarelyAndUntilItExpires(t *testing.T) {
	w := newWorld(t)
	for _, endpoint := range []zohosim.Endpoint{zohosim.EndpointRevoke, zohosim.EndpointLegacyRevoke} {
		w.sim.Fault(endpoint, zohosim.Fault{Kind: zohosim.FaultHTML500})
	}
	issued := w.read("crm-sync")
	require.Error(t, w.release(issued))
	var asked []int // in which minute
	for minute := 1; minute < 50; minute++ {
		before := w.revocations()
		w.clock.Advance(time.Minute)
		w.tick()
		if w.revocations() > before {
			asked = append(asked, minute)
		}
	}
	require.Equal(t, []int{1, 2, 4, 7, 11, 15, 19, 23, 27, 31, 35, 39, 43, 47}, asked)
	w.sim.ClearFaults()
	for range 4 {
		w.clock.Advance(time.Minute)
		w.tick()
	}
	require.False(t, w.alive(issued), "four minutes after Zoho is well at the latest")
}

// Vault asks again by itself for a lease that it revokes.
func TestRevoke_ThatVaultAsksForDoesNotWaitForTheBackgroundWork(t *testing.T) {
	w := newWorld(t)
	for _, endpoint := range []zohosim.Endpoint{zohosim.EndpointRevoke, zohosim.EndpointLegacyRevoke} {
		w.sim.Fault(endpoint, zohosim.Fault{Kind: zohosim.FaultHTML500})
	}
	issued := w.read("crm-sync")
	require.Error(t, w.release(issued))
	for range 3 {
		w.clock.Advance(time.Minute)
		w.tick()
	}
	w.sim.ClearFaults()
	require.NoError(t, w.release(issued))
	require.False(t, w.alive(issued))
}

func TestTick_OneRoleThatCannotBeReadKeepsNoOtherGrantFromBeingRefreshed(t *testing.T) {
	w := newWorld(t)
	const others = 6
	for i := range others {
		w.writeRole(fmt.Sprintf("role-%d", i), settings.RoleChange{RefreshToken: ptr(w.consent())})
		w.read(fmt.Sprintf("role-%d", i))
	}
	w.writeRole("also", settings.RoleChange{RefreshToken: &w.refreshToken})
	w.read("crm-sync")
	w.engine.Invalidate("roles/also")
	w.storage.unreadable(func(key string) bool { return key == "roles/also" })
	w.clock.Advance(40 * time.Minute)
	before := w.asked()
	require.ErrorIs(t, w.engine.Tick(t.Context(), notTainted), errDisk, "it is told")
	w.settle()
	require.Equal(t, others+1, w.asked()-before, "crm-sync has its grant, whatever also says")
}

func TestTick_TellsOfEverythingThatFailed(t *testing.T) {
	w := newWorld(t)
	for i := range 3 {
		role := fmt.Sprintf("role-%d", i)
		w.writeRole(role, settings.RoleChange{RefreshToken: ptr(w.consent())})
		w.read(role)
	}
	w.tick() // goes through all that is stored, once a day
	w.restart()
	w.tick()
	for _, key := range w.keys("tokens/") {
		w.engine.Invalidate(key)
	}
	w.storage.unreadable(below("tokens/"))
	err := w.engine.Tick(t.Context(), notTainted)
	require.Equal(t, 3, strings.Count(err.Error(), errDisk.Error()), err)
}

// A token is stored before it is made the current one. Until then nothing refers to it, as to
// a leftover of a crash; but Zoho is being asked, or was a moment ago.
func TestTick_ATokenThatNothingRefersToIsLeftAloneWhileItsMintGoesOn(t *testing.T) {
	for _, age := range []time.Duration{0, 150 * time.Second, 40 * time.Minute} {
		w := newWorld(t)
		var issued *backend.Issued
		finish, done := w.holdBack(func(key string) bool {
			return below("refresh-tokens/")(key) && w.sim.MintCount(w.refreshToken) > 0
		}, func() (err error) {
			issued, err = w.engine.Issue(t.Context(), "crm-sync", backend.Reader{})
			return err
		})
		w.clock.Advance(age)
		w.look()
		require.Zero(t, w.revocations())
		finish(nil)
		require.NoError(t, <-done)
		require.True(t, w.alive(issued))
		require.Equal(t, 1, w.asked())
	}
}
