package backend_test

import (
	"strings"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"vault-plugin-secrets-zoho/backend"
	"vault-plugin-secrets-zoho/backend/settings"
)

// hostileNames are what a token's display name can be.
var hostileNames = []string{"token", "", strings.Repeat("x", 500_000), strings.Repeat("\xff", 300), strings.Repeat("\x00", 300), strings.Repeat("语", 1000)}

// attack is somebody who knows all of the others but the client's secret, and may
// write, read and end roles of their own. Nothing of it may give them a token;
// that it ends none is what check finds out.
func (m *model) attack(t *rapid.T) {
	ctx := m.t.Context()
	role := rapid.SampledFrom([]string{"evil", "evil-robot"}).Draw(t, "attacker's role")
	change := settings.RoleChange{ClientID: &m.client.ID, ClientSecret: ptr("a guess"), RefreshToken: &m.refreshTokens[0], Verify: ptr(rapid.Bool().Draw(t, "verify"))}
	if role == "evil-robot" {
		change = settings.RoleChange{ClientID: &m.client.ID, ClientSecret: ptr("a guess"), GrantType: clientCredentials, Scopes: &[]string{robots["robot-read"]}, Verify: change.Verify}
	}
	m.settle()
	_, _ = m.engine.WriteRole(ctx, role, change)
	switch rapid.SampledFrom([]string{"read", "rotate", "deauthorize", "code", "delete"}).Draw(t, "attack") {
	case "read":
		_, err := m.engine.Issue(ctx, role, backend.Reader{})
		require.Error(m.t, err, "invariant 14: somebody without the client's secret got a token")
	case "rotate":
		_, err := m.engine.Rotate(ctx, role, true)
		require.Error(m.t, err)
	case "deauthorize":
		_, err := m.engine.Deauthorize(ctx, role, true, settings.Requester{})
		require.Error(m.t, err)
	case "code":
		_, err := m.engine.WriteRole(ctx, role, settings.RoleChange{GrantType: ptr(settings.GrantTypeRefreshToken), ClientID: &m.client.ID, ClientSecret: ptr("a guess"), SOID: ptr(""), Code: ptr("1000.bogus.code")})
		require.Error(m.t, err)
	case "delete":
		_, _ = m.engine.DeleteRole(ctx, role)
	}
	m.settle()
}

// clockJumps sets the server's clock wrong, or right again. Zoho's own is right.
func (m *model) clockJumps(t *rapid.T) {
	wrong := time.Duration(0)
	if m.wrong.Load() == 0 {
		wrong = time.Duration(rapid.IntRange(2, 24*365).Draw(t, "hours")) * time.Hour
		if rapid.Bool().Draw(t, "behind") {
			wrong = -wrong
		}
	}
	m.setTheClock(wrong)
}

// setTheClock lets Zoho's window pass first: a clock that jumps cannot tell how
// long ago a request was.
func (m *model) setTheClock(wrong time.Duration) {
	m.settle()
	m.clock.Advance(11 * time.Minute)
	m.setClockWrong(wrong)
	for _, l := range m.leases {
		// Vault's own timers do not follow the clock, so it begins anew here.
		l.adrift, l.attempts, l.next = true, 0, m.now()
	}
	m.vaultWorks()
	_ = m.engine.Tick(m.t.Context(), notTainted)
	m.settle()
}
