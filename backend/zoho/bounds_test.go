package zoho_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend/secret"
	"vault-plugin-secrets-zoho/backend/zoho"
)

// What a server answers is stored with the grant and its tokens, and handed to
// every reader. Each text has a bound, and so has their number.

func TestRefresh_OfTooManyScopesTheFirstAreKept(t *testing.T) {
	t.Parallel()
	var all []string
	for i := range zoho.MaxScopes + 1 {
		all = append(all, fmt.Sprintf("ZohoCRM.modules.m%d", i))
	}
	for _, flood := range []string{strings.Join(all, ","), strings.Join(all, " "), strings.Join(append(all, strings.Repeat("a ", 20_000)), " ")} {
		token, err := refresh(t, answer(200, tokenJSON(map[string]any{"scope": flood})))
		require.NoError(t, err, "the token itself is good")
		require.Equal(t, all[:zoho.MaxScopes], token.Scopes)
	}
	token, err := refresh(t, answer(200, tokenJSON(map[string]any{"scope": strings.Repeat("1 ", 500) + modules})))
	require.NoError(t, err)
	require.Equal(t, []string{modules}, token.Scopes, "what is no scope takes no place")
}

func TestRefresh_AScopeThatIsTooLongIsLeftOut(t *testing.T) {
	t.Parallel()
	longest := strings.Repeat("a", zoho.MaxScopeLength)
	token, err := refresh(t, answer(200, tokenJSON(map[string]any{"scope": longest + "," + longest + "b," + strings.Repeat("c", 60<<10) + "," + modules})))
	require.NoError(t, err)
	require.Equal(t, []string{longest, modules}, token.Scopes)
}

// Whoever answers at the address of an Accounts server chooses the names in its
// certificate, and a failure is logged, stored and shown.
func TestRefresh_TheReasonOfAFailedConnectionIsShortAndPrintable(t *testing.T) {
	t.Parallel()
	server := unstarted(t, answer(200, tokenJSON(nil)))
	certificate := certificateFor(t, "evil\n{\"@level\":\"error\"}\x1b[31m\r\x00", strings.Repeat("a", 10<<10)+".example")
	server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	address, err := url.Parse(server.URL)
	require.NoError(t, err)

	_, err = newClient(t, certPEM(certificate.Certificate[0])).Refresh(t.Context(), appAt("https://localhost:"+address.Port()), secret.New(refreshToken))
	text := asError(t, err).Error()
	require.Contains(t, text, "certificate is valid for evil")
	require.Contains(t, text, "Check DNS", "the advice is behind the reason")
	require.Less(t, len(text), 600)
	require.True(t, utf8.ValidString(text))
	require.Equal(t, -1, strings.IndexFunc(text, func(r rune) bool { return !unicode.IsGraphic(r) }), "%q", text)
}

// certificateFor is a certificate for these names, signed by itself.
func certificateFor(t *testing.T, names ...string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: names, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
