package tokenserver

import (
	"maps"
	"slices"
)

// role returns what is held for a role, or is going to be.
func (s *Leases) role(name string) (*role, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, &Error{Kind: Unavailable, Text: "The token server is ending."}
	}
	r := s.roles[name]
	if r == nil {
		r = newRole(name)
		s.roles[name] = r
	}
	return r, nil
}

func (s *Leases) all() []*role {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Values(s.roles))
}

// checkVaultToken reads the leases that are in use with another Vault token as soon as
// there is one. Vault ends a lease with the Vault token that it was read with; if the
// former one ends after that, the new lease keeps the access token alive.
func (s *Leases) checkVaultToken(known int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.stopCheck = s.clock.AfterFunc(tokenCheck, func() {
		number := s.vault.token.number()
		for _, r := range s.all() {
			if number != known && r.isInUse(s.clock.Now()) {
				s.read(r.name)
			}
		}
		s.checkVaultToken(number)
	})
}

// dropIfEmpty keeps names that a caller has made up from piling up. It needs the
// role's slot: whoever waits for that finds an empty role, and looks for no other.
func (s *Leases) dropIfEmpty(r *role) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.isEmpty() && !r.isNamed && s.roles[r.name] == r {
		delete(s.roles, r.name)
		s.flights.Forget(r.name) // whoever comes now makes another role, which its own reading has to drop
	}
}

// nameForLog is the role's name, once Vault has known it. Before that it is what a
// caller has sent as its refresh token, and that may be a secret.
func (s *Leases) nameForLog(r *role) string {
	if r.isEmpty() && !r.isNamed {
		return unknownRole
	}
	return r.name
}

const unknownRole = "(not known to Vault)"

// outcome notes how the latest request went. That a role is refused says nothing
// about Vault.
func (s *Leases) outcome(err error) {
	if isRefused(err) {
		err = nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked, s.latest = true, err
}
