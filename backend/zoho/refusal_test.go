package zoho_test

import (
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend/secret"
	"vault-plugin-secrets-zoho/backend/zoho"
)

const (
	throttledEnglish = `{"error_description":"You have made too many requests continuously. Please try again after some time.","error":"Access Denied","status":"failure"}`
	throttledChinese = `{"error_description":"您已连续提出过多请求，请稍后再试。","error":"拒绝访问","status":"failure"}`
	loginPage        = "<!DOCTYPE html>\n<html><head><title>Zoho Accounts</title></head><body>Sign in</body></html>"
)

func TestRefresh_ErrorInAnHTTP200IsAnError(t *testing.T) {
	t.Parallel()
	kinds := map[string]zoho.Kind{
		"invalid_code":           zoho.Refused,
		"invalid_grant":          zoho.Refused,
		"invalid_client":         zoho.Misconfigured,
		"invalid_client_secret":  zoho.Misconfigured,
		"invalid_redirect_uri":   zoho.Misconfigured,
		"invalid_scope":          zoho.Misconfigured,
		"missing_org_info":       zoho.Misconfigured,
		"unauthorized_client":    zoho.Misconfigured,
		"unsupported_grant_type": zoho.Misconfigured,
		"invalid_request":        zoho.Misconfigured,
		"general_error":          zoho.BadAnswer,
	}
	for word, kind := range kinds {
		for _, status := range []int{200, 400, 401, 500} {
			t.Run(fmt.Sprint(word, " in ", status), func(t *testing.T) {
				t.Parallel()
				failed := refused(t, answer(status, fmt.Sprintf(`{"error":%q}`, word)))
				require.Equal(t, kind, failed.Kind)
				require.Equal(t, word, failed.Code)
				require.Equal(t, status, failed.Status)
				require.Contains(t, failed.Error(), word, "the word is what one searches for")
				// Only a definite no is proof that no token was minted.
				require.Equal(t, kind != zoho.BadAnswer, failed.NoToken())
				require.Equal(t, kind != zoho.BadAnswer, failed.Kind.Definite())
			})
		}
	}
}

func TestRefresh_TellsErrorsApartHoweverTheyAreWorded(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		body string
		kind zoho.Kind
		code string
	}{
		"in capitals":                  {`{"error":"INVALID_CODE"}`, zoho.Refused, "invalid_code"},
		"with white space":             {`{"error":" invalid_client\n"}`, zoho.Misconfigured, "invalid_client"},
		"scope in a phrase":            {`{"error":"Enter a valid scope"}`, zoho.Misconfigured, "invalid_scope"},
		"another scope phrase":         {`{"error":"Invalid OAuth scope"}`, zoho.Misconfigured, "invalid_scope"},
		"a known word with a failure":  {`{"error":"invalid_code","status":"failure"}`, zoho.Refused, "invalid_code"},
		"throttled, by one word":       {`{"error":"access_denied"}`, zoho.Throttled, "Access Denied"},
		"throttled, bare":              {`{"error":"Access Denied"}`, zoho.Throttled, "Access Denied"},
		"throttled, status only":       {`{"status":"failure"}`, zoho.Throttled, "Access Denied"},
		"throttled, description only":  {`{"error_description":"You have made TOO MANY requests"}`, zoho.Throttled, "Access Denied"},
		"throttled, another language":  {`{"error":"Accès refusé","error_description":"Trop de requêtes"}`, zoho.Throttled, "Access Denied"},
		"a word nobody has documented": {`{"error":"server_busy"}`, zoho.BadAnswer, ""},
		"a phrase without description": {`{"error":"Something went wrong"}`, zoho.BadAnswer, ""},
		"an error that is no string":   {`{"error":{"code":17}}`, zoho.BadAnswer, ""},
		"another API's error":          {`{"code":"INVALID_TOKEN","message":"invalid oauth token","status":"error"}`, zoho.BadAnswer, ""},
		"nothing in it":                {`{}`, zoho.BadAnswer, ""},
		"null":                         {`null`, zoho.BadAnswer, ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			failed := refused(t, answer(200, tc.body))
			require.Equal(t, tc.kind, failed.Kind)
			require.Equal(t, tc.code, failed.Code)
		})
	}
}

func TestRefresh_AnUnknownErrorWordIsNamedAndDoubtful(t *testing.T) {
	t.Parallel()
	for _, status := range []int{200, 400, 401, 500, 503} {
		failed := refused(t, answer(status, `{"error":"server_busy"}`))
		require.Contains(t, failed.Error(), "server_busy")
		require.Equal(t, zoho.BadAnswer, failed.Kind)
		require.Equal(t, status < 500, failed.UnknownWord, "a server that says that it is broken is believed")
	}
	for _, outage := range []string{"general_error", "server_error", "temporarily_unavailable"} {
		failed := refused(t, answer(200, `{"error":"`+outage+`"}`))
		require.Equal(t, zoho.BadAnswer, failed.Kind)
		require.Equal(t, outage, failed.Code)
		require.False(t, failed.UnknownWord)
	}
}

func TestRefresh_TheThrottleIsRecognisedInAnyLanguageAndStatus(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{"English": throttledEnglish, "Chinese": throttledChinese} {
		for _, status := range []int{200, 400, 401, 403, 429} {
			t.Run(fmt.Sprint(name, " in ", status), func(t *testing.T) {
				t.Parallel()
				failed := refused(t, answer(status, body))
				require.Equal(t, zoho.Throttled, failed.Kind)
				require.Equal(t, status, failed.Status)
				require.True(t, failed.NoToken())
				require.False(t, failed.Kind.Definite(), "it passes")
			})
		}
	}
}

func TestRefresh_HTTP429IsTheThrottleWhateverItsBody(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"", "{}", "slow down", loginPage, `{"error":"invalid_code"}`} {
		require.Equal(t, zoho.Throttled, refused(t, answer(429, body)).Kind, body)
	}
}

func TestRefresh_401And403WithoutAWordAreAConfigurationProblem(t *testing.T) {
	t.Parallel()
	for _, status := range []int{401, 403} {
		failed := refused(t, answer(status, `{"message":"no"}`))
		require.Equal(t, zoho.Misconfigured, failed.Kind)
		require.Equal(t, status, failed.Status)
	}
}

func TestRefresh_WhatIsNotATokenAnswerIsABadAnswer(t *testing.T) {
	t.Parallel()
	whole := tokenJSON(nil)
	bodies := map[string]string{
		"a page":                        loginPage,
		"a page after white space":      "\n\n  " + loginPage,
		"a page after a byte order":     "\ufeff" + loginPage,
		"nothing":                       "",
		"white space":                   " \r\n",
		"text":                          "server error",
		"JSON that is cut off":          whole[:len(whole)/2],
		"JSON without its last byte":    whole[:len(whole)-1],
		"JSON and then more":            whole + whole,
		"a list":                        "[" + whole + "]",
		"a string":                      `"` + accessToken + `"`,
		"a number":                      "3600",
		"a form":                        "access_token=" + accessToken + "&expires_in=3600",
		"more than 64 KiB":              tokenJSON(map[string]any{"padding": strings.Repeat("x", 64<<10)}),
		"64 KiB and a byte":             whole + strings.Repeat(" ", 64<<10+1-len(whole)),
		"nested as deep as it goes":     strings.Repeat(`{"a":`, 20_000),
		"far more than is worth taking": strings.Repeat("x", 1<<20),
	}
	for name, body := range bodies {
		for _, status := range []int{200, 400, 500, 502} {
			t.Run(fmt.Sprint(name, " in ", status), func(t *testing.T) {
				t.Parallel()
				failed := refused(t, answer(status, body))
				require.Equal(t, zoho.BadAnswer, failed.Kind)
				require.Equal(t, status, failed.Status)
				require.Empty(t, failed.Code)
				require.False(t, failed.NoToken())
			})
		}
	}
}

func TestRefresh_SaysWhatCameInsteadOfAToken(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		loginPage: "web page", "\ufeff" + loginPage: "web page", "": "empty", "server error": "not JSON", "{}": "without an access token",
		tokenJSON(map[string]any{"expires_in": 0}): "expired", strings.Repeat("x", 64<<10+1): "64 KiB",
	} {
		failed := refused(t, answer(503, body))
		require.Contains(t, failed.Error(), want)
		require.Contains(t, failed.Error(), "HTTP 503")
	}
}

func TestRefresh_64KiBAreStillRead(t *testing.T) {
	t.Parallel()
	whole := tokenJSON(nil)
	_, err := refresh(t, answer(200, whole+strings.Repeat(" ", 64<<10-len(whole))))
	require.NoError(t, err)
}

func TestRefresh_TheBoundIsOnWhatACompressedAnswerUnpacksTo(t *testing.T) {
	t.Parallel()
	failed := refused(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		pack := gzip.NewWriter(w)
		_, _ = io.WriteString(pack, tokenJSON(map[string]any{"padding": strings.Repeat("x", 8<<20)}))
		_ = pack.Close()
	})
	require.Equal(t, zoho.BadAnswer, failed.Kind)
	require.Contains(t, failed.Error(), "64 KiB")
}

func TestRefresh_ARedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	for _, status := range []int{301, 302, 303, 307, 308} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			elsewhere := serve(t, answer(200, tokenJSON(nil)))
			failed := refused(t, func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, elsewhere.URL+"/signin", status)
			})
			require.Equal(t, zoho.BadAnswer, failed.Kind)
			require.Equal(t, status, failed.Status)
			require.Empty(t, elsewhere.arrivals(), "secrets reach no other server")
		})
	}
}

func TestRevoke_ARedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	for _, status := range []int{301, 302, 303, 307, 308} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			elsewhere := serve(t, answer(200, `{"status":"success"}`))
			server := serve(t, func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, elsewhere.URL, status)
			})
			_, err := newClient(t, "").RevokeAccessToken(t.Context(), server.app(), secret.New(accessToken))
			require.Equal(t, zoho.BadAnswer, asError(t, err).Kind)
			require.Len(t, server.arrivals(), 2)
			require.Empty(t, elsewhere.arrivals())
		})
	}
}
