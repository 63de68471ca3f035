package test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend"
	"vault-plugin-secrets-zoho/bootstrap"
	"vault-plugin-secrets-zoho/zohosim"
)

const (
	install         = "docs/install.md"
	settings        = "docs/settings.md"
	troubleshooting = "docs/troubleshooting.md"
	operating       = "docs/operating.md"
	using           = "docs/using.md"
)

// pageReader is a reader of a page of docs/ who has what it speaks of at hand:
// the files of a release, the examples, a Zoho account.
type pageReader struct {
	*reader
}

func newPageReader(t *testing.T) pageReader {
	t.Helper()
	r := pageReader{newReader(t, zohosim.SelfClient)}
	r.refreshToken = r.consent()
	r.paste["refresh_token"] = r.refreshToken
	r.linkPages()
	return r
}

// linkPages puts the files that the pages speak of where the reader is.
func (r pageReader) linkPages() {
	r.t.Helper()
	root, err := filepath.Abs("..")
	require.NoError(r.t, err)
	for _, dir := range []string{"examples", "policies"} {
		require.NoError(r.t, os.Symlink(filepath.Join(root, dir), filepath.Join(r.dir, dir)))
	}
}

// runs runs a command of a page.
func (r pageReader) runs(command string) string {
	r.t.Helper()
	printed := r.types(strings.NewReplacer("/etc/vault/plugins", r.server.PluginDir(), "<token_id>", r.paste["token_id"]).Replace(command))
	if id := regexp.MustCompile(`(?m)^token_id\s+(\S+)$`).FindStringSubmatch(printed); id != nil {
		r.paste["token_id"] = id[1]
	}
	if token := regexp.MustCompile(`(?m)^access_token\s+(\S+)$`).FindStringSubmatch(printed); token != nil {
		keepSecret("access token", token[1])
		r.paste["token"] = token[1]
		require.True(r.t, r.sim.Alive(token[1]), command)
	}
	return printed
}

// useOrgClient gives a role a client whose consents come back to the mount.
func (r pageReader) useOrgClient(role string) {
	r.t.Helper()
	client := r.sim.AddClient(zohosim.ClientSpec{Kind: zohosim.WebClient, RedirectURIs: []string{r.callback()}})
	keepSecret("client secret", client.Secret("us"))
	r.runs("vault write zoho/config redirect_uri=" + r.callback())
	r.runs("vault write zoho/roles/" + role + " client_id=" + client.ID + " client_secret=" + client.Secret("us"))
}

// release puts what the page calls a release into the reader's directory.
func (r pageReader) release(version string) {
	r.t.Helper()
	name := "vault-plugin-secrets-zoho_" + version
	binary := filepath.Join(r.dir, name+"_linux_amd64")
	const module = "vault-plugin-secrets-zoho"
	out, err := exec.CommandContext(r.t.Context(), "go", "build", "-buildvcs=false", "-trimpath",
		"-ldflags", "-s -w -X "+module+".Version=v"+version, "-o", binary, "../cmd/vault-plugin-secrets-zoho").CombinedOutput()
	require.NoError(r.t, err, string(out))
	sum, err := bootstrap.Checksum(binary)
	require.NoError(r.t, err)
	sums := fmt.Sprintf("%s  %s\n", sum, filepath.Base(binary))
	require.NoError(r.t, os.WriteFile(filepath.Join(r.dir, name+"_SHA256SUMS"), []byte(sums), 0o600))
}

// lacksToolOf reports whether a command cannot be run on this machine, or with this server's command line.
func (r pageReader) lacksToolOf(command string) bool {
	r.t.Helper()
	if strings.Contains(command, "vault patch ") && r.server.Before("1.13.0") {
		r.t.Logf("the command line of Vault has no patch before 1.13, so this was not run: %s", command)
		return true
	}
	for _, tool := range []string{"curl", "jq"} {
		if !regexp.MustCompile(`\b` + tool + `\b`).MatchString(command) {
			continue
		}
		if _, err := exec.LookPath(tool); lacks(r.t, tool, err) {
			r.t.Logf("this was not run: %s", command)
			return true
		}
	}
	return false
}

// commandsOf returns all commands of a page's console blocks.
func commandsOf(t *testing.T, page string) []string {
	t.Helper()
	return section(t, page, "") // every heading
}

// Commands of using.md that are run elsewhere, and where.
func runElsewhere() map[string]string {
	return map[string]string{
		"vault agent -config=agent.hcl":                                                  "TestExamples_AgentRendersATokenThatIsNeverDead and TestExamples_AgentStartsAProgramAgainWithEachToken",
		"VAULT_TOKEN=$(vault print token) go run ./examples/go":                          "TestExamples_AProgramCallsZohoAndGivesItsLeaseBack",
		"python3 examples/python/call_zoho.py":                                           "TestExamples_AProgramCallsZohoAndGivesItsLeaseBack",
		"(cd examples/node && npm ci && VAULT_TOKEN=$(vault print token) node main.mjs)": "TestExamples_NodeCallsZohoWithTheSDKAndGivesItsLeaseBack",
	}
}

func TestUsing_EveryCommandWorksOrIsRunElsewhere(t *testing.T) {
	t.Parallel()
	r := newPageReader(t)
	r.release("0.1.0")
	for _, heading := range []string{"Install", "Set up"} {
		for _, command := range section(t, install, heading) {
			r.runs(command)
		}
	}
	elsewhere := runElsewhere()
	for _, command := range section(t, using, "Token server") {
		elsewhere[command] = "TestTokenServer_TheCommandsOfUsingWork"
	}
	for _, command := range section(t, using, "External Secrets") {
		elsewhere[command] = "TestKubernetes_ExternalSecretsKeepsATokenThatIsNeverDead"
	}
	for _, command := range commandsOf(t, using) {
		switch {
		case elsewhere[command] != "":
			delete(elsewhere, command)
		case r.lacksToolOf(command):
		case strings.Contains(command, " reject="):
			require.NotContains(t, r.runs(command), r.variable("token_id"))
		case strings.Contains(command, "/v1/zoho/creds/"):
			require.Contains(t, r.runs(command), `"access_token"`)
		case strings.HasPrefix(command, "vault lease revoke"):
			before := r.leases()
			r.runs(command)
			eventually(t, "the end of that lease, and of no other", func() bool { return r.leases() == before-1 })
		case strings.Contains(command, "curl"):
			require.Contains(t, r.runs(command), "Zylker")
		case command == "vault token revoke -self":
			r.others = []string{"VAULT_TOKEN=" + strings.TrimSpace(r.types("vault token create -policy=crm-sync -field=token"))}
			r.runs("vault read zoho/creds/crm-sync")
			r.runs(command)
			r.others = nil
		default:
			r.runs(command)
		}
	}
	require.Empty(t, elsewhere, "the page does not have these any more")
}

// sources is the text of the engine.
func sources(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, pattern := range []string{"../*.go", "../backend/*.go", "../backend/*/*.go"} {
		files, err := filepath.Glob(pattern)
		require.NoError(t, err)
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			content, err := os.ReadFile(file)
			require.NoError(t, err)
			all.Write(content)
		}
	}
	return strings.ReplaceAll(all.String(), `\"`, `"`)
}

func page(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("..", name))
	require.NoError(t, err)
	return string(content)
}

// What there is to be alarmed by, or to be looked up, is on the page.
func TestOperating_NamesEveryWarningEventStateAndWordOfZohos(t *testing.T) {
	t.Parallel()
	text, source := page(t, troubleshooting), sources(t)
	for _, found := range regexp.MustCompile(`\.(?:Warn|Error)\("([^"]+)`).FindAllStringSubmatch(source, -1) {
		require.True(t, strings.Contains(text, "`"+found[1]+"`"), "a line of the log is not on the page: %s", found[1])
	}
	for _, event := range backend.EventTypes() {
		require.Contains(t, text, "`zoho/"+event+"`")
	}
	for _, state := range []backend.GrantState{
		backend.StateNeverTried, backend.StateReady, backend.StateThrottled,
		backend.StateRefused, backend.StateUnreachable, backend.StateDeauthorized, backend.StateBroken,
	} {
		require.Contains(t, text, "| `"+string(state)+"` |")
	}
	_, remedies, found := strings.Cut(source, "func lookupRemedy")
	require.True(t, found)
	remedies, _, _ = strings.Cut(remedies, "\n}\n")
	for _, line := range regexp.MustCompile(`case (".*"):`).FindAllStringSubmatch(remedies, -1) {
		for code := range strings.SplitSeq(line[1], ", ") {
			require.Contains(t, text, "`"+strings.Trim(code, `"`)+"`", "a word of Zoho's")
		}
	}
}

func TestOperating_ExplainsEverySetting(t *testing.T) {
	t.Parallel()
	text := page(t, settings)
	for _, path := range []string{"config", "roles/:name"} {
		require.Contains(t, text, "\n## `"+path+"`")
	}
	answer := newMount(t, zohosim.Options{})
	for _, path := range []string{"config", "roles/crm-sync"} {
		read, err := answer.root.Logical().ReadWithContext(t.Context(), answer.path+"/"+path)
		require.NoError(t, err)
		for setting := range read.Data {
			if setting != "name" {
				require.Contains(t, text, "`"+setting+"`", path)
			}
		}
	}
}

// What the page quotes is what the engine says: somebody who looks for a
// message finds it.
func TestOperating_QuotesMessagesThatExist(t *testing.T) {
	t.Parallel()
	_, errors, found := strings.Cut(page(t, troubleshooting), "\n## Every error")
	require.True(t, found)
	errors, _, _ = strings.Cut(errors, "\n## ")
	source := strings.ReplaceAll(sources(t), `%q`, `"…"`)
	quoted := 0
	quote := regexp.MustCompile("`([^`]+ [^`]+)`") // words, and not the name of a field
	for line := range strings.Lines(errors) {
		cells := strings.Split(line, "|")
		if len(cells) < 4 {
			continue
		}
		for _, cell := range cells[:len(cells)-2] { // the last one says what to do
			for _, said := range quote.FindAllStringSubmatch(cell, -1) {
				require.True(t, strings.Contains(source, said[1]), "nobody says %q", said[1])
				quoted++
			}
		}
	}
	require.Greater(t, quoted, 20)
}
