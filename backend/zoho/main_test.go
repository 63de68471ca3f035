package zoho_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"vault-plugin-secrets-zoho/backend/secret"
	"vault-plugin-secrets-zoho/backend/zoho"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// What an operator and Zoho would not want to read in a log. The client secret
// looks like a word on purpose: it could pass for one of Zoho's error words.
const (
	clientID     = "1000.0A1B2C3D4E5F6A7B8C9D0E1F2A3B4C"
	clientSecret = "OpenSesame"
	refreshToken = "1000.aaaa0000aaaa0000aaaa0000aaaa0000.bbbb1111bbbb1111bbbb1111bbbb1111"
	accessToken  = "1000.cccc2222cccc2222cccc2222cccc2222.dddd3333dddd3333dddd3333dddd3333"
	grantCode    = "1000.eeee4444eeee4444eeee4444eeee4444.ffff5555ffff5555ffff5555ffff5555"
	soid         = "ZohoCRM.600123434"
)

// Not secret, but nothing of Zoho's either.
const callback = "https://vault.example.com/ui/callback"

// Two scopes that the simulator knows.
const (
	modules = "ZohoCRM.modules.ALL"
	orgRead = "ZohoCRM.org.READ"
)

// The paths of an Accounts server.
const (
	tokenPath       = "/oauth/v2/token"
	newerRevokePath = "/oauth/v2/revoke/token"
	olderRevokePath = "/oauth/v2/token/revoke"
)

// An accountsServer answers as it is told to and remembers what arrived.
type accountsServer struct {
	*httptest.Server
	mu   sync.Mutex
	seen []arrival
}

type arrival struct {
	method, path, query string
	header              http.Header
	form                url.Values
}

func (s *accountsServer) record(answer http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		// Read to the end: only then does net/http notice that a caller leaves.
		body, _ := io.ReadAll(r.Body)
		form, _ := url.ParseQuery(string(body))
		s.mu.Lock()
		s.seen = append(s.seen, arrival{r.Method, r.URL.Path, r.URL.RawQuery, r.Header, form})
		s.mu.Unlock()
		answer(w, r)
	}
}

func (s *accountsServer) arrivals() []arrival {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.seen)
}

func (s *accountsServer) app() zoho.App { return appAt(s.URL) }

func appAt(accountsURL string) zoho.App {
	return zoho.App{AccountsURL: accountsURL, ClientID: clientID, ClientSecret: secret.New(clientSecret)}
}

func unstarted(t *testing.T, answer http.HandlerFunc) *accountsServer {
	t.Helper()
	s := &accountsServer{}
	s.Server = httptest.NewUnstartedServer(s.record(answer))
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes that fail on purpose
	t.Cleanup(func() { s.Close() })
	return s
}

func serve(t *testing.T, answer http.HandlerFunc) *accountsServer {
	t.Helper()
	s := unstarted(t, answer)
	s.Start()
	return s
}

func newClient(t *testing.T, caCert string) *zoho.Client {
	t.Helper()
	client, err := zoho.NewClient("vault-plugin-secrets-zoho/v0.0.0-test", caCert)
	require.NoError(t, err)
	t.Cleanup(client.Close)
	return client
}

// A tokenCall is one of the three ways to get an access token.
type tokenCall func(context.Context, *zoho.Client, zoho.App) (zoho.Token, error)

func tokenCalls() map[string]tokenCall {
	return map[string]tokenCall{
		"a refresh": func(ctx context.Context, client *zoho.Client, app zoho.App) (zoho.Token, error) {
			return client.Refresh(ctx, app, secret.New(refreshToken))
		},
		"the exchange of a grant code": func(ctx context.Context, client *zoho.Client, app zoho.App) (zoho.Token, error) {
			exchanged, err := client.Exchange(ctx, app, secret.New(grantCode), callback)
			return exchanged.Token, err
		},
		"client credentials": func(ctx context.Context, client *zoho.Client, app zoho.App) (zoho.Token, error) {
			return client.ClientCredentials(ctx, app, soid, []string{modules})
		},
	}
}

// A revocation is one of the two kinds of it.
type revocation func(*zoho.Client, context.Context, zoho.App, secret.Value) (zoho.Revocation, error)

// revocations has them by the word that the newer endpoint wants to hear.
func revocations() map[string]revocation {
	return map[string]revocation{
		"access_token":  (*zoho.Client).RevokeAccessToken,
		"refresh_token": (*zoho.Client).RevokeRefreshToken,
	}
}

// refresh sends one refresh to a server that gives one answer. That exactly one
// request arrives is part of every test that uses it.
func refresh(t *testing.T, answer http.HandlerFunc) (zoho.Token, error) {
	t.Helper()
	server := serve(t, answer)
	token, err := newClient(t, "").Refresh(t.Context(), server.app(), secret.New(refreshToken))
	require.Len(t, server.arrivals(), 1, "one call, one request")
	return token, err
}

// exchange is refresh for a grant code.
func exchange(t *testing.T, answer http.HandlerFunc) (zoho.Exchanged, error) {
	t.Helper()
	server := serve(t, answer)
	exchanged, err := newClient(t, "").Exchange(t.Context(), server.app(), secret.New(grantCode), callback)
	require.Len(t, server.arrivals(), 1, "one call, one request")
	return exchanged, err
}

// refused is refresh for answers that hold no usable token. Of one that cannot be used
// nothing is known but what has to be revoked.
func refused(t *testing.T, answer http.HandlerFunc) *zoho.Error {
	t.Helper()
	token, err := refresh(t, answer)
	require.Equal(t, zoho.Token{AccessToken: token.AccessToken}, token)
	return asError(t, err)
}

func asError(t *testing.T, err error) *zoho.Error {
	t.Helper()
	var failed *zoho.Error
	require.Error(t, err)
	require.True(t, errors.As(err, &failed), "%T is not a *zoho.Error", err)
	require.NotContains(t, failed.Kind.String(), "unknown")
	require.NotEmpty(t, failed.Error())
	return failed
}

// answer is a complete answer. Most tests leave the content type alone: Zoho's
// client must not care for it.
func answer(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// raw writes bytes instead of an HTTP answer, and closes the connection.
func raw(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		_, _ = io.WriteString(conn, text)
		_ = conn.Close()
	}
}

// closes is a server that takes a request and hangs up.
func closes() http.HandlerFunc { return raw("") }

// tokenJSON is a token answer with some members changed; nil removes one.
func tokenJSON(changes map[string]any) string {
	members := map[string]any{
		"access_token": accessToken, "api_domain": "https://www.zohoapis.eu",
		"token_type": "Bearer", "expires_in": 3600,
	}
	for name, value := range changes {
		members[name] = value
		if value == nil {
			delete(members, name)
		}
	}
	out, err := json.Marshal(members)
	if err != nil {
		panic(err)
	}
	return string(out)
}

// A deadline is a context whose time is up when the test says so, not when a
// clock does.
type deadline struct {
	context.Context
	once sync.Once
	done chan struct{}
}

func newDeadline(t *testing.T) *deadline {
	t.Helper()
	return &deadline{Context: t.Context(), done: make(chan struct{})}
}

func (d *deadline) pass()                 { d.once.Do(func() { close(d.done) }) }
func (d *deadline) Done() <-chan struct{} { return d.done }
func (d *deadline) Err() error {
	select {
	case <-d.done:
		return context.DeadlineExceeded
	default:
		return nil
	}
}
