package test

import (
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
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// impersonate lets the simulator stand at the address of a data centre's own
// Accounts server, for the plugin of a server that is started with this environment:
// it has to go through a proxy that leads there, and trusts its certificate. Nothing
// leaves the machine.
func impersonate(t *testing.T, accounts *url.URL, zoho http.Handler) (environment []string) {
	t.Helper()
	certificate, trusted := certificateOf(t, accounts.Hostname())
	instead := httptest.NewUnstartedServer(zoho)
	instead.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	instead.StartTLS()
	t.Cleanup(instead.Close)
	proxy := httptest.NewServer(tunnel{t: t, to: map[string]string{accounts.Host + ":443": instead.Listener.Addr().String()}})
	t.Cleanup(proxy.Close)

	file := filepath.Join(t.TempDir(), "trusted.pem")
	require.NoError(t, os.WriteFile(file, trusted, 0o600))
	return []string{"HTTPS_PROXY=" + proxy.URL, "SSL_CERT_FILE=" + file}
}

// certificateOf makes a certificate that vouches for itself.
func certificateOf(t *testing.T, host string) (certificate tls.Certificate, trusted []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{host}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// tunnel is a proxy that leads to what stands for a host, and nowhere else.
type tunnel struct {
	t  *testing.T
	to map[string]string // by host and port
}

func (p tunnel) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	address, known := p.to[r.Host]
	if r.Method != http.MethodConnect || !known {
		p.t.Errorf("the plugin wants to reach %s", r.Host)
		http.Error(w, "not here", http.StatusForbidden)
		return
	}
	instead, err := (&net.Dialer{}).DialContext(r.Context(), "tcp", address)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer instead.Close()
	client, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		p.t.Errorf("hijack: %v", err)
		return
	}
	defer client.Close()
	if _, err := io.WriteString(client, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		return
	}
	var both sync.WaitGroup
	carry := func(to, from net.Conn) {
		_, _ = io.Copy(to, from) // ends when one side does
		_ = to.Close()
	}
	both.Go(func() { carry(instead, client) })
	both.Go(func() { carry(client, instead) })
	both.Wait()
}
