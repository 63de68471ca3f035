package tokenserver

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"time"

	"vault-plugin-secrets-zoho/backend/secret"
)

// A Server answers callers as Zoho's Accounts server does.
type Server struct {
	Leases *Leases
	// Pair is what callers have to send. Nil lets in everybody who can connect.
	Pair *Pair
	// Roles are those that callers may ask for. Empty: all that Vault allows.
	Roles   []string
	Version string
	Log     *slog.Logger
	Clock   Clock
}

// HTTPServer returns what serves the server's endpoints. It is ready to Serve.
func (s *Server) HTTPServer() *http.Server {
	return &http.Server{
		Handler:           s.Handler(),
		ConnContext:       func(ctx context.Context, c net.Conn) context.Context { return withCaller(ctx, c) },
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      readTimeout + 10*time.Second, // a caller may have to wait for Vault
		IdleTimeout:       90 * time.Second,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(s.Log.Handler(), slog.LevelWarn),
	}
}

// Handler serves the endpoints.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/oauth/v2/token", s.token)
	mux.HandleFunc("/oauth/v2/token/revoke", s.revoke)
	mux.HandleFunc("/healthz", s.health)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusNotFound, refusal{Word: wordGeneralError, Description: "The token server has /oauth/v2/token, /oauth/v2/token/revoke and /healthz."})
	})
	return mux
}

// token answers a refresh. The checks come in Zoho's order: the request's form, the
// client, what it asks for.
func (s *Server) token(w http.ResponseWriter, r *http.Request) {
	p, ok := s.accept(w, r)
	if !ok {
		return
	}
	grantType := p.get("grant_type")
	switch {
	case grantType == "":
		s.deny(w, r, "grant_type is missing", badRequest("grant_type is missing."))
		return
	case !s.knows(p):
		s.deny(w, r, "wrong client ID or secret", refuse(wordInvalidClient))
		return
	case grantType != "refresh_token":
		s.deny(w, r, "another grant_type than refresh_token", refuse(wordInvalidClient)) // Zoho's word for it
		return
	}
	name := p.get("refresh_token")
	if !s.serves(name) {
		s.deny(w, r, "refresh_token is not the name of a role that is served", refuse(wordInvalidCode))
		return
	}
	l, err := s.Leases.Token(r.Context(), name)
	if err != nil {
		if r.Context().Err() == nil {
			s.deny(w, r, "no access token: "+err.Error(), refusalOf(err))
		}
		return
	}
	expiresIn := max(l.expiresIn(s.Clock.Now()), 1)
	s.Log.Info("answered with an access token", "role", l.Role, "token_id", l.TokenID, "caller", callerOf(r), "expires_in", expiresIn)
	writeJSON(w, http.StatusOK, tokenAnswer{
		AccessToken: l.Token.Reveal(), APIDomain: l.APIDomain, TokenType: l.TokenType, ExpiresIn: expiresIn,
	})
}

// revoke gives leases back. As at Zoho, whoever has an access token may revoke it;
// the name of a role is no secret, so for that the client's pair is needed.
func (s *Server) revoke(w http.ResponseWriter, r *http.Request) {
	p, ok := s.accept(w, r)
	if !ok {
		return
	}
	token := p.get("token")
	found, err := s.Leases.RevokeToken(r.Context(), secret.New(token))
	if !found && err == nil && s.serves(token) && s.knows(p) {
		found, err = s.Leases.RevokeRole(r.Context(), token)
	}
	switch {
	case err != nil:
		s.deny(w, r, "a lease could not be given back: "+err.Error(), refusalOf(err))
	case !found:
		s.deny(w, r, "nothing to revoke", refusal{status: http.StatusBadRequest, Word: wordInvalidToken})
	default:
		s.Log.Info("gave back what a caller has revoked", "caller", callerOf(r))
		writeJSON(w, http.StatusOK, map[string]string{"status": "success"})
	}
}

// health says that the program answers. It asks Vault nothing: while Vault is away
// the program serves what it has, and to start it again would lose that.
func (s *Server) health(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		writeJSON(w, http.StatusMethodNotAllowed, map[string]string{"status": "failure"})
		return
	}
	writeJSON(w, http.StatusOK, map[string]string{"status": "ok", "version": s.Version, "vault": s.Leases.Health()})
}

// accept reads the parameters of a POST, or answers.
func (s *Server) accept(w http.ResponseWriter, r *http.Request) (params, bool) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		s.deny(w, r, "another method than POST", badRequest("Send this as a POST."))
		return params{}, false
	}
	p, err := readParams(w, r)
	switch {
	case errors.Is(err, errTooLarge):
		s.deny(w, r, err.Error(), refusal{status: http.StatusRequestEntityTooLarge, Word: wordGeneralError, Description: "The request is larger than 64 KiB."})
	case errors.Is(err, errNotAForm):
		s.deny(w, r, err.Error(), refuse(wordInvalidClient)) // Zoho's word for a JSON body
	case err != nil:
		s.deny(w, r, err.Error(), badRequest("The parameters cannot be decoded."))
	}
	return p, err == nil
}

func (s *Server) knows(p params) bool { return s.Pair == nil || s.Pair.isSame(p.client()) }

func (s *Server) serves(name string) bool {
	return IsRoleName(name) && (len(s.Roles) == 0 || slices.Contains(s.Roles, name))
}

// deny answers without a token. The reason, for the log, holds nothing that the
// caller has sent.
func (s *Server) deny(w http.ResponseWriter, r *http.Request, reason string, with refusal) {
	s.Log.Warn("refused a caller", "caller", callerOf(r), "reason", reason, "http_status", with.status, "error", with.Word)
	writeJSON(w, with.status, with)
}
