package zohosim_test

import (
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/zohosim"
)

func (w *world) refreshForm() *http.Request {
	return w.form("/oauth/v2/token", "grant_type", "refresh_token", "refresh_token", w.refresh,
		"client_id", w.client.ID, "client_secret", w.client.Secret("eu"))
}

// fails makes a request whose answer should not arrive whole.
func (w *world) fails(r *http.Request) error {
	w.t.Helper()
	answer, err := w.http().Do(r)
	if err == nil {
		_, err = io.ReadAll(answer.Body)
		_ = answer.Body.Close()
	}
	return err
}

func TestFault_HitsItsCountAndOnlyItsEndpoint(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{})
	access := w.mint()
	w.Fault(zohosim.EndpointToken, zohosim.Fault{Kind: zohosim.FaultHTML500, Count: 2})
	w.Fault(zohosim.EndpointToken, zohosim.Fault{Kind: zohosim.FaultEmpty200, Count: 1})
	assert.Equal(t, 200, w.legacyRevoke(access).status)
	for range 2 {
		out := w.refreshWith(w.refresh)
		assert.Equal(t, 500, out.status)
		assert.Contains(t, out.header.Get("Content-Type"), "text/html")
	}
	empty := w.refreshWith(w.refresh)
	assert.Equal(t, 200, empty.status)
	assert.Empty(t, empty.raw)
	w.mint()
}

func TestFault_WithoutCountStaysUntilCleared(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{})
	w.Fault(zohosim.EndpointToken, zohosim.Fault{
		Kind: zohosim.FaultAnswer, Status: 503, Body: "busy", ContentType: "text/plain", Header: http.Header{"Retry-After": {"7"}},
	})
	for range 3 {
		out := w.refreshWith(w.refresh)
		assert.Equal(t, 503, out.status)
		assert.Equal(t, "busy", out.raw)
		assert.Equal(t, "7", out.header.Get("Retry-After"))
	}
	w.ClearFaults()
	w.mint()
}

func TestFault_ThrottledIsTheThrottlesAnswerWithoutABlock(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{})
	w.Fault(zohosim.EndpointToken, zohosim.Fault{Kind: zohosim.FaultThrottled, Count: 1})
	assert.Equal(t, accessDenied, w.refreshWith(w.refresh).raw)
	w.mint()
}

func TestFault_TruncatedMintsATokenThatTheCallerCannotRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{})
	w.Fault(zohosim.EndpointToken, zohosim.Fault{Kind: zohosim.FaultTruncated, Count: 1})
	out := w.refreshWith(w.refresh)
	assert.Equal(t, 200, out.status)
	assert.NotEmpty(t, out.raw)
	assert.Nil(t, out.json)
	assert.Equal(t, 1, w.LiveTokens(w.refresh))
}

func TestFault_CutBreaksTheConnectionInTheMiddle(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{})
	w.Fault(zohosim.EndpointToken, zohosim.Fault{Kind: zohosim.FaultCut})
	assert.ErrorIs(t, w.fails(w.refreshForm()), io.ErrUnexpectedEOF)
}

func TestFault_CloseLosesTheAnswerBeforeOrAfterTheWork(t *testing.T) {
	t.Parallel()
	for processed, mints := range map[bool]int{false: 0, true: 1} {
		w := newWorld(t, zohosim.Options{})
		w.Fault(zohosim.EndpointToken, zohosim.Fault{Kind: zohosim.FaultClose, Processed: processed})
		require.Error(t, w.fails(w.refreshForm()))
		assert.Equal(t, mints, w.MintCount(w.refresh))
	}
}

func TestFault_HangLastsUntilTheCallerGivesUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{})
	w.Fault(zohosim.EndpointToken, zohosim.Fault{Kind: zohosim.FaultHang})
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() {
		answer, err := w.http().Do(w.refreshForm().WithContext(ctx))
		if err == nil {
			_ = answer.Body.Close()
		}
		failed <- err
	}()
	require.Eventually(t, func() bool { return w.Count(zohosim.EndpointToken) == 1 }, 5*time.Second, time.Millisecond)
	assert.Zero(t, w.Requests()[0].Status, "not answered yet")
	cancel()
	assert.ErrorIs(t, <-failed, context.Canceled)
}

func TestClose_EndsRequestsThatHang(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{})
	w.Fault(zohosim.EndpointToken, zohosim.Fault{Kind: zohosim.FaultHang})
	failed := make(chan error, 1)
	go func() {
		answer, err := w.http().Do(w.refreshForm())
		if err == nil {
			_ = answer.Body.Close()
		}
		failed <- err
	}()
	require.Eventually(t, func() bool { return w.Count(zohosim.EndpointToken) == 1 }, 5*time.Second, time.Millisecond)
	w.Close()
	assert.Error(t, <-failed)
	w.Close()
	_, err := w.Listen("us")
	assert.ErrorContains(t, err, "closed")
}

func TestFault_OfAnUnknownKindOrEndpointPanics(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{})
	assert.Panics(t, func() { w.Fault(zohosim.EndpointToken, zohosim.Fault{Kind: "typo"}) })
	assert.Panics(t, func() { w.Fault("typo", zohosim.Fault{Kind: zohosim.FaultHang}) })
}

func TestDown_NothingAnswersAndNothingIsDone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{})
	w.SetDown(true)
	require.Error(t, w.fails(w.refreshForm()))
	require.Error(t, w.fails(w.request(http.MethodGet, w.url+"/oauth/serverinfo", "")))
	w.SetDown(false)
	assert.Zero(t, w.MintCount(w.refresh))
	w.mint()
}

func TestLatency_DelaysTheAnswerOfWorkThatIsDone(t *testing.T) {
	t.Parallel()
	waited := make(chan time.Duration, 1)
	w := newWorld(t, zohosim.Options{Latency: 30 * time.Second, Wait: func(_ context.Context, d time.Duration) error {
		waited <- d
		return nil
	}})
	w.mint()
	assert.Equal(t, 30*time.Second, <-waited)
}

func TestLatency_ACallerThatGivesUpLeavesATokenBehind(t *testing.T) {
	t.Parallel()
	waiting := make(chan struct{})
	w := newWorld(t, zohosim.Options{Latency: time.Hour, Wait: func(ctx context.Context, _ time.Duration) error {
		close(waiting)
		<-ctx.Done()
		return ctx.Err()
	}})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-waiting; cancel() }()
	assert.ErrorIs(t, w.fails(w.refreshForm().WithContext(ctx)), context.Canceled)
	assert.Equal(t, 1, w.LiveTokens(w.refresh))
}
