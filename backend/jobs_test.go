package backend_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend"
	"vault-plugin-secrets-zoho/backend/settings"
)

// docs/jobs.md: a program that looks every N minutes at a file that Vault Agent writes.
func TestJobs_AFileThatIsReadWithMinTTLOfNAndTTLAlwaysHasNMinutesLeft(t *testing.T) {
	for _, recipe := range []struct {
		n, ttl time.Duration
		mints  int // in an hour
	}{
		{5 * time.Minute, 10 * time.Minute, 2},
		{10 * time.Minute, 15 * time.Minute, 2},
		{20 * time.Minute, 20 * time.Minute, 4},
		{30 * time.Minute, 15 * time.Minute, 5},
	} {
		for _, percent := range []int{85, 90, 95} { // of a lease, when Agent reads again
			t.Run(fmt.Sprintf("%s at %d%%", recipe.n, percent), func(t *testing.T) {
				w := newWorld(t)
				const hours = 8
				var file *backend.Issued
				var ends, next time.Time
				former := map[*backend.Issued]time.Time{}
				for range hours * 60 * 4 {
					now := w.clock.Now()
					if !now.Before(next) {
						if file != nil {
							former[file] = ends
						}
						issued, err := w.engine.Issue(t.Context(), "crm-sync", backend.Reader{TTL: recipe.ttl, MinTTL: recipe.n + recipe.ttl})
						require.NoError(t, err)
						w.settle() // a mint ahead is there before the clock goes on
						file, ends, next = issued, now.Add(issued.TTL), now.Add(issued.TTL*time.Duration(percent)/100)
					}
					for lease, end := range former {
						if !now.Before(end) {
							require.NoError(t, w.release(lease))
							delete(former, lease)
						}
					}
					require.True(t, w.alive(file))
					require.GreaterOrEqual(t, file.ExpiresAt.Sub(now), recipe.n-2*time.Second, "what the program finds in the file")
					w.clock.Advance(15 * time.Second)
					if now.Second() == 0 {
						w.tick()
					}
				}
				// A token is replaced at half of its life, give or take a tenth: so there are a quarter
				// more at most.
				require.LessOrEqual(t, w.asked(), hours*recipe.mints*5/4+1)
			})
		}
	}
}

// docs/jobs.md: jobs that let their lease run out.
func TestJobs_ThatReadWithAShortTTLAndGiveNothingBackStayWithinTheBudget(t *testing.T) {
	w := newWorld(t)
	type running struct {
		*backend.Issued
		end time.Time
	}
	var leases []running
	for i := range 240 { // a job each half minute, and from time to time a pause
		w.clock.Advance(30 * time.Second)
		if i%50 < 10 {
			issued, err := w.engine.Issue(t.Context(), "crm-sync", backend.Reader{TTL: 5 * time.Minute})
			require.NoError(t, err)
			leases = append(leases, running{issued, w.clock.Now().Add(issued.TTL)})
		}
		for len(leases) > 0 && !w.clock.Now().Before(leases[0].end) {
			require.NoError(t, w.release(leases[0].Issued))
			leases = leases[1:]
		}
	}
	require.LessOrEqual(t, w.asked(), 5+3)
}

func TestStatus_ARoleWhoseReadersGet429IsOutOfBudgetUntilRetryAt(t *testing.T) {
	w := newWorld(t)
	w.writeRole("also", settings.RoleChange{RefreshToken: &w.refreshToken})
	require.NoError(t, w.release(w.read("also")))
	for range 7 {
		require.NoError(t, w.release(w.read("crm-sync")))
		w.clock.Advance(time.Second)
	}
	failed := grantError(t, w.readError("crm-sync"))
	require.Contains(t, failed.Error(), "8 of the 10 token requests")
	require.Contains(t, failed.Error(), "The other 2 are kept")
	require.Contains(t, failed.Error(), "write revoke_delay to their role")
	status := w.status("crm-sync")
	require.Equal(t, backend.StateOutOfBudget, status.State)
	require.Equal(t, failed.RetryAt, status.RetryAt)
	require.Equal(t, 2, status.RequestsLeft)
	overview, err := w.engine.RoleOverview(t.Context(), "crm-sync")
	require.NoError(t, err)
	require.Equal(t, backend.StateOutOfBudget, overview.State)
	require.Equal(t, backend.StateReady, w.status("also").State, "it may have one of the two")

	held := w.read("also")
	require.Equal(t, backend.StateReady, w.status("crm-sync").State, "there is a token for its readers")
	require.NoError(t, w.release(held))
	w.clock.Advance(w.status("crm-sync").RetryAt.Sub(w.clock.Now()))
	require.NotEqual(t, backend.StateOutOfBudget, w.status("crm-sync").State)
}

// A role that was never read says that it cannot be read, too.
func TestState_OutOfBudgetIsToldAlsoOfARoleThatWasNeverTried(t *testing.T) {
	w := newWorld(t)
	w.writeRole("late", settings.RoleChange{RefreshToken: &w.refreshToken, Verify: ptr(false)})
	w.configure(settings.ConfigChange{RequestBudget: ptr(1)})
	require.NoError(t, w.release(w.read("crm-sync")))
	w.writeRole("fresh", settings.RoleChange{RefreshToken: &w.refreshToken, ClientID: &w.client.ID, ClientSecret: ptr("another-secret-of-the-client"), Verify: ptr(false)})
	failed := grantError(t, w.readError("fresh"))
	status := w.status("fresh")
	require.Equal(t, backend.StateOutOfBudget, status.State)
	require.Equal(t, failed.RetryAt, status.RetryAt)
}
