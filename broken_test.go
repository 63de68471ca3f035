package zohosecrets

import (
	"testing"

	"github.com/hashicorp/vault/sdk/logical"
	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/zohosim"
)

// damage puts something into the place of a stored entry that cannot be
// decoded, as a fault of a disk or of a former version could.
func (m *mount) damage(key string) {
	m.t.Helper()
	require.NoError(m.t, m.storage.Put(m.t.Context(), &logical.StorageEntry{Key: key, Value: []byte(`{"refresh_token": hunter2`)}))
	m.inner.InvalidateKey(m.t.Context(), key)
}

// requireBroken requires an error that tells what is broken and what to do.
func requireBroken(t *testing.T, got answer, key string) {
	t.Helper()
	require.Equal(t, 500, got.status, got)
	require.Contains(t, got.text, `the stored entry "`+key+`" cannot be decoded; write it again, in full, or delete it, or restore it from a backup`)
	require.NotContains(t, got.text, "hunter2")
}

func TestBroken_ARoleIsToldOfWithoutItsContent(t *testing.T) {
	t.Parallel()
	m, _ := newWorld(t)
	m.damage("roles/broken")
	for _, got := range []answer{
		m.read("roles/broken"), m.read("creds/broken"), m.read("roles/broken/status"),
		m.write("roles/broken/authorize", nil), m.write("roles/broken/deauthorize", nil), m.write("roles/broken/rotate", nil),
	} {
		requireBroken(t, got, "roles/broken")
	}
	m.read("creds/crm-sync").done(t)
}

func TestBroken_AConfigIsToldOfByAllThatNeedIt(t *testing.T) {
	t.Parallel()
	m, z := newWorld(t)
	m.damage("config")
	for _, got := range []answer{
		m.read("config"), m.read("creds/crm-sync"), m.read("roles/crm-sync"), m.read("roles/crm-sync/status"), m.list("roles/"),
		m.write("roles/crm-sync", z.role()), m.write("roles/desk", goodRole()),
	} {
		requireBroken(t, got, "config")
	}
}

func TestBroken_ARoleCanBeWrittenAgainInFull(t *testing.T) {
	t.Parallel()
	m, z := newWorld(t)
	token := m.read("creds/crm-sync").done(t).token()
	m.damage("roles/crm-sync")
	require.Equal(t, "broken", m.state("crm-sync"))
	m.write("roles/crm-sync", z.role()).done(t)
	require.Equal(t, "ready", m.state("crm-sync"))
	require.Equal(t, token, m.read("creds/crm-sync").done(t).token())
}

func TestBroken_ARoleIsNotReplacedByAWriteInPart(t *testing.T) {
	t.Parallel()
	m, _ := newWorld(t)
	m.damage("roles/crm-sync")
	m.requireRefused(m.write("roles/crm-sync", fields{"ttl": "10m"}), m.stored(), "role", "write refresh_token")
}

func TestBroken_AConfigCanBeWrittenAgainInFull(t *testing.T) {
	t.Parallel()
	m, z := newWorld(t)
	m.damage("config")
	m.write("config", z.config().with(fields{"verify": true})).done(t)
	require.Equal(t, z.url, m.read("config").done(t).Data["accounts_url"])
	require.Equal(t, 1, z.sim.Count(zohosim.EndpointToken), "the secret was tried with a role")
	m.read("creds/crm-sync").done(t)
	require.Equal(t, 1, z.sim.Count(zohosim.EndpointToken))
}

func TestBroken_AConfigIsNotReplacedByAWriteInPart(t *testing.T) {
	t.Parallel()
	m, _ := newWorld(t)
	m.damage("config")
	m.requireRefused(m.write("config", fields{"min_ttl": "10m"}), m.stored(), "config", "the stored config is damaged", "write it in full", "or delete it")
}

func TestBroken_APatchSaysThatThereIsNothingToKeep(t *testing.T) {
	t.Parallel()
	m, _ := newWorld(t)
	m.damage("roles/crm-sync")
	m.requireRefused(m.patch("roles/crm-sync", fields{"ttl": "10m"}), m.stored(), "role", `the stored entry of role "crm-sync" is damaged`, "write the role in full")
}

// What exists takes the policy's "update", what does not takes "create": whoever
// may only create must not replace what is there.
func TestBroken_AnEntryExistsToVaultsPolicies(t *testing.T) {
	t.Parallel()
	m, _ := newWorld(t)
	for _, key := range []string{"config", "roles/crm-sync"} {
		m.damage(key)
		checked, exists, err := m.backend.HandleExistenceCheck(t.Context(), request(t, logical.CreateOperation, key, goodConfig()))
		require.NoError(t, err)
		require.True(t, checked)
		require.True(t, exists, key)
	}
}

func TestBroken_AnEntryCanBeDeleted(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	for _, key := range []string{"config", "roles/broken"} {
		m.damage(key)
		m.delete(key).done(t)
		require.Equal(t, 404, m.read(key).status)
	}
	m.write("config", goodConfig()).done(t)
	m.write("roles/broken", goodRole()).done(t)
}

func TestBroken_ARoleDoesNotHideTheOthersFromTheList(t *testing.T) {
	t.Parallel()
	m, _ := newWorld(t)
	m.damage("roles/broken")
	require.Equal(t, []string{"broken", "crm-sync"}, m.list("roles/").done(t).Data["keys"])
	require.Equal(t, "broken", m.state("broken"))
	require.Equal(t, "never tried", m.state("crm-sync"))
}
