package backend

import (
	"context"

	"vault-plugin-secrets-zoho/backend/settings"
)

// roleSlot is the right to write one role. Whoever writes, deletes or deauthorizes a role has
// it from the first step to the last, also for what nobody waits for.
type roleSlot struct {
	engine  *Engine
	free    func()
	pending []func(context.Context)
	after   []func(context.Context)
}

// takeRole waits until nobody else writes or deletes the role of a name.
func (e *Engine) takeRole(ctx context.Context, name string) (*roleSlot, error) {
	if err := settings.CheckRoleName(name); err != nil {
		return nil, err
	}
	free, err := e.writes.Acquire(ctx, prefixRoles+name)
	return &roleSlot{engine: e, free: free}, err
}

// later lets something be done in the background before somebody else gets the slot.
func (s *roleSlot) later(do func(context.Context)) { s.pending = append(s.pending, do) }

// afterwards lets something be done in the background when the slot is free.
func (s *roleSlot) afterwards(do func(context.Context)) { s.after = append(s.after, do) }

// release frees the slot when what is pending is done. It does not wait for that.
func (s *roleSlot) release() {
	finish := func() {
		s.run(s.pending)
		s.free()
		s.run(s.after)
	}
	if len(s.pending)+len(s.after) == 0 || !s.engine.work.Go(finish) {
		finish()
	}
}

func (s *roleSlot) run(all []func(context.Context)) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.engine.work.Life()), flightLimit)
	defer cancel()
	for _, do := range all {
		do(ctx)
	}
}
