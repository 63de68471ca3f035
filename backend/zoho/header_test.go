package zoho_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend/secret"
	"vault-plugin-secrets-zoho/backend/zoho"
)

// What comes before the body takes memory and time, too.

// endless writes begin, and then part again and again, until the client hangs up. It
// returns how many bytes the connection has taken.
func endless(t *testing.T, begin, part string) (answer http.HandlerFunc, written func() int) {
	t.Helper()
	total := make(chan int, 1)
	answer = func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		defer conn.Close()
		n, _ := io.WriteString(conn, begin)
		for err == nil {
			var more int
			more, err = io.WriteString(conn, part)
			n += more
		}
		total <- n
	}
	return answer, func() int { return <-total }
}

func TestRefresh_AHeaderWithoutAnEndIsReadTo64KiB(t *testing.T) {
	t.Parallel()
	line := "X-Padding: " + strings.Repeat("x", 1000) + "\r\n"
	for name, flood := range map[string]struct{ begin, part string }{
		"many lines":           {"HTTP/1.1 200 OK\r\n", line},
		"one line":             {"HTTP/1.1 200 OK\r\nX-Padding: ", strings.Repeat("x", 1000)},
		"a long status line":   {"HTTP/1.1 200 ", strings.Repeat("x", 1000)},
		"interim responses":    {"", "HTTP/1.1 103 Early Hints\r\n" + line + "\r\n"},
		"small interim ones":   {"", "HTTP/1.1 102 Processing\r\n\r\n"},
		"continues, unasked":   {"", "HTTP/1.1 100 Continue\r\n\r\n"},
		"a body in the header": {"HTTP/1.1 200 OK\r\n", strings.Repeat("x:y\r\n", 100)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answer, written := endless(t, flood.begin, flood.part)
			// The time is there so that a client which reads for ever fails here.
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			server := serve(t, answer)
			token, err := newClient(t, "").Refresh(ctx, server.app(), secret.New(refreshToken))
			require.NoError(t, ctx.Err(), "it ends by itself")
			require.Zero(t, token)
			failed := asError(t, err)
			require.False(t, failed.Kind.Definite())
			require.False(t, failed.NoToken(), "the request has arrived")
			require.Contains(t, failed.Error(), "a header of more than 64 KiB")
			requireNoSecret(t, failed)
			// What the kernel holds for a connection comes to the 64 KiB.
			require.Less(t, written(), 8<<20)
		})
	}
}

func TestRefresh_AHeaderAsLargeAsThoseOfZohoIsRead(t *testing.T) {
	t.Parallel()
	token, err := refresh(t, func(w http.ResponseWriter, r *http.Request) {
		for i := range 30 {
			w.Header().Add("Set-Cookie", fmt.Sprintf("cookie%d=%s;path=/;Secure", i, strings.Repeat("x", 1000)))
		}
		answer(200, tokenJSON(nil))(w, r)
	})
	require.NoError(t, err)
	require.Equal(t, accessToken, token.AccessToken.Reveal())
}

func TestRefresh_OverHTTP2AHeaderOf9MBIsNotRead(t *testing.T) {
	t.Parallel()
	server := unstarted(t, func(w http.ResponseWriter, r *http.Request) {
		for i := range 9 << 10 {
			w.Header().Set(fmt.Sprintf("X-Padding-%d", i), strings.Repeat("x", 1<<10))
		}
		answer(200, tokenJSON(nil))(w, r)
	})
	server.EnableHTTP2 = true
	server.StartTLS()
	_, err := newClient(t, certPEM(server.Certificate().Raw)).Refresh(t.Context(), appAt(server.URL), secret.New(refreshToken))
	failed := asError(t, err)
	require.Equal(t, zoho.Unreachable, failed.Kind)
	require.False(t, failed.NoToken())
}

// A server that sends a byte now and then keeps nobody longer than the caller has time.
func TestRefresh_AnAnswerThatTricklesEndsWithTheTimeOfTheCall(t *testing.T) {
	t.Parallel()
	for name, begin := range map[string]string{
		"in the header": "HTTP/1.1 200 OK\r\nX-Slow: ",
		"in the body":   "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			limit := newDeadline(t)
			server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				conn, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					panic(err)
				}
				defer conn.Close()
				_, _ = io.WriteString(conn, begin+"x")
				limit.pass()
				waitForTheEnd(conn)
			})
			_, err := newClient(t, "").Refresh(limit, server.app(), secret.New(refreshToken))
			failed := asError(t, err)
			require.Equal(t, zoho.Unreachable, failed.Kind)
			require.Contains(t, failed.Error(), "request_timeout")
		})
	}
}

// waitForTheEnd returns when the other side has closed the connection.
func waitForTheEnd(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }
