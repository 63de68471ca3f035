package backend_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"vault-plugin-secrets-zoho/backend"
	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/zohosim"
)

// TestModel_InvariantsHoldThroughAnySequence does what readers, operators,
// Vault, Zoho and bad luck may do, in random order, and checks the invariants
// after each step. rapid prints the seed of a failure and shrinks it.
func TestModel_InvariantsHoldThroughAnySequence(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := newModel(rt)
		rt.Repeat(map[string]func(*rapid.T){
			"read":          m.read,
			"read again":    m.read,
			"crowd":         m.crowd,
			"revoke":        m.revoke,
			"revoke others": m.revokeOthers,
			"wait":          m.wait,
			"write role":    m.writeRole,
			"delete role":   m.deleteRole,
			"rotate":        m.rotate,
			"deauthorize":   m.deauthorize,
			"mint fails":    m.mintFails,
			"revoke fails":  m.revokeFails,
			"Zoho recovers": m.recover,
			"restart":       func(*rapid.T) { m.restart() },
			"storage fails": m.storageFails,
			"attack":        m.attack,
			"clock jumps":   m.clockJumps,
			"crash":         m.crash,
			"":              func(*rapid.T) { m.check() },
		})
		m.windUp()
	})
}

// model knows what Vault knows: the leases that it has, and when it will ask
// for their revocation.
type model struct {
	*world
	refreshTokens []string
	deauthorized  map[string]bool // refresh tokens that an operator wanted dead
	leases        []*lease
	crashed       time.Time
}

// lease is one lease as Vault keeps it.
type lease struct {
	*backend.Issued
	grant    string
	shared   bool
	killed   bool // an operator wanted its token dead
	adrift   bool // the clock jumped since: nobody can say when it ends
	end      time.Time
	asked    time.Time // when its revocation was first asked for; zero: it is valid
	attempts int
	next     time.Time
	done     bool
	released time.Time // when it was done
}

// Robots mint with client_credentials of one client, each with its own scopes.
var (
	modelRoles = []string{"crm-sync", "crm-report", "books", "books-own", "robot-read", "robot-write"}
	// Roles that keep their token for the next reader.
	modelDelays = map[string]time.Duration{"crm-report": 3 * time.Minute, "books": 10 * time.Minute, "robot-read": 5 * time.Minute}
	robots      = map[string]string{"robot-read": "ZohoCRM.modules.READ", "robot-write": "ZohoCRM.modules.ALL"}
)

func newModel(t *rapid.T) *model {
	options, counts := zohosim.Options{}, settings.CountPerGrant
	if rapid.Bool().Draw(t, "Zoho counts the harder way") {
		options, counts = zohosim.Hardest(), settings.CountPerClient
	}
	options.MaxClientTokens = 4
	m := &model{world: newWorldWith(t, options), deauthorized: make(map[string]bool)}
	m.configure(settings.ConfigChange{CountRequestsPer: &counts})
	m.refreshTokens = []string{m.refreshToken, m.sim.Consent(m.client, "us", "books@example.com", scopes)}
	m.configure(settings.ConfigChange{MaxLiveTokens: ptr(4)})
	m.sim.SetMaxLiveTokens(4)
	m.writeRoles()
	return m
}

// writeRoles gives two roles one grant and two roles another, one of the
// latter exclusive.
func (m *model) writeRoles() {
	for i, role := range modelRoles {
		m.writeRole1(role, m.refreshTokens[i/2%2], false)
	}
}

func (m *model) writeRole1(role, refreshToken string, verify bool) {
	change := settings.RoleChange{
		RefreshToken: &refreshToken, Verify: &verify, Exclusive: ptr(role == "books-own"), TTL: ptr(map[string]time.Duration{"crm-report": 10 * time.Minute}[role]),
	}
	if scope, ok := robots[role]; ok {
		change = settings.RoleChange{GrantType: clientCredentials, Scopes: &[]string{scope}, Verify: &verify}
	}
	change.RevokeDelay = ptr(modelDelays[role])
	_, err := m.engine.WriteRole(m.t.Context(), role, change)
	require.NoError(m.t, err)
	m.settle()
}

func (m *model) read(t *rapid.T) {
	role := rapid.SampledFrom(modelRoles).Draw(t, "role")
	m.settle()
	mints := len(m.tokenRequests())
	current := "" // one that was handed out because no new one could be had is not
	if status, err := m.engine.Status(m.t.Context(), role); err == nil {
		current = status.TokenID
	}
	l := m.readAs(role, rapid.SampledFrom(hostileNames).Draw(t, "reader"))
	if l == nil {
		return
	}
	for _, other := range m.leases {
		if other != l && other.TokenID == current && other.valid(m.now()) && l.shared && other.shared && other.grant == l.grant && other.ExpiresAt.Sub(m.now()) > 40*time.Minute {
			m.settle()
			require.Len(m.t, m.tokenRequests(), mints, "invariant 8: minted although a fresh token is held")
			break
		}
	}
}

// crowd is several reads of a role, and their names.
func (m *model) crowd(t *rapid.T) {
	m.hurryIn(t)
	m.settle()
}

// hurryIn reads a role several times without a pause for the ledger's writes.
func (m *model) hurryIn(t *rapid.T) {
	role := rapid.SampledFrom(modelRoles).Draw(t, "role")
	m.pauses.lasting(true)
	for range rapid.IntRange(3, 12).Draw(t, "readers") {
		m.readOf(role)
	}
}

// readOf is one read; nil if it fails.
func (m *model) readOf(role string) *lease { return m.readAs(role, "token") }

func (m *model) readAs(role, name string) *lease {
	issued, err := m.engine.Issue(m.t.Context(), role, backend.Reader{Requester: settings.Requester{DisplayName: name, EntityID: name, RequestID: name}})
	if err != nil {
		return nil
	}
	now := m.now()
	stored, err := m.engine.Role(m.t.Context(), role)
	require.NoError(m.t, err)
	l := &lease{Issued: issued, grant: stored.RefreshToken.Reveal() + robots[role], shared: !stored.Exclusive, end: now.Add(issued.TTL)}

	require.True(m.t, m.alive(issued), "invariant 2: a reader got a dead token")
	require.GreaterOrEqual(m.t, issued.TTL, time.Second)
	require.False(m.t, l.end.After(issued.ExpiresAt), "invariant 1")
	if len(issued.Warnings) == 0 {
		require.GreaterOrEqual(m.t, issued.ExpiresAt.Sub(now), 9*time.Minute+50*time.Second, "invariant 2: min_ttl")
	}
	for _, other := range m.leases {
		if other.valid(now) && l.shared && other.shared && other.grant == l.grant && other.ExpiresAt.Sub(now) > 40*time.Minute {
			require.GreaterOrEqual(m.t, issued.ExpiresAt, other.ExpiresAt)
		}
	}
	m.leases = append(m.leases, l)
	return l
}

func (l *lease) valid(now time.Time) bool {
	return !l.killed && !l.adrift && l.asked.IsZero() && l.end.After(now)
}

// revoke is somebody's wish; Vault carries it out.
func (m *model) revoke(t *rapid.T) {
	if len(m.leases) == 0 {
		return
	}
	l := m.leases[rapid.IntRange(0, len(m.leases)-1).Draw(t, "lease")]
	if l.asked.IsZero() {
		l.asked, l.next = m.now(), m.now()
	}
	m.vaultWorks()
}

// revokeOthers leaves one lease on a token.
func (m *model) revokeOthers(t *rapid.T) {
	if len(m.leases) == 0 {
		return
	}
	left := m.leases[rapid.IntRange(0, len(m.leases)-1).Draw(t, "lease that is left")]
	for _, l := range m.leases {
		if l != left && l.TokenID == left.TokenID && l.asked.IsZero() {
			l.asked, l.next = m.now(), m.now()
		}
	}
	m.vaultWorks()
}

// vaultWorks does what Vault's expiration manager does: it asks for the
// revocation of leases that have ended, and again after 10 seconds times 2^n,
// give or take half: here always the least, which is hardest on the engine.
// The sixth failure makes a lease irrevocable.
// Source: Vault's vault/expiration.go.
func (m *model) vaultWorks() {
	now := m.now()
	for _, l := range m.leases {
		if l.asked.IsZero() && !l.end.After(now) {
			l.asked, l.next = now, now
		}
		if l.done || l.asked.IsZero() || l.next.After(now) {
			continue
		}
		err := m.release(l.Issued)
		if err == nil {
			l.done, l.released = true, now
			m.checkEnded(l)
			continue
		}
		l.attempts++
		require.Less(m.t, l.attempts, 6, "invariant 7: a lease became irrevocable: %v", err)
		l.next = now.Add(5 * time.Second << l.attempts)
	}
}

// checkEnded is invariant 6: when the last lease on a token is revoked, the
// token is dead. A crash may have left a holder of whom nobody knows, and after
// five minutes of failures the engine carries on alone. A role's delay keeps it for longer.
func (m *model) checkEnded(l *lease) {
	now := m.now()
	for _, other := range m.leases {
		if other.TokenID == l.TokenID && (!other.done || now.Sub(other.released) < modelDelays[other.Role]) {
			return
		}
	}
	afterCrash := l.ExpiresAt.Before(m.crashed.Add(time.Hour))
	if !afterCrash && !l.adrift && !l.killed && now.Sub(l.asked) < 5*time.Minute && l.ExpiresAt.After(now) {
		require.False(m.t, m.alive(l.Issued), "invariant 6: the last lease is revoked, and its token lives")
	}
}

func (m *model) wait(t *rapid.T) {
	m.pass(time.Duration(rapid.IntRange(1, 20*60).Draw(t, "seconds")) * time.Second)
}

func (m *model) pass(d time.Duration) {
	m.clock.Advance(d)
	m.vaultWorks()
	require.NoError(m.t, m.engine.Tick(m.t.Context(), notTainted))
	m.settle()
}

func (m *model) writeRole(t *rapid.T) {
	m.writeRole1(rapid.SampledFrom(modelRoles).Draw(t, "role"), rapid.SampledFrom(m.refreshTokens).Draw(t, "refresh token"), rapid.Bool().Draw(t, "verify"))
	m.settle()
}

func (m *model) deleteRole(t *rapid.T) {
	m.world.deleteRole(rapid.SampledFrom(modelRoles).Draw(t, "role"))
	m.settle()
}

func (m *model) recover(*rapid.T) { m.sim.ClearFaults() }

// crash lets the process die at one of its next writes, in the middle of
// something.
func (m *model) crash(t *rapid.T) {
	came := m.crashAfter(rapid.IntRange(0, 4).Draw(t, "writes before the crash"))
	switch doing := rapid.SampledFrom([]string{"read", "crowd", "revoke", "tick", "write", "rotate", "deauthorize"}).Draw(t, "during"); doing {
	case "rotate":
		m.rotate(t)
	case "deauthorize":
		m.revokeRefreshToken(t)
	case "read":
		m.read(t)
	case "crowd":
		m.hurryIn(t)
	case "revoke":
		m.revoke(t)
	case "tick":
		m.clock.Advance(time.Minute)
		_ = m.engine.Tick(m.t.Context(), notTainted)
	case "write":
		_, _ = m.engine.WriteRole(m.t.Context(), "crm-sync", settings.RoleChange{RefreshToken: &m.refreshTokens[1]})
	}
	came()
	m.crashed = m.now()
	m.replaceDead()
}

func (m *model) check() {
	now := m.now()
	for _, l := range m.leases {
		if l.valid(now) {
			require.True(m.t, m.alive(l.Issued), "invariants 5 and 6: a lease of role %s lives on the dead token %s\n%s", l.Role, zohosim.Fingerprint(l.AccessToken.Reveal()), m.journal())
		}
	}
	for _, r := range m.tokenRequests() {
		require.False(m.t, r.Error == "Access Denied" && r.Fault == "", "invariant 4: Zoho had to throttle")
	}
}

// journal tells what happened at Zoho, for the message of a failure.
func (m *model) journal() string {
	var b strings.Builder
	for _, r := range m.sim.Requests() {
		fmt.Fprintf(&b, "%s %s token=%s %d %s %s\n", r.Time.Format(time.TimeOnly), r.Endpoint, r.Token, r.Status, r.Error, r.Fault)
	}
	return b.String()
}

func (m *model) tokenRequests() []zohosim.Request {
	var requests []zohosim.Request
	for _, r := range m.sim.Requests() {
		if r.Endpoint == zohosim.EndpointToken && r.Fault != "down" {
			requests = append(requests, r)
		}
	}
	return requests
}

// windUp revokes all leases with Zoho well again: nothing may be left.
func (m *model) windUp() {
	m.sim.ClearFaults()
	m.setTheClock(0)
	for _, l := range m.leases {
		if l.asked.IsZero() {
			l.asked, l.next = m.now(), m.now()
		}
	}
	for range 12 {
		m.vaultWorks()
		m.pass(time.Minute)
	}
	for _, l := range m.leases {
		require.True(m.t, l.done, "invariant 7: a lease cannot be revoked")
	}
	for range 30 { // a token that was minted ahead an hour after the last read is the last to go
		m.pass(5 * time.Minute)
	}
	require.Empty(m.t, m.keys("tokens/"), "tokens are left in storage")
	require.Empty(m.t, m.keys("holders/"), "holders are left in storage")
	for _, refreshToken := range m.refreshTokens {
		require.Zero(m.t, m.sim.LiveTokens(refreshToken), fmt.Sprintf("tokens are left at Zoho of %s", zohosim.Fingerprint(refreshToken)))
	}
}
