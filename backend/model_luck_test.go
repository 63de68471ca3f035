package backend_test

import (
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/zohosim"
)

// rotate kills the tokens of a role's grant, if a new one can be had: their leases
// are dead by wish.
func (m *model) rotate(t *rapid.T) {
	role := rapid.SampledFrom(modelRoles).Draw(t, "role")
	m.settle()
	stored, err := m.engine.Role(m.t.Context(), role)
	require.NoError(m.t, err)
	if stored != nil && !stored.Exclusive {
		grant := stored.RefreshToken.Reveal() + robots[role]
		// Of former credentials, what no other role has handed out or can.
		m.killed(func(l *lease) bool { return l.grant == grant || l.Role == role })
	}
	_, _ = m.engine.Rotate(m.t.Context(), role, rapid.Bool().Draw(t, "force"))
	m.settle()
}

func (m *model) killed(is func(*lease) bool) {
	for _, l := range m.leases {
		l.killed = l.killed || is(l)
	}
}

// deauthorize takes a refresh token from all its roles, and gives them another.
func (m *model) deauthorize(t *rapid.T) {
	m.revokeRefreshToken(t)
	m.settle()
	m.replaceDead()
}

func (m *model) revokeRefreshToken(t *rapid.T) {
	role := rapid.SampledFrom(modelRoles).Draw(t, "role")
	if stored, err := m.engine.Role(m.t.Context(), role); err == nil && stored != nil && !stored.RefreshToken.IsZero() {
		m.deauthorized[stored.RefreshToken.Reveal()] = true
		m.killed(func(l *lease) bool { return l.grant == stored.RefreshToken.Reveal() })
	}
	_, _ = m.engine.Deauthorize(m.t.Context(), role, true, settings.Requester{})
}

// replaceDead writes roles whose refresh token was revoked, or is going to be,
// with a new one. Zoho may have revoked it although its answer said otherwise.
func (m *model) replaceDead() {
	for i, refreshToken := range m.refreshTokens {
		if m.sim.Alive(refreshToken) && !m.deauthorized[refreshToken] {
			continue
		}
		m.killed(func(l *lease) bool { return l.grant == refreshToken })
		m.refreshTokens[i] = m.sim.Consent(m.client, "us", "again@example.com", scopes)
		for _, role := range modelRoles {
			stored, err := m.engine.Role(m.t.Context(), role)
			require.NoError(m.t, err)
			if stored == nil || stored.GrantType != settings.GrantTypeRefreshToken {
				continue
			}
			if has := stored.RefreshToken.Reveal(); m.deauthorized[has] || !m.sim.Alive(has) {
				m.writeRole1(role, m.refreshTokens[i], false)
			}
		}
	}
}

func (m *model) mintFails(t *rapid.T) {
	kind := rapid.SampledFrom([]zohosim.FaultKind{zohosim.FaultHTML500, zohosim.FaultEmpty200, zohosim.FaultClose, zohosim.FaultThrottled, zohosim.FaultTruncated}).Draw(t, "kind")
	m.sim.Fault(zohosim.EndpointToken, zohosim.Fault{
		Kind:      kind,
		Processed: rapid.Bool().Draw(t, "the token is minted") && kind != zohosim.FaultThrottled,
		Count:     rapid.IntRange(1, 3).Draw(t, "times"),
	})
}

func (m *model) revokeFails(t *rapid.T) {
	fault := zohosim.Fault{
		Kind:      rapid.SampledFrom([]zohosim.FaultKind{zohosim.FaultHTML500, zohosim.FaultClose, zohosim.FaultThrottled}).Draw(t, "kind"),
		Processed: rapid.Bool().Draw(t, "the token is revoked"),
		Count:     rapid.IntRange(1, 20).Draw(t, "times"),
	}
	m.sim.Fault(zohosim.EndpointRevoke, fault)
	m.sim.Fault(zohosim.EndpointLegacyRevoke, fault)
}

// storageFails lets writes fail while somebody reads, carried out or not, and
// perhaps the process die after it.
func (m *model) storageFails(t *rapid.T) {
	passes, fails := rapid.IntRange(0, 4).Draw(t, "writes that pass"), rapid.IntRange(1, 3).Draw(t, "writes that fail")
	m.settle()
	m.storage.lying(rapid.Bool().Draw(t, "they are carried out"))
	m.storage.failing(func(string) bool {
		passes--
		return passes < 0 && passes >= -fails
	})
	m.hurryIn(t)
	m.storage.failing(nil)
	m.storage.lying(false)
	if rapid.Bool().Draw(t, "and a crash") {
		m.die()
		m.crashed = m.now()
	}
	m.settle()
}
