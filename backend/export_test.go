package backend

import "context"

// Settle waits for what runs in the background.
func (e *Engine) Settle() { e.running.Wait() }

// Holders lists who holds a token, the oldest first; nil if there is none.
func (e *Engine) Holders(ctx context.Context, tokenID string) ([]Holder, error) {
	t, err := e.token(ctx, tokenID)
	if err != nil || t == nil {
		return nil, err
	}
	return t.ledger.list(), nil
}
