package test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-cleanhttp"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"vault-plugin-secrets-zoho/zohosim"
)

// The clients here are other people's, as they are, with a role's name where they
// want a refresh token, and the token server's address where they want Zoho's.

const clientLife = 20 * time.Second

// lives waits until the programs have worked for several lives of a token.
// However many they are, Zoho gets one token request for each token, and the engine
// mints the next token at half of the life.
func (s *tokenServer) lives(what string, call func()) {
	s.m.t.Helper()
	began := time.Now()
	watch(s.m.t, what, 5*clientLife, func() bool {
		call()
		return s.m.mints() >= 5
	})
	require.Equal(s.m.t, s.m.mints(), s.m.sim.TokenRequests(s.m.refreshToken))
	require.LessOrEqual(s.m.t, s.m.mints(), 2+int(time.Since(began)/(clientLife/2)))
}

// goProgram is one that uses golang.org/x/oauth2, as its documentation says.
type goProgram struct {
	http *http.Client
	api  string
}

func (s *tokenServer) goProgram() *goProgram {
	config := &oauth2.Config{ClientID: s.id, ClientSecret: s.secret, Endpoint: oauth2.Endpoint{TokenURL: s.url}}
	ctx := context.WithValue(context.WithoutCancel(s.m.t.Context()), oauth2.HTTPClient, &http.Client{Transport: &http.Transport{}})
	client := config.Client(ctx, &oauth2.Token{RefreshToken: "crm-sync"})
	s.m.t.Cleanup(client.CloseIdleConnections)
	return &goProgram{http: client, api: s.m.accounts.URL + "/crm/v8/org"}
}

func (p *goProgram) calls(t *testing.T) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.api, nil)
	require.NoError(t, err)
	resp, err := p.http.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode, "%s", body)
}

func TestTokenServer_GosTokenSourceLivesOnLeasedTokens(t *testing.T) {
	t.Parallel()
	s := newMount(t, zohosim.Options{TokenLife: clientLife}).startTokenServer()
	worksWith(t, "golang.org/x/oauth2", "go", "list", "-m", "golang.org/x/oauth2")
	programs := make([]*goProgram, 8)
	for i := range programs {
		programs[i] = s.goProgram()
	}
	s.lives("five tokens", func() {
		for _, program := range programs {
			program.calls(t)
		}
	})
	s.ends()
}

// x/oauth2 has to see an error where Zoho answers one with HTTP 200.
func TestTokenServer_GosTokenSourceUnderstandsItsErrors(t *testing.T) {
	t.Parallel()
	s := newMount(t, zohosim.Options{}).startTokenServer()
	config := &oauth2.Config{ClientID: s.id, ClientSecret: "another", Endpoint: oauth2.Endpoint{TokenURL: s.url}}
	client := cleanhttp.DefaultClient() // keeps no connection
	ctx := context.WithValue(t.Context(), oauth2.HTTPClient, client)
	_, err := config.TokenSource(ctx, &oauth2.Token{RefreshToken: "crm-sync"}).Token()
	var refused *oauth2.RetrieveError
	require.ErrorAs(t, err, &refused)
	require.Equal(t, "invalid_client_secret", refused.ErrorCode)
}

// program is a program of another language that calls until its input ends.
type program struct {
	t     *testing.T
	stdin io.WriteCloser
	ended chan error

	mu     sync.Mutex
	output strings.Builder
}

func (p *program) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.output.Write(b)
}

func (p *program) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.output.String()
}

func startProgram(t *testing.T, cmd *exec.Cmd) *program {
	t.Helper()
	p := &program{t: t, ended: make(chan error, 1)}
	var err error
	p.stdin, err = cmd.StdinPipe()
	require.NoError(t, err)
	cmd.Stdout, cmd.Stderr = p, p
	require.NoError(t, cmd.Start())
	go func() { p.ended <- cmd.Wait() }()
	t.Cleanup(func() { _ = p.stdin.Close() })
	return p
}

// works requires that the program has not failed.
func (p *program) works() {
	p.t.Helper()
	select {
	case err := <-p.ended:
		p.t.Fatalf("the program has ended: %v\n%s", err, p.said())
	default:
	}
}

func (p *program) ends() {
	p.t.Helper()
	require.NoError(p.t, p.stdin.Close())
	require.NoError(p.t, <-p.ended, p.said())
	require.Contains(p.t, p.said(), "accepted Zylker")
}

// environ is what the programs in testdata/clients are told.
func (s *tokenServer) environ(dir string) []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "API_URL=" + s.m.accounts.URL, "TOKEN_URL=" + s.url, "ROLE=crm-sync",
		"ZOHO_CLIENT_ID=" + s.id, "ZOHO_CLIENT_SECRET=" + s.secret,
	}
}

// python returns a Python that has requests-oauthlib. Debian's may not be the first
// one on the PATH.
func python(t *testing.T) string {
	t.Helper()
	var errs []error
	for _, name := range []string{"python3", "/usr/bin/python3"} {
		out, err := exec.CommandContext(t.Context(), name, "-c", "import requests_oauthlib").CombinedOutput()
		if err == nil {
			worksWith(t, "requests-oauthlib", name, "-c", "import requests_oauthlib; print(requests_oauthlib.__version__)")
			return name
		}
		errs = append(errs, errors.New(name+": "+string(out)), err)
	}
	needs(t, "requests-oauthlib (Debian: apt-get install python3-requests-oauthlib)", errors.Join(errs...))
	return ""
}

func TestTokenServer_RequestsOAuthlibLivesOnLeasedTokens(t *testing.T) {
	t.Parallel()
	interpreter := python(t)
	s := newMount(t, zohosim.Options{TokenLife: clientLife}).startTokenServer()
	cmd := exec.CommandContext(t.Context(), interpreter, "testdata/clients/oauthlib_client.py")
	cmd.Env = append(s.environ(t.TempDir()), "OAUTHLIB_INSECURE_TRANSPORT=1") // it wants https, also on a loopback address
	p := startProgram(t, cmd)
	s.lives("five tokens", p.works)
	p.ends()
	s.ends()
}
