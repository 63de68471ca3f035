package zoho_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend/secret"
	"vault-plugin-secrets-zoho/backend/zoho"
)

// A saying is what an endpoint's answer means, according to the facts on
// Zoho's OAuth, section 4, and to design.md, section 7.
type saying int

const (
	yes     saying = iota // it revoked the token
	unknown               // 400: it does not know the token
	no                    // it refuses for a reason that has nothing to do with the token
	trouble               // it could not answer; nothing is known
)

type revokeAnswer struct {
	answer http.HandlerFunc
	saying saying
	kind   zoho.Kind // of trouble
}

// allAnswers is every answer that a revocation endpoint may give.
func allAnswers() map[string]revokeAnswer {
	return map[string]revokeAnswer{
		"200 success":             {answer(200, `{"status":"success"}`), yes, 0},
		"200 Success":             {answer(200, `{"status":"Success"}`), yes, 0},
		"200 empty":               {answer(200, ""), yes, 0},
		"200 {}":                  {answer(200, "{}"), yes, 0},
		"200 the page's sentence": {answer(200, "The token is successfully revoked"), yes, 0},

		"400 empty":            {answer(400, ""), unknown, 0},
		"400 invalid_token":    {answer(400, `{"error":"invalid_token"}`), unknown, 0},
		"400 a phrase of that": {answer(400, `{"error":"Invalid token","status":"failure"}`), unknown, 0},
		"400 failure":          {answer(400, `{"status":"failure"}`), unknown, 0},
		"400 invalid_code":     {answer(400, `{"error":"invalid_code"}`), unknown, 0},
		"400 text":             {answer(400, "The token passed in the request is invalid"), unknown, 0},

		// Zoho answers most errors in HTTP 200, and these name the token as the cause.
		"200 invalid_token":    {answer(200, `{"error":"invalid_token"}`), unknown, 0},
		"200 invalid_code":     {answer(200, `{"error":"invalid_code"}`), unknown, 0},
		"200 a phrase of that": {answer(200, `{"error":"Invalid Token"}`), unknown, 0},
		"200 byte order":       {answer(200, "\ufeff"+`{"error":"token_expired"}`), unknown, 0},

		"200 invalid_client":        {answer(200, `{"error":"invalid_client"}`), no, 0},
		"200 invalid_client_secret": {answer(200, `{"error":"invalid_client_secret"}`), no, 0},
		"200 a word of tomorrow":    {answer(200, `{"error":"token_in_use"}`), no, 0},
		"200 failure":               {answer(200, `{"status":"failure"}`), no, 0},
		"401":                       {answer(401, `{"error":"invalid_client"}`), no, 0},
		"403 page":                  {answer(403, loginPage), no, 0},
		"404":                       {answer(404, ""), no, 0},
		"405":                       {answer(405, ""), no, 0},
		"400 page":                  {answer(400, loginPage), no, 0}, // a proxy's word on the request, not Zoho's on the token

		"429":                    {answer(429, ""), trouble, zoho.Throttled},
		"400 throttled":          {answer(400, throttledEnglish), trouble, zoho.Throttled},
		"400 throttled, 中文":      {answer(400, throttledChinese), trouble, zoho.Throttled},
		"200 throttled":          {answer(200, throttledEnglish), trouble, zoho.Throttled},
		"400 access_denied":      {answer(400, `{"error":"access_denied"}`), trouble, zoho.Throttled},
		"400 a word of tomorrow": {answer(400, `{"error":"quota_exhausted"}`), trouble, zoho.BadAnswer},
		"200 general_error":      {answer(200, `{"error":"general_error"}`), trouble, zoho.BadAnswer},
		"400 general_error":      {answer(400, `{"error":"general_error"}`), trouble, zoho.BadAnswer},
		"500":                    {answer(500, ""), trouble, zoho.BadAnswer},
		"503 page":               {answer(503, loginPage), trouble, zoho.BadAnswer},
		"302":                    {answer(302, ""), trouble, zoho.BadAnswer},
		"200 page":               {answer(200, loginPage), trouble, zoho.BadAnswer},
		"200 page, byte order":   {answer(200, "\ufeff"+loginPage), trouble, zoho.BadAnswer},
		"200 half an error":      {answer(200, `{"error":"inval`), trouble, zoho.BadAnswer},
		"200 a list":             {answer(200, `[{"error":"invalid_token"}]`), trouble, zoho.BadAnswer},
		"200 cut off":            {raw("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{\"status\""), trouble, zoho.BadAnswer},
		"200 more than 64 KiB":   {answer(200, strings.Repeat("x", 64<<10+1)), trouble, zoho.BadAnswer},
		"closed without answer":  {closes(), trouble, zoho.Unreachable},
	}
}

// A false "revoked" leaves a live token that nobody will ever look for again.
// So the rule is: one clear yes, or both of them say that they do not know the token.
func TestRevoke_EveryPairOfAnswersOfTheTwoEndpoints(t *testing.T) {
	t.Parallel()
	for kind, revoke := range revocations() {
		for newerName, newer := range allAnswers() {
			for olderName, older := range allAnswers() {
				t.Run(kind+": "+newerName+" then "+olderName, func(t *testing.T) {
					t.Parallel()
					requireVerdict(t, revoke, newer, older)
				})
			}
		}
	}
}

func requireVerdict(t *testing.T, revoke revocation, newer, older revokeAnswer) {
	t.Helper()
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case newerRevokePath:
			newer.answer(w, r)
		case olderRevokePath:
			older.answer(w, r)
		}
	})
	how, err := revoke(newClient(t, ""), t.Context(), server.app(), secret.New(accessToken))

	// The older endpoint is asked unless that is of no use.
	asked := []revokeAnswer{newer, older}
	if newer.saying == yes || newer.kind == zoho.Unreachable {
		asked = asked[:1]
	}
	require.Len(t, server.arrivals(), len(asked))

	count := map[saying]int{}
	var troubles []zoho.Kind
	for _, one := range asked {
		count[one.saying]++
		if one.saying == trouble {
			troubles = append(troubles, one.kind)
		}
	}
	require.Equal(t, count[yes] > 0, how == zoho.Revoked, "revoked if and only if one says so")
	require.Equal(t, count[unknown] == 2, how == zoho.AlreadyGone, "gone if and only if both know nothing of it")
	if how != 0 {
		require.NoError(t, err)
		return
	}
	failed := asError(t, err)
	if len(troubles) == 0 {
		require.Equal(t, zoho.Misconfigured, failed.Kind, "both answered, neither took it")
	} else {
		require.Equal(t, troubles[len(troubles)-1], failed.Kind, "the latest trouble is reported")
	}
}

func TestRevoke_ARefusalByBothNamesTheTokenAndBothStatuses(t *testing.T) {
	t.Parallel()
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		answer(map[string]int{newerRevokePath: 401, olderRevokePath: 404}[r.URL.Path], "")(w, r)
	})
	for kind, revoke := range revocations() {
		_, err := revoke(newClient(t, ""), t.Context(), server.app(), secret.New(accessToken))
		require.ErrorContains(t, err, "401")
		require.ErrorContains(t, err, "404")
		require.ErrorContains(t, err, strings.ReplaceAll(kind, "_", " "))
	}
}

func TestRevoke_IsOneRequestPerEndpointWhateverHappens(t *testing.T) {
	t.Parallel()
	for name, same := range allAnswers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := serve(t, same.answer)
			_, _ = newClient(t, "").RevokeAccessToken(t.Context(), server.app(), secret.New(accessToken))
			paths := map[string]int{}
			for _, got := range server.arrivals() {
				paths[got.path]++
			}
			for path, n := range paths {
				require.Equal(t, 1, n, fmt.Sprint(n, " requests to ", path))
			}
			require.Equal(t, 1, paths[newerRevokePath])
		})
	}
}
