package test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/zohosim"
)

// nodeDir is a copy of examples/node with Zoho's SDK, as package-lock.json pins it.
var nodeDir = sync.OnceValues(func() (string, error) {
	return npmDir(filepath.Join(examplesDir, "node"), filepath.Join("testdata", "clients"))
})

// npmDir is a copy of the directories, together, with the packages that the lock file in
// them pins. It runs none of the packages' own scripts.
func npmDir(froms ...string) (string, error) {
	dir, err := os.MkdirTemp(filepath.Dir(env.server.Dir()), "node")
	if err != nil {
		return "", err
	}
	for _, from := range froms {
		if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
			return "", err
		}
	}
	install := exec.Command("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
	install.Dir = dir
	out, err := install.CombinedOutput()
	if err != nil {
		return "", errors.Join(errors.New("npm ci: "+string(out)), err)
	}
	return dir, nil
}

// node returns a program of testdata/clients or examples/node, ready to run.
func node(t *testing.T, script string, args ...string) *exec.Cmd {
	t.Helper()
	_, err := exec.LookPath("node")
	if err == nil {
		_, err = exec.LookPath("npm")
	}
	needs(t, "Node.js with npm (Debian: apt-get install nodejs npm)", err)
	dir, err := nodeDir()
	needs(t, "Zoho's SDK from the npm registry", err)
	worksWith(t, "Zoho's Node SDK 8.0", "node", "-p", "require(process.argv[1]).version", filepath.Join(dir, "node_modules", "@zohocrm", "nodejs-sdk-8.0", "package.json"))
	cmd := exec.CommandContext(t.Context(), "node", append([]string{script}, args...)...)
	cmd.Dir = dir
	return cmd
}

// Two processes, as an application has them. One has the SDK's default store, a
// file, which holds the access token in clear; the other has none. docs/clients.md
// tells of both.
func TestTokenServer_ZohosNodeSDKLivesOnLeasedTokens(t *testing.T) {
	t.Parallel()
	first, second := node(t, "sdk.mjs"), node(t, "sdk.mjs")
	// Zoho names the address of a data centre that the SDK knows. It must not be led
	// to the Accounts server which belongs to that.
	s := newMount(t, zohosim.Options{TokenLife: clientLife, Answer: zohosim.Answer{APIDomain: "https://www.zohoapis.eu"}}).startTokenServer()
	first.Env, second.Env = s.environ(t.TempDir()), append(s.environ(t.TempDir()), "NO_STORE=1")
	a, b := startProgram(t, first), startProgram(t, second)
	s.lives("five tokens", func() { a.works(); b.works() })
	a.ends()
	b.ends()
	stored, err := os.ReadFile(filepath.Join(first.Dir, "sdk_tokens.txt"))
	require.NoError(t, err)
	require.Regexp(t, `,1000\.[0-9a-f]{32}\.[0-9a-f]{32},`, string(stored), "the access token, in clear")
	s.ends()
}

func TestExamples_NodeCallsZohoWithTheSDKAndGivesItsLeaseBack(t *testing.T) {
	t.Parallel()
	cmd := node(t, "main.mjs")
	if exec.CommandContext(t.Context(), "node", "--experimental-permission", "-e", "0").Run() == nil {
		// It may read, and write nothing: so no token gets to a file.
		cmd.Args = append([]string{"node", "--experimental-permission", "--allow-fs-read=*", "--no-warnings"}, cmd.Args[1:]...)
	} else {
		t.Log("this Node.js cannot keep a program from writing files, so that was not looked at")
	}
	e := newExample(t, "node", time.Hour)
	cmd.Env = e.command(t.Context(), e.vaultToken(), "true").Env
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	require.Equal(t, "HTTP 200\nZylker\n", string(out))
	require.Zero(t, e.sim.LiveTokens(e.refreshToken))

	cmd = node(t, "main.mjs", "no-such-role")
	cmd.Env = e.command(t.Context(), e.vaultToken(), "true").Env
	out, err = cmd.CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), "permission denied")
}

func TestExamples_NodeReadsAgainBeforeItsLeaseEnds(t *testing.T) {
	t.Parallel()
	cmd := node(t, "leases.mjs")
	e := newExample(t, "node", exampleLife)
	cmd.Env = e.command(t.Context(), e.vaultToken(), "true").Env
	p := startProgram(t, cmd)
	watch(t, "three tokens", 5*exampleLife, func() bool {
		p.works()
		return e.mints() >= 4
	})
	p.ends()
	eventually(t, "the end of the tokens at Zoho", func() bool { return e.sim.LiveTokens(e.refreshToken) == 0 })
}

func TestUsing_TheSDKsAccessTokenWayWorks(t *testing.T) {
	t.Parallel()
	cmd := node(t, "access.mjs")
	m := newMount(t, zohosim.Options{})
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "API_URL=" + m.accounts.URL, "ACCESS_TOKEN=" + m.read("crm-sync").token}
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	require.Equal(t, "HTTP 200\n", string(out))
}
