package test

import (
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/zohosim"
)

// programs are the examples that call Zoho once, each with the command that runs
// it in a copy of its directory.
func programs() map[string]func(e *example) []string {
	return map[string]func(e *example) []string{
		"curl":   func(*example) []string { return []string{"sh", "call-zoho.sh"} },
		"go":     func(e *example) []string { return []string{e.goProgram()} },
		"python": func(e *example) []string { return []string{pythonWithHVAC(e.t), "call_zoho.py"} },
	}
}

// newProgram prepares an example of [programs], or skips it where the machine
// cannot run it.
func newProgram(t *testing.T, name string, command func(*example) []string) (*example, []string) {
	t.Helper()
	if name == "curl" {
		worksWith(t, "curl", installed(t, "curl"), "--version")
	}
	e := newExample(t, name, time.Hour)
	return e, command(e)
}

func (e *example) goProgram() string {
	e.t.Helper()
	worksWith(e.t, "Go with vault/api", "go", "list", "-m", "github.com/hashicorp/vault/api")
	program := filepath.Join(e.t.TempDir(), "program")
	out, err := exec.CommandContext(e.t.Context(), "go", "build", "-buildvcs=false", "-o", program, "../examples/go").CombinedOutput()
	require.NoError(e.t, err, string(out))
	return program
}

// pythonWithHVAC returns a Python that has hvac. Debian's is at home in
// /usr/bin, which need not be the first in the PATH.
func pythonWithHVAC(t *testing.T) string {
	t.Helper()
	var errs []error
	for _, python := range []string{"python3", "/usr/bin/python3"} {
		err := exec.CommandContext(t.Context(), python, "-c", "import hvac").Run()
		errs = append(errs, err)
		if err == nil {
			worksWith(t, "Python with hvac", python, "-c", "from importlib.metadata import version; print(version('hvac'))")
			return python
		}
	}
	needs(t, "Python with hvac (Debian: apt-get install python3-hvac)", errors.Join(errs...))
	return ""
}

func TestExamples_AProgramCallsZohoAndGivesItsLeaseBack(t *testing.T) {
	t.Parallel()
	for name, command := range programs() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, program := newProgram(t, name, command)
			out, err := e.command(t.Context(), e.vaultToken(), program[0], program[1:]...).CombinedOutput()
			require.NoError(t, err, string(out))
			require.Contains(t, string(out), "Zylker")
			eventually(t, "the end of the token at Zoho", func() bool { return e.sim.LiveTokens(e.refreshToken) == 0 })

			unknown := append(program[1:], map[string][]string{
				"curl": {"no-such-role"}, "go": {"-role=no-such-role"}, "python": {"--role=no-such-role"},
			}[name]...)
			out, err = e.command(t.Context(), e.vaultToken(), program[0], unknown...).CombinedOutput()
			require.Error(t, err)
			require.Contains(t, string(out), "permission denied")

			if name == "go" { // its client does not read that file
				program = append([]string{"sh", "-c", `VAULT_TOKEN=$(vault print token) exec "$@" -mount=zoho`, "sh"}, program...)
			}
			require.Contains(t, e.runAfterLogin([]string{"vault", "login", "-no-print", e.vaultToken()}, program), "Zylker")
		})
	}
}

// Somebody else ends the token at Zoho, of which Vault cannot know.
func TestExamples_AProgramGetsAnotherTokenOnceWhenTheOneItHasIsDead(t *testing.T) {
	t.Parallel()
	for name, command := range programs() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, program := newProgram(t, name, command)
			dead := e.killed()
			out, err := e.command(t.Context(), e.vaultToken(), program[0], program[1:]...).CombinedOutput()
			require.NoError(t, err, string(out))
			require.Contains(t, string(out), "Zylker")
			require.Equal(t, 2, e.mints())
			require.NotEqual(t, dead.Data["token_id"], e.read("crm-sync").Data["token_id"], "the next reader does not get the dead one")

			// A 401 that another token does not help against costs no token request.
			e.sim.Fault(zohosim.EndpointAPI, zohosim.Fault{
				Kind: zohosim.FaultAnswer, Count: 1, Status: http.StatusUnauthorized, Body: `{"code":"OAUTH_SCOPE_MISMATCH"}`,
			})
			mints, leases := e.mints(), e.leases()
			out, err = e.command(t.Context(), e.vaultToken(), program[0], program[1:]...).CombinedOutput()
			require.Error(t, err, string(out))
			require.Contains(t, string(out), "OAUTH_SCOPE_MISMATCH")
			require.Equal(t, mints, e.mints())
			eventually(t, "the program's leases to be given back", func() bool { return e.leases() <= leases })

			// Another token is asked for once, and not for each answer.
			e.killed()
			mints = e.mints()
			calls := e.sim.Count(zohosim.EndpointAPI)
			e.sim.Fault(zohosim.EndpointAPI, zohosim.Fault{
				Kind: zohosim.FaultAnswer, Status: http.StatusUnauthorized, Body: `{"code":"INVALID_TOKEN"}`,
			})
			out, err = e.command(t.Context(), e.vaultToken(), program[0], program[1:]...).CombinedOutput()
			require.Error(t, err, string(out))
			require.Equal(t, mints+1, e.mints())
			require.Equal(t, calls+2, e.sim.Count(zohosim.EndpointAPI))
		})
	}
}

// killed is a current token that somebody has ended at Zoho.
func (e *example) killed() creds {
	e.t.Helper()
	dead := e.read("crm-sync")
	require.True(e.t, e.sim.Kill(dead.token))
	return dead
}

// runAfterLogin runs a program for somebody who has logged in with `vault login`:
// no variable has the token, but a file in the home directory.
func (e *example) runAfterLogin(login, program []string) string {
	e.t.Helper()
	bin := e.t.TempDir()
	require.NoError(e.t, os.Symlink(e.server.Bin(), filepath.Join(bin, "vault")))
	var out []byte
	for _, command := range [][]string{login, program} {
		cmd := exec.CommandContext(e.t.Context(), "sh", append([]string{"-c", `exec "$@"`, "sh"}, command...)...)
		cmd.Dir = e.dir
		cmd.Env = []string{"PATH=" + bin + ":" + os.Getenv("PATH"), "HOME=" + e.dir, "VAULT_ADDR=" + e.server.Addr()}
		var err error
		out, err = cmd.CombinedOutput()
		require.NoError(e.t, err, string(out))
	}
	return string(out)
}
