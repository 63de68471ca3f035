package test

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/bootstrap"
)

// dev is what `make dev` starts, as somebody at the terminal has it.
type dev struct {
	t       *testing.T
	printed string
	login   string // the lines to be pasted first
}

func startDev(t *testing.T) *dev {
	t.Helper()
	dir := t.TempDir()
	program, screen := filepath.Join(dir, "demo"), filepath.Join(dir, "screen")
	out, err := exec.CommandContext(t.Context(), "../scripts/build", program, "./bootstrap/demo").CombinedOutput()
	require.NoError(t, err, string(out))
	cmd := exec.Command(program, "dev") // not ended with a context: it has to remove what it has made
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "ZOHO_") { // they would name a real account
			cmd.Env = append(cmd.Env, variable)
		}
	}
	cmd.Env = append(cmd.Env, "VAULT_BIN="+env.server.Bin())
	process, err := bootstrap.StartProcess(cmd, screen)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, process.Stop()) })

	d := &dev{t: t}
	eventually(t, "make dev to be ready", func() bool {
		content, err := os.ReadFile(screen)
		d.printed = string(content)
		return err == nil && strings.Contains(d.printed, "Ctrl-C stops")
	})
	d.login = regexp.MustCompile(`(?m)^export .*\nalias .*\n`).FindString(d.printed)
	require.NotEmpty(t, d.login, d.printed)
	return d
}

// pastes runs a line that was printed, in another terminal.
func (d *dev) pastes(line string) string {
	d.t.Helper()
	require.Contains(d.t, d.printed, "\n"+line+"\n")
	cmd := exec.CommandContext(d.t.Context(), "sh", "-c", d.login+line)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + d.t.TempDir()}
	out, err := cmd.CombinedOutput()
	require.NoError(d.t, err, string(out))
	return string(out)
}

// line is the printed line that begins so.
func (d *dev) line(beginning string) string {
	d.t.Helper()
	line := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(beginning) + `.*$`).FindString(d.printed)
	require.NotEmpty(d.t, line, "%s is not in\n%s", beginning, d.printed)
	return line
}

// agree opens an address and accepts, in a browser where there is one.
func (d *dev) agree(address string) {
	d.t.Helper()
	if _, err := findChromium(); lacks(d.t, noChromium, err) {
		d.t.Log("the consent page is walked without a browser")
		(&mount{t: d.t}).agree(address)
		return
	}
	b := newBrowser(d.t)
	require.Contains(d.t, b.open(address).text, "ZohoCRM.org.READ")
	b.requireReadable("make dev, asked")
	page := b.click("#accept")
	require.Equal(d.t, http.StatusOK, page.status)
	require.Equal(d.t, "You gave consent", page.title)
	require.Contains(d.t, page.text, "user@example.com")
	b.requireReadable("make dev, agreed")
}

func TestDev_PrintsCommandsThatGetATokenByACodeAndByAConsentInABrowser(t *testing.T) {
	t.Parallel()
	d := startDev(t)
	cli := "vault"
	if env.server.OpenBao() {
		cli = "bao"
	}
	require.Contains(t, d.pastes(cli+" read zoho/creds/crm-sync"), "Zoho-oauthtoken")

	address := d.line("http://127.0.0.1:")
	require.Contains(t, address, "/oauth/v2/auth?")
	d.agree(address)
	require.Contains(t, d.pastes(cli+" read zoho/creds/person"), "Zoho-oauthtoken")

	again := d.pastes(cli + " write -f zoho/roles/person/authorize")
	next := regexp.MustCompile(`authorization_url\s+(\S+)`).FindStringSubmatch(again)
	require.NotNil(t, next, again)
	require.NotEqual(t, address, next[1])
	d.agree(next[1])

	if _, err := exec.LookPath("curl"); !lacks(t, "curl", err) {
		d.pastes(d.line(cli + " write zoho/roles/another code="))
		require.Contains(t, d.pastes(d.line("curl -s http://127.0.0.1:")), "/sim/code")
	}
}
