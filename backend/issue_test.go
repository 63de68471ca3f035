package backend_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend"
	"vault-plugin-secrets-zoho/backend/ledger"
	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/backend/zoho"
	"vault-plugin-secrets-zoho/zohosim"
)

func TestIssue_ReadersShareOneTokenAndEachHasALeaseOfItsOwn(t *testing.T) {
	w := newWorld(t)
	first, second := w.read("crm-sync"), w.read("crm-sync")

	require.True(t, w.alive(first))
	require.Equal(t, first.AccessToken.Reveal(), second.AccessToken.Reveal())
	require.Equal(t, first.TokenID, second.TokenID)
	require.NotEqual(t, first.HolderID, second.HolderID)
	require.Equal(t, 1, w.sim.MintCount(w.refreshToken))
	require.Equal(t, w.accounts.URL, first.APIDomain)
}

// Invariant 1.
func TestIssue_ALeaseNeverOutlivesItsToken(t *testing.T) {
	w := newWorld(t)
	born := w.clock.Now()
	for range 40 { // steps that are no whole seconds
		issued := w.read("crm-sync")
		now := w.clock.Now()
		require.Zero(t, issued.TTL%time.Second)
		require.GreaterOrEqual(t, issued.TTL, time.Second)
		require.False(t, now.Add(issued.TTL).After(issued.ExpiresAt))
		require.Greater(t, issued.TTL, issued.ExpiresAt.Sub(now)-time.Second, "the lease is cut by more than the fraction of a second")
		require.True(t, issued.ExpiresAt.Before(born.Add(zoho.MaxLife)) || issued.ExpiresAt.After(born.Add(zoho.MaxLife+time.Minute)))
		w.clock.Advance(71*time.Second + 130*time.Millisecond)
	}
}

func TestIssue_TheRolesTTLCapsTheLease(t *testing.T) {
	w := newWorld(t)
	w.writeRole("crm-sync", settings.RoleChange{TTL: ptr(5 * time.Minute)})
	require.Equal(t, 5*time.Minute, w.read("crm-sync").TTL)
}

// Invariant 2.
func TestIssue_ATokenWithLessThanMinTTLIsReplaced(t *testing.T) {
	for name, c := range map[string]struct {
		config, role, read time.Duration
		wait               time.Duration
		mints              int
	}{
		"default, enough left":        {wait: 49 * time.Minute, mints: 1},
		"default, too little left":    {wait: 51 * time.Minute, mints: 2},
		"config, enough left":         {config: time.Minute, wait: 58 * time.Minute, mints: 1},
		"config, too little left":     {config: 30 * time.Minute, wait: 31 * time.Minute, mints: 2},
		"role goes before config":     {config: 30 * time.Minute, role: time.Minute, wait: 31 * time.Minute, mints: 1},
		"read goes before role":       {role: time.Minute, read: 30 * time.Minute, wait: 31 * time.Minute, mints: 2},
		"read for less than the role": {role: 30 * time.Minute, read: time.Minute, wait: 31 * time.Minute, mints: 1},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.configure(settings.ConfigChange{MinTTL: &c.config, RefreshAhead: ptr(false)})
			w.writeRole("crm-sync", settings.RoleChange{MinTTL: &c.role})
			w.read("crm-sync")
			w.clock.Advance(c.wait)
			issued, err := w.engine.Issue(t.Context(), "crm-sync", backend.Reader{MinTTL: c.read})
			require.NoError(t, err)
			require.Equal(t, c.mints, w.sim.MintCount(w.refreshToken))
			require.GreaterOrEqual(t, issued.TTL, max(c.read, time.Minute))
			require.Empty(t, issued.Warnings)
		})
	}
}

func TestIssue_AMinTTLBeyondWhatTheServersTokensLiveIsCappedWithAWarning(t *testing.T) {
	w := newWorld(t)
	w.sim.SetTokenLife(20 * time.Second)
	w.writeRole("crm-sync", settings.RoleChange{MinTTL: ptr(10 * time.Minute)})
	for range 3 {
		require.Contains(t, w.read("crm-sync").Warnings[0], "min_ttl (10m0s)")
	}
	require.Equal(t, 1, w.sim.MintCount(w.refreshToken))
}

// Invariant 3.
func TestIssue_AThousandColdReadersMakeOneTokenRequest(t *testing.T) {
	w := newWorld(t)
	issued := make([]*backend.Issued, 1000)
	var wg sync.WaitGroup
	for i := range issued {
		wg.Go(func() {
			var err error
			if issued[i], err = w.engine.Issue(context.Background(), "crm-sync", backend.Reader{}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	require.Equal(t, 1, w.sim.Count(zohosim.EndpointToken))
	holders := make(map[string]bool)
	for _, i := range issued {
		holders[i.HolderID] = true
	}
	require.Len(t, holders, 1000)
}

// Invariant 3.
func TestIssue_AReaderThatGivesUpDoesNotCancelTheMintForTheOthers(t *testing.T) {
	w := newWorld(t)
	release := w.holdAnswers()
	impatient, giveUp := context.WithCancel(t.Context())
	type result struct {
		issued *backend.Issued
		err    error
	}
	read := func(ctx context.Context) chan result {
		got := make(chan result, 1)
		go func() {
			issued, err := w.engine.Issue(ctx, "crm-sync", backend.Reader{})
			got <- result{issued, err}
		}()
		return got
	}
	first := read(impatient)
	w.waitForRequests(1)
	second := read(t.Context())
	giveUp()
	require.ErrorIs(t, (<-first).err, context.Canceled)
	release()
	patient := <-second
	require.NoError(t, patient.err)
	require.True(t, w.alive(patient.issued))
	require.Equal(t, 1, w.sim.Count(zohosim.EndpointToken))
}

func TestIssue_RolesWithTheSameRefreshTokenShareItsAccessToken(t *testing.T) {
	w := newWorld(t)
	w.writeRole("books", settings.RoleChange{RefreshToken: &w.refreshToken})
	require.Equal(t, w.read("crm-sync").TokenID, w.read("books").TokenID)
	require.Equal(t, 1, w.sim.MintCount(w.refreshToken))
}

func TestIssue_RolesWithDifferentRefreshTokensShareNothing(t *testing.T) {
	w := newWorld(t)
	other := w.sim.Consent(w.client, "us", "other@example.com", scopes)
	w.writeRole("books", settings.RoleChange{RefreshToken: &other})
	require.NotEqual(t, w.read("crm-sync").TokenID, w.read("books").TokenID)
}

func TestIssue_UnknownRoleSaysHowToWriteIt(t *testing.T) {
	w := newWorld(t)
	var bad *settings.UserError
	require.ErrorAs(t, w.readError("nobody"), &bad)
	require.Contains(t, bad.Error(), "vault write")
}

func TestIssue_TheLedgerKnowsWhoHoldsAToken(t *testing.T) {
	w := newWorld(t)
	issued, err := w.engine.Issue(t.Context(), "crm-sync", backend.Reader{Requester: settings.Requester{EntityID: "e-1", DisplayName: "userpass-bob", RequestID: "r-1"}})
	require.NoError(t, err)
	w.restart()
	holders, _, err := w.engine.Holders(t.Context(), issued.TokenID, "", 0)
	require.NoError(t, err)
	require.Equal(t, []ledger.Holder{{
		ID: issued.HolderID, Role: "crm-sync", Requester: settings.Requester{EntityID: "e-1", DisplayName: "userpass-bob", RequestID: "r-1"},
		Since: w.clock.Now(), Until: w.clock.Now().Add(issued.TTL),
	}}, holders)
}

// A reader whose token was dead at Zoho asks for another one. The dead one, which
// somebody else still leases, must not come back when that reader is done.
func TestIssue_ATokenThatAReaderHasReplacedIsNotHandedOutAgain(t *testing.T) {
	w := newWorld(t)
	dead := w.read("crm-sync")
	require.True(t, w.sim.Kill(dead.AccessToken.Reveal()))
	w.clock.Advance(3 * time.Second)
	another, err := w.engine.Issue(t.Context(), "crm-sync", backend.Reader{MinTTL: time.Hour - 2*time.Second})
	require.NoError(t, err)
	require.True(t, w.alive(another))
	require.NoError(t, w.release(another))
	require.True(t, w.alive(w.read("crm-sync")))
}

// Vault reads a TTL of 0 as 32 days: such a lease would outlive its token by a month.
func TestIssue_NoLeaseIsShorterThanASecondAlsoIfItsRecordTookTheTokensLife(t *testing.T) {
	for name, c := range map[string]struct {
		left    time.Duration // of the token's life, when the record of the lease is written
		refused bool
	}{
		"a second is left":      {left: time.Second},
		"less than a second is": {left: time.Second - time.Nanosecond, refused: true},
		"nothing is":            {left: 0, refused: true},
		"the token has expired": {left: -time.Minute, refused: true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			expires := w.clock.Now().Add(time.Hour - time.Second) // Zoho's hour, and the margin
			w.read("crm-sync")                                    // the first reader waits for no record of the lease
			w.settle()
			w.storage.holding(func(key string) error {
				if strings.HasPrefix(key, "holders/") {
					w.storage.holding(nil)
					w.clock.Advance(expires.Add(-c.left).Sub(w.clock.Now()))
				}
				return nil
			})
			issued, err := w.engine.Issue(t.Context(), "crm-sync", backend.Reader{})
			if !c.refused {
				require.NoError(t, err)
				require.Equal(t, time.Second, issued.TTL)
				require.Equal(t, expires, issued.ExpiresAt)
				return
			}
			failed := grantError(t, err)
			require.Equal(t, zoho.Unreachable, failed.Kind, "try again")
			require.ErrorContains(t, failed, "expired while its lease was being recorded")
		})
	}
}

// Invariant 6: Vault makes no lease for a reader who has hung up, so nobody would end the holder.
func TestIssue_AReaderWhoHasHungUpHoldsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	held := w.hurry(3) // so places are reserved, and a reader waits for no write
	gone, hangUp := context.WithCancel(t.Context())
	hangUp()
	_, err := w.engine.Issue(gone, "crm-sync", backend.Reader{})
	require.ErrorIs(t, err, context.Canceled)
	w.settle()
	w.requireHolders(held[0], len(held), 0)
	for _, lease := range held {
		require.NoError(t, w.release(lease))
	}
	require.False(t, w.alive(held[0]))
}
