package backend

import (
	"context"
	"errors"
)

// GrantState is what an operator sees of a grant at a glance.
type GrantState string

// The states of a grant.
const (
	StateNeverTried  GrantState = "never tried"
	StateReady       GrantState = "ready"
	StateThrottled   GrantState = "throttled"
	StateRefused     GrantState = "refused"
	StateUnreachable GrantState = "unreachable"
	StateBroken      GrantState = "broken" // the role's stored entry cannot be decoded
)

// roleState tells how the latest mint for a role's grant went.
func (e *Engine) roleState(ctx context.Context, r *Role, config *Config) (GrantState, error) {
	if !r.IsAuthorized() {
		return StateNeverTried, nil
	}
	g, err := e.grantOf(ctx, r, config)
	var moved *clientMovedError
	if errors.As(err, &moved) {
		return StateRefused, nil // a read says so in full
	}
	if err != nil {
		return "", err
	}
	_, requests, err := e.quotasOf(ctx, g, config)
	if err != nil {
		return "", err
	}
	return g.state(requests), nil
}

// state tells how the latest mint went. requests is where its requests count.
func (g *grant) state(requests *quota) GrantState {
	switch rec := g.record(); {
	case rec.Failure.isDefinite():
		return StateRefused
	case requests.record().Throttled != nil:
		return StateThrottled
	case rec.Failure != nil:
		return StateUnreachable
	case !rec.hasWorked():
		return StateNeverTried
	default:
		return StateReady
	}
}
