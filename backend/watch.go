package backend

import (
	"context"
	"errors"
	"io"
	"time"

	"vault-plugin-secrets-zoho/backend/metrics"
	"vault-plugin-secrets-zoho/backend/refreshtoken"
	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/backend/zoho"
)

// What the metrics show, which package metrics writes. Counters are fed where something
// happens. The rest is a snapshot for each scrape, of what memory has: a scrape lists nothing
// in storage, and reads an entry of a role in use only if memory has lost it.

// MetricsContentType is that of what WriteMetrics writes.
const MetricsContentType = metrics.ContentType

// WriteMetrics writes what Prometheus scrapes. One scrape runs at a time.
func (e *Engine) WriteMetrics(ctx context.Context, w io.Writer) error {
	release, err := e.scrapes.Acquire(ctx, "")
	if err != nil {
		return err
	}
	defer release()
	held := make(map[string]int)
	s := metrics.Snapshot{Waiting: make(map[metrics.Token][]metrics.Waiting)}
	e.watchTokens(&s, held)
	if err := e.watchRoles(ctx, &s, held); err != nil {
		return err
	}
	e.watchRefreshTokens(ctx, &s)
	return e.metrics.Write(w, s)
}

// watchTokens looks at the access tokens in memory, which has all that live: Tick reads them.
// held gets the leases of each role.
func (e *Engine) watchTokens(s *metrics.Snapshot, held map[string]int) {
	now := e.now()
	for _, t := range e.tokens.all() {
		if t.isOver(now) {
			continue
		}
		s.LiveTokens++
		holders, _ := t.ledger.Count()
		s.Holders += holders
		t.ledger.CountByRole(held)
		if since := t.ledger.EndingSince(); !since.IsZero() {
			s.Waiting[metrics.AccessToken] = append(s.Waiting[metrics.AccessToken], metrics.Waiting{Since: since})
		}
	}
	for role := range held {
		e.metrics.Holds(role, now)
	}
}

// watchRoles looks at the roles in use. One that cannot be read is left out; the errors of
// storage are counted.
func (e *Engine) watchRoles(ctx context.Context, s *metrics.Snapshot, held map[string]int) error {
	config, err := e.configForRevocation(ctx)
	if err != nil {
		return ctx.Err()
	}
	own, leftOut := e.metrics.RolesInUse(e.now())
	for _, name := range own {
		role, err := e.roleInUse(ctx, name)
		seen := metrics.Role{Name: name, State: string(StateBroken)}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case IsBroken(err):
		case err != nil || role == nil:
			continue
		default:
			if seen, err = e.watchRole(ctx, role, config); err != nil {
				continue
			}
		}
		seen.Holders = held[name]
		s.Roles = append(s.Roles, seen)
	}
	for _, name := range leftOut {
		if role, err := e.roleInUse(ctx, name); err != nil || role != nil {
			s.LeftOut++
		}
	}
	return ctx.Err()
}

// roleInUse is a role that was read, or that somebody leases; nil if it was deleted.
func (e *Engine) roleInUse(ctx context.Context, name string) (*settings.Role, error) {
	role, err := e.roles.get(ctx, name, e.loadRole)
	if err == nil && role == nil {
		e.metrics.Forget(name)
	}
	return role, err
}

func (e *Engine) watchRole(ctx context.Context, role *settings.Role, config *settings.Config) (metrics.Role, error) {
	r := metrics.Role{Name: role.Name, RequestsLeft: config.RequestBudget}
	if !role.IsAuthorized() {
		r.State = string(unauthorizedState(role, nil)) // memory does not have its latest authorization
		return r, nil
	}
	g, err := e.grantOf(role, config)
	if settings.IsClientMoved(err) {
		r.State = string(StateRefused)
		return r, nil
	}
	if err != nil {
		return r, err
	}
	seen, err := e.seeGrant(ctx, g, config)
	if err != nil {
		return r, err
	}
	state, _, err := e.grantState(ctx, role, config, seen)
	if err != nil {
		return r, err
	}
	now, limits := e.now(), config.Limits()
	left, _ := seen.requests.Quota.Left(now, limits)
	r.State, r.RequestsLeft, r.ReserveTaken = string(state), left, max(0, limits.Reserve()-left)
	r.LiveTokens, r.LastMint = len(seen.own.Quota.Live(now)), seen.state.LastMint
	t, _, err := e.currentToken(ctx, g, need{})
	if t != nil {
		r.TokenEnds = t.rec.ExpiresAt
	}
	return r, err
}

// watchRefreshTokens counts what the directory has. If that is not all, as after a start, it is
// read in the background, and the next scrape has it.
func (e *Engine) watchRefreshTokens(ctx context.Context, s *metrics.Snapshot) {
	known, complete := e.directory.known()
	if !complete && e.completing.CompareAndSwap(false, true) {
		e.work.Go(func() {
			defer e.completing.Store(false)
			if err := e.readAllRecords(e.work.Life()); err != nil {
				e.log().Warn("could not read the records of all refresh tokens; the metrics do not count those that are missing", "error", err)
			}
		})
	}
	for _, r := range known {
		if r.IsEnding() && r.Ending.Outcome == "" {
			s.Waiting[metrics.RefreshToken] = append(s.Waiting[metrics.RefreshToken], metrics.Waiting{Since: r.Ending.At})
		}
	}
	for pin, records := range groupByClient(known) {
		tokens, err := e.countIfMany(ctx, records)
		if err != nil {
			continue
		}
		s.Clients = append(s.Clients, metrics.Client{AccountsURL: pin.AccountsURL, ID: pin.ClientID, RefreshTokens: tokens.Count, Users: usersOf(records)})
	}
}

// usersOf says whose the refresh tokens of a client are, as far as that is known: those of a
// Self Client are its owner's, and a consent does not tell whose account it was.
func usersOf(records map[string]*refreshtoken.Record) string {
	origins := make(map[refreshtoken.Origin]bool)
	for _, r := range records {
		origins[r.Origin] = true
	}
	switch {
	case len(records) > 2*mostRefreshTokens:
		return "many"
	case origins[refreshtoken.Code] && !origins[refreshtoken.Consent] && !origins[refreshtoken.Device]:
		return "one"
	default:
		return "unknown"
	}
}

// Panicked counts a panic that somebody else has caught.
func (e *Engine) Panicked() { e.metrics.Panic() }

// countRead counts a read of creds.
func (e *Engine) countRead(role string, err error) {
	e.metrics.Read(role, resultOf(err), e.now(), func() bool { return e.roles.find(role) != nil })
}

// countRequest counts a token request that was begun at a time.
func (e *Engine) countRequest(began time.Time, err error) {
	code := ""
	if failed, ok := errors.AsType[*zoho.Error](err); ok {
		code = failed.Code
	}
	e.metrics.TokenRequest(resultOf(err), code, e.now().Sub(began))
}

// countRevocation counts what came of asking Zoho to revoke a token.
func (e *Engine) countRevocation(token metrics.Token, how zoho.Revocation, err error) {
	switch {
	case err != nil:
		e.metrics.Revocation(token, metrics.NotYet)
	case how == zoho.AlreadyGone:
		e.metrics.Revocation(token, metrics.Gone)
	default:
		e.metrics.Revocation(token, metrics.Revoked)
	}
}

// resultOf is what an error of Zoho's, or of a use case, means for the metrics.
func resultOf(err error) metrics.Result {
	kind := zoho.Kind(0)
	if failed, ok := errors.AsType[*GrantError](err); ok {
		kind = failed.Kind
	} else if failed, ok := errors.AsType[*zoho.Error](err); ok {
		kind = failed.Kind
	}
	_, bad := errors.AsType[*settings.UserError](err)
	switch {
	case err == nil:
		return metrics.Success
	case kind.Definite():
		return metrics.Refused
	case kind == zoho.Throttled:
		return metrics.Throttled
	case kind == zoho.Unreachable:
		return metrics.Unreachable
	case kind == zoho.BadAnswer:
		return metrics.Nonsense
	case bad:
		return metrics.Invalid
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return metrics.Cancelled
	default:
		return metrics.Failed
	}
}
