package backend_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/zohosim"
)

const givenUp = "The access token that there was has been given up, since its last lease was revoked or somebody has ended it"

func TestRead_AfterTheOnlyLeaseWasRevokedInAnOutageSaysWhatHappened(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	issued := w.read("crm-sync")
	w.sim.SetDown(true)
	require.Error(t, w.release(issued), "Vault tries it again")
	err := w.readError("crm-sync")
	require.ErrorContains(t, err, "could not be reached")
	require.ErrorContains(t, err, givenUp)
	require.ErrorContains(t, err, "A role with revoke_delay keeps its token for the next reader")
	require.ErrorContains(t, w.readError("crm-sync"), givenUp, "also while Zoho is left alone")
	w.restart()
	require.ErrorContains(t, w.readError("crm-sync"), givenUp)

	w.sim.SetDown(false)
	require.NoError(t, w.release(issued))
	require.False(t, w.alive(issued), "it is the one that dies")
	w.clock.Advance(time.Minute)
	require.True(t, w.alive(w.read("crm-sync")))
}

// Zoho may have revoked the token although its answer was lost. A reader who got the token
// would have a dead one.
func TestRead_NeverGetsATokenWhoseRevocationMayHaveArrived(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	issued := w.read("crm-sync")
	for _, endpoint := range []zohosim.Endpoint{zohosim.EndpointRevoke, zohosim.EndpointLegacyRevoke} {
		w.sim.Fault(endpoint, zohosim.Fault{Kind: zohosim.FaultClose, Processed: true})
	}
	require.Error(t, w.release(issued))
	require.False(t, w.alive(issued), "Zoho has revoked it, and nobody here knows")
	w.sim.SetDown(true)
	require.ErrorContains(t, w.readError("crm-sync"), givenUp)
}

func TestRead_InAnOutageGoesOnIfTheRoleHasARevokeDelay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.writeRole("crm-sync", settings.RoleChange{RevokeDelay: ptr(10 * time.Minute)})
	issued := w.read("crm-sync")
	w.sim.SetDown(true)
	require.NoError(t, w.release(issued))
	w.clock.Advance(9 * time.Minute)
	require.Equal(t, issued.TokenID, w.read("crm-sync").TokenID, "as the message says")
}

func TestRead_InAnOutageSaysNothingOfWhatWasNotGivenUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.sim.SetDown(true)
	require.NotContains(t, w.readError("crm-sync").Error(), "given up")
}
