package test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"
	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/bootstrap"
	"vault-plugin-secrets-zoho/zohosim"
)

// operator is somebody who types the commands of docs/using.md below "External
// Secrets", with a cluster and a mount of their own.
type operator struct {
	*mount
	cluster *kubernetes
	dir     string
}

// newOperator starts a cluster with External Secrets, and mounts the engine at zoho.
func newOperator(t *testing.T, options zohosim.Options) *operator {
	t.Helper()
	m := newMountAt(t, "zoho", options)
	m.installKubernetesAuth()
	o := &operator{mount: m, cluster: startKubernetes(t), dir: t.TempDir()}
	o.cluster.installExternalSecrets()

	policy, err := os.ReadFile(filepath.Join("..", "policies", "application.hcl"))
	require.NoError(t, err)
	require.NoError(t, m.root.Sys().PutPolicyWithContext(t.Context(), "crm-sync", string(policy)))
	for name, bin := range map[string]string{"vault": m.server.Bin(), "kubectl": tool(t, "kubernetes", "kubectl")} {
		require.NoError(t, os.Symlink(bin, filepath.Join(o.dir, name)))
	}
	const manifest = "kubernetes/external-secrets.yaml"
	content, err := os.ReadFile(filepath.Join(examplesDir, manifest))
	require.NoError(t, err)
	const address = "https://vault.example.com:8200"
	require.Equal(t, 1, strings.Count(string(content), address))
	require.NoError(t, os.MkdirAll(filepath.Join(o.dir, "examples", "kubernetes"), 0o700))
	mine := strings.Replace(string(content), address, m.server.Addr(), 1)
	require.NoError(t, os.WriteFile(filepath.Join(o.dir, "examples", manifest), []byte(mine), 0o600))
	return o
}

// installKubernetesAuth makes Vault's auth method known by its own name: the pinned
// Vault is built without it, and others have it built in.
func (m *mount) installKubernetesAuth() {
	m.t.Helper()
	plugin := bootstrap.Plugin{Path: tool(m.t, "vault-plugin-auth-kubernetes")}
	var err error
	plugin.SHA256, err = bootstrap.Checksum(plugin.Path)
	require.NoError(m.t, err)
	require.NoError(m.t, m.server.InstallPlugin(plugin))
	require.NoError(m.t, m.root.Sys().RegisterPluginWithContext(m.t.Context(), &api.RegisterPluginInput{
		Name: "kubernetes", Type: api.PluginTypeCredential, Command: filepath.Base(plugin.Path), SHA256: plugin.SHA256,
	}))
}

func (o *operator) types(command string) {
	o.t.Helper()
	cmd := exec.CommandContext(o.t.Context(), "sh", "-c", command)
	cmd.Dir = o.dir
	cmd.Env = append(o.cluster.environment(), "PATH="+o.dir+":"+os.Getenv("PATH"), "VAULT_ADDR="+o.server.Addr(), "VAULT_TOKEN="+o.server.RootToken())
	out, err := cmd.CombinedOutput()
	require.NoError(o.t, err, "%s\n%s", command, out)
	o.t.Logf("$ %s\n%s", command, out)
}

// secret is what the Secret has; nil while there is none.
func (o *operator) secret() (map[string][]byte, error) {
	var secret struct {
		Data map[string][]byte `json:"data"`
	}
	status, err := o.cluster.get("/api/v1/namespaces/crm/secrets/zoho", &secret)
	if err == nil && status != http.StatusOK && status != http.StatusNotFound {
		err = fmt.Errorf("the API server answers HTTP %d", status)
	}
	return secret.Data, err
}

// upToDate reports whether External Secrets says so of the Secret.
func (o *operator) upToDate() bool {
	o.t.Helper()
	var resource struct {
		Status struct {
			Conditions []struct {
				Type   string `json:"type"`
				Status string `json:"status"`
			} `json:"conditions"`
		} `json:"status"`
	}
	status, err := o.cluster.get("/apis/external-secrets.io/v1/namespaces/crm/externalsecrets/zoho", &resource)
	require.NoError(o.t, err)
	require.Equal(o.t, http.StatusOK, status)
	for _, condition := range resource.Status.Conditions {
		if condition.Type == "Ready" {
			return condition.Status == "True"
		}
	}
	return false
}

// tokens are those that the Secret has had, in their order.
type tokens struct {
	mu   sync.Mutex
	seen []string
}

func (s *tokens) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.seen)
}

// take looks at the Secret: its token must be alive.
func (s *tokens) take(o *operator) error {
	data, err := o.secret()
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if data == nil {
		if len(s.seen) > 0 {
			return errors.New("the Secret is gone")
		}
		return nil
	}
	token, ok := strings.CutPrefix(string(data["authorization"]), "Zoho-oauthtoken ")
	if !ok || string(data["api_domain"]) != o.accounts.URL || len(data["token_id"]) == 0 || len(data) != 3 {
		return fmt.Errorf("the Secret has %d fields, and they are not those of the example", len(data))
	}
	keepSecret("access token", token)
	if !slices.Contains(s.seen, token) {
		s.seen = append(s.seen, token)
	}
	if !o.sim.Alive(token) {
		return fmt.Errorf("the token in the Secret is dead; it is number %d", len(s.seen))
	}
	return nil
}

// watchesSecret looks at the Secret all the time until it is told to stop.
func (o *operator) watchesSecret() (seen *tokens, stop func()) {
	ctx, cancel := context.WithCancel(o.t.Context())
	seen = &tokens{}
	var wg sync.WaitGroup
	wg.Go(func() {
		again := time.NewTicker(100 * time.Millisecond)
		defer again.Stop()
		for ctx.Err() == nil {
			if err := seen.take(o); err != nil {
				o.t.Error(err)
				return
			}
			select {
			case <-ctx.Done():
			case <-again.C:
			}
		}
	})
	return seen, func() { cancel(); wg.Wait() }
}

// The example as it stands, so it reads again every five minutes, and a life of ten
// minutes is a short one. As with tokens of an hour, a token that is read has a few
// minutes more to live than that.
func TestKubernetes_ExternalSecretsKeepsATokenThatIsNeverDead(t *testing.T) {
	if os.Getenv("KUBERNETES") == "" {
		t.Skip("a Kubernetes cluster is built and watched for half an hour only where KUBERNETES=1 says so: make test-kubernetes")
	}
	const life, interval = 10 * time.Minute, 5 * time.Minute
	o := newOperator(t, zohosim.Options{TokenLife: life})
	o.write("roles/crm-sync", map[string]any{"min_ttl": "7m"})
	commands := section(t, using, "External Secrets")
	remove := slices.IndexFunc(commands, func(command string) bool { return strings.HasPrefix(command, "kubectl delete") })
	require.Positive(t, remove)
	seen, stop := o.watchesSecret()
	defer stop()
	for _, command := range commands[:remove] {
		o.types(command)
	}
	reached := func(what string, limit time.Duration, condition func() bool) {
		t.Helper()
		watch(t, what, limit, func() bool {
			require.False(t, t.Failed(), "the Secret is not what it should be")
			return condition()
		})
	}

	reached("a first token", time.Minute, func() bool { return len(seen.all()) == 1 })

	t.Log("Vault is away when the token should be read again, and comes back")
	require.NoError(t, o.server.Stop())
	reached("a read that fails", interval+time.Minute, func() bool { return !o.upToDate() })
	require.NoError(t, o.server.Restart(t.Context()))
	reached("a second token", time.Minute, func() bool { return len(seen.all()) == 2 && o.upToDate() })

	t.Log("three tokens come to the end of their lives")
	reached("the end of the third token", 3*interval+life, func() bool {
		all := seen.all()
		return len(all) > 3 && !o.sim.Alive(all[2])
	})
	data, err := o.secret()
	require.NoError(t, err)
	current := creds{Secret: &api.Secret{Data: map[string]any{"authorization": string(data["authorization"])}}}
	require.True(t, o.accepted(current))

	stop()
	leases := o.leases()
	o.types(commands[remove])
	reached("the end of the Secret", time.Minute, func() bool {
		data, err := o.secret()
		require.NoError(t, err)
		return data == nil
	})
	require.True(t, o.accepted(current), "External Secrets gives nothing back")
	require.Equal(t, leases, o.leases())
	for _, command := range commands[remove+1:] {
		o.types(command)
	}
	reached("the end of the leases, and with them of the token", time.Minute, func() bool { return o.leases() == 0 && !o.accepted(current) })
	o.tellsVersions()
}

// tellsVersions tells what took part, for the table of docs/works-with.md.
func (o *operator) tellsVersions() {
	o.t.Helper()
	o.t.Attr("with", strings.TrimSuffix(strings.Join(strings.Fields(o.cli("version"))[:2], " "), ","))
	for name, bin := range map[string]string{
		"External Secrets": tool(o.t, "external-secrets"),
		"Kubernetes":       tool(o.t, "kubernetes", "kube-apiserver"),
		"etcd":             tool(o.t, "etcd"),
	} {
		version := regexp.MustCompile(`-(v\d+\.\d+\.\d+)-go`).FindStringSubmatch(filepath.Base(bin))
		require.NotNil(o.t, version, bin)
		o.t.Attr("with", name+" "+version[1])
	}
}
