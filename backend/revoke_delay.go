package backend

import (
	"context"

	"vault-plugin-secrets-zoho/backend/ledger"
)

// A role's revoke_delay keeps an access token for the next reader when nobody leases it
// any more: jobs that read and give back in quick succession share a token instead of
// minting one each. Its states are drawn in package ledger. Who may change them:
//
//   - The release of a lease lets the token be kept, if a role wants that (keepsOf).
//   - A reader may hold it again at any time before its end is decided.
//   - Tick ends it when the time is over: within a minute, and in the first minute after a
//     restart. No timer runs.
//   - Whatever else ends a token that nobody holds ends this one at once: rotate,
//     deauthorize, the deletion of the token, a newer token, and a mint that needs its
//     place among the live ones.
//   - So does the deletion of the last role that wants it kept, and a shorter delay.

// keepsOf is for how long the roles that can hand t out want it kept. There is none if the
// next reader gets another token, or its own. A revocation needs neither role nor config,
// so what cannot be read keeps nothing.
func (e *Engine) keepsOf(ctx context.Context, t *token) ledger.Keeps {
	if t.rec.Exclusive {
		return nil
	}
	keeps := make(ledger.Keeps)
	for _, name := range t.ledger.Roles() {
		r, err := e.Role(ctx, name)
		if err != nil || r == nil || r.RevokeDelay == 0 {
			continue
		}
		config, err := e.Config(ctx)
		if err == nil && e.grantID(r, config) == t.rec.GrantID {
			keeps[name] = r.RevokeDelay
		}
	}
	if len(keeps) == 0 {
		return nil
	}
	u, err := e.usage(ctx, t.rec.QuotaID)
	if err != nil || u.Grants[t.rec.GrantID].Current != t.rec.ID || t.isOfWrongClock(e.now()) {
		return nil
	}
	return keeps
}
