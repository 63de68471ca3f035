package backend

import (
	"context"
	"fmt"

	"vault-plugin-secrets-zoho/backend/quota"
	"vault-plugin-secrets-zoho/backend/zoho"
)

// makeRoom ends the tokens that have to go before one more may live: package quota
// says which. The caller has the turn of q.
func (e *Engine) makeRoom(ctx context.Context, a *attempt) error {
	limits := a.config.Limits()
	room, worked := limits.MaxLive, a.hasWorked()
	if worked && !a.purpose.rotation && len(a.grant.waitingRoles()) == 0 {
		room = limits.UnreservedLive() // a part is kept for readers who have no token
	}
	app := a.grant.credential().App
	staying := make(map[string]bool) // somebody holds it by now, or Zoho could not be made to end it
	for {
		u, err := e.usage(ctx, a.grant.quotaID)
		if err != nil {
			return err
		}
		live, err := e.liveTokens(ctx, u)
		if err != nil {
			return err
		}
		decision := u.Quota.Room(e.now(), limits, room, func(id string) (exists, held bool) {
			t := live[id]
			if t == nil {
				return false, false
			}
			// Whoever may not know the client's secret ends no token of others.
			others := !worked && !t.ledger.IsEnding() && !t.rec.App.Is(app)
			return true, staying[id] || t.ledger.IsHeld() || others
		})
		if decision.Verdict == quota.Full {
			return fullError(limits, room, decision)
		}
		done, err := e.endAll(ctx, live, decision.End, staying)
		if err != nil || done {
			return err
		}
	}
}

// endAll ends tokens. It reports false if not all of them could be ended, and adds those
// to staying.
func (e *Engine) endAll(ctx context.Context, live map[string]*token, endings []quota.Ending, staying map[string]bool) (done bool, err error) {
	done = true
	for _, ending := range endings {
		t := live[ending.Token]
		ends, err := t.ledger.EndIfUnheld(ctx, e.now())
		if err != nil {
			return false, err
		}
		if ends {
			err = e.revokeAtZoho(ctx, t)
		}
		if !ends || err != nil && ending.MustDie {
			staying[ending.Token], done = true, false
		}
	}
	return done, nil
}

func fullError(limits quota.Limits, room int, full quota.Decision) error {
	const remedy = "Revoke leases that are no longer needed, or spread the readers over several refresh tokens."
	err := &GrantError{Kind: zoho.Throttled, RetryAt: full.Until, verdict: quota.Full, kept: room < limits.MaxLive}
	if err.kept {
		err.Text = fmt.Sprintf("This refresh token, or this client with client_credentials, has %d access tokens that may be alive and cannot be ended, since somebody leases them. The other %d of max_live_tokens (%d) are kept for readers who have no token: their role's credentials have worked, and all its tokens have less time left than its own min_ttl. %s",
			full.Live, limits.MaxLive-room, limits.MaxLive, remedy)
	} else {
		err.Text = fmt.Sprintf("This refresh token, or this client with client_credentials, may have %d live access tokens, and beyond max_live_tokens (%d) Zoho kills the oldest, which somebody still leases, or which was got with another client secret. %s",
			full.Live, limits.MaxLive, remedy)
	}
	return err
}
