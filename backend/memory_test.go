package backend

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend/work"
)

func newTestMemory() (*memory[string], *work.Group) {
	group := work.NewGroup(work.Options{
		Limit: time.Minute, Closed: errClosed,
		Recovered: func(any, []byte) error { return errClosed }, Failed: func(error) {},
	})
	return newMemory[string](group), group
}

// Invariant 15: however many ask for what is not there, storage is read once for all who
// ask at the same time.
func TestMemory_WhatIsNotThereIsReadOnceForAllWhoAskMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, group := newTestMemory()
		defer group.Close(0)
		reads := 0
		goOn := make(chan struct{})
		load := func(context.Context, string) (*string, error) {
			reads++
			<-goOn
			return nil, nil
		}
		const callers = 50
		done := make(chan *string, callers)
		for range callers {
			go func() {
				value, err := m.get(t.Context(), "x", load)
				if err != nil {
					t.Error(err)
				}
				done <- value
			}()
		}
		synctest.Wait()
		close(goOn)
		for range callers {
			require.Nil(t, <-done)
		}
		require.Equal(t, 1, reads)
	})
}

// Who gives up, or meets a panic, leaves the others and the next one alone.
func TestMemory_ACallerWhoGivesUpStopsNoReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, group := newTestMemory()
		defer group.Close(0)
		goOn := make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		left := make(chan error, 1)
		go func() {
			_, err := m.get(ctx, "x", func(context.Context, string) (*string, error) {
				<-goOn
				return text("x"), nil
			})
			left <- err
		}()
		synctest.Wait()
		cancel()
		require.ErrorIs(t, <-left, context.Canceled)
		close(goOn)
		synctest.Wait()
		require.Equal(t, "x", *m.find("x"))

		_, err := m.get(t.Context(), "y", func(context.Context, string) (*string, error) { panic("no") })
		require.Error(t, err)
		failed := errors.New("disk on fire")
		_, err = m.get(t.Context(), "y", func(context.Context, string) (*string, error) { return text("y"), failed })
		require.ErrorIs(t, err, failed)
		require.Nil(t, m.find("y"))
	})
}

func text(s string) *string { return &s }
