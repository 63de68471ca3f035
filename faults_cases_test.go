package zohosecrets

import (
	"context"
	"io"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"
	"github.com/stretchr/testify/require"
)

// faultCase is a request to a mount with a role crm-sync.
type faultCase struct {
	what    string // beside operation and path
	op      logical.Operation
	path    string
	data    fields
	arrange func(*scene)                     // before; may set path and data
	holds   func(*testing.T, *scene, answer) // after a success
	once    bool                             // what it is done with is used up: a second attempt may be refused
}

func (c faultCase) name() string { return string(c.op) + " " + c.path + " " + c.what }

// stored looks at the storage as the next node will.
func reads(path, field string, want any) func(*testing.T, *scene, answer) {
	return func(t *testing.T, s *scene, _ answer) {
		next := vault{t, s.node(s.storage, io.Discard)}
		require.EqualValues(t, want, next.read(path).done(t).Data[field])
	}
}

func isGone(path string) func(*testing.T, *scene, answer) {
	return func(t *testing.T, s *scene, _ answer) {
		next := vault{t, s.node(s.storage, io.Discard)}
		require.Equal(t, 404, next.read(path).status)
	}
}

// isLeased: the lease that was handed out ends the token when the next node
// revokes it.
func isLeased(t *testing.T, s *scene, got answer) {
	require.True(t, s.zoho.sim.Alive(got.token()))
	s.inner.Cleanup(context.Background())
	next := vault{t, s.node(s.storage, io.Discard)}
	id, _ := got.Data["token_id"].(string)
	require.GreaterOrEqual(t, next.read("tokens/" + id).done(t).Data["holder_count"], 1)
	require.NoError(t, next.revoke(s.path, got))
}

func isDead(t *testing.T, s *scene, _ answer) { require.False(t, s.zoho.sim.Alive(s.leased.token())) }

func withLease(s *scene) { s.leased = s.read("creds/crm-sync").done(s.t) }

func withDeadline(s *scene) { // a token that is due for a revocation
	withLease(s)
	s.zoho.sim.SetDown(true)
	require.Error(s.t, s.revoke("creds/crm-sync", s.leased))
	s.zoho.sim.SetDown(false)
}

func aimedAtToken(s *scene) {
	withLease(s)
	s.path, _ = s.leased.Data["token_id"].(string)
	s.path = "tokens/" + s.path
}

func faultCases() []faultCase {
	return append(faultCasesOfRoles(), faultCasesOfTokens()...)
}

func faultCasesOfRoles() []faultCase {
	unconfigured := func(s *scene) {
		s.delete("roles/crm-sync").done(s.t)
		s.delete("config").done(s.t)
		s.data = s.zoho.config()
	}
	tried := func(s *scene) { s.data = fields{"refresh_token": s.zoho.refreshToken} }
	another := func(s *scene) {
		s.data = fields{"refresh_token": s.zoho.sim.Consent(s.zoho.client, "us", "another@example.com", []string{"ZohoCRM.modules.ALL"})}
	}
	coded := func(s *scene) { s.data = fields{"code": s.zoho.code()} }
	person := func(s *scene) { s.awaitsConsent(s.zoho) }
	return []faultCase{
		{op: logical.ReadOperation, path: "config"},
		{op: logical.CreateOperation, path: "config", arrange: unconfigured, holds: reads("config", "request_budget", 10)},
		{op: logical.UpdateOperation, path: "config", data: fields{"min_ttl": "7m"}, holds: reads("config", "min_ttl", 420)},
		{what: "with a secret to try", op: logical.UpdateOperation, path: "config", arrange: func(s *scene) {
			s.data = fields{"client_secret": s.zoho.clientSecret, "min_ttl": "7m"}
		}, holds: reads("config", "min_ttl", 420)},
		{op: logical.PatchOperation, path: "config", data: fields{"min_ttl": "7m"}, holds: reads("config", "min_ttl", 420)},
		{op: logical.DeleteOperation, path: "config", data: fields{"force": true}, holds: isGone("config")},

		{op: logical.ListOperation, path: "roles/"},
		{op: logical.ReadOperation, path: "roles/crm-sync"},
		{op: logical.CreateOperation, path: "roles/new", arrange: tried, holds: reads("roles/new", "grant_type", "refresh_token")},
		{op: logical.UpdateOperation, path: "roles/crm-sync", data: fields{"ttl": "40m"}, holds: reads("roles/crm-sync", "ttl", 2400)},
		{what: "with another token", op: logical.UpdateOperation, path: "roles/crm-sync", arrange: another, holds: reads("roles/crm-sync/status", "state", "ready")},
		{what: "with a code", op: logical.UpdateOperation, path: "roles/crm-sync", arrange: coded, holds: reads("roles/crm-sync/status", "authorized", true), once: true},
		{op: logical.PatchOperation, path: "roles/crm-sync", data: fields{"ttl": "40m"}, holds: reads("roles/crm-sync", "ttl", 2400)},
		{op: logical.DeleteOperation, path: "roles/crm-sync", holds: isGone("roles/crm-sync")},
		{what: "with a token that nobody holds", op: logical.DeleteOperation, path: "roles/crm-sync", arrange: func(s *scene) {
			s.write("roles/crm-sync", fields{"refresh_token": s.zoho.refreshToken}).done(s.t)
		}, holds: isGone("roles/crm-sync")},

		{op: logical.ReadOperation, path: "roles/crm-sync/status", arrange: withLease},
		{op: logical.UpdateOperation, path: "roles/person/authorize", arrange: person},
		{op: logical.ReadOperation, path: "callback", arrange: func(s *scene) {
			person(s)
			s.data = s.agree("roles/person")
		}, holds: reads("roles/person/status", "authorized", true), once: true},
		{op: logical.UpdateOperation, path: "roles/crm-sync/deauthorize", once: true, holds: reads("roles/crm-sync/status", "authorized", false)},
		{what: "with a lease", op: logical.UpdateOperation, path: "roles/crm-sync/deauthorize", once: true, arrange: withLease, holds: isDead},
		{op: logical.UpdateOperation, path: "roles/crm-sync/rotate", holds: reads("roles/crm-sync/status", "state", "ready")},
		{what: "with a lease", op: logical.UpdateOperation, path: "roles/crm-sync/rotate", arrange: withLease, holds: isDead},
		{op: logical.ListOperation, path: "clients/", arrange: withLease},
		{op: logical.ReadOperation, path: "metrics", arrange: withLease},
		{op: logical.ReadOperation, path: "info"},
	}
}

func faultCasesOfTokens() []faultCase {
	return []faultCase{
		{op: logical.ReadOperation, path: "creds/crm-sync", holds: isLeased},
		{op: logical.UpdateOperation, path: "creds/crm-sync", holds: isLeased},
		{what: "of a token that is there", op: logical.ReadOperation, path: "creds/crm-sync", arrange: withLease, holds: isLeased},
		{what: "of one that is stale", op: logical.ReadOperation, path: "creds/crm-sync", arrange: func(s *scene) {
			withLease(s)
			s.clock.Advance(45 * time.Minute)
		}, holds: isLeased},
		{what: "of its own", op: logical.ReadOperation, path: "creds/crm-sync", arrange: func(s *scene) {
			s.write("roles/crm-sync", fields{"exclusive": true}).done(s.t)
		}, holds: isLeased},
		{op: logical.ListOperation, path: "tokens/", arrange: withLease},
		{op: logical.ReadOperation, path: "tokens/x", arrange: aimedAtToken},
		{op: logical.DeleteOperation, path: "tokens/x", arrange: aimedAtToken, holds: isDead},
		{op: logical.UpdateOperation, path: "tokens/lookup", arrange: func(s *scene) {
			withLease(s)
			s.data = fields{"token": s.leased.token()}
		}},
		{what: "of a dead one", op: logical.UpdateOperation, path: "tokens/lookup", arrange: func(s *scene) {
			withLease(s)
			require.NoError(s.t, s.revoke("creds/crm-sync", s.leased))
			s.data = fields{"token": s.leased.token()}
		}},
		{op: logical.RevokeOperation, path: "creds/crm-sync", arrange: withLease, holds: isDead},
		{what: "of one of two", op: logical.RevokeOperation, path: "creds/crm-sync", arrange: func(s *scene) {
			withLease(s)
			withLease(s)
		}, holds: func(t *testing.T, s *scene, _ answer) { require.True(t, s.zoho.sim.Alive(s.leased.token())) }},
		{op: logical.RollbackOperation, path: "", arrange: withDeadline, holds: isDead},
		{what: "with a token that has expired", op: logical.RollbackOperation, path: "", arrange: func(s *scene) {
			withLease(s)
			s.clock.Advance(2 * time.Hour)
		}, holds: func(t *testing.T, s *scene, _ answer) {
			require.Nil(t, vault{t, s.node(s.storage, io.Discard)}.list("tokens/").Data["keys"])
		}},
	}
}
