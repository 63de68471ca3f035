package tokenserver

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// A Server answers callers as Zoho's Accounts server does.
type Server struct {
	Leases *Leases
	// Pair is what callers have to send. Nil lets in everybody who can connect.
	Pair *Pair
	// Roles are those that callers may ask for. Empty: all that Vault allows.
	Roles []string
	// PlainAPIDomain answers with api_domain in Zoho's form, which makes Zoho's SDKs leave
	// the token server.
	PlainAPIDomain bool
	// Metrics count what callers are answered. Nil: nobody counts.
	Metrics *Metrics

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
		MaxHeaderBytes:    maxHeader,
		Protocols:         onlyHTTP1(),
		ErrorLog:          slog.NewLogLogger(s.Log.Handler(), slog.LevelWarn),
	}
}

// maxHeader bounds a request's header. net/http adds 4 KiB to it.
const maxHeader = 4 << 10

// onlyHTTP1 keeps HTTP/2 away, which serves many requests on one connection, and so
// knows other bounds.
func onlyHTTP1() *http.Protocols {
	var p http.Protocols
	p.SetHTTP1(true)
	return &p
}

// Handler serves the endpoints.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/oauth/v2/token", s.token)
	mux.HandleFunc("/oauth/v2/token/revoke", s.revoke)
	mux.HandleFunc("/oauth/v2/revoke/token", s.revokeWithClient)
	mux.HandleFunc("/healthz", s.proves(s.health))
	mux.HandleFunc("/readyz", s.proves(s.ready))
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusNotFound, refusal{Word: wordGeneralError, Description: "The token server has /oauth/v2/token, /oauth/v2/revoke/token, /oauth/v2/token/revoke, /healthz and /readyz."})
	})
	return whileRests(mux)
}

// token answers a refresh. The checks come in Zoho's order: the request's form, the
// client, what it asks for.
func (s *Server) token(w http.ResponseWriter, r *http.Request) {
	p, ok := s.accept(w, r)
	if !ok {
		return
	}
	grantType, wrongClient := p.get("grant_type"), s.clientWord(p)
	switch {
	case grantType == "":
		s.deny(w, r, "grant_type is missing", badRequest("grant_type is missing."))
		return
	case wrongClient != "":
		s.deny(w, r, "wrong client ID or secret", refuse(wrongClient))
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
	l, err := s.Leases.Token(r.Context(), name, processOf(callerOf(r)))
	if err != nil {
		if r.Context().Err() == nil {
			s.deny(w, r, "no access token: "+err.Error(), refusalOf(err, s.Clock.Now()))
		}
		return
	}
	s.Log.Info("answered with an access token", "role", l.Role, "token_id", l.TokenID, "caller", callerOf(r), "expires_in", l.ExpiresIn)
	s.Metrics.answered(answerIssued)
	apiDomain := l.APIDomain
	if !s.PlainAPIDomain {
		apiDomain = withPort(apiDomain)
	}
	writeJSON(w, http.StatusOK, tokenAnswer{
		AccessToken: l.Token.Reveal(), APIDomain: apiDomain, TokenType: l.TokenType, ExpiresIn: l.ExpiresIn,
	})
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
		s.deny(w, r, err.Error(), refusal{status: http.StatusRequestEntityTooLarge, Word: wordGeneralError, Description: "The request is larger than 16 KiB."})
	case errors.Is(err, errNotAForm):
		s.deny(w, r, err.Error(), refuse(wordInvalidClient)) // Zoho's word for a JSON body
	case err != nil:
		s.deny(w, r, err.Error(), badRequest("The parameters cannot be decoded."))
	}
	return p, err == nil
}

// knows reports whether a caller may be answered. Its connection is then not closed
// for another's.
func (s *Server) knows(p params) bool {
	known := s.Pair == nil || s.Pair.isSame(p.client())
	if c := connOf(p.r); known && c != nil {
		c.serves()
	}
	return known
}

func (s *Server) serves(name string) bool {
	return IsRoleName(name) && (len(s.Roles) == 0 || slices.Contains(s.Roles, name))
}

// deny answers without a token. The reason, for the log, holds nothing that the
// caller has sent.
func (s *Server) deny(w http.ResponseWriter, r *http.Request, reason string, with refusal) {
	s.Log.Warn("refused a caller", "caller", callerOf(r), "reason", reason, "http_status", with.status, "error", with.Word)
	s.Metrics.answered(with.Word)
	if with.retryAfter > 0 {
		seconds := (with.retryAfter + time.Second - 1) / time.Second
		w.Header().Set("Retry-After", strconv.Itoa(int(seconds)))
	}
	writeJSON(w, with.status, with)
}
