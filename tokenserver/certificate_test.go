package tokenserver

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// writeCertificate makes a certificate for 127.0.0.1 with a number.
func writeCertificate(t *testing.T, certFile, keyFile string, number int64) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(number), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	encodedKey, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	// Its size differs with its number: two writes within a tick of the file system's clock.
	require.NoError(t, os.WriteFile(certFile, append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}), make([]byte, number)...), 0o600))
	require.NoError(t, os.WriteFile(keyFile, append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encodedKey}), make([]byte, number)...), 0o600))
}

func TestCertificate_IsReadAgainWhenItChangesAndTheFormerServesUntilTheNewIsWhole(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writeCertificate(t, certFile, keyFile, 1)
	log := &syncBuffer{}
	c, err := NewCertificate(certFile, keyFile, slog.New(slog.NewTextHandler(log, nil)))
	require.NoError(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	encrypted := c.Encrypt([]net.Listener{l})
	defer func() { require.NoError(t, CloseAll(encrypted)) }()
	go func() {
		for {
			conn, err := encrypted[0].Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 1)) // which shakes hands
			_ = conn.Close()
		}
	}()
	number := func(versions ...uint16) int64 {
		t.Helper()
		config := &tls.Config{InsecureSkipVerify: true} // #nosec G402 -- the test looks at the certificate itself
		if len(versions) > 0 {
			config.MinVersion, config.MaxVersion = versions[0], versions[0]
		}
		conn, err := tls.Dial("tcp", l.Addr().String(), config)
		if err != nil {
			require.ErrorContains(t, err, "protocol version")
			return 0
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	require.EqualValues(t, 1, number())
	require.EqualValues(t, 1, number(tls.VersionTLS12))
	require.Zero(t, number(tls.VersionTLS11), "TLS 1.1 is over")

	newCert, newKey := filepath.Join(dir, "new-cert.pem"), filepath.Join(dir, "new-key.pem")
	writeCertificate(t, newCert, newKey, 2)
	require.NoError(t, os.Rename(newCert, certFile))
	require.EqualValues(t, 1, number(), "the key is the former one's")
	require.Contains(t, log.String(), "the former one stays")
	require.NoError(t, os.Rename(newKey, keyFile))
	require.EqualValues(t, 2, number())
	require.NoError(t, os.Remove(certFile))
	require.EqualValues(t, 2, number())
}

func TestCertificate_AKeyThatOthersCanReadIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writeCertificate(t, certFile, keyFile, 1)
	for mode, good := range map[os.FileMode]bool{0o600: true, 0o640: true, 0o644: false, 0o660: false} {
		require.NoError(t, os.Chmod(keyFile, mode))
		_, err := NewCertificate(certFile, keyFile, slog.New(slog.DiscardHandler))
		require.Equal(t, good, err == nil, "%04o: %v", mode, err)
	}
	require.NoError(t, os.Chmod(keyFile, 0o600))
	_, err := NewCertificate(keyFile, certFile, slog.New(slog.DiscardHandler))
	require.Error(t, err)
	link := filepath.Join(dir, "link.pem") // as Kubernetes makes it
	require.NoError(t, os.Symlink("key.pem", link))
	_, err = NewCertificate(certFile, link, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	foreign(t, keyFile)
	_, err = NewCertificate(certFile, keyFile, slog.New(slog.DiscardHandler))
	require.ErrorContains(t, err, "belongs to the user with ID 65534")
}
