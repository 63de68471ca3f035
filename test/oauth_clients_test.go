package test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/zohosim"
)

// oauthClients is a copy of testdata/oauthclients with the libraries that it pins.
var oauthClients = sync.OnceValues(func() (string, error) {
	return npmDir(filepath.Join("testdata", "oauthclients"))
})

// The libraries send the client's ID and secret in a Basic header, each in its own way.
func TestTokenServer_LibrariesForNodeLiveOnLeasedTokens(t *testing.T) {
	t.Parallel()
	_, err := exec.LookPath("npm")
	needs(t, "REQUIRE_NODE", "Node.js with npm (Debian: apt-get install nodejs npm)", err)
	dir, err := oauthClients()
	needs(t, "REQUIRE_NODE", "the libraries from the npm registry", err)
	for _, library := range []string{"openid-client", "simple-oauth2"} {
		t.Run(library, func(t *testing.T) {
			t.Parallel()
			worksWith(t, library, "node", "-p", "JSON.parse(fs.readFileSync(process.argv[1])).version", filepath.Join(dir, "node_modules", library, "package.json"))
			s := newMount(t, zohosim.Options{TokenLife: clientLife}).startTokenServer()
			cmd := exec.CommandContext(t.Context(), "node", library+".mjs")
			cmd.Dir, cmd.Env = dir, s.environ(t.TempDir())
			p := startProgram(t, cmd)
			s.lives("five tokens", p.works)
			p.ends()
			s.ends()
		})
	}
}

// Zoho's Python SDK is in no registry that a build reaches; whoever has it puts it on
// PYTHONPATH. It looks up the user after the first refresh, and takes the Accounts server
// of any api_domain that it knows.
func TestTokenServer_ZohosPythonSDKLivesOnLeasedTokens(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "python3", "-c", "import zohocrmsdk").CombinedOutput()
	needs(t, "REQUIRE_ZOHO_PYTHON_SDK", "Zoho's Python SDK 8.0 (pip install zohocrmsdk8_0)", errors.Join(err, errorOf(out, err)))
	m := newMount(t, zohosim.Options{TokenLife: clientLife, Answer: zohosim.Answer{APIDomain: "https://www.zohoapis.eu"}})
	s := m.startTokenServer()
	dir := t.TempDir()
	script, err := filepath.Abs("testdata/clients/zoho_sdk.py")
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), "python3", script)
	cmd.Dir, cmd.Env = dir, append(s.environ(dir), "PYTHONPATH="+os.Getenv("PYTHONPATH"))
	p := startProgram(t, cmd)
	s.lives("five tokens", p.works)
	p.ends()
	s.ends()
}

func errorOf(out []byte, err error) error {
	if err == nil {
		return nil
	}
	return errors.New(string(out))
}

// rclone has a place for the token endpoint and none for a refresh token: that is in its
// token=, which is expired from the beginning. Its API is at a fixed host.
func TestTokenServer_RcloneLivesOnLeasedTokens(t *testing.T) {
	t.Parallel()
	_, err := exec.LookPath("rclone")
	needs(t, "REQUIRE_RCLONE", "rclone (Debian: apt-get install rclone)", err)
	worksWith(t, "rclone", "rclone", "version")
	m := newMount(t, zohosim.Options{TokenLife: clientLife})
	s := m.startTokenServer()
	drive := newWorkDrive(t, m.sim)
	config := filepath.Join(t.TempDir(), "rclone.conf")
	require.NoError(t, os.WriteFile(config, []byte(strings.Join([]string{
		"[zoho]", "type = zoho", "region = eu", "root_folder_id = root", "client_id = " + s.id, "client_secret = " + s.secret, "token_url = " + s.url,
		`token = {"access_token":"none yet","token_type":"Zoho-oauthtoken","refresh_token":"crm-sync","expiry":"2020-01-01T00:00:00Z"}`, "",
	}, "\n")), 0o600))
	s.lives("five tokens", func() {
		cmd := exec.CommandContext(t.Context(), "rclone", "--config", config, "--ca-cert", drive.ca, "--retries", "1", "lsd", "zoho:")
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + filepath.Dir(config), "HTTPS_PROXY=" + drive.proxy}
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
		require.Contains(t, string(out), "Zylker")
	})
	stored, err := os.ReadFile(config)
	require.NoError(t, err)
	require.Contains(t, string(stored), s.gets(), "docs/using.md says that rclone stores its tokens")
	s.ends()
}

// workDrive is the host workdrive.zoho.eu, behind a proxy, with a certificate of its own.
// It has one folder for whoever has a token that is alive.
type workDrive struct{ proxy, ca string }

func newWorkDrive(t *testing.T, sim *zohosim.Sim) workDrive {
	t.Helper()
	certificate, ca := hostCertificate(t, "workdrive.zoho.eu")
	api := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		if !assert.Equal(t, "Zoho-oauthtoken", scheme) || !assert.True(t, sim.Alive(token), "a dead token") {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "application/vnd.api+json")
		_, _ = io.WriteString(w, `{"data":[{"id":"1","type":"files","attributes":{"name":"Zylker","is_folder":true}}]}`)
	}))
	api.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	api.StartTLS()
	t.Cleanup(api.Close)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect || r.Host != "workdrive.zoho.eu:443" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		tunnel(t, w, api.Listener.Addr().String())
	}))
	t.Cleanup(proxy.Close)
	path := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(path, ca, 0o600))
	return workDrive{proxy: proxy.URL, ca: path}
}

// tunnel answers CONNECT, and carries bytes until one side ends.
func tunnel(t *testing.T, w http.ResponseWriter, address string) {
	there, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
	if !assert.NoError(t, err) {
		return
	}
	defer there.Close()
	w.WriteHeader(http.StatusOK)
	here, buffered, err := http.NewResponseController(w).Hijack()
	if !assert.NoError(t, err) {
		return
	}
	defer here.Close()
	go func() {
		_, _ = io.Copy(there, buffered) // ends with the connection
		_ = there.Close()
	}()
	_, _ = io.Copy(here, there)
}

// hostCertificate makes a certificate that signs itself.
func hostCertificate(t *testing.T, host string) (tls.Certificate, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{host}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
