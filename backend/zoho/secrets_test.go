package zoho_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend/secret"
	"vault-plugin-secrets-zoho/backend/zoho"
)

// whatTheServerKnows is every secret that a call gives to the server or that
// the server could give away, in every spelling that it has seen.
func whatTheServerKnows() map[string]string {
	return map[string]string{
		"client secret":         clientSecret,
		"refresh token":         refreshToken,
		"access token":          accessToken,
		"grant code":            grantCode,
		"organisation":          soid,
		"Authorization header":  base64.StdEncoding.EncodeToString([]byte(clientID + ":" + clientSecret)),
		"form":                  url.Values{"client_secret": {clientSecret}, "token": {accessToken}, "refresh_token": {refreshToken}, "code": {grantCode}, "soid": {soid}}.Encode(),
		"secret in lower case":  strings.ToLower(clientSecret),
		"secret in upper case":  strings.ToUpper(clientSecret),
		"tokens, one per line":  refreshToken + "\n" + accessToken + "\n" + grantCode,
		"token and a newline":   accessToken + "\n",
		"secret within a word":  "invalid_" + clientSecret,
		"secret within a scope": "scope_" + clientSecret,
		"secret as Zoho's word": "invalid_" + strings.ToLower(clientSecret),
	}
}

// hostileAnswers repeats text in every place of an answer.
func hostileAnswers(text string) map[string]http.HandlerFunc {
	quoted, err := json.Marshal(text)
	if err != nil {
		panic(err)
	}
	q := string(quoted)
	line := strings.ReplaceAll(text, "\n", " ")
	answers := map[string]http.HandlerFunc{
		"status line":       raw(line + "\r\n\r\n"),
		"protocol version":  raw("HTTP/" + line + " 200 OK\r\n\r\n"),
		"status code":       raw("HTTP/1.1 " + line + "\r\n\r\n"),
		"reason":            raw("HTTP/1.1 500 " + line + "\r\nContent-Length: 0\r\n\r\n"),
		"header":            raw("HTTP/1.1 500 No\r\nX-Echo: " + line + "\r\nContent-Length: 0\r\n\r\n"),
		"broken header":     raw("HTTP/1.1 200 OK\r\n" + line + "\r\n\r\n"),
		"content length":    raw("HTTP/1.1 200 OK\r\nContent-Length: " + line + "\r\n\r\n"),
		"transfer encoding": raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: " + line + "\r\n\r\n"),
		"chunk length":      raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + line + "\r\n"),
		"trailer":           raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n" + line + "\r\n\r\n"),
		"bad gzip":          raw("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nConnection: close\r\n\r\n" + line),
		"redirect":          raw("HTTP/1.1 302 Found\r\nLocation: /login?" + line + "\r\nContent-Length: 0\r\n\r\n"),
		"bad redirect":      raw("HTTP/1.1 302 Found\r\nLocation: http://[::1/" + line + "\r\nContent-Length: 0\r\n\r\n"),
		"cut off":           raw("HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n{\"error\":" + q),
	}
	bodies := map[string]string{
		"error":                   `{"error":` + q + `}`,
		"error and description":   `{"error":` + q + `,"error_description":` + q + `}`,
		"description":             `{"error":"server_error","error_description":` + q + `}`,
		"description of a word":   `{"error":"invalid_code","error_description":` + q + `}`,
		"status":                  `{"status":` + q + `}`,
		"throttle":                `{"error":` + q + `,"error_description":` + q + `,"status":"failure"}`,
		"scope error":             `{"error":"Enter a valid scope, not ` + strings.Trim(q, `"`) + `"}`,
		"member name":             `{` + q + `:1}`,
		"object as error":         `{"error":{"echo":` + q + `}}`,
		"token that is expired":   `{"access_token":` + q + `,"expires_in":0}`,
		"token with a bad end":    `{"access_token":"` + strings.Trim(q, `"`) + `\r\n"}`,
		"life":                    `{"access_token":"1000.a b","expires_in":` + q + `}`,
		"refresh token alone":     `{"refresh_token":` + q + `}`,
		"refresh token, error":    `{"refresh_token":` + q + `,"error":"server_error"}`,
		"refresh token, too late": `{"access_token":"1000.a.b","refresh_token":` + q + `,"expires_in":0}`,
		"both tokens":             `{"access_token":` + q + `,"refresh_token":` + q + `,"expires_in":"0"}`,
		"JSON of the wrong shape": `[` + q + `]`,
		"JSON text":               q,
		"JSON cut off":            `{"error":` + q,
		"page":                    `<html><body>` + text + `</body></html>`,
		"text":                    text,
		"form":                    "error=" + text,
		"too much":                strings.Repeat(text+" ", 1+64<<10/len(text)),
	}
	for name, body := range bodies {
		for _, status := range []int{200, 400, 401, 500} {
			answers[fmt.Sprint(name, " in ", status)] = answer(status, body)
		}
	}
	return answers
}

// requireNoSecret looks into everything that can be printed of an error.
func requireNoSecret(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return // an answer that means something; its meaning is not the matter here
	}
	printed := fmt.Sprintf("%v\n%+v\n%#v\n%q", err, err, err, err)
	var failed *zoho.Error
	require.True(t, errors.As(err, &failed))
	printed += fmt.Sprintf("%#v %s", *failed, failed.Code)
	require.NoError(t, errors.Unwrap(err), "what is wrapped gets printed by somebody, some day")
	for name, text := range map[string]string{
		"client secret": clientSecret, "refresh token": refreshToken, "access token": accessToken, "grant code": grantCode, "organisation": soid,
		"Authorization header": base64.StdEncoding.EncodeToString([]byte(clientID + ":" + clientSecret)),
	} {
		require.NotContains(t, strings.ToLower(printed), strings.ToLower(text), name)
	}
	require.NotContains(t, failed.Error(), "\n", "nor a line that looks like another log entry")
}

func TestErrors_HoldNoSecretWhateverTheServerEchoes(t *testing.T) {
	t.Parallel()
	for echoName, echo := range whatTheServerKnows() {
		for answerName, hostile := range hostileAnswers(echo) {
			t.Run(echoName+" as "+answerName, func(t *testing.T) {
				t.Parallel()
				server := serve(t, hostile)
				for _, call := range tokenCalls() {
					// Not on a connection that the server has just closed: there
					// the request may not arrive.
					token, err := call(t.Context(), newClient(t, ""), server.app())
					requireNoSecret(t, err)
					require.NotContains(t, fmt.Sprintf("%+v %#v", token, token), accessToken)
				}
				require.Len(t, server.arrivals(), 3)

				for _, revoke := range revocations() {
					_, err := revoke(newClient(t, ""), t.Context(), server.app(), secret.New(accessToken))
					requireNoSecret(t, err)
				}
				require.LessOrEqual(t, len(server.arrivals()), 7)
			})
		}
	}
}

func TestErrors_HoldNoSecretWhenThereIsNoServer(t *testing.T) {
	t.Parallel()
	client := newClient(t, "")
	for _, accounts := range []string{nobodyListens, "http://[::1", "https://127.0.0.1:1/iam", "ftp://127.0.0.1", ""} {
		for name, call := range tokenCalls() {
			_, err := call(t.Context(), client, appAt(accounts))
			require.Error(t, err, name)
			requireNoSecret(t, err)
		}
		for name, revoke := range revocations() {
			_, err := revoke(client, t.Context(), appAt(accounts), secret.New(accessToken))
			require.Error(t, err, name)
			requireNoSecret(t, err)
		}
	}
}

func TestErrors_SayWhereItHappenedAndWhatFor(t *testing.T) {
	t.Parallel()
	for _, one := range []http.HandlerFunc{
		answer(200, `{"error":"invalid_code"}`), answer(200, `{"error":"invalid_client"}`), answer(400, throttledEnglish),
		answer(500, loginPage), answer(403, "{}"), closes(),
	} {
		server, client := serve(t, one), newClient(t, "")
		for what, call := range tokenCalls() {
			_, err := call(t.Context(), client, server.app())
			require.ErrorContains(t, err, server.URL)
			require.ErrorContains(t, err, what)
		}
	}
}
