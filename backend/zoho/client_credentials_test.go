package zoho_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend/secret"
	"vault-plugin-secrets-zoho/backend/zoho"
	"vault-plugin-secrets-zoho/zohosim"
)

func TestClientCredentials_GiveATokenOfTheOrganisationWithTheScopesAskedFor(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		client zohosim.ClientSpec
		soid   string
		scopes []string
	}{
		"an organisation is demanded":     {zohosim.ClientSpec{RequireSOID: true}, soid, []string{modules}},
		"an organisation is taken":        {zohosim.ClientSpec{}, soid, []string{modules, orgRead}},
		"an organisation is not demanded": {zohosim.ClientSpec{}, "", []string{orgRead, modules, "ZohoCliq.Webhooks.CREATE"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorldOf(t, tc.client, zohosim.Options{})
			w.Kill(w.refresh.Reveal())
			token, err := w.client.ClientCredentials(t.Context(), w.app, tc.soid, tc.scopes)
			require.NoError(t, err)
			require.Equal(t, tc.scopes, token.Scopes)
			require.Equal(t, time.Hour, token.Life)
			require.Equal(t, "Bearer", token.TokenType)
			require.Equal(t, w.app.AccountsURL, token.APIDomain)

			require.Len(t, w.Tokens(), 1, "and no refresh token")
			minted := w.Tokens()[0]
			require.Equal(t, zohosim.Fingerprint(token.AccessToken.Reveal()), minted.Fingerprint)
			require.Equal(t, tc.soid, minted.Owner)
			require.Equal(t, tc.scopes, minted.Scopes)

			how, err := w.client.RevokeAccessToken(t.Context(), w.app, token.AccessToken)
			require.NoError(t, err)
			require.Equal(t, zoho.Revoked, how)
			require.Empty(t, w.Tokens())
		})
	}
}

func TestClientCredentials_AreRefusedInZohosWords(t *testing.T) {
	t.Parallel()
	demanding := zohosim.ClientSpec{RequireSOID: true}
	some := []string{modules}
	cases := map[string]struct {
		client zohosim.ClientSpec
		spoil  func(w *world)
		soid   string
		scopes []string
		code   string
	}{
		"no organisation":             {demanding, nil, "", some, "missing_org_info"},
		"an organisation without ID":  {demanding, nil, "ZohoCRM", some, "missing_org_info"},
		"an organisation's bare ID":   {demanding, nil, "600123434", some, "missing_org_info"},
		"no scope":                    {demanding, nil, soid, nil, "invalid_scope"},
		"a scope that is none":        {demanding, nil, soid, []string{"everything"}, "invalid_scope"},
		"a good scope and a bad one":  {demanding, nil, soid, []string{modules, "ZohoCRM"}, "invalid_scope"},
		"scopes with a blank between": {demanding, nil, soid, []string{modules + " " + orgRead}, "invalid_scope"},
		"a scope not of this client":  {zohosim.ClientSpec{Scopes: []string{modules, orgRead}}, nil, "", []string{"ZohoMail.accounts.READ"}, "invalid_scope"},
		"a web client":                {webClient(), nil, soid, some, "invalid_client"},
		"an unknown client":           {demanding, func(w *world) { w.app.ClientID = clientID }, soid, some, "invalid_client"},
		"another secret":              {demanding, func(w *world) { w.app.ClientSecret = secret.New(clientSecret) }, soid, some, "invalid_client_secret"},
		"another data centre":         {demanding, func(w *world) { w.app.AccountsURL = listen(w, "us") }, soid, some, "invalid_client_secret"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorldOf(t, tc.client, zohosim.Options{})
			if tc.spoil != nil {
				tc.spoil(w)
			}
			before := len(w.Tokens())
			token, err := w.client.ClientCredentials(t.Context(), w.app, tc.soid, tc.scopes)
			require.Zero(t, token)
			failed := asError(t, err)
			require.Equal(t, tc.code, failed.Code)
			require.Equal(t, zoho.Misconfigured, failed.Kind)
			require.Equal(t, 200, failed.Status)
			require.True(t, failed.NoToken())
			require.Len(t, w.Tokens(), before)
		})
	}
}

func TestClientCredentials_AMissingOrganisationSaysWhereItBelongs(t *testing.T) {
	t.Parallel()
	w := newWorldOf(t, zohosim.ClientSpec{RequireSOID: true}, zohosim.Options{})
	_, err := w.client.ClientCredentials(t.Context(), w.app, "", []string{modules})
	require.ErrorContains(t, err, "Write soid to the role")
}

func TestClientCredentials_TheEleventhRequestIsThrottled(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{})
	for range 10 {
		_, err := w.client.ClientCredentials(t.Context(), w.app, "", []string{modules})
		require.NoError(t, err)
	}
	_, err := w.client.ClientCredentials(t.Context(), w.app, "", []string{modules})
	failed := asError(t, err)
	require.Equal(t, zoho.Throttled, failed.Kind)
	require.True(t, failed.NoToken())
}

// The soid is no secret, but a proxy that echoes the request echoes both.
func TestClientCredentials_WhatRepeatsTheSecretIsLeftOut(t *testing.T) {
	t.Parallel()
	server := serve(t, answer(200, tokenJSON(map[string]any{
		"token_type": clientSecret, "scope": "a." + clientSecret + "," + modules,
	})))
	token, err := newClient(t, "").ClientCredentials(t.Context(), server.app(), soid, []string{modules})
	require.NoError(t, err)
	require.Empty(t, token.TokenType)
	require.Equal(t, []string{modules}, token.Scopes)
}
