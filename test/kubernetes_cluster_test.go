package test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/bootstrap"
)

// kubernetes is a Kubernetes cluster without nodes: etcd, the API server, and the
// controllers, among them the one that deletes what has lost its owner. All listen on
// the loopback interface.
type kubernetes struct {
	t      *testing.T
	dir    string // has kubeconfig in it
	url    string // of the API server
	token  string // of its administrator
	client *http.Client
}

func startKubernetes(t *testing.T) *kubernetes {
	t.Helper()
	dir, err := os.MkdirTemp("", "zoho")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	k := &kubernetes{t: t, dir: dir, token: rand.Text()}
	keepSecret("token of Kubernetes' administrator", k.token)
	clients, peers, api := freePort(t), freePort(t), freePort(t)
	k.url = "https://" + api

	k.runs("etcd", tool(t, "etcd"), "--data-dir="+k.file("etcd"),
		"--listen-client-urls=http://"+clients, "--advertise-client-urls=http://"+clients,
		"--listen-peer-urls=http://"+peers, "--initial-advertise-peer-urls=http://"+peers, "--initial-cluster=default=http://"+peers)
	k.startAPIServer(clients)
	k.runs("kube-controller-manager", tool(t, "kubernetes", "kube-controller-manager"),
		"--kubeconfig="+k.file("kubeconfig"), "--leader-elect=false", "--bind-address=127.0.0.1", "--secure-port=0")
	return k
}

// startAPIServer starts the API server on its etcd, and waits until it answers.
func (k *kubernetes) startAPIServer(etcd string) {
	k.t.Helper()
	host, port, err := net.SplitHostPort(strings.TrimPrefix(k.url, "https://"))
	require.NoError(k.t, err)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(k.t, err)
	accounts := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	require.NoError(k.t, os.WriteFile(k.file("accounts.pem"), accounts, 0o600))
	require.NoError(k.t, os.WriteFile(k.file("tokens.csv"), []byte(k.token+",admin,admin,system:masters\n"), 0o600))
	k.runs("kube-apiserver", tool(k.t, "kubernetes", "kube-apiserver"), "--etcd-servers=http://"+etcd,
		"--bind-address="+host, "--advertise-address="+host, "--secure-port="+port, "--cert-dir="+k.file("certificates"),
		"--endpoint-reconciler-type=none", // the address is of no use to pods, of which there are none
		"--token-auth-file="+k.file("tokens.csv"), "--authorization-mode=RBAC", "--service-cluster-ip-range=10.0.0.0/24",
		"--service-account-issuer="+k.url, "--service-account-key-file="+k.file("accounts.pem"), "--service-account-signing-key-file="+k.file("accounts.pem"))

	watch(k.t, "the API server to be ready", 3*time.Minute, func() bool {
		authority, err := os.ReadFile(filepath.Join(k.file("certificates"), "apiserver.crt"))
		if err != nil {
			return false
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(authority) {
			return false
		}
		k.client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13}}, Timeout: time.Minute}
		k.writeKubeconfig(authority)
		status, err := k.get("/readyz", nil)
		return err == nil && status == http.StatusOK
	})
	k.t.Cleanup(k.client.CloseIdleConnections)
}

// writeKubeconfig makes its reader the administrator.
func (k *kubernetes) writeKubeconfig(authority []byte) {
	k.t.Helper()
	named := func(what string, content map[string]any) []any {
		return []any{map[string]any{"name": "test", what: content}}
	}
	config, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Config", "current-context": "test",
		"clusters": named("cluster", map[string]any{"server": k.url, "certificate-authority-data": base64.StdEncoding.EncodeToString(authority)}),
		"users":    named("user", map[string]any{"token": k.token}),
		"contexts": named("context", map[string]any{"cluster": "test", "user": "test"}),
	})
	require.NoError(k.t, err)
	require.NoError(k.t, os.WriteFile(k.file("kubeconfig"), config, 0o600))
}

// installExternalSecrets defines the kinds of External Secrets, and starts its
// controller. The webhooks that check manifests and convert old versions of them are
// left out, as is the program that gets them certificates: the kinds come from the
// files without conversion, and nothing is written in an old version. The controller
// is an administrator, because its own rights are in a Helm chart.
func (k *kubernetes) installExternalSecrets() {
	k.t.Helper()
	source := exec.CommandContext(k.t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/external-secrets/external-secrets")
	source.Dir = filepath.Join("..", "tools", "external-secrets")
	source.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=readonly")
	dir, err := source.Output()
	require.NoError(k.t, err)
	// Beyond what an annotation holds, so the server has to do it.
	k.kubectl("apply", "--server-side", "-k", filepath.Join(strings.TrimSpace(string(dir)), "config", "crds", "bases"))
	k.kubectl("wait", "--for=condition=Established", "--timeout=2m", "crd", "--all")
	k.runs("external-secrets", tool(k.t, "external-secrets"), "--metrics-addr=127.0.0.1:0", "--live-addr=127.0.0.1:0")
}

// runs starts a program that goes on until the test ends.
func (k *kubernetes) runs(name, bin string, args ...string) {
	k.t.Helper()
	log := k.file(name + ".log")
	cmd := exec.Command(bin, args...)
	cmd.Dir, cmd.Env = k.dir, k.environment()
	process, err := bootstrap.StartProcess(cmd, log)
	require.NoError(k.t, err)
	k.t.Cleanup(func() {
		require.NoError(k.t, process.Stop())
		require.Empty(k.t, secretsIn(log))
		if k.t.Failed() {
			content, _ := os.ReadFile(log)
			k.t.Logf("%s says at the end:\n%s", name, content[max(0, len(content)-5000):])
		}
	})
}

func (k *kubernetes) environment() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + k.dir, "KUBECONFIG=" + k.file("kubeconfig")}
}

func (k *kubernetes) kubectl(args ...string) {
	k.t.Helper()
	cmd := exec.CommandContext(k.t.Context(), tool(k.t, "kubernetes", "kubectl"), args...)
	cmd.Dir, cmd.Env = k.dir, k.environment()
	out, err := cmd.CombinedOutput()
	require.NoError(k.t, err, "kubectl %s\n%s", strings.Join(args, " "), out)
}

// get asks the API server for an object, and decodes it where it is there.
func (k *kubernetes) get(path string, into any) (status int, err error) {
	req, err := http.NewRequestWithContext(k.t.Context(), http.MethodGet, k.url+path, nil)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", "Bearer "+k.token)
	resp, err := k.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || into == nil || resp.StatusCode != http.StatusOK {
		return resp.StatusCode, err
	}
	if err := json.Unmarshal(body, into); err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	return resp.StatusCode, nil
}

func (k *kubernetes) file(name string) string { return filepath.Join(k.dir, name) }

// freePort is an address on the loopback interface that is free now.
func freePort(t *testing.T) string {
	t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, free.Close())
	return free.Addr().String()
}
