package test

import (
	"fmt"
	"os"
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

// pageDay is the Tuesday on which everything on the auditors' pages happens.
const pageDay = "2026-11-17"

// The page is run from top to bottom, and then that about a person who leaves. Where its output varies - IDs, times - what
// the page has stands for what came: an ID that comes again has to be the same,
// and commands get the real one. With UPDATE_DOCS set, the pages are written anew.
func TestAuditingPage_EveryCommandAnswersAsItSays(t *testing.T) {
	t.Parallel()
	installed(t, "jq")
	m := mountAsDocumented(t)
	// As a mount is that nobody has prepared.
	_, err := m.root.Logical().WriteWithContext(t.Context(), "sys/mounts/zoho/tune", map[string]any{"audit_non_hmac_response_keys": ""})
	require.NoError(t, err)
	p := newPage(t, m)
	p.runs("auditing.md", "Who got a token", func() {
		p.atMidday()
		p.happen()
		p.token = p.person("paul", "zoho-auditor").Token()
	})
	p.token = p.server.RootToken()
	p.readAgain()
	own := p.ownRole()
	p.runs("leaving.md", "", nil)
	require.Greater(t, p.commands, 20)
	require.False(t, m.accepted(p.latest), "Anna had it")
	require.False(t, m.accepted(own), "only Anna had it")
	require.Len(t, p.clients, 2)
	for _, client := range p.clients {
		require.Empty(t, m.sim.RefreshTokens(client, "us", "anna@example.com"), "no consent of hers is left")
	}
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
	clients  []*zohosim.Client // to which Anna has consented
	latest   creds
	commands int

	variables []string // that the page's commands have set
}

// runs runs a page. before happens before the section that begins so.
func (p *auditPage) runs(name, section string, before func()) {
	p.t.Helper()
	name = filepath.Join("..", "docs", name)
	content, err := os.ReadFile(name)
	require.NoError(p.t, err)
	sections := strings.SplitAfter(string(content), "\n## ")
	for i := range sections {
		if before != nil && strings.HasPrefix(sections[i], section) {
			before()
		}
		sections[i] = p.run(sections[i])
	}
	if os.Getenv("UPDATE_DOCS") != "" {
		require.NoError(p.t, os.WriteFile(name, []byte(strings.Join(sections, "")), 0o600))
	}
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
	web := p.webClient()
	p.write("roles/reports", map[string]any{
		"client_id": web.ID, "client_secret": web.Secret("us"), "scopes": append([]string{"AaaServer.profile.READ"}, scopes...),
	})
	p.readers["crm-app"], _ = p.login("crm-app", "crm-sync")
	p.readers["dashboard"], _ = p.login("dashboard", "crm-sync")
	p.readers["anna"] = p.logsIn("anna", "crm-sync", "authorizer") // nobody has named her entity
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

// webClient is one that leads back to the mount's callback.
func (p *auditPage) webClient() *zohosim.Client {
	client := p.sim.AddClient(zohosim.ClientSpec{Kind: zohosim.WebClient, RedirectURIs: []string{p.callback()}})
	keepSecret("client secret", client.Secret("us"))
	p.clients = append(p.clients, client)
	return client
}

// ownRole gives Anna a role of her own, which has the name of her entity, and a token of it.
func (p *auditPage) ownRole() creds {
	p.t.Helper()
	self, err := p.readers["anna"].Auth().Token().LookupSelfWithContext(p.t.Context())
	require.NoError(p.t, err)
	name := text(p.t, self, "entity_id")
	client := p.webClient()
	p.write("roles/"+name, map[string]any{"client_id": client.ID, "client_secret": client.Secret("us"), "scopes": scopes})
	p.agree(text(p.t, p.write("roles/"+name+"/authorize", nil), "authorization_url"))
	return p.read(name)
}

// person makes an entity that logs in with a password.
func (m *mount) person(name string, policies ...string) *api.Client {
	m.t.Helper()
	ctx, logical := m.t.Context(), m.root.Logical()
	accessor := m.authMethod("userpass")
	entity, err := logical.WriteWithContext(ctx, "identity/entity", map[string]any{"name": name})
	require.NoError(m.t, err)
	_, err = logical.WriteWithContext(ctx, "identity/entity-alias", map[string]any{"name": name, "canonical_id": text(m.t, entity, "id"), "mount_accessor": accessor})
	require.NoError(m.t, err)
	return m.logsIn(name, policies...)
}

// logsIn lets somebody log in with a password.
func (m *mount) logsIn(name string, policies ...string) *api.Client {
	m.t.Helper()
	m.authMethod("userpass")
	ctx, logical := m.t.Context(), m.root.Logical()
	_, err := logical.WriteWithContext(ctx, "auth/userpass/users/"+name, map[string]any{"password": "of " + name, "token_policies": policies})
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
	output, assignment, err := shell(p.t, p.dir, append(append(os.Environ(), "PATH="+filepath.Join(p.dir, "bin")+":"+os.Getenv("PATH"),
		"VAULT_ADDR="+p.server.Addr(), "VAULT_TOKEN="+p.token, "VAULT_CLI_NO_COLOR=1", "HOME="+p.dir), p.variables...), p.toReal(command), "")
	require.NoError(p.t, err, "%s\n%s", command, output)
	if p.variables = append(p.variables, assignment...); assignment != nil {
		return "" // a shell prints nothing
	}
	if len(output) > 0 && output[len(output)-1] != '\n' {
		output += "\n" // -field gives a value without
	}
	return sortFields(strings.TrimLeft(output, "\n"))
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
	text := page(t, "docs/auditing.md")
	for _, name := range backend.EventTypes() {
		require.Contains(t, text, fmt.Sprintf("| `zoho/%s` |", name))
	}
}
