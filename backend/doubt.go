package backend

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// What a reader is told of the access token that it gets.

// capWarning tells of a min_ttl that no token of the server can have.
func (t *token) capWarning(minTTL time.Duration) []string {
	if needed, capped := t.effectiveMinTTL(minTTL); capped {
		return []string{fmt.Sprintf("no access token of this Accounts server has min_ttl (%s) left when somebody gets it: a new one has %s, a second taken off as a margin; min_ttl=%s was used instead", minTTL, t.life(), needed.Truncate(time.Second))}
	}
	return nil
}

// fallbackWarning tells of a token with less than min_ttl, and why there is no other. A
// definite refusal is told by doubtWarning.
func (t *token) fallbackWarning(now time.Time, failed error) []string {
	text := fmt.Sprintf("this access token has %s left, less than min_ttl, and a new one could not be had", t.left(now).Truncate(time.Second))
	if refused, ok := errors.AsType[*GrantError](failed); !ok || !refused.Kind.Definite() {
		text += fmt.Sprintf(": %v", failed)
	}
	return []string{text}
}

// doubtWarning tells of a token whose credentials Zoho has refused since it was minted. It
// may be dead, and mostly is if somebody has revoked the refresh token; but one wrong answer
// of Zoho's must not take away what still works. The log has it once for each refusal.
func (e *Engine) doubtWarning(ctx context.Context, g *grant, t *token, role string) ([]string, error) {
	state, err := e.stateOf(ctx, g)
	refusal := state.Refusal
	if err != nil || refusal == nil {
		return nil, err
	}
	g.mu.Lock()
	isNew := !g.doubted.Equal(refusal.At)
	g.doubted = refusal.At
	g.mu.Unlock()
	if isNew {
		e.log().Warn("handing out an access token although Zoho has refused its credentials since it was minted", "role", role, "grant", g.id, "token_id", t.rec.ID, "code", refusal.Code, "refused_at", refusal.At, "expires_at", t.rec.ExpiresAt)
	}
	return []string{fmt.Sprintf("this access token may be dead: Zoho has refused its credentials since it was minted, at %s, and no new one can be had until that is corrected. %s", refusal.At.UTC().Format(time.RFC3339), refusal.Text)}, nil
}
