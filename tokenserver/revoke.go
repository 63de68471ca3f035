package tokenserver

import (
	"context"
	"net/http"

	"vault-plugin-secrets-zoho/backend/secret"
)

// revoke gives leases back. As at Zoho's older endpoint, whoever has an access token may
// revoke it; the name of a role is no secret, so for that the client's pair is needed.
func (s *Server) revoke(w http.ResponseWriter, r *http.Request) {
	p, ok := s.accept(w, r)
	if !ok {
		return
	}
	token := p.get("token")
	found, err := s.Leases.RevokeToken(r.Context(), secret.New(token))
	if !found && err == nil && s.clientWord(p) == "" {
		found, err = s.revokeRole(r.Context(), token)
	}
	s.revoked(w, r, found, err)
}

// revokeWithClient is Zoho's newer endpoint, which wants the client's pair in any case, and
// takes the token for a refresh token unless token_type says otherwise.
// Source: zoho.com/developer/oauth/revoke-oauth-token.html
func (s *Server) revokeWithClient(w http.ResponseWriter, r *http.Request) {
	p, ok := s.accept(w, r)
	if !ok {
		return
	}
	if s.clientWord(p) != "" {
		s.deny(w, r, "wrong client ID or secret", refusal{status: http.StatusBadRequest, Word: wordInvalidClient})
		return
	}
	var found bool
	var err error
	switch token := p.get("token"); p.get("token_type") {
	case "", "refresh_token":
		found, err = s.revokeRole(r.Context(), token)
	case "access_token":
		found, err = s.Leases.RevokeToken(r.Context(), secret.New(token))
	}
	s.revoked(w, r, found, err)
}

func (s *Server) revokeRole(ctx context.Context, name string) (found bool, err error) {
	if !s.serves(name) {
		return false, nil
	}
	return s.Leases.RevokeRole(ctx, name)
}

func (s *Server) revoked(w http.ResponseWriter, r *http.Request, found bool, err error) {
	switch {
	case err != nil:
		s.deny(w, r, "a lease could not be given back: "+err.Error(), notRevoked(err))
	case !found:
		s.deny(w, r, "nothing to revoke", refusal{status: http.StatusBadRequest, Word: wordInvalidToken})
	default:
		s.Metrics.answered(answerRevoked)
		s.Log.Info("gave back what a caller has revoked", "caller", callerOf(r))
		writeJSON(w, http.StatusOK, map[string]string{"status": "success"})
	}
}
