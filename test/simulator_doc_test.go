package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/bootstrap"
	"vault-plugin-secrets-zoho/zohosim"
)

// Every command of docs/simulator.md, in the order of the page.
func TestSimulatorPage_EveryCommandWorks(t *testing.T) {
	t.Parallel()
	installed(t, "curl")
	r := newReader(t, zohosim.SelfClient)
	r.follows("README.md", fromZero)
	seen := map[string]string{}
	for _, command := range commandsOf(t, "docs/simulator.md") {
		file, isSourced := strings.CutPrefix(command, ". ./")
		switch {
		case strings.HasPrefix(command, "go build "):
			r.builds(command)
		case strings.HasPrefix(command, "bin/zoho-sim "):
			r.startsSimulator(strings.Fields(command))
		case isSourced:
			r.others = append(r.others, r.assignmentsIn(file)...)
		default:
			seen[command] = r.types(command)
		}
		if address := r.addressIn(seen[command]); address != "" {
			r.agree(address)
		}
	}
	for command, says := range map[string]string{
		`vault read zoho/creds/by-code`:          "Zoho-oauthtoken",
		`vault read zoho/creds/person`:           "Zoho-oauthtoken",
		`vault read zoho/creds/crm-sync`:         "Zoho-oauthtoken",
		`curl -s $ACCOUNTS_URL/sim/`:             "/sim/code",
		`curl -s $ACCOUNTS_URL/sim/requests`:     `"Endpoint": "token"`,
		`curl -s -X POST $ACCOUNTS_URL/sim/down`: "down",
		`curl -s -X POST $ACCOUNTS_URL/sim/up`:   "up",
	} {
		require.Contains(t, seen[command], says, command)
	}
}

// builds runs a go build of the page, which is typed in the repository, and puts
// the program into the reader's directory.
func (r *reader) builds(command string) {
	r.t.Helper()
	words := strings.Fields(command) // go build -o bin/zoho-sim ./cmd/zoho-sim
	words[3] = filepath.Join(r.dir, words[3])
	cmd := exec.CommandContext(r.t.Context(), "go", words[1:]...)
	cmd.Dir = ".."
	out, err := cmd.CombinedOutput()
	require.NoError(r.t, err, string(out))
}

// startsSimulator leaves the program running until the test ends.
func (r *reader) startsSimulator(words []string) {
	r.t.Helper()
	cmd := exec.Command(filepath.Join(r.dir, words[0]), words[1:]...) // stopped below
	cmd.Dir = r.dir
	process, err := bootstrap.StartProcess(cmd, filepath.Join(r.dir, "zoho-sim.log"))
	require.NoError(r.t, err)
	r.t.Cleanup(func() { require.NoError(r.t, process.Stop()) })
	eventually(r.t, "the simulator's assignments", func() bool { _, err := os.Stat(filepath.Join(r.dir, "sim.env")); return err == nil })
}

// assignmentsIn are those of a file that is sourced.
func (r *reader) assignmentsIn(file string) []string {
	r.t.Helper()
	content, err := os.ReadFile(filepath.Join(r.dir, file))
	require.NoError(r.t, err)
	lines := strings.Fields(string(content))
	require.NotEmpty(r.t, lines)
	for _, line := range lines {
		name, value, _ := strings.Cut(line, "=")
		if strings.HasSuffix(name, "SECRET") || strings.HasSuffix(name, "TOKEN") {
			keepSecret(name, value)
		}
	}
	return lines
}
