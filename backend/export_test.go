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

// IsHeldBy reports whether memory has the holder, written or not.
func (e *Engine) IsHeldBy(tokenID, holderID string) bool {
	e.mu.Lock()
	t := e.tokens[tokenID]
	e.mu.Unlock()
	if t == nil {
		return false
	}
	t.ledger.mu.Lock()
	defer t.ledger.mu.Unlock()
	_, held := t.ledger.holders[holderID]
	return held
}
