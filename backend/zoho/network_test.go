package zoho_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend/secret"
	"vault-plugin-secrets-zoho/backend/zoho"
)

// nobodyListens is an address that refuses connections: port 1 is reserved.
const nobodyListens = "http://127.0.0.1:1"

func TestRefresh_ALostAnswerMayHaveCarriedAToken(t *testing.T) {
	t.Parallel()
	whole := tokenJSON(nil)
	cases := map[string]struct {
		answer http.HandlerFunc
		kind   zoho.Kind
	}{
		"closed without an answer":  {closes(), zoho.Unreachable},
		"closed in the status line": {raw("HTTP/1."), zoho.Unreachable},
		"closed in the header":      {raw("HTTP/1.1 200 OK\r\nContent-Le"), zoho.Unreachable},
		"not HTTP at all":           {raw("SSH-2.0-OpenSSH_9.9\r\n"), zoho.Unreachable},
		"a Location that is no URL": {raw("HTTP/1.1 302 Found\r\nLocation: http://[::1/\r\nContent-Length: 0\r\n\r\n"), zoho.Unreachable},
		"closed before the body":    {raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"), zoho.BadAnswer},
		"closed in the body":        {raw(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(whole)+1, whole)), zoho.BadAnswer},
		"closed between chunks":     {raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"), zoho.BadAnswer},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			failed := refused(t, tc.answer)
			require.Equal(t, tc.kind, failed.Kind)
			require.False(t, failed.NoToken())
			require.False(t, failed.Kind.Definite())
		})
	}
}

func TestRefresh_IsNotRepeatedWhenAReusedConnectionBreaks(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if calls.Add(1) == 2 {
			closes()(w, r)
			return
		}
		answer(200, tokenJSON(nil))(w, r)
	})
	client := newClient(t, "")
	_, err := client.Refresh(t.Context(), server.app(), secret.New(refreshToken))
	require.NoError(t, err)
	_, err = client.Refresh(t.Context(), server.app(), secret.New(refreshToken))
	require.False(t, asError(t, err).NoToken())
	require.Len(t, server.arrivals(), 2, "net/http repeats what it takes for repeatable")
}

func TestRefresh_WithoutAConnectionThereIsNoToken(t *testing.T) {
	t.Parallel()
	client := newClient(t, "")
	for name, accounts := range map[string]string{
		"refused": nobodyListens, "no port": "http://127.0.0.1:99999", "not a URL": "http://[::1", "not a scheme": "ftp://127.0.0.1",
	} {
		_, err := client.Refresh(t.Context(), appAt(accounts), secret.New(refreshToken))
		failed := asError(t, err)
		require.Equal(t, zoho.Unreachable, failed.Kind, name)
		require.True(t, failed.NoToken(), name)
		require.Zero(t, failed.Status, name)
	}
}

func TestRefresh_SaysWhyThereIsNoConnection(t *testing.T) {
	t.Parallel()
	_, err := newClient(t, "").Refresh(t.Context(), appAt(nobodyListens), secret.New(refreshToken))
	require.ErrorContains(t, err, "connection refused")
	require.ErrorContains(t, err, nobodyListens)
	require.NotContains(t, err.Error(), tokenPath, "the operator knows the server, not the endpoint")
}

func TestRefresh_AFirewallThatDropsPacketsMintsNoToken(t *testing.T) {
	t.Parallel()
	ctx := newDeadline(t)
	// Nobody speaks TLS here: the request waits for a connection until its time
	// is up, as it does where packets are dropped.
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	silent := make(chan struct{})
	go func() {
		defer close(silent)
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		ctx.pass()
		_, _ = io.Copy(io.Discard, conn)
		_ = conn.Close()
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		<-silent
	})

	_, err = newClient(t, "").Refresh(ctx, appAt("https://"+listener.Addr().String()), secret.New(refreshToken))
	failed := asError(t, err)
	require.Equal(t, zoho.Unreachable, failed.Kind)
	require.Contains(t, failed.Error(), "request_timeout")
	require.True(t, failed.NoToken())
}

func TestRefresh_ADeadlineAfterTheRequestLeavesTheOutcomeOpen(t *testing.T) {
	t.Parallel()
	cases := map[string]func(w http.ResponseWriter){
		"before the answer": func(http.ResponseWriter) {},
		"after the header": func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, `{"access_`)
			_ = http.NewResponseController(w).Flush()
		},
	}
	for name, begin := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := newDeadline(t)
			server := serve(t, func(w http.ResponseWriter, r *http.Request) {
				begin(w)
				ctx.pass()
				<-r.Context().Done()
			})
			_, err := newClient(t, "").Refresh(ctx, server.app(), secret.New(refreshToken))
			failed := asError(t, err)
			require.Equal(t, zoho.Unreachable, failed.Kind)
			require.Contains(t, failed.Error(), "request_timeout")
			require.False(t, failed.NoToken())
			require.Len(t, server.arrivals(), 1)
		})
	}
}

func TestRefresh_ACancelledCallIsCalledThat(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	server := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	client := newClient(t, "")
	_, err := client.Refresh(ctx, server.app(), secret.New(refreshToken))
	failed := asError(t, err)
	require.Equal(t, zoho.Unreachable, failed.Kind)
	require.Contains(t, failed.Error(), "cancelled")
	require.False(t, failed.NoToken())

	_, err = client.Refresh(ctx, server.app(), secret.New(refreshToken))
	require.True(t, asError(t, err).NoToken(), "it was over before it began")
	require.Len(t, server.arrivals(), 1)
}

func TestRevoke_AServerThatHangsIsNotAskedTwice(t *testing.T) {
	t.Parallel()
	ctx := newDeadline(t)
	server := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		ctx.pass()
		<-r.Context().Done()
	})
	how, err := newClient(t, "").RevokeAccessToken(ctx, server.app(), secret.New(accessToken))
	require.Zero(t, how)
	require.Equal(t, zoho.Unreachable, asError(t, err).Kind)
	require.Len(t, server.arrivals(), 1)
}

func TestRevoke_WithoutAConnectionIsAnError(t *testing.T) {
	t.Parallel()
	how, err := newClient(t, "").RevokeAccessToken(t.Context(), appAt(nobodyListens), secret.New(accessToken))
	require.Zero(t, how)
	require.Equal(t, zoho.Unreachable, asError(t, err).Kind)
}
