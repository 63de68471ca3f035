package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// checks runs -check, and returns what it prints.
func checks(t *testing.T, args ...string) (printed string, err error) {
	t.Helper()
	var out bytes.Buffer
	err = run(t.Context(), append([]string{"-check"}, args...), &out, io.Discard)
	return out.String(), err
}

func TestCheck_HoldsForTheTokenServerThatKnowsThePair(t *testing.T) {
	startVault(t)
	file := filepath.Join(t.TempDir(), "client.env")
	for _, listen := range []string{"127.0.0.1:0", "localhost:0"} {
		log, stop := start(t, "-listen="+listen, "-mount=zoho-eu", "-client-file="+file)
		_, port, err := net.SplitHostPort(listening(t, log))
		require.NoError(t, err)
		address := strings.TrimSuffix(listen, "0") + port
		printed, err := checks(t, "-listen="+address, "-client-file="+file)
		require.NoError(t, err)
		require.Contains(t, printed, `"status":"ok"`)
		if listen == "localhost:0" {
			require.Equal(t, strings.Count(log.String(), "msg=listening"), strings.Count(printed, "\n"), "each of its addresses is asked")
		}
		_, err = checks(t, "-listen="+address)
		require.ErrorContains(t, err, "nobody can tell whose program listens there")
		another := filepath.Join(t.TempDir(), "another.env")
		_, err = checks(t, "-listen="+address, "-client-file="+another)
		require.ErrorIs(t, err, os.ErrNotExist, "it makes no pair")
		require.NoError(t, os.WriteFile(another, []byte("ZOHO_CLIENT_ID=x\nZOHO_CLIENT_SECRET=0123456789abcdef\n"), 0o600))
		_, err = checks(t, "-listen="+address, "-client-file="+another)
		require.ErrorContains(t, err, "does not know the client secret")
		require.NoError(t, stop())
	}
	_, err := checks(t, "-listen=systemd", "-client-file="+file)
	require.ErrorContains(t, err, "name the socket")
}

// An impostor has the port while the token server is started again.
func TestCheck_BelievesNobodyElseAndPrintsNothingOfHis(t *testing.T) {
	startVault(t)
	file := filepath.Join(t.TempDir(), "client.env")
	log, stop := start(t, "-listen=127.0.0.1:0", "-mount=zoho-eu", "-client-file="+file)
	server := &url.URL{Scheme: "http", Host: listening(t, log)}
	content, err := os.ReadFile(file)
	require.NoError(t, err)
	_, secret, _ := strings.Cut(string(content), "SECRET=")

	var seen bytes.Buffer
	for name, impostor := range map[string]http.HandlerFunc{
		"says that it is well": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "{\"status\":\"ok\x1b[2J\"}")
		},
		"sends back what it gets": func(w http.ResponseWriter, r *http.Request) {
			for name := range r.Header {
				w.Header().Set(name, r.Header.Get(name))
			}
			_, _ = io.WriteString(w, `{"status":"ok"}`)
		},
		"asks the token server": func(w http.ResponseWriter, r *http.Request) {
			httputil.NewSingleHostReverseProxy(server).ServeHTTP(w, r)
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				sent, _ := httputil.DumpRequest(r, true)
				seen.Write(sent)
				impostor(w, r)
			}))
			defer l.Close()
			printed, err := checks(t, "-listen="+l.Listener.Addr().String(), "-client-file="+file)
			require.ErrorContains(t, err, "does not know the client secret")
			require.Empty(t, printed)
			require.NotContains(t, err.Error(), "\x1b")
		})
	}
	require.NotContains(t, seen.String(), strings.TrimSpace(secret))
	http.DefaultClient.CloseIdleConnections()
	require.NoError(t, stop())
}

// What goes to the terminal is plain, also from a program that knows the pair.
func TestCheck_PrintsNothingThatSteersATerminal(t *testing.T) {
	require.Equal(t, `{"status":"\u001b[2J\u009b1m\u202e"}`, plainASCII("{\"status\":\"\x1b[2J\u009b1m\u202e\"}"))
	require.Equal(t, "? a\nb \\u0000", plainASCII("\U0001f600 a\nb \x00"))
	l := httptest.NewUnstartedServer(nil)
	l.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		_, _ = c.Read(make([]byte, 1))
		_, _ = io.WriteString(c, "\x1b]0;owned\x07\r\n\r\n")
		return ctx
	}
	l.Start()
	defer l.Close()
	t.Setenv("ZOHO_CLIENT_ID", "an-id")
	t.Setenv("ZOHO_CLIENT_SECRET", "0123456789abcdef")
	_, err := checks(t, "-listen="+l.Listener.Addr().String())
	require.Error(t, err)
	require.NotContains(t, err.Error(), "\x1b")
}

func TestRun_WithACertificateSpeaksTLSOnly(t *testing.T) {
	startVault(t)
	// httptest's certificate is for 127.0.0.1.
	testServer := httptest.NewTLSServer(nil)
	certificate := testServer.TLS.Certificates[0]
	testServer.Close()
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writePEM(t, certFile, "CERTIFICATE", certificate.Certificate[0])
	key, err := x509.MarshalPKCS8PrivateKey(certificate.PrivateKey)
	require.NoError(t, err)
	writePEM(t, keyFile, "PRIVATE KEY", key)
	setPair(t)
	log, stop := start(t, "-listen=127.0.0.1:0", "-mount=zoho-eu", "-tls-cert="+certFile, "-tls-key="+keyFile)
	address := listening(t, log)

	roots := x509.NewCertPool()
	roots.AddCert(testServer.Certificate())
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	require.Contains(t, post(t, client, "https://"+address+"/oauth/v2/token", goodForm), "access_token")
	require.Contains(t, post(t, &http.Client{Transport: &http.Transport{}}, "http://"+address+"/oauth/v2/token", goodForm), "HTTP request to an HTTPS server")

	printed, err := checks(t, "-listen="+address, "-tls-cert="+certFile)
	require.NoError(t, err)
	require.Contains(t, printed, `"status":"ok"`)
	_, err = checks(t, "-listen="+address)
	require.Error(t, err)

	another := httptest.NewTLSServer(http.NotFoundHandler()) // has the certificate, but not the pair
	_, err = checks(t, "-listen="+another.Listener.Addr().String(), "-tls-cert="+certFile)
	require.ErrorContains(t, err, "does not know the client secret")
	another.Close()
	writePEM(t, certFile, "CERTIFICATE", newCertificate(t))
	_, err = checks(t, "-listen="+address, "-tls-cert="+certFile)
	require.ErrorContains(t, err, "its certificate is not the one in -tls-cert")
	require.NoError(t, stop())
}

func writePEM(t *testing.T, name, kind string, content []byte) {
	t.Helper()
	require.NoError(t, os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content}), 0o600))
}

func newCertificate(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	content, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	return content
}
