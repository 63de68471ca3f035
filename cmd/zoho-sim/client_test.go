package main

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestControl_RegistersAServerBasedClientWhoseConsentPageLeadsBack(t *testing.T) {
	t.Parallel()
	env := start(t)
	const callback = "http://127.0.0.1:8200/v1/zoho/callback"
	status, answer := send(t, http.MethodPost, env["ACCOUNTS_URL"]+"/sim/client", url.Values{"redirect_uri": {callback}})
	require.Equal(t, 200, status)
	client := parse(t, answer)
	require.Len(t, client, 2)
	assert.NotEqual(t, env["ZOHO_CLIENT_ID"], client["ZOHO_CLIENT_ID"], "the first client stays what it is")

	consent := env["ACCOUNTS_URL"] + "/oauth/v2/auth?" + url.Values{
		"client_id": {client["ZOHO_CLIENT_ID"]}, "redirect_uri": {callback}, "response_type": {"code"},
		"scope": {"ZohoCRM.org.READ"}, "access_type": {"offline"}, "prompt": {"consent"},
	}.Encode()
	status, page := send(t, http.MethodGet, consent, nil)
	assert.Equal(t, 200, status)
	assert.Contains(t, page, client["ZOHO_CLIENT_ID"])
	assert.NotContains(t, page, "Invalid")
	assert.NotEmpty(t, client["ZOHO_CLIENT_SECRET"])

	for _, bad := range []string{"", "callback", "/v1/zoho/callback", "ftp://127.0.0.1/callback", "http://%zz"} {
		status, answer := send(t, http.MethodPost, env["ACCOUNTS_URL"]+"/sim/client", url.Values{"redirect_uri": {bad}})
		assert.Equal(t, 400, status, bad)
		assert.Contains(t, answer, "/v1/zoho/callback")
	}
}
