package test

import (
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

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
	needs(t, "Node.js with npm (Debian: apt-get install nodejs npm)", err)
	dir, err := oauthClients()
	needs(t, "the libraries from the npm registry", err)
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
	err := exec.CommandContext(t.Context(), "python3", "-c", "import zohocrmsdk").Run()
	wants(t, "Zoho's Python SDK 8.0 (pip install zohocrmsdk8_0)", err)
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

// rclone has a place for the token endpoint and none for a refresh token: that is in its
// token=, which is expired from the beginning. Its API is at a fixed host.
func TestTokenServer_RcloneLivesOnLeasedTokens(t *testing.T) {
	t.Parallel()
	_, err := exec.LookPath("rclone")
	needs(t, "rclone (Debian: apt-get install rclone)", err)
	worksWith(t, "rclone", "rclone", "version")
	m := newMount(t, zohosim.Options{TokenLife: clientLife})
	s := m.startTokenServer()
	proxied := impersonate(t, &url.URL{Scheme: "https", Host: "workdrive.zoho.eu"}, workDrive(t, m.sim))
	config := filepath.Join(t.TempDir(), "rclone.conf")
	require.NoError(t, os.WriteFile(config, []byte(strings.Join([]string{
		"[zoho]", "type = zoho", "region = eu", "root_folder_id = root", "client_id = " + s.id, "client_secret = " + s.secret, "token_url = " + s.url,
		`token = {"access_token":"none yet","token_type":"Zoho-oauthtoken","refresh_token":"crm-sync","expiry":"2020-01-01T00:00:00Z"}`, "",
	}, "\n")), 0o600))
	s.lives("five tokens", func() {
		cmd := exec.CommandContext(t.Context(), "rclone", "--config", config, "--retries", "1", "lsd", "zoho:")
		cmd.Env = append(proxied, "PATH="+os.Getenv("PATH"), "HOME="+filepath.Dir(config))
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
		require.Contains(t, string(out), "Zylker")
	})
	stored, err := os.ReadFile(config)
	require.NoError(t, err)
	require.Contains(t, string(stored), s.gets(), "docs/clients.md says that rclone stores its tokens")
	s.ends()
}

// workDrive stands for rclone's API, which has one folder for whoever has a token that is
// alive.
func workDrive(t *testing.T, sim *zohosim.Sim) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		// rclone writes Bearer there after a refresh, which this API takes.
		_, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		if !assert.True(t, sim.Alive(token), "a dead token") {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "application/vnd.api+json")
		found := `{"data":[{"id":"1","type":"files","attributes":{"name":"Zylker","is_folder":true}}]}`
		if r.URL.Query().Get("page[offset]") != "0" {
			found = `{"data":[]}`
		}
		_, _ = io.WriteString(w, found)
	}
}
