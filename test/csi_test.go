package test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/encoding/protowire"

	"vault-plugin-secrets-zoho/bootstrap"
	"vault-plugin-secrets-zoho/zohosim"
)

// csi is Vault's provider for the Secrets Store CSI driver. The test is the driver, and a Kubernetes that takes every
// token for one of the account crm-sync.
type csi struct {
	*mount
	dir        string
	kube       *httptest.Server
	attributes string // what the driver passes on: the example's parameters, and the pod
	conn       *grpc.ClientConn
}

// The files of the example hold a token that is never dead, over several lives of a token and of a login.
func TestExamples_CSIProviderMountsATokenThatIsNeverDead(t *testing.T) {
	t.Parallel()
	bin := external(t, "vault-csi-provider", "VAULT_CSI_PROVIDER_BIN")
	installed(t, "unshare")
	worksWith(t, "Vault's CSI provider", bin, "--version")
	for name, login := range map[string]map[string]any{
		"behind Agent":                       {"token_period": "5s"},
		"with a login that outlives the pod": {"token_ttl": "24h"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCSI(t, login)
			address := c.server.Addr()
			if name == "behind Agent" {
				address = c.agent()
			}
			c.start(bin, address)
			c.mountsLivingTokens()
		})
	}
}

// newCSI sets up Vault with a role of its Kubernetes auth method that logs in for so long.
func newCSI(t *testing.T, login map[string]any) *csi {
	t.Helper()
	m := newMountAt(t, "zoho", zohosim.Options{TokenLife: exampleLife})
	m.installKubernetesAuth()
	c := &csi{mount: m}
	var err error
	c.dir, err = os.MkdirTemp("", "csi") // a socket's path is short
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(c.dir) })
	policy, err := os.ReadFile(filepath.Join("..", "policies", "application.hcl"))
	require.NoError(t, err)
	require.NoError(t, m.root.Sys().PutPolicyWithContext(t.Context(), "crm-sync", string(policy)))

	c.kube = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/apis/authentication.k8s.io/v1/tokenreviews" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write([]byte(`{"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview","status":{"authenticated":true,"audiences":["vault"],"user":{"username":"system:serviceaccount:crm:crm-sync","uid":"1"}}}`))
	}))
	t.Cleanup(c.kube.Close)
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.kube.Certificate().Raw})
	for name, content := range map[string][]byte{"ca.crt": authority, "namespace": []byte("csi"), "token": []byte("provider")} {
		require.NoError(t, os.WriteFile(filepath.Join(c.dir, name), content, 0o600))
	}
	require.NoError(t, m.root.Sys().EnableAuthWithOptionsWithContext(t.Context(), "kubernetes", &api.EnableAuthOptions{Type: "kubernetes"}))
	role := map[string]any{
		"bound_service_account_names": "crm-sync", "bound_service_account_namespaces": "crm", "token_policies": "crm-sync", "audience": "vault",
	}
	for field, value := range login {
		role[field] = value
	}
	for path, data := range map[string]map[string]any{
		"config":        {"kubernetes_host": c.kube.URL, "kubernetes_ca_cert": string(authority), "token_reviewer_jwt": serviceAccountToken("vault")},
		"role/crm-sync": role,
	} {
		_, err := m.root.Logical().WriteWithContext(t.Context(), "auth/kubernetes/"+path, data)
		require.NoError(t, err)
	}
	c.attributes = c.mountAttributes()
	return c
}

// serviceAccountToken looks like one of Kubernetes', which is asked whether it is one.
func serviceAccountToken(audience string) string {
	part := func(v any) string {
		content, err := json.Marshal(v)
		if err != nil {
			panic(err)
		}
		return base64.RawURLEncoding.EncodeToString(content)
	}
	return part(map[string]any{"alg": "RS256", "typ": "JWT"}) + "." + part(map[string]any{
		"iat": time.Now().Add(-time.Minute).Unix(), "nbf": time.Now().Add(-time.Minute).Unix(),
		"iss": "https://kubernetes.default.svc", "sub": "system:serviceaccount:crm:crm-sync", "aud": []string{audience}, "exp": time.Now().Add(time.Hour).Unix(),
		"kubernetes.io": map[string]any{"namespace": "crm", "serviceaccount": map[string]any{"name": "crm-sync", "uid": "1"}},
	}) + "." + base64.RawURLEncoding.EncodeToString([]byte(rand.Text()))
}

// mountAttributes are the parameters of the example as they stand, but for its times, which are those of an hour.
func (c *csi) mountAttributes() string {
	c.t.Helper()
	class, ok := manifests(c.t, "secrets-store-csi.yaml")["SecretProviderClass"].(*secretProviderClass)
	require.True(c.t, ok)
	const minTTL = "min_ttl=30m"
	require.Contains(c.t, class.Parameters.Objects, minTTL)
	tokens, err := json.Marshal(map[string]any{class.Parameters.Audience: map[string]any{"token": serviceAccountToken(class.Parameters.Audience)}})
	require.NoError(c.t, err)
	attributes, err := json.Marshal(map[string]string{
		"roleName": class.Parameters.RoleName, "audience": class.Parameters.Audience,
		"objects":                                strings.ReplaceAll(class.Parameters.Objects, minTTL, "min_ttl="+(exampleLife/2).String()),
		"csi.storage.k8s.io/pod.name":            "crm-sync",
		"csi.storage.k8s.io/pod.namespace":       "crm",
		"csi.storage.k8s.io/pod.uid":             "1",
		"csi.storage.k8s.io/serviceAccount.name": "crm-sync", "csi.storage.k8s.io/serviceAccount.tokens": string(tokens),
	})
	require.NoError(c.t, err)
	return string(attributes)
}

// agent starts an Agent as the Helm chart configures it, and returns its address.
func (c *csi) agent() string {
	c.t.Helper()
	address := freePort(c.t)
	config := filepath.Join(c.dir, "agent.hcl")
	require.NoError(c.t, os.WriteFile(config, []byte(fmt.Sprintf("vault {\n  address = %q\n}\ncache {}\nlistener \"tcp\" {\n  address = %q\n  tls_disable = true\n}\n", c.server.Addr(), address)), 0o600))
	c.runs("agent", exec.CommandContext(context.WithoutCancel(c.t.Context()), c.server.Bin(), "agent", "-config="+config))
	return "http://" + address
}

// start starts the provider. It looks for its own account at a fixed path, so it gets a file system of its own there.
func (c *csi) start(bin, vault string) {
	c.t.Helper()
	const account = "/var/run/secrets/kubernetes.io/serviceaccount"
	cmd := exec.CommandContext(context.WithoutCancel(c.t.Context()), "unshare", "--map-root-user", "--mount", "sh", "-c",
		`mount -t tmpfs tmpfs "$(readlink -f /var/run)" && mkdir -p `+account+` && cp ca.crt namespace token `+account+` && exec "$@"`,
		"sh", bin, "-endpoint="+filepath.Join(c.dir, "sock"), "-health-addr=127.0.0.1:0")
	kube, err := url.Parse(c.kube.URL)
	require.NoError(c.t, err)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "VAULT_ADDR=" + vault, "KUBERNETES_SERVICE_HOST=" + kube.Hostname(), "KUBERNETES_SERVICE_PORT=" + kube.Port()}
	c.runs("provider", cmd)
	c.conn, err = grpc.NewClient("unix:"+filepath.Join(c.dir, "sock"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(c.t, err)
	c.t.Cleanup(func() { require.NoError(c.t, c.conn.Close()) })
}

func (c *csi) runs(name string, cmd *exec.Cmd) {
	c.t.Helper()
	cmd.Dir = c.dir
	log := filepath.Join(c.t.TempDir(), name)
	process, err := bootstrap.StartProcess(cmd, log)
	require.NoError(c.t, err)
	c.t.Cleanup(func() {
		require.NoError(c.t, process.Stop())
		require.Empty(c.t, secretsIn(log))
		if c.t.Failed() {
			content, _ := os.ReadFile(log)
			c.t.Logf("the %s says at the end:\n%s", name, content[max(0, len(content)-3000):])
		}
	})
}

// mountsLivingTokens mounts the files again and again, as the driver does that looks for new ones, until they have had four
// tokens. The one in the files must never be dead. The pause is as long as two minutes are to an hour.
func (c *csi) mountsLivingTokens() {
	c.t.Helper()
	const pause = exampleLife / 30
	var files map[string]string
	eventually(c.t, "the first mount", func() bool {
		var err error
		files, err = c.files()
		return err == nil
	})
	seen, next := map[string]bool{}, time.Now()
	watch(c.t, "four tokens in the files", 6*exampleLife, func() bool {
		if time.Now().After(next) {
			next = time.Now().Add(pause)
			var err error
			files, err = c.files()
			require.NoError(c.t, err)
		}
		token, found := strings.CutPrefix(files["authorization"], "Zoho-oauthtoken ")
		require.True(c.t, found)
		require.Equal(c.t, c.accounts.URL, files["api_domain"])
		keepSecret("access token", token)
		seen[token] = true
		require.True(c.t, c.sim.Alive(token), "the token in the files is dead; it is number %d", len(seen))
		return len(seen) == 4
	})
}

// files asks the provider for the files of the pod.
func (c *csi) files() (map[string]string, error) {
	var request, response message
	for field, value := range map[protowire.Number]string{1: c.attributes, 3: c.dir, 4: "420"} {
		request = protowire.AppendTag(request, field, protowire.BytesType)
		request = protowire.AppendString(request, value)
	}
	if err := c.conn.Invoke(c.t.Context(), "/v1alpha1.CSIDriverProvider/Mount", &request, &response, grpc.ForceCodec(plainCodec{})); err != nil {
		return nil, err
	}
	files := map[string]string{}
	err := response.each(func(field protowire.Number, file message) error {
		if field != 3 {
			return nil
		}
		var path, contents string
		err := file.each(func(field protowire.Number, value message) error {
			switch field {
			case 1:
				path = string(value)
			case 3:
				contents = string(value)
			}
			return nil
		})
		files[path] = contents
		return err
	})
	return files, err
}

// message is an encoded message of protocol buffers. Source of the fields: kubernetes-sigs/secrets-store-csi-driver,
// provider/v1alpha1/service.proto.
type message []byte

// each calls visit with every field that has a length.
func (m message) each(visit func(field protowire.Number, value message) error) error {
	for len(m) > 0 {
		field, kind, n := protowire.ConsumeTag(m)
		if n < 0 {
			return protowire.ParseError(n)
		}
		m = m[n:]
		n = protowire.ConsumeFieldValue(field, kind, m)
		if n < 0 {
			return protowire.ParseError(n)
		}
		if kind == protowire.BytesType {
			value, _ := protowire.ConsumeBytes(m)
			if err := visit(field, value); err != nil {
				return err
			}
		}
		m = m[n:]
	}
	return nil
}

// plainCodec sends and receives a message as it is.
type plainCodec struct{}

var errNoMessage = errors.New("no message")

func (plainCodec) Name() string { return "proto" }

func (plainCodec) Marshal(v any) ([]byte, error) {
	m, ok := v.(*message)
	if !ok {
		return nil, errNoMessage
	}
	return *m, nil
}

func (plainCodec) Unmarshal(data []byte, v any) error {
	m, ok := v.(*message)
	if !ok {
		return errNoMessage
	}
	*m = append((*m)[:0], data...)
	return nil
}
