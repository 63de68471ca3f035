package tokenserver

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"net"
	"net/http"
	"strings"
)

// A proof shows that somebody knows the pair, without sending it. The caller proves it
// first, so that nobody else gets an answer from which to guess a secret. Both sides
// sign the address of the server's end of the connection: an impostor at another
// address cannot pass the question on to the server, and its answer back.
const (
	headerNonce = "Token-Server-Nonce"
	headerProof = "Token-Server-Proof"
	ofCaller    = "caller"
	ofServer    = "server"
)

func (p *Pair) proof(of, nonce string, server net.Addr) string {
	here := server.String()
	if server.Network() == "unix" {
		here = "unix" // its path may differ between containers
	}
	mac := hmac.New(sha256.New, []byte(p.Secret.Reveal()))
	_, _ = mac.Write([]byte(strings.Join([]string{"zoho-token-server", of, p.ID, nonce, here}, "\n"))) // never fails
	return hex.EncodeToString(mac.Sum(nil))
}

// A Challenge finds out whether a server knows the pair.
type Challenge struct {
	pair   *Pair
	nonce  string
	server net.Addr
}

// Challenge makes one for the server at the other end of a connection.
func (p *Pair) Challenge(server net.Addr) *Challenge {
	return &Challenge{pair: p, nonce: rand.Text(), server: server}
}

// Ask adds the challenge to a request.
func (c *Challenge) Ask(request http.Header) {
	request.Set(headerNonce, c.nonce)
	request.Set(headerProof, c.pair.proof(ofCaller, c.nonce, c.server))
}

// Holds reports whether the server that has answered knows the pair.
func (c *Challenge) Holds(answer http.Header) bool {
	return isProof(answer.Get(headerProof), c.pair.proof(ofServer, c.nonce, c.server))
}

func isProof(got, want string) bool { return hmac.Equal([]byte(got), []byte(want)) }

// proves answers a challenge along with what next answers.
func (s *Server) proves(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		here, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
		nonce := r.Header.Get(headerNonce)
		if ok && s.Pair != nil && isProof(r.Header.Get(headerProof), s.Pair.proof(ofCaller, nonce, here)) {
			w.Header().Set(headerProof, s.Pair.proof(ofServer, nonce, here))
		}
		next(w, r)
	}
}
