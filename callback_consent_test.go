package zohosecrets

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/zohosim"
)

// Invariant 19, as a person at the browser and an operator see it.
func TestCallback_OfAConsentWithMoreScopesSaysSoOnThePageAndInTheStatus(t *testing.T) {
	t.Parallel()
	m, z := newWorld(t)
	m.awaitsConsent(z)
	z.sim.SetAnswer(zohosim.Answer{WithScope: true})
	address := m.begin("roles/person")
	page := m.callback(m.decide(strings.Replace(address, "ZohoCRM.modules.ALL", "ZohoCRM.modules.ALL%2CZohoCRM.users.ALL", 1), "accept"))
	require.Equal(t, http.StatusBadRequest, page.status)
	const says = "Zoho granted ZohoCRM.users.ALL, which role"
	require.Contains(t, page.body, says)
	require.Contains(t, page.body, "its refresh token has been revoked there")
	require.Empty(t, m.refreshTokenOf("person"))
	last, ok := m.read("roles/person/status").done(t).Data["last_consent"].(map[string]any)
	require.True(t, ok)
	require.Equal(t, "failed", last["state"])
	require.Contains(t, last["error"], says)
}

func TestCallback_ThatHasSucceededSaysWhatIsInDoubtAndWhatItMeans(t *testing.T) {
	t.Parallel()
	m, z := newWorld(t)
	m.awaitsConsent(z)
	body := m.completes(m.agree("roles/person"))
	require.Contains(t, body, "Zoho did not say which scopes it granted")
	require.Contains(t, body, "The programs that this link was made for can now work with your Zoho account")
	require.Contains(t, m.read("roles/person/status").done(t).warnings(), "Zoho did not say which scopes it granted")

	z.sim.SetAnswer(zohosim.Answer{WithScope: true})
	body = m.completes(m.agree("roles/person"))
	require.NotContains(t, body, "did not say")
	require.Empty(t, m.read("roles/person/status").done(t).warnings())
}

func TestCallback_ThatComesTooEarlyIsAPageThatSaysWhenToComeAgain(t *testing.T) {
	t.Parallel()
	m, z := newWorld(t)
	m.awaitsConsent(z)
	for range 3 {
		m.completes(m.agree("roles/person"))
		m.clock.Advance(3 * time.Minute)
	}
	address := m.begin("roles/person")
	page := m.callback(m.decide(address, "accept"))
	require.Equal(t, http.StatusTooManyRequests, page.status)
	require.Contains(t, page.body, "Open the same link again in 2 minutes, and agree once more")
	m.clock.Advance(2 * time.Minute)
	m.completes(m.decide(address, "accept"))
}

func TestRole_ExpectedAccountReadsBackAndRefusesAnother(t *testing.T) {
	t.Parallel()
	m, z := newWorld(t)
	m.awaitsConsent(z)
	got := m.write("roles/person", fields{"expected_account": "anna@example.com"})
	require.Equal(t, http.StatusBadRequest, got.status)
	require.Contains(t, got.text, "needs the scope email")
	m.write("roles/person", fields{"expected_account": "anna@example.com", "scopes": "ZohoCRM.modules.ALL,email"}).done(t)
	m.write("roles/person", fields{"ttl": "30m"}).done(t)
	require.Equal(t, "anna@example.com", m.read("roles/person").Data["expected_account"], "a write keeps what it does not name")
	page := m.callback(m.agree("roles/person"))
	require.Equal(t, http.StatusBadRequest, page.status)
	require.Contains(t, page.body, "expects a certain Zoho account")
	z.sim.SetUser("anna@example.com", "us")
	m.completes(m.agree("roles/person"))
	status := m.read("roles/person/status").done(t).Data
	require.Equal(t, "anna@example.com", status["authorized_as"])
	require.Equal(t, "verified address", status["authorized_as_kind"])
}
