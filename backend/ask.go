package backend

import (
	"context"
	"time"

	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/backend/zoho"
)

// question is one token request to Zoho. Whatever is asked for - an access token, or
// the exchange of a grant code - it takes the same five steps: wait for the turn, decide
// whether Zoho may be asked, count the request, ask, and note what came of it.
type question struct {
	// turn is the quota ID in whose turn it is asked.
	turn string

	// admit decides whether Zoho may be asked, makes room at Zoho if need be, and counts the
	// request: what is not counted is not sent. An error is the answer of the question.
	admit func(ctx context.Context) error

	// uncounted: it is no token request, as far as the metrics go.
	uncounted bool

	// ask asks Zoho once, within the request timeout.
	ask func(ctx context.Context, client *zoho.Client) error

	// note writes down what came of it, which ask has left behind, also while the
	// mount shuts down. It gets the error of ask, and returns that of the question.
	note func(ctx context.Context, failed error) error
}

// askZoho asks one question. So there is one token request in flight for each quota, and
// what is counted is counted before the next one looks at it.
func (e *Engine) askZoho(ctx context.Context, config *settings.Config, q question) error {
	client, err := e.accountsClient(config.CACert)
	if err != nil {
		return err
	}
	release, err := e.takeTurn(ctx, q.turn)
	if err != nil {
		return err
	}
	defer release()
	if err := q.admit(ctx); err != nil {
		return err
	}
	callCtx, cancel := context.WithTimeout(ctx, config.RequestTimeout)
	defer cancel()
	began := e.now()
	failed := q.ask(callCtx, client)
	if !q.uncounted {
		e.countRequest(began, failed)
	}

	ctx, cancelNote := context.WithTimeout(context.WithoutCancel(ctx), commitLimit)
	defer cancelNote()
	return q.note(ctx, failed)
}

// takeTurn waits until nothing else is asked of Zoho that counts for the quota.
func (e *Engine) takeTurn(ctx context.Context, quotaID string) (release func(), err error) {
	release, err = e.turns.Acquire(ctx, quotaID)
	if err != nil {
		return nil, &GrantError{Kind: zoho.Unreachable, outcome: ConsentInterrupted, Text: "Other requests to Zoho with the same refresh token or client took too long, and this one had to wait for them. Try again."}
	}
	return release, nil
}

// commitLimit bounds what is written after Zoho has answered.
const commitLimit = 20 * time.Second
