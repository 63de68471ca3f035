package test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"
	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend"
	"vault-plugin-secrets-zoho/bootstrap"
	"vault-plugin-secrets-zoho/zohosim"
)

const (
	auditingPage = "../docs/auditing.md"
	// pageDay is the Tuesday on which everything on the page happens.
	pageDay = "2026-11-17"
)

// The page is run from top to bottom. Where its output varies - IDs, times - what
// the page has stands for what came: an ID that comes again has to be the same,
// and commands get the real one. With UPDATE_DOCS set, the page is written anew.
func TestAuditingPage_EveryCommandAnswersAsItSays(t *testing.T) {
	t.Parallel()
	installed(t, "jq")
	content, err := os.ReadFile(auditingPage)
	require.NoError(t, err)
	m := mountAsDocumented(t)
	// As a mount is that nobody has prepared.
	_, err = m.root.Logical().WriteWithContext(t.Context(), "sys/mounts/zoho/tune", map[string]any{"audit_non_hmac_response_keys": ""})
	require.NoError(t, err)
	p := newPage(t, m)
	sections := strings.SplitAfter(string(content), "\n## ")
	for i, section := range sections {
		switch {
		case strings.HasPrefix(section, "Who got a token"):
			p.atMidday()
			p.happen()
			p.token = p.person("paul", "zoho-auditor").Token()
		case strings.HasPrefix(section, "Revoke everything"):
			p.readAgain()
			p.token = m.server.RootToken()
		}
		sections[i] = p.run(section)
	}
	if os.Getenv("UPDATE_DOCS") != "" {
		require.NoError(t, os.WriteFile(auditingPage, []byte(strings.Join(sections, "")), 0o600))
	}
	require.Greater(t, p.commands, 20)
	require.False(t, m.accepted(p.latest), "Anna had it")
	_, err = m.readAs(t.Context(), p.readers["anna"], "crm-sync")
	refused(t, err)
	_, err = m.readAs(t.Context(), p.readers["crm-app"], "crm-sync")
	require.NoError(t, err)
	mounted, err := m.root.Sys().MountConfigWithContext(t.Context(), "zoho")
	require.NoError(t, err)
	require.ElementsMatch(t, bootstrap.AuditKeys(), mounted.AuditNonHMACResponseKeys, "the page and bootstrap/ agree")
}

// auditPage is the page that is being run.
type auditPage struct {
	*mount
	dir      string
	token    string            // of whoever types
	real     map[string]string // by what the page has in its place
	readers  map[string]*api.Client
	latest   creds
	commands int
}

func newPage(t *testing.T, m *mount) *auditPage {
	t.Helper()
	p := &auditPage{mount: m, dir: t.TempDir(), token: m.server.RootToken(), real: map[string]string{}, readers: map[string]*api.Client{}}
	require.NoError(t, os.Mkdir(filepath.Join(p.dir, "bin"), 0o700))
	require.NoError(t, os.Symlink(m.server.Bin(), filepath.Join(p.dir, "bin", "vault")))
	policies, err := filepath.Abs("../policies")
	require.NoError(t, err)
	require.NoError(t, os.Symlink(policies, filepath.Join(p.dir, "policies")))
	return p
}

// atMidday waits if the day is about to end: the page asks for one day.
func (p *auditPage) atMidday() {
	watch(p.t, "the next day", 2*time.Minute, func() bool {
		return time.Now().UTC().Add(time.Minute).Day() == time.Now().UTC().Day()
	})
}

// happen is what the page looks back on.
func (p *auditPage) happen() {
	p.t.Helper()
	p.write("config", map[string]any{"redirect_uri": p.callback()})
	dead := p.consent()
	p.write("roles/books-export", map[string]any{"refresh_token": dead, "scopes": scopes})
	web := p.sim.AddClient(zohosim.ClientSpec{Kind: zohosim.WebClient, RedirectURIs: []string{p.callback()}})
	keepSecret("client secret", web.Secret("us"))
	p.write("roles/reports", map[string]any{
		"client_id": web.ID, "client_secret": web.Secret("us"), "scopes": append([]string{"AaaServer.profile.READ"}, scopes...),
	})
	p.readers["crm-app"], _ = p.login("crm-app", "crm-sync")
	p.readers["dashboard"], _ = p.login("dashboard", "crm-sync")
	p.readers["anna"] = p.person("anna", "crm-sync", "authorizer")
	var leaked creds
	for _, name := range []string{"crm-app", "dashboard", "anna"} {
		var err error
		leaked, err = p.readAs(p.t.Context(), p.readers[name], "crm-sync")
		require.NoError(p.t, err)
	}
	require.NoError(p.t, os.WriteFile(filepath.Join(p.dir, "found"), []byte(leaked.token), 0o600))
	p.revoke(p.read("books-export"))
	p.sim.Kill(dead)
	_, err := p.readAs(p.t.Context(), p.root, "books-export")
	require.Error(p.t, err)
	require.NoError(p.t, p.root.Sys().PutPolicyWithContext(p.t.Context(), "authorizer", `path "zoho/roles/+/authorize" { capabilities = ["update"] }`))
	begun, err := p.readers["anna"].Logical().WriteWithContext(p.t.Context(), "zoho/roles/reports/authorize", nil)
	require.NoError(p.t, err)
	keepSecret("person", "anna@example.com") // in no log
	p.sim.SetUser("anna@example.com", "us")
	p.agree(text(p.t, begun, "authorization_url"))
}

// readAgain gives the applications their new access token.
func (p *auditPage) readAgain() {
	p.t.Helper()
	for _, name := range []string{"crm-app", "anna"} {
		var err error
		p.latest, err = p.readAs(p.t.Context(), p.readers[name], "crm-sync")
		require.NoError(p.t, err)
	}
}

// person makes an entity that logs in with a password.
func (m *mount) person(name string, policies ...string) *api.Client {
	m.t.Helper()
	ctx, logical := m.t.Context(), m.root.Logical()
	accessor := m.authMethod("userpass")
	_, err := logical.WriteWithContext(ctx, "auth/userpass/users/"+name, map[string]any{"password": "of " + name, "token_policies": policies})
	require.NoError(m.t, err)
	entity, err := logical.WriteWithContext(ctx, "identity/entity", map[string]any{"name": name})
	require.NoError(m.t, err)
	_, err = logical.WriteWithContext(ctx, "identity/entity-alias", map[string]any{"name": name, "canonical_id": text(m.t, entity, "id"), "mount_accessor": accessor})
	require.NoError(m.t, err)
	answer, err := logical.WriteWithContext(ctx, "auth/userpass/login/"+name, map[string]any{"password": "of " + name})
	require.NoError(m.t, err)
	return m.server.Client(answer.Auth.ClientToken)
}

// run runs the commands of a section, and returns it with what came of them.
func (p *auditPage) run(section string) string {
	p.t.Helper()
	block := regexp.MustCompile("(?s)```console\n(.*?)```")
	return block.ReplaceAllStringFunc(section, func(found string) string {
		commands := strings.Split(strings.TrimSuffix(strings.TrimPrefix(found, "```console\n"), "```"), "$ ")
		require.Empty(p.t, commands[0], "a block begins with a command")
		written := "```console\n"
		for _, part := range slices.DeleteFunc(commands, func(s string) bool { return s == "" }) {
			command, want, _ := strings.Cut(part, "\n")
			got := p.sh(command)
			if strings.Contains(command, "mount_running_sha256") && p.server.Before("1.14.0") {
				require.Empty(p.t, got, "the page says that an older Vault does not write it")
			} else {
				p.compare(command, want, got)
			}
			written += "$ " + p.toPage(p.toReal(command)) + "\n" + p.toPage(got)
		}
		return written + "```"
	})
}

// sh runs a command as an auditor would.
func (p *auditPage) sh(command string) string {
	p.t.Helper()
	p.commands++
	ctx, cancel := context.WithTimeout(p.t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", p.toReal(command))
	cmd.Dir = p.dir
	cmd.Env = append(os.Environ(), "PATH="+filepath.Join(p.dir, "bin")+":"+os.Getenv("PATH"),
		"VAULT_ADDR="+p.server.Addr(), "VAULT_TOKEN="+p.token, "VAULT_CLI_NO_COLOR=1", "HOME="+p.dir)
	output, err := cmd.CombinedOutput()
	require.NoError(p.t, err, "%s\n%s", command, output)
	if len(output) > 0 && output[len(output)-1] != '\n' {
		output = append(output, '\n') // -field gives a value without
	}
	return sortFields(strings.TrimLeft(string(output), "\n"))
}

// toReal puts what is real into a command of the page.
func (p *auditPage) toReal(command string) string {
	pairs := []string{
		pageDay, time.Now().UTC().Format(time.DateOnly),
		"/var/log/vault/audit.log", p.server.AuditLog(), "/var/log/vault/server.log", p.server.LogFile(),
	}
	for onPage, value := range p.real {
		pairs = append(pairs, onPage, value)
	}
	return strings.NewReplacer(pairs...).Replace(command)
}

// toPage does the opposite, but leaves the new IDs.
func (p *auditPage) toPage(text string) string {
	text = strings.NewReplacer(time.Now().UTC().Format(time.DateOnly), pageDay,
		p.server.AuditLog(), "/var/log/vault/audit.log", p.server.LogFile(), "/var/log/vault/server.log").Replace(text)
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n")
}

// The parts that vary: those that name something, and those that do not.
func naming() *regexp.Regexp {
	return regexp.MustCompile(`hmac-sha256:[0-9a-f]{64}|\b[0-9a-f]{64}\b|\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b|\b[0-9a-f]{32}\b|\b1000\.[0-9A-Z]{20,}\b`)
}

func fleeting() *regexp.Regexp {
	return regexp.MustCompile(`\d{4}-\d\d-\d\dT[\d:.]+Z?|127\.0\.0\.1:\d+`)
}

// compare demands that got is want but for what varies, and notes what stands
// for what.
func (p *auditPage) compare(command, want, got string) {
	p.t.Helper()
	wanted, came := naming().FindAllString(want, -1), naming().FindAllString(got, -1)
	if len(wanted) == len(came) {
		for i := range wanted {
			if former, known := p.real[wanted[i]]; known && os.Getenv("UPDATE_DOCS") == "" {
				require.Equal(p.t, former, came[i], "%s: %s stands for something else than before", command, wanted[i])
			}
			p.real[wanted[i]] = came[i]
		}
	}
	if os.Getenv("UPDATE_DOCS") == "" {
		require.Equal(p.t, p.normal(want), p.normal(got), command)
	}
}

// normal is a text without what varies, the width of columns included.
func (p *auditPage) normal(text string) string {
	text = fleeting().ReplaceAllString(naming().ReplaceAllString(p.toPage(sortFields(text)), "<id>"), "<time>")
	return regexp.MustCompile(` {2,}|-{3,}`).ReplaceAllString(text, "  ")
}

// sortFields puts the fields of lines in Vault's log into one order: it has none.
func sortFields(text string) string {
	field := regexp.MustCompile(` \w+=("[^"]*"|\[[^\]]*\]|\S+)`)
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if message, _, isLog := strings.Cut(line, ": "); isLog && strings.Contains(message, " [") {
			fields := field.FindAllString(line, -1)
			slices.Sort(fields)
			lines[i] = message + ":" + strings.Join(fields, "")
		}
	}
	return strings.Join(lines, "\n")
}

func TestAuditingPage_NamesEveryEvent(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile(auditingPage)
	require.NoError(t, err)
	for _, name := range backend.EventTypes() {
		require.Contains(t, string(content), fmt.Sprintf("| `zoho/%s` |", name))
	}
}
