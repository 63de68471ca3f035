package backend_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend"
	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/zohosim"
)

// reauthorize gives crm-sync another refresh token by a code.
func (w *world) reauthorize() {
	w.t.Helper()
	_, err := w.writeCode("crm-sync", w.code())
	require.NoError(w.t, err)
	w.settle()
}

func (w *world) formerLives() bool { return w.sim.Alive(w.refreshToken) }

func TestRetire_TheFormerRefreshTokenIsRevokedAtOnceIfNobodyHoldsItsTokens(t *testing.T) {
	w := newWorld(t)
	require.NoError(t, w.release(w.read("crm-sync")))
	w.reauthorize()
	require.False(t, w.formerLives())
	require.Empty(t, w.unwanted())
	require.True(t, w.alive(w.read("crm-sync")))
}

func TestRetire_TheFormerRefreshTokenLivesAsLongAsALeaseOnItsTokens(t *testing.T) {
	w := newWorld(t)
	w.writeRole("own", settings.RoleChange{RefreshToken: &w.refreshToken, Exclusive: ptr(true)})
	shared, own := w.read("crm-sync"), w.read("own")
	w.deleteRole("own")
	w.reauthorize()
	for _, lease := range []*backend.Issued{shared, own} {
		w.restart()
		w.tick()
		require.True(t, w.formerLives())
		require.True(t, w.alive(lease), "with its refresh token it would be dead")
		require.NoError(t, w.release(lease))
		require.False(t, w.alive(lease))
	}
	w.tick()
	require.False(t, w.formerLives())
	require.True(t, w.alive(w.read("crm-sync")))
}

func TestRetire_TheFormerRefreshTokenLivesAsLongAsAnotherRoleUsesIt(t *testing.T) {
	w := newWorld(t)
	w.writeRole("books", settings.RoleChange{RefreshToken: &w.refreshToken})
	w.reauthorize()
	w.clock.Advance(time.Hour)
	w.tick()
	require.NoError(t, w.release(w.read("books")))
	require.True(t, w.formerLives())
	_, err := w.writeCode("books", w.code())
	require.NoError(t, err)
	w.settle()
	require.False(t, w.formerLives())
}

func TestRetire_ARevocationThatFailsIsRepeatedMoreAndMoreRarely(t *testing.T) {
	w := newWorld(t)
	require.NoError(t, w.release(w.read("crm-sync"))) // what never worked has one attempt
	w.sim.Fault(zohosim.EndpointRevoke, zohosim.Fault{Kind: zohosim.FaultHTML500})
	w.sim.Fault(zohosim.EndpointLegacyRevoke, zohosim.Fault{Kind: zohosim.FaultHTML500})
	w.reauthorize()
	for range 60 {
		w.clock.Advance(time.Minute)
		w.restart()
		w.tick()
	}
	require.Less(t, w.revocations(), 20)
	require.Greater(t, w.revocations(), 5)
	require.True(t, w.formerLives())
	w.sim.ClearFaults()
	for range 60 {
		w.clock.Advance(time.Minute)
		w.tick()
	}
	require.False(t, w.formerLives())
	require.Empty(t, w.unwanted())
}

func TestRetire_NeedsNeitherRoleNorConfig(t *testing.T) {
	w := newWorld(t)
	w.writeRole("crm-sync", w.own(settings.RoleChange{RefreshToken: &w.refreshToken}))
	lease := w.read("crm-sync")
	w.reauthorize()
	w.deleteRole("crm-sync")
	w.deleteConfig()
	w.restart()
	require.NoError(t, w.release(lease))
	w.tick()
	require.False(t, w.formerLives())
}

func TestRetire_AFormerClientOfTheMountIsNoObstacle(t *testing.T) {
	w := newWorld(t)
	other := w.sim.AddClient(zohosim.ClientSpec{})
	w.configure(settings.ConfigChange{ClientID: &other.ID, ClientSecret: ptr(other.Secret("us"))})
	_, err := w.writeCode("crm-sync", w.sim.Code(other, "us", zohosim.CodeSpec{Scopes: scopes}))
	require.NoError(t, err)
	w.settle()
	require.False(t, w.formerLives(), "the older endpoint wants no secret")
	require.True(t, w.alive(w.read("crm-sync")))
}

func TestRetire_ARoleThatTakesTheRefreshTokenUpAgainKeepsIt(t *testing.T) {
	w := newWorld(t)
	lease := w.read("crm-sync")
	w.reauthorize()
	_, err := w.write("books", settings.RoleChange{RefreshToken: &w.refreshToken})
	require.NoError(t, err)
	require.NoError(t, w.release(lease))
	warnings := w.deleteRole("books")
	require.Contains(t, joined(warnings), "lives on at Zoho")
	w.clock.Advance(time.Hour)
	w.tick()
	require.True(t, w.formerLives(), "it was written by an operator, who may use it elsewhere")
}

// A code that could not be stored changes nothing, now or later.
func TestRetire_ARoleThatCouldNotBeReauthorizedKeepsItsRefreshTokenForGood(t *testing.T) {
	for name, crash := range map[string]bool{"the write failed": false, "Vault crashed": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.storage.failing(func(key string) bool {
				if below("roles/")(key) && crash {
					w.storage.fail = func(string) bool { return true }
				}
				return below("roles/")(key)
			})
			_, err := w.writeCode("crm-sync", w.code())
			require.ErrorIs(t, err, errDisk)
			w.restart()
			w.storage.failing(nil)
			for range 3 {
				w.clock.Advance(2 * time.Minute)
				w.tick()
			}
			warnings := w.deleteRole("crm-sync")
			require.Contains(t, joined(warnings), "lives on at Zoho")
			w.clock.Advance(time.Hour)
			w.tick()
			require.True(t, w.formerLives())
		})
	}
}

func TestRetire_ARefreshTokenThatIsReplacedByAWrittenOneLivesOnWithAWarning(t *testing.T) {
	w := newWorld(t)
	warnings := w.writeRole("crm-sync", settings.RoleChange{RefreshToken: ptr(w.consent())})
	require.Contains(t, joined(warnings), "former refresh token lives on at Zoho")
	w.clock.Advance(time.Hour)
	w.tick()
	require.True(t, w.formerLives())
}

func TestRole_DeletingItWarnsThatItsRefreshTokenLivesOnUnlessAnotherRoleHasIt(t *testing.T) {
	w := newWorld(t)
	w.writeRole("books", settings.RoleChange{RefreshToken: &w.refreshToken})
	w.writeRole("robot", settings.RoleChange{GrantType: ptr(settings.GrantTypeClientCredentials), Scopes: &scopes})
	require.Empty(t, w.deleteRole("books"))
	require.Empty(t, w.deleteRole("robot"))
	require.Empty(t, w.deleteRole("nobody"))
	require.Contains(t, joined(w.deleteRole("crm-sync")), "lives on at Zoho")
	require.True(t, w.formerLives())
}

func TestRole_DeletingItWarnsOfNothingIfItsRefreshTokenIsDead(t *testing.T) {
	w := newWorld(t)
	require.NoError(t, w.release(w.read("crm-sync")))
	w.sim.RemoveUser("user@example.com")
	require.ErrorContains(t, w.readError("crm-sync"), "invalid_code")
	require.Empty(t, w.deleteRole("crm-sync"))
}

func TestRole_WarnsThatItSharesItsGrantAndThatItsTTLIsCapped(t *testing.T) {
	w := newWorld(t)
	warnings := w.writeRole("books", settings.RoleChange{RefreshToken: &w.refreshToken, TTL: ptr(2 * time.Hour)})
	require.Len(t, warnings, 2)
	require.Contains(t, warnings[0], "has no effect")
	require.Contains(t, warnings[1], "crm-sync")
	warnings = w.writeRole("books", settings.RoleChange{TTL: ptr(10 * time.Second)})
	require.Contains(t, warnings[0], "budget")
}

// A reader who began before the role was authorised again gets a living token,
// or is told to try again, and never a dead one.
func TestRetire_AReaderOfTheFormerRoleNeverGetsADeadToken(t *testing.T) {
	for range 50 {
		w := newWorld(t)
		w.configure(settings.ConfigChange{RequestBudget: ptr(1000)})
		w.sim.SetThrottle(throttleOff)
		var dead atomic.Int64
		stop := make(chan struct{})
		go func() {
			defer close(stop)
			for range 3 {
				if _, err := w.writeCode("crm-sync", w.code()); err != nil {
					t.Error(err)
				}
			}
		}()
		for _, err := range atOnce(4, func(int) error {
			for {
				select {
				case <-stop:
					return nil
				default:
				}
				issued, err := w.engine.Issue(t.Context(), "crm-sync", backend.Reader{})
				if err != nil {
					return err
				}
				if !w.alive(issued) {
					dead.Add(1)
				}
				if err := w.release(issued); err != nil {
					return err
				}
			}
		}) {
			require.NoError(t, err)
		}
		w.settle()
		require.Zero(t, dead.Load())
	}
}

func TestRetire_AReaderWhoseMintWasUnderWayNeverGetsADeadToken(t *testing.T) {
	for range 100 {
		w := newWorld(t)
		code := w.code()
		var issued *backend.Issued
		finish, done := w.holdBack(below("tokens/"), func() (err error) {
			issued, err = w.engine.Issue(t.Context(), "crm-sync", backend.Reader{})
			return err
		})
		_, err := w.writeCode("crm-sync", code)
		require.NoError(t, err)
		finish(nil)
		require.NoError(t, <-done)
		w.settle()
		require.True(t, w.alive(issued))
	}
}
