package zohosecrets

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestBadInput_TooMuchOrNoPEMIsNoCertificate(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	m.write("config", goodConfig()).done(t)
	before := m.stored()
	certificate := certificate(t)
	for value, says := range map[string]string{
		"not PEM": "-----BEGIN CERTIFICATE-----",
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")})): "-----BEGIN CERTIFICATE-----",
		strings.Replace(certificate, "M", "!", 1):                                       "-----BEGIN CERTIFICATE-----",
		strings.Repeat(certificate, 1<<20/len(certificate)):                             "at most 65536 make sense",
	} {
		m.requireRefused(m.write("config", fields{"ca_cert": value}), before, "ca_cert", "ca_cert", says)
	}
	m.write("config", fields{"ca_cert": certificate}).done(t)
	require.Equal(t, certificate, m.read("config").Data["ca_cert"])
}

func certificate(t *testing.T) string {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(nil, template, template, public, private)
	require.NoError(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}
