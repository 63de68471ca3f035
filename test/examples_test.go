package test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"
	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/bootstrap"
	"vault-plugin-secrets-zoho/zohosim"
)

const examplesDir = "../examples"

// example is a copy of a directory of examples, to be run as it is: the mount
// is at zoho/, and the policy is the one that the examples come with.
type example struct {
	*mount
	dir string
}

// newExample copies the directory, on a server of its own. Tokens live for life.
func newExample(t *testing.T, name string, life time.Duration) *example {
	t.Helper()
	m := newMountAt(t, "zoho", zohosim.Options{TokenLife: life})
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS(filepath.Join(examplesDir, name))))
	policy, err := os.ReadFile(filepath.Join("..", "policies", "application.hcl"))
	require.NoError(t, err)
	require.NoError(t, m.root.Sys().PutPolicyWithContext(t.Context(), "crm-sync", string(policy)))
	return &example{mount: m, dir: dir}
}

// newMountAt mounts the plugin at path, on a server of its own.
func newMountAt(t *testing.T, path string, options zohosim.Options) *mount {
	t.Helper()
	server := ownServer(t)
	require.NoError(t, server.InstallPlugin(env.plugin))
	m := &mount{t: t, server: server, root: server.Client(server.RootToken()), path: path, sim: zohosim.New(options)}
	t.Cleanup(m.sim.Close)
	var err error
	m.accounts, err = m.sim.Listen("us")
	require.NoError(t, err)
	m.client = m.sim.AddClient(zohosim.ClientSpec{})
	keepSecret("client secret", m.client.Secret("us"))
	m.refreshToken = m.consent()
	require.NoError(t, server.Mount(t.Context(), path))
	m.write("config", map[string]any{"data_center": "us", "accounts_url": m.accounts.URL, "client_id": m.client.ID, "client_secret": m.client.Secret("us")})
	m.write("roles/crm-sync", map[string]any{"refresh_token": m.refreshToken})
	return m
}

// vaultToken makes a Vault token with the examples' policy and no more.
func (e *example) vaultToken() string {
	e.t.Helper()
	answer, err := e.root.Auth().Token().CreateWithContext(e.t.Context(), &api.TokenCreateRequest{Policies: []string{"crm-sync"}, TTL: "1h"})
	require.NoError(e.t, err)
	keepSecret("Vault token", answer.Auth.ClientToken)
	return answer.Auth.ClientToken
}

// appRole sets up the login that the Agent's examples have, by the commands of their
// comments, which are those of docs/using.md.
func (e *example) appRole() {
	e.t.Helper()
	content, err := os.ReadFile(e.file("agent.hcl"))
	require.NoError(e.t, err)
	bin := e.t.TempDir()
	require.NoError(e.t, os.Symlink(e.server.Bin(), filepath.Join(bin, "vault")))
	onPage := section(e.t, using, "Vault Agent")
	commands := regexp.MustCompile(`(?m)^#   (.*)$`).FindAllStringSubmatch(string(content), -1)
	require.Len(e.t, commands, 4)
	for _, command := range commands {
		require.Contains(e.t, onPage, command[1])
		cmd := e.command(e.t.Context(), e.server.RootToken(), "sh", "-c", command[1])
		cmd.Env = append(cmd.Env, "PATH="+bin+":"+os.Getenv("PATH"))
		out, err := cmd.CombinedOutput()
		require.NoError(e.t, err, "%s\n%s", command[1], out)
	}
	info, err := os.Stat(e.file("secret-id"))
	require.NoError(e.t, err)
	require.Equal(e.t, os.FileMode(0o600), info.Mode().Perm())
}

// command is a command in the example's directory that knows the server.
func (e *example) command(ctx context.Context, vaultToken, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = e.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + e.dir, "VAULT_ADDR=" + e.server.Addr(), "VAULT_TOKEN=" + vaultToken}
	return cmd
}

// start starts a command that goes on until the test ends, and returns its log.
func (e *example) start(vaultToken, name string, args ...string) (log string) {
	e.t.Helper()
	log = filepath.Join(e.t.TempDir(), "log")
	process, err := bootstrap.StartProcess(e.command(context.WithoutCancel(e.t.Context()), vaultToken, name, args...), log)
	require.NoError(e.t, err)
	e.t.Cleanup(func() {
		require.NoError(e.t, process.Stop())
		require.Empty(e.t, secretsIn(log))
		if e.t.Failed() {
			content, _ := os.ReadFile(log)
			e.t.Logf("%s says:\n%s", name, content)
		}
	})
	return log
}

func (e *example) file(name string) string { return filepath.Join(e.dir, name) }

// tool returns the path of a program that tools/ pins: tools/<name>, or one of several in there.
func tool(t *testing.T, name ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "../scripts/tool-bin", name...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	require.NoError(t, err)
	return strings.TrimSpace(string(out))
}

const exampleLife = 20 * time.Second

// keepsFileAlive watches the file that an example renders, until it has held
// three tokens: the one in it must never be dead.
func (e *example) keepsFileAlive() {
	e.t.Helper()
	rendered, reloads := e.file("zoho.env"), e.file("reload.log")
	eventually(e.t, "the first rendering", func() bool { _, err := os.Stat(reloads); return err == nil })
	info, err := os.Stat(rendered)
	require.NoError(e.t, err)
	require.Equal(e.t, os.FileMode(0o600), info.Mode().Perm())

	value := regexp.MustCompile(`(?m)^ZOHO_AUTHORIZATION='Zoho-oauthtoken ([^']+)'$`)
	told := regexp.MustCompile(`reloaded with token ([0-9a-f]{32})`)
	seen := make(map[string]bool)
	watch(e.t, "three tokens to be rendered", 5*exampleLife, func() bool {
		content, err := os.ReadFile(rendered)
		require.NoError(e.t, err)
		found := value.FindSubmatch(content)
		require.NotNil(e.t, found, "no header in what was rendered")
		keepSecret("access token", string(found[1]))
		require.True(e.t, e.sim.Alive(string(found[1])), "the rendered token is dead")
		require.Contains(e.t, string(content), `ZOHO_API_DOMAIN='`+e.accounts.URL+`'`)
		require.Equal(e.t, hostileMetadata()["organization_id"], inShell(e.t, "sh", e.dir, `. ./zoho.env; printf %s "$ZOHO_ORGANIZATION_ID"`))
		log, err := os.ReadFile(reloads)
		require.NoError(e.t, err)
		for _, id := range told.FindAllStringSubmatch(string(log), -1) {
			seen[id[1]] = true
		}
		return len(seen) >= 3
	})
}

// restartsWithNewTokens waits until an example's program was started with three
// tokens, each of which Zoho took.
func (e *example) restartsWithNewTokens(log string) {
	e.t.Helper()
	started := regexp.MustCompile(`token ([0-9a-f]{32}): HTTP (\d+)`)
	seen := make(map[string]bool)
	watch(e.t, "the program to be started with three tokens", 5*exampleLife, func() bool {
		content, err := os.ReadFile(log)
		require.NoError(e.t, err)
		for _, found := range started.FindAllStringSubmatch(string(content), -1) {
			require.Equal(e.t, "200", found[2])
			seen[found[1]] = true
		}
		return len(seen) >= 3
	})
}

func TestExamples_AgentRendersATokenThatIsNeverDead(t *testing.T) {
	t.Parallel()
	e := exampleWithHostileMetadata(t, "agent-template", exampleLife)
	e.appRole()
	e.start("", e.server.Bin(), "agent", "-config=agent.hcl")
	e.keepsFileAlive()
	require.NoFileExists(t, e.file("secret-id"))
}

func TestExamples_AgentStartsAProgramAgainWithEachToken(t *testing.T) {
	t.Parallel()
	installed(t, "curl")
	agentStartsPrograms(t, "agent-exec")
	e := exampleWithHostileMetadata(t, "agent-exec", exampleLife)
	e.appRole()
	e.restartsWithNewTokens(e.start("", e.server.Bin(), "agent", "-config=agent.hcl"))
}

func TestExamples_ConsulTemplateRendersATokenThatIsNeverDead(t *testing.T) {
	t.Parallel()
	bin := tool(t, "consul-template")
	worksWith(t, "consul-template", bin, "-v")
	e := exampleWithHostileMetadata(t, "consul-template", exampleLife)
	e.start(e.vaultToken(), bin, "-config=config.hcl")
	e.keepsFileAlive()
}

// envconsul is not among tools/: no module proxy has a release of it.
func TestExamples_EnvconsulStartsAProgramAgainWithEachToken(t *testing.T) {
	t.Parallel()
	installed(t, "curl")
	bin := external(t, "envconsul", "ENVCONSUL_BIN")
	worksWith(t, "envconsul", bin, "-v")
	e := exampleWithHostileMetadata(t, "envconsul", exampleLife)
	log := e.start(e.vaultToken(), bin, "-config=config.hcl")
	e.restartsWithNewTokens(log)
	content, err := os.ReadFile(log)
	require.NoError(t, err)
	require.NotContains(t, string(content), "WARN")
}

func TestExamples_AProgramEndsBeforeTheNextOneIsStarted(t *testing.T) {
	t.Parallel()
	installed(t, "curl")
	for name, command := range map[string]func(t *testing.T) []string{
		"agent-exec": func(*testing.T) []string { return []string{env.server.Bin(), "agent", "-config=agent.hcl"} },
		"envconsul": func(t *testing.T) []string {
			t.Helper()
			return []string{external(t, "envconsul", "ENVCONSUL_BIN"), "-config=config.hcl"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			agentStartsPrograms(t, name)
			command := command(t)
			e := newExample(t, name, exampleLife)
			if name == "agent-exec" {
				e.appRole()
			}
			app, err := os.ReadFile(e.file("app.sh"))
			require.NoError(t, err)
			const end = "trap 'exit 0' TERM\n"
			require.Contains(t, string(app), end)
			slow := strings.Replace(string(app), end, "mkdir running || echo two programs run\ntrap 'sleep 1; rmdir running; exit 0' TERM\n", 1)
			require.NoError(t, os.WriteFile(e.file("app.sh"), []byte(slow), 0o600))
			log := e.start(e.vaultToken(), command[0], command[1:]...)
			e.restartsWithNewTokens(log)
			content, err := os.ReadFile(log)
			require.NoError(t, err)
			require.NotContains(t, string(content), "two programs run")
		})
	}
}

// agentStartsPrograms skips a test of the Agent's example that starts a program where the Agent cannot.
func agentStartsPrograms(t *testing.T, name string) {
	t.Helper()
	if name == "agent-exec" && env.server.Before("1.14.0") {
		t.Skip("Vault Agent starts no program before 1.14")
	}
}
