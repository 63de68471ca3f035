package zohosecrets

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestRunningVersion_IsSemver(t *testing.T) {
	t.Parallel()
	semver := regexp.MustCompile(`^v(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?$`) // no +metadata: Vault reserves some
	require.Regexp(t, semver, Version)
	require.Equal(t, Version, newMount(t).inner.RunningVersion)
}

func TestInfo_TellsWhatIsRunning(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	data := m.read("info").done(t).Data
	require.Equal(t, Version, data["version"])
	require.Equal(t, Commit, data["commit"])
	require.Equal(t, sdkVersion(), data["sdk_version"]) // a test binary does not know it; test/ asks the real one
}

// The linker says nothing of a variable that is not there.
func TestBuild_SetsTheVariablesThatThisPackageHas(t *testing.T) {
	t.Parallel()
	script, err := os.ReadFile("scripts/build")
	require.NoError(t, err)
	require.Contains(t, string(script), "pkg="+reflect.TypeFor[zohoBackend]().PkgPath()+"\n")
	for name, variable := range map[string]*string{"Version": &Version, "Commit": &Commit} {
		require.NotNil(t, variable)
		require.Contains(t, string(script), "-X $pkg."+name+"=")
	}
}

func TestSealWrap_EveryWrittenKeyIsCovered(t *testing.T) {
	t.Parallel()
	m, z := newWorld(t)
	written := map[string]bool{}
	note := func() {
		for key := range m.stored() {
			written[key] = true
		}
	}
	m.write("roles/alone", goodRole().with(fields{"client_id": z.client.ID, "client_secret": z.clientSecret,
		"refresh_token": z.sim.Consent(z.client, "us", "other@example.com", []string{"ZohoCRM.modules.ALL"}), "exclusive": true})).done(t)
	note()
	first := m.read("creds/crm-sync").done(t)
	m.read("creds/alone").done(t)
	note()
	m.clock.Advance(55 * time.Minute)
	second := m.read("creds/crm-sync").done(t)
	require.NotEqual(t, first.Data["token_id"], second.Data["token_id"])
	note()
	m.awaitsConsent(z)
	m.write("roles/person/authorize", nil).done(t)
	m.awaitsCode(z, "tv")
	m.write("roles/tv/authorize", fields{"method": "device"}).done(t)
	note() // nobody comes back from these
	m.completes(m.agree("roles/person"))
	m.read("creds/person").done(t)
	m.completes(m.agree("roles/person")) // the former refresh token is waiting for that lease to end
	note()
	z.sim.SetDown(true)
	require.Error(t, m.revoke("creds/crm-sync", second))
	require.Error(t, m.revoke("creds/crm-sync", first))
	_ = m.read("creds/crm-sync")
	note()
	z.sim.SetDown(false)
	require.NoError(t, m.tick())
	require.Equal(t, http.StatusBadRequest, m.write("roles/crm-sync", fields{"refresh_token": "1000.0123456789abcdef.0123456789abcdef"}).status, "Zoho does not know it")
	m.delete("roles/crm-sync").done(t)
	note()

	patterns := m.inner.SpecialPaths().SealWrapStorage
	used := map[string]bool{}
	for key := range written {
		covered := ""
		for _, pattern := range patterns { // as Vault matches: exactly, or as a prefix if it ends in a slash
			if key == pattern || (strings.HasSuffix(pattern, "/") && strings.HasPrefix(key, pattern)) {
				covered = pattern
			}
		}
		require.NotEmpty(t, covered, "%s is not seal-wrapped", key)
		used[covered] = true
	}
	require.Len(t, used, len(patterns), "a pattern that covers nothing is a mistake, or this scenario is too small")
}

func TestCleanup_EndsWhatTheMountStarted(t *testing.T) {
	t.Parallel()
	m, _ := newWorld(t)
	m.read("creds/crm-sync").done(t)
	m.backend.Cleanup(context.Background())
	got := m.read("creds/crm-sync")
	require.Equal(t, 503, got.status)
	require.Contains(t, got.text, "try again")
	m.backend.Cleanup(context.Background())
}

func TestCleanup_GivesUpConnectionsToZoho(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	z := newSimulation(t, m.clock)
	var open atomic.Int64
	server := httptest.NewUnstartedServer(z.sim.Handler("us"))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			open.Add(1)
		case http.StateClosed:
			open.Add(-1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	m.write("config", z.config().with(fields{"accounts_url": server.URL})).done(t)
	m.write("roles/crm-sync", z.role()).done(t)
	m.read("creds/crm-sync").done(t)
	require.NotZero(t, open.Load())
	m.backend.Cleanup(context.Background())
	require.Eventually(t, func() bool { return open.Load() == 0 }, 10*time.Second, time.Millisecond)
}

// A crash or a reload: the same storage, a new process.
func TestReload_KeepsTheTokenItsLeasesAndItsHolders(t *testing.T) {
	t.Parallel()
	m, z := newWorld(t)
	first, second := m.read("creds/crm-sync").done(t), m.read("creds/crm-sync").done(t)
	m.backend.Cleanup(context.Background())
	next := newMountOn(t, m.storage, nil)
	third := next.read("creds/crm-sync").done(t)
	require.Equal(t, first.Data["access_token"], third.Data["access_token"])
	for _, leased := range []answer{first, second} {
		require.NoError(t, next.revoke("creds/crm-sync", leased))
		require.True(t, z.sim.Alive(third.token()))
	}
	require.NoError(t, next.revoke("creds/crm-sync", third))
	require.False(t, z.sim.Alive(third.token()))
	require.Equal(t, 1, z.sim.MintCount(z.refreshToken))
}
