package backend_test

import (
	"encoding/pem"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend"
	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/zohosim"
)

// Invariant 17: everything stored has an end.

func TestSweep_RecordsThatNobodyNeedsAreDeletedAlsoAfterRestarts(t *testing.T) {
	w := newWorld(t)
	for i := range 10 {
		_, err := w.write("junk", settings.RoleChange{RefreshToken: ptr(fmt.Sprintf("1000.%032x.%032x", i, i))})
		require.Error(t, err)
	}
	w.robot("robot", "ZohoCRM.modules.READ")
	require.NoError(t, w.release(w.read("robot")))
	w.deleteRole("robot")
	w.restart()
	require.Len(t, w.keys("refresh-tokens/"), 11, "those that were asked for count")
	require.NotEmpty(t, w.keys("clients/"))
	require.NotEmpty(t, w.keys("refused/"))
	for range 28 {
		w.clock.Advance(time.Hour)
		w.tick()
		w.restart() // what was to be swept is not remembered
	}
	for range 30 {
		w.clock.Advance(time.Hour)
		w.tick()
	}
	require.Len(t, w.keys("refresh-tokens/"), 1, "that of crm-sync")
	require.Empty(t, w.keys("clients/"))
	require.Empty(t, w.keys("refused/"))
	w.read("crm-sync")
}

// A write that was cut off leaves a name in a record.
func TestReconcile_ARecordForgetsRolesThatWereNeverWritten(t *testing.T) {
	w := newWorld(t)
	w.storage.failing(below("roles/"))
	_, err := w.write("books", settings.RoleChange{RefreshToken: &w.refreshToken, Verify: ptr(false)})
	require.ErrorIs(t, err, errDisk)
	w.storage.failing(nil)
	w.restart()
	require.Len(t, w.entered(), 2)
	w.clock.Advance(time.Hour)
	w.tick()
	require.Len(t, w.entered(), 1)
	require.Empty(t, w.status("crm-sync").SharedWith)
}

func TestSweep_MemoryForgetsWhatNobodyAsksFor(t *testing.T) {
	w := newWorld(t)
	for i := range 20 {
		w.writeRole("x", settings.RoleChange{RefreshToken: ptr(fmt.Sprintf("1000.%032x.%032x", i, i))})
		w.status("x")
	}
	require.GreaterOrEqual(t, w.engine.Remembered(), 20)
	w.settle() // what runs behind the last write would remember again
	w.clock.Advance(3 * time.Hour)
	w.tick()
	require.Zero(t, w.engine.Remembered())
	require.True(t, w.alive(w.read("crm-sync")))
}

func TestRevocation_ThatZohoAlwaysRefusesIsGivenUpWithAnErrorLineAndAnEvent(t *testing.T) {
	w := newWorld(t)
	e := w.listen(hclog.Info)
	require.NoError(t, w.release(w.read("crm-sync")))
	w.clock.Advance(2 * time.Hour)
	w.tick()
	calls := w.revocations()
	w.sim.Fault(zohosim.EndpointRevoke, zohosim.Fault{Kind: zohosim.FaultAnswer, Status: 401, Body: "{}"})
	w.sim.Fault(zohosim.EndpointLegacyRevoke, zohosim.Fault{Kind: zohosim.FaultAnswer, Status: 401, Body: "{}"})
	_, err := w.deauthorize("crm-sync", false)
	require.Error(t, err)
	days := 0
	for ; len(w.unwanted()) > 0; days++ {
		require.Less(t, days, 10)
		pending := w.status("crm-sync").Pending
		require.Len(t, pending, 1)
		require.NotEmpty(t, pending[0].LastError)
		for range 24 {
			w.clock.Advance(time.Hour)
			w.tick()
		}
		if days%2 == 0 {
			w.restart()
		}
	}
	require.GreaterOrEqual(t, days, 5)
	require.Less(t, w.revocations()-calls, 50)
	for _, stored := range w.stored("") {
		require.NotContains(t, stored, w.refreshToken, "its secrets are gone, too")
	}
	lines := w.lines(e, "gave up revoking a refresh token, and forgot it: it may live on at Zoho. Remove it there, under Connected Apps of the user who consented, or delete the client in the API console")
	require.Len(t, lines, 1)
	require.Equal(t, w.client.ID, lines[0]["client_id"])
	require.Equal(t, "crm-sync", lines[0]["role"])
	events := w.named(e, backend.EventRefreshTokenAbandon)
	require.Len(t, events, 1)
	require.Equal(t, w.client.ID, events[0].Details["client_id"])
}

func TestConsent_ARoleHasTenPendingAuthorizationsAtMost(t *testing.T) {
	w := newConsentWorld(t)
	oldest := w.agreed()
	for range 9 {
		w.clock.Advance(time.Second)
		w.authorize()
	}
	latest := w.agreed()
	for range 50 {
		require.LessOrEqual(t, len(w.keys("consents/")), 10)
		w.clock.Advance(time.Second)
	}
	w.refused(oldest, "not valid")
	_, err := w.complete(latest)
	require.NoError(t, err)
}

func TestConsent_APendingAuthorizationIsSmallHoweverManyScopesItAsksFor(t *testing.T) {
	w := newConsentWorld(t)
	many := make([]string, 200)
	for i := range many {
		many[i] = fmt.Sprintf("ZohoCRM.%s%d", strings.Repeat("x", 80), i)
	}
	w.writeRole("desk", settings.RoleChange{Scopes: &many})
	w.authorize()
	for _, entry := range w.stored("consents/") {
		require.Less(t, len(entry), 4<<10)
	}
}

func TestConsent_TheSweepReadsNone(t *testing.T) {
	w := newConsentWorld(t)
	for range 5 {
		w.authorize()
	}
	w.storage.unreadable(below("consents/"))
	w.tick()
	require.Len(t, w.keys("consents/"), 5)
	w.clock.Advance(11 * time.Minute)
	w.tick()
	require.Empty(t, w.keys("consents/"))
}

// A new ca_cert counts from the next call on, whoever read last.
func TestCACert_OfTheConfigIsUsedForMintsAheadAndRevocations(t *testing.T) {
	w := newWorld(t)
	issued := w.read("crm-sync")
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	caCert := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	w.configure(settings.ConfigChange{CACert: &caCert})
	w.engine.ForgetAccountsClients()
	w.clock.Advance(40 * time.Minute)
	w.tick()
	require.Equal(t, []string{caCert}, w.engine.CACertsInUse(), "a mint ahead")
	w.engine.ForgetAccountsClients()
	require.NoError(t, w.release(issued))
	require.Equal(t, []string{caCert}, w.engine.CACertsInUse(), "a revocation")
}

// damageEntries makes what is stored below prefix undecodable.
func (w *world) damageEntries(prefix string) {
	w.t.Helper()
	w.settle()
	for _, key := range w.keys(prefix) {
		require.NoError(w.t, w.storage.Put(w.t.Context(), &logical.StorageEntry{Key: key, Value: []byte("{")}))
	}
	w.restart()
}

// Invariant 15: one damaged record stops nothing but what it is the record of.
func TestDamage_ToARecordThatTheEngineKeepsBlocksNoRole(t *testing.T) {
	for _, prefix := range []string{"refresh-tokens/", "clients/", "refused/", "tokens/", "holders/", "consents/", "ended/"} {
		t.Run(prefix, func(t *testing.T) {
			w := newConsentWorld(t)
			w.authorize()
			require.NoError(t, w.release(w.read("crm-sync")))
			w.writeRole("books", settings.RoleChange{RefreshToken: ptr(w.consent())})
			w.read("books")
			held := w.read("crm-sync")
			w.reauthorize()
			w.damageEntries(prefix)
			for _, role := range []string{"crm-sync", "books"} {
				overview, err := w.engine.RoleOverview(t.Context(), role)
				require.NoError(t, err)
				require.NotEqual(t, backend.StateBroken, overview.State)
				w.status(role)
				w.writeRole(role, settings.RoleChange{TTL: ptr(time.Minute)})
			}
			w.tick()
			w.clock.Advance(11 * time.Minute)
			w.tick()
			for _, role := range []string{"crm-sync", "books"} {
				issued := w.read(role)
				require.True(t, w.alive(issued))
				require.NoError(t, w.release(issued))
			}
			require.NoError(t, w.release(held))
			w.deleteRole("books")
			for range 4 {
				w.clock.Advance(time.Hour)
				w.tick()
			}
			require.Empty(t, w.keys("tokens/"))
			require.Empty(t, w.keys("holders/"))
			require.Empty(t, w.unwanted())
			require.Empty(t, w.keys("consents/"))
		})
	}
}

// A quota whose record is damaged has live tokens that Zoho goes on counting.
func TestDamage_ToAQuotaEvictsNoLeasedTokenAndExceedsNoBudget(t *testing.T) {
	w := newWorld(t)
	w.writeRole("own", settings.RoleChange{RefreshToken: &w.refreshToken, Exclusive: ptr(true)})
	var held []*backend.Issued
	for range 7 {
		held = append(held, w.read("own"))
		w.clock.Advance(time.Second)
	}
	w.damageEntries("refresh-tokens/")
	require.ErrorContains(t, w.readError("own"), "was damaged")
	for range 8 {
		w.clock.Advance(11 * time.Minute / 2)
		if issued, err := w.engine.Issue(t.Context(), "own", backend.Reader{}); err == nil {
			held = append(held, issued)
		}
	}
	require.Len(t, held, 10, "max_live_tokens")
	for _, lease := range held {
		require.True(t, w.alive(lease))
	}
}

// A damaged record is put right once, and not whenever it is loaded.
func TestDamage_ToAQuotaSilencesItOnce(t *testing.T) {
	w := newWorld(t)
	require.NoError(t, w.release(w.read("crm-sync")))
	w.clock.Advance(3 * time.Hour)
	w.tick()
	w.damageEntries("refresh-tokens/")
	require.Error(t, w.readError("crm-sync"))
	for range 4 {
		w.clock.Advance(3 * time.Hour)
		w.tick()
		w.restart()
		require.NoError(t, w.release(w.read("crm-sync")))
	}
}

// Invariant 7: a revocation needs no config.
func TestDamage_ToTheConfigBlocksNoRevocation(t *testing.T) {
	w := newWorld(t)
	lease := w.read("crm-sync")
	w.damageEntries("config")
	require.NoError(t, w.release(lease))
	require.False(t, w.alive(lease))
}

func TestSweep_RecordsThatAreDamagedOrNameALostTokenAreDeleted(t *testing.T) {
	for _, prefix := range []string{"tokens/", "refresh-tokens/"} {
		w := newWorld(t)
		w.read("crm-sync")
		w.damageEntries(prefix)
		w.deleteRole("crm-sync")
		for range 96 {
			w.clock.Advance(30 * time.Minute)
			w.tick()
		}
		require.Empty(t, w.keys("refresh-tokens/"), prefix)
	}
}
