package tokenserver

import (
	"fmt"
	"net/http"
)

// healthAnswer is that of both probes.
type healthAnswer struct {
	Status  string `json:"status"`
	Version string `json:"version"`
	Vault   string `json:"vault"`
	// Warnings are what Vault said of the access tokens that callers get now.
	Warnings []string `json:"warnings,omitempty"`
	// Reasons are why callers would get no token.
	Reasons []string `json:"reasons,omitempty"`
}

// health says that the program answers, for those who would start it again. It asks Vault
// nothing: while Vault is away the program serves what it has, and to start it again would
// lose that.
func (s *Server) health(w http.ResponseWriter, r *http.Request) {
	if isProbe(w, r) {
		writeJSON(w, http.StatusOK, s.healthAnswer("ok"))
	}
}

// ready says whether callers would get a token.
func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	if !isProbe(w, r) {
		return
	}
	reasons := s.Leases.Unready(r.Context())
	if len(reasons) == 0 {
		writeJSON(w, http.StatusOK, s.healthAnswer("ok"))
		return
	}
	answer := s.healthAnswer("not ready")
	answer.Reasons = first(reasons)
	writeJSON(w, http.StatusServiceUnavailable, answer)
}

func (s *Server) healthAnswer(status string) healthAnswer {
	return healthAnswer{Status: status, Version: s.Version, Vault: s.Leases.Health(), Warnings: first(s.Leases.Warnings())}
}

// maxListed bounds a list in an answer. The log has all.
const maxListed = 5

func first(texts []string) []string {
	if len(texts) > maxListed {
		return append(texts[:maxListed:maxListed], fmt.Sprintf("and %d more", len(texts)-maxListed))
	}
	return texts
}

func isProbe(w http.ResponseWriter, r *http.Request) bool {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return true
	}
	w.Header().Set("Allow", "GET, HEAD")
	writeJSON(w, http.StatusMethodNotAllowed, map[string]string{"status": "failure"})
	return false
}
