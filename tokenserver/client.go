package tokenserver

import "net/url"

// clientWord is Zoho's word for a client ID and secret that are not those of the pair;
// empty if they are.
func (s *Server) clientWord(p params) string {
	if s.knows(p) {
		return ""
	}
	if id, _ := p.client(); s.Pair.isSame(id, s.Pair.Secret.Reveal()) {
		return wordInvalidClientSecret // the ID is right
	}
	return wordInvalidClient
}

// decoded is the ID or the secret of a Basic header, for which RFC 6749, 2.3.1, wants the
// encoding of a form. Most clients leave both as they are. No pair has a
// character that could mean either.
func decoded(sent string) string {
	if plain, err := url.QueryUnescape(sent); err == nil {
		return plain
	}
	return sent
}
