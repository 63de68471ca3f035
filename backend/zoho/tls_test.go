package zoho_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend/secret"
	"vault-plugin-secrets-zoho/backend/zoho"
)

func serveTLS(t *testing.T, answer http.HandlerFunc) *accountsServer {
	t.Helper()
	s := unstarted(t, answer)
	s.EnableHTTP2 = true
	s.StartTLS()
	return s
}

func certPEM(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// otherCA is a certificate authority that has nothing to do with the servers.
func otherCA(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	return certPEM(der)
}

func TestClient_AServerOfAnUnknownAuthorityGetsNoSecret(t *testing.T) {
	t.Parallel()
	server := serveTLS(t, answer(200, tokenJSON(nil)))
	for name, caCert := range map[string]string{"the system's authorities": "", "another authority": otherCA(t)} {
		t.Run(name, func(t *testing.T) {
			client := newClient(t, caCert)
			_, err := client.Refresh(t.Context(), server.app(), secret.New(refreshToken))
			failed := asError(t, err)
			require.Equal(t, zoho.Unreachable, failed.Kind)
			require.True(t, failed.NoToken(), "nothing was sent")
			require.Contains(t, failed.Error(), "certificate")
			require.Contains(t, failed.Error(), "ca_cert")

			_, err = client.RevokeAccessToken(t.Context(), server.app(), secret.New(accessToken))
			require.Equal(t, zoho.Unreachable, asError(t, err).Kind)
			require.Empty(t, server.arrivals())
		})
	}
}

func TestClient_CACertIsTheAuthorityOfItsServer(t *testing.T) {
	t.Parallel()
	server := serveTLS(t, answer(200, tokenJSON(nil)))
	own := certPEM(server.Certificate().Raw)
	for name, caCert := range map[string]string{
		"alone": own, "after another": otherCA(t) + own, "with text around": "# on premises\n" + own + "\n# end\n",
	} {
		client := newClient(t, caCert)
		_, err := client.Refresh(t.Context(), server.app(), secret.New(refreshToken))
		require.NoError(t, err, name)
		how, err := client.RevokeAccessToken(t.Context(), server.app(), secret.New(accessToken))
		require.NoError(t, err, name)
		require.Equal(t, zoho.Revoked, how)
	}
}

func TestNewClient_ACACertThatIsNoCertificateIsAnError(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	private := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	for name, caCert := range map[string]string{
		"text": "accounts.example.com", "a path": "/etc/ssl/ca.pem", "a line break": "\n", "a private key": private,
		"PEM of nonsense": certPEM([]byte("nonsense")), "cut off": otherCA(t)[:100],
	} {
		client, err := zoho.NewClient("test", caCert)
		require.ErrorContains(t, err, "ca_cert", name)
		require.NotContains(t, err.Error(), caCert, name)
		require.Nil(t, client)
	}
}

// HTTP/2 takes another road through net/http; Zoho's servers speak it.
func TestRefresh_OverHTTP2ALostAnswerMayHaveCarriedAToken(t *testing.T) {
	t.Parallel()
	protocol := make(chan int, 2)
	server := serveTLS(t, func(_ http.ResponseWriter, r *http.Request) {
		protocol <- r.ProtoMajor
		panic(http.ErrAbortHandler)
	})
	client := newClient(t, certPEM(server.Certificate().Raw))
	for range 2 { // on a new connection, on a used one
		_, err := client.Refresh(t.Context(), server.app(), secret.New(refreshToken))
		failed := asError(t, err)
		require.Equal(t, zoho.Unreachable, failed.Kind)
		require.False(t, failed.NoToken())
		require.Equal(t, 2, <-protocol)
	}
	require.Len(t, server.arrivals(), 2)
}

func TestClient_AnHTTPServerAtAnHTTPSAddressGetsNoSecret(t *testing.T) {
	t.Parallel()
	server := serve(t, answer(200, tokenJSON(nil)))
	_, err := newClient(t, "").Refresh(t.Context(), appAt("https"+server.URL[len("http"):]), secret.New(refreshToken))
	require.True(t, asError(t, err).NoToken())
	require.Empty(t, server.arrivals())
}
