//go:build unix

package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"os"
	"time"

	"github.com/hashicorp/vault/api"
)

// outcome is what an answer of Vault's leaves to think.
type outcome int

const (
	done    outcome = iota
	refused         // Vault has said no, so nothing has happened
	unclear         // it may have happened, or may happen still
)

func outcomeOf(err error) outcome {
	var answer *api.ResponseError
	switch {
	case err == nil:
		return done
	case errors.Is(err, errForced):
		return unclear
	case errors.As(err, &answer) && answer.StatusCode >= http.StatusBadRequest && answer.StatusCode < http.StatusInternalServerError:
		return refused
	default:
		return unclear
	}
}

// write sends one request through a node.
func (w *world) write(ctx context.Context, node int, path string, data map[string]any) (*api.Secret, error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	return w.clients[node].Logical().WriteWithContext(ctx, path, data)
}

func (w *world) delete(ctx context.Context, node int, path string) error {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	_, err := w.clients[node].Logical().DeleteWithContext(ctx, path)
	return err
}

// active is the index of the active node.
func (w *world) active(ctx context.Context) (int, error) {
	v, err := w.cluster.Active(ctx)
	if err != nil {
		return 0, err
	}
	for i, node := range w.cluster.Nodes {
		if node == v {
			return i, nil
		}
	}
	return 0, os.ErrNotExist
}

// wait returns false when ctx has ended first.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

func between(rng *rand.Rand, from, til time.Duration) time.Duration {
	return from + time.Duration(rng.Int64N(int64(til-from)))
}
