package zohosecrets

import (
	"bufio"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/zohosim"
)

// What follows are the narrow ways in which a secret gets out, each by itself.

func TestSecret_OfAWrongTypeIsNotRepeated(t *testing.T) {
	t.Parallel()
	for _, field := range []string{"client_secret", "refresh_token"} {
		m, _, e := newEar(t)
		e.learn("hunter2hunter2", "a secret in a list")
		for _, value := range []any{[]string{"hunter2hunter2"}, fields{"value": "hunter2hunter2"}, []any{fields{"a": "hunter2hunter2"}}} {
			for _, path := range []string{"config", "roles/crm-sync"} {
				m.write(path, fields{"client_id": "1000.NEWNEWNEWNEW", field: value})
				m.patch(path, fields{"client_id": "1000.NEWNEWNEWNEW", field: value})
			}
		}
		e.requireSilence()
	}
}

func TestBadInput_ALongValueIsNotRepeatedInFull(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	for _, field := range []string{"request_budget", "min_ttl", "refresh_ahead", "ca_cert", "redirect_uri", "client_id"} {
		for _, value := range []any{strings.Repeat("x", 1<<20), []any{strings.Repeat("x", 1<<20)}} {
			got := m.write("config", goodConfig().with(fields{field: value}))
			require.Less(t, len(got.text), 1000, field)
		}
	}
}

func TestBadInput_AnInvisibleCharacterIsRefused(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	m.write("config", goodConfig()).done(t)
	before := m.stored()
	for _, invisible := range []string{"\ufeff", "\u200b", "\u200e", "\u2060", "\u00ad"} {
		for _, field := range []string{"client_id", "client_secret"} {
			m.requireRefused(m.write("config", goodConfig().with(fields{field: "1000.COPIED" + invisible})), before, field, field)
		}
		m.requireRefused(m.write("roles/new", goodRole().with(fields{"refresh_token": invisible + "1000.r.r"})), before, "refresh_token", "refresh_token")
	}
}

func TestBadInput_ADurationBelowASecondIsNotTakenForZero(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	m.write("config", goodConfig()).done(t)
	m.write("roles/crm-sync", goodRole()).done(t)
	before := m.stored()
	m.requireRefused(m.write("roles/crm-sync", fields{"ttl": "500ms"}), before, "ttl", "ttl")
	m.requireRefused(m.write("roles/crm-sync", fields{"min_ttl": "999ms"}), before, "min_ttl", "min_ttl")
	m.requireRefused(m.write("config", fields{"min_ttl": "1ns"}), before, "min_ttl", "min_ttl")
}

func TestNoSecret_FromAGoodAnswerThatRepeatsTheRequest(t *testing.T) {
	t.Parallel()
	for _, field := range []string{"api_domain", "token_type", "scope", "expires_in"} {
		m, z, e := newEar(t)
		for _, secret := range []string{z.clientSecret, z.refreshToken} {
			z.sim.Fault(zohosim.EndpointToken, zohosim.Fault{Kind: zohosim.FaultAnswer, Count: 1,
				Body: `{"access_token":"1000.new.token","` + field + `":"` + secret + `"}`})
			m.use(z)
		}
		e.requireSilence()
	}
}

func TestNoSecret_FromARedirectThatRepeatsTheRequest(t *testing.T) {
	t.Parallel()
	m, z, e := newEar(t)
	for _, endpoint := range []zohosim.Endpoint{zohosim.EndpointToken, zohosim.EndpointRevoke, zohosim.EndpointLegacyRevoke} {
		for _, secret := range []string{z.clientSecret, z.refreshToken} {
			for _, location := range []string{"https://evil.example/?s=" + secret, "%zz" + secret, "://" + secret, "https://" + secret + "%zz"} {
				z.sim.Fault(endpoint, zohosim.Fault{Kind: zohosim.FaultAnswer, Status: 302, Header: http.Header{"Location": {location}}})
				m.use(z)
				z.sim.ClearFaults()
			}
		}
	}
	e.requireSilence()
}

func TestNoSecret_FromAServerThatSpeaksNoHTTP(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]string{
		"no status line":         "client_secret=SECRET\r\n\r\n",
		"a malformed status":     "HTTP/1.1 SECRET no\r\n\r\n",
		"a malformed version":    "HTTP/SECRET 200 OK\r\n\r\n",
		"a malformed header":     "HTTP/1.1 200 OK\r\nSECRET\r\n\r\n",
		"a malformed field name": "HTTP/1.1 200 OK\r\nX SECRET: 1\r\n\r\n",
		"a malformed length":     "HTTP/1.1 200 OK\r\nContent-Length: SECRET\r\n\r\n",
		"an unknown encoding":    "HTTP/1.1 200 OK\r\nTransfer-Encoding: SECRET\r\n\r\n",
		"a malformed chunk":      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nSECRET\r\n",
		"a malformed trailer":    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n0\r\nSECRET\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, z, e := newEar(t)
			server := rawServer(t, strings.ReplaceAll(answer, "SECRET", z.clientSecret))
			m.write("config", z.config().with(fields{"accounts_url": server, "force": true})).done(t)
			m.use(z)
			require.Contains(t, e.said(), "Zoho ("+server+")", "it was asked")
			e.requireSilence()
		})
	}
}

// rawServer answers each request with the same bytes.
func rawServer(t *testing.T, answer string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			if req, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
				_ = req.ParseForm() // reads the body, so that closing sends no reset
				_, _ = conn.Write([]byte(answer))
			}
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { _ = listener.Close(); <-finished })
	return "http://" + listener.Addr().String()
}
