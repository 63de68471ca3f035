package backend_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/zohosim"
)

// addRoles stores copies of crm-sync until the mount has n roles.
func (w *world) addRoles(n int) {
	w.t.Helper()
	entry, err := w.storage.Get(w.t.Context(), "roles/crm-sync")
	require.NoError(w.t, err)
	for i := range n - 1 {
		require.NoError(w.t, w.storage.Put(w.t.Context(), &logical.StorageEntry{Key: fmt.Sprintf("roles/job-%05d", i), Value: entry.Value}))
	}
}

func TestClientMove_LooksAtTenThousandRolesAndNoMore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.addRoles(10_002)
	reads := 0
	w.storage.reading(func(key string) {
		if strings.HasPrefix(key, "roles/") {
			reads++
		}
	})
	_, err := w.engine.DeleteConfig(t.Context(), false)
	require.ErrorContains(t, err, "crm-sync, job-00000, job-00001, job-00002, job-00003, job-00004, job-00005, job-00006, job-00007, job-00008 and 9990 more, among the first 10000 roles of the mount; the others were not looked at")
	require.Equal(t, 9_999, reads, "one was in memory")

	warnings, err := w.engine.DeleteConfig(t.Context(), true)
	require.NoError(t, err)
	require.Contains(t, warnings[0], "10000 roles hand out no access tokens any more: crm-sync, ")
	require.Equal(t, 9_999, reads, "the others are in memory, too")
	require.Less(t, len(warnings[0]), 1000)
}

func TestClientMove_ReadsNoRoleWhereTheClientStays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.addRoles(20)
	w.restart()
	w.storage.reading(func(key string) { require.NotContains(t, key, "roles/") })
	w.configure(settings.ConfigChange{ClientID: &w.client.ID, ClientSecret: ptr(w.client.Secret("us")), RequestBudget: ptr(9)})
}

func TestClientMove_ARoleThatCannotBeReadIsNoObstacle(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	require.NoError(t, w.storage.Put(t.Context(), &logical.StorageEntry{Key: "roles/damaged", Value: []byte("{")}))
	_, err := w.engine.DeleteConfig(t.Context(), false)
	require.ErrorContains(t, err, `Role "crm-sync" uses the mount's client`)

	w.storage.unreadable(below("roles/"))
	w.restart()
	_, err = w.engine.DeleteConfig(t.Context(), true)
	require.ErrorIs(t, err, errDisk, "who cannot tell what ends ends nothing")
	w.storage.unreadable(nil)
	w.read("crm-sync")
}

func TestClientMove_TheWayBackEndsTheRolesOfTheOtherClientAndNoOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := w.sim.AddClient(zohosim.ClientSpec{})
	w.configure(settings.ConfigChange{ClientID: &other.ID, ClientSecret: ptr(other.Secret("us"))})
	w.writeRole("of-other", settings.RoleChange{RefreshToken: ptr(w.sim.Consent(other, "us", "user@example.com", scopes))})
	back := settings.ConfigChange{ClientID: &w.client.ID, ClientSecret: ptr(w.client.Secret("us"))}
	_, err := w.engine.WriteConfig(t.Context(), back)
	require.ErrorContains(t, err, `Role "of-other" uses the mount's client`)
	back.Force = true
	warnings, err := w.engine.WriteConfig(t.Context(), back)
	require.NoError(t, err)
	require.Len(t, warnings, 1)
	require.Contains(t, warnings[0], `role "of-other" hands out no access tokens any more`)
	w.read("crm-sync")
}

func TestClientMove_IsInTheLogOnlyWhenItHasHappened(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	told := w.listen(hclog.Info)
	const line = "roles hand out no access tokens any more, since the mount's client was changed or deleted"
	_, err := w.engine.DeleteConfig(t.Context(), false)
	require.Error(t, err)
	w.storage.failing(below("config"))
	_, err = w.engine.DeleteConfig(t.Context(), true)
	require.ErrorIs(t, err, errDisk)
	w.storage.failing(nil)
	require.Empty(t, w.lines(told, line))
	w.deleteConfig()
	w.requireLine(told, "warn", line, map[string]any{"roles": "crm-sync", "count": 1.0, "client_id": w.client.ID, "accounts_url": w.accounts.URL})
}
