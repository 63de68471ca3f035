package zohosecrets

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/helper/testhelpers/schema"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/stretchr/testify/require"
)

// keys are those of a list, which is not found if it is empty.
func (a answer) keys(t *testing.T) []string {
	t.Helper()
	if a.status == http.StatusNotFound {
		return nil
	}
	keys, _ := a.done(t).Data["keys"].([]string)
	return keys
}

func (a answer) tokenID(t *testing.T) string {
	t.Helper()
	id, _ := a.done(t).Data["token_id"].(string)
	require.NotEmpty(t, id)
	return id
}

func TestTokens_AreTheSameInCredsListReadAndLookup(t *testing.T) {
	t.Parallel()
	m, _ := newWorld(t)
	require.Empty(t, m.list("tokens/").keys(t))
	leased := m.read("creds/crm-sync").done(t)
	id := leased.tokenID(t)
	require.Equal(t, id, leased.Secret.InternalData["token_id"])

	listed := m.list("tokens/").done(t)
	require.Equal(t, []string{id}, listed.keys(t))
	infos, _ := listed.Data["key_info"].(map[string]any)
	require.Equal(t, map[string]any{
		"roles": []string{"crm-sync"}, "data_center": "", "issued_at": "2026-11-21T09:00:00Z",
		"expires_at": leased.Data["expires_at"], "holders": 1, "state": "current",
	}, infos[id])

	shown := m.read("tokens/" + id).done(t)
	require.Equal(t, []map[string]any{{
		"role": "crm-sync", "entity_id": "entity-1", "display_name": "token", "request_id": "request-1",
		"since": "2026-11-21T09:00:00Z", "until": "2026-11-21T09:59:59Z",
	}}, shown.Data["holders"])
	found := m.write("tokens/lookup", fields{"token": leased.token()}).done(t)
	for name, value := range found.Data {
		if name != "kind" { // a lookup may be of a refresh token
			require.Equal(t, shown.Data[name], value, name)
		}
	}
	require.Equal(t, id, found.tokenID(t))
	require.NotContains(t, fmt.Sprint(listed.Data, shown.Data, found.Data), leased.token())
}

func TestTokens_AnswersAreWhatTheSchemaSays(t *testing.T) {
	t.Parallel()
	m, _ := newWorld(t)
	leased := m.read("creds/crm-sync").done(t)
	for _, c := range []struct {
		op   logical.Operation
		url  string
		data fields
	}{
		{logical.ListOperation, "tokens/", nil},
		{logical.ReadOperation, "tokens/" + leased.tokenID(t), nil},
		{logical.UpdateOperation, "tokens/lookup", fields{"token": leased.token()}},
		{logical.DeleteOperation, "tokens/" + leased.tokenID(t), nil},
		{logical.ReadOperation, "tokens/" + leased.tokenID(t), nil},
		{logical.UpdateOperation, "tokens/lookup", fields{"token": leased.token()}},
	} {
		got := m.send(c.op, c.url, c.data).done(t)
		responses := m.inner.Route(c.url).Operations[c.op].Properties().Responses[got.status]
		require.Len(t, responses, 1, c.url)
		schema.ValidateResponse(t, &responses[0], got.Response, true)
		for field := range responses[0].Fields {
			require.Contains(t, got.Data, field, c.url)
		}
	}
}

func TestTokens_DeleteRevokesAtZohoAndTheNextReadMintsANewOne(t *testing.T) {
	t.Parallel()
	m, z := newWorld(t)
	leaked := m.read("creds/crm-sync").done(t)
	require.Empty(t, m.delete("tokens/"+leaked.tokenID(t)).done(t).warnings())
	require.False(t, z.sim.Alive(leaked.token()))
	require.NotEqual(t, leaked.tokenID(t), m.read("creds/crm-sync").tokenID(t))
	require.Contains(t, m.delete("tokens/"+leaked.tokenID(t)).done(t).warnings(), "dead already")
	require.Equal(t, "ended", m.read("tokens/" + leaked.tokenID(t)).done(t).Data["state"])
	require.NoError(t, m.revoke("creds/crm-sync", leaked))

	z.sim.SetDown(true)
	got := m.delete("tokens/" + m.list("tokens/").keys(t)[0])
	require.Equal(t, http.StatusServiceUnavailable, got.status)
	require.Contains(t, got.text, "not handed out any more")
	z.sim.SetDown(false)
	require.NoError(t, m.tick())
	require.Empty(t, m.list("tokens/").keys(t))
}

func TestTokens_UnknownOnesGetAnAnswerThatSaysWhatToDo(t *testing.T) {
	t.Parallel()
	m, _ := newWorld(t)
	got := m.write("tokens/lookup", fields{"token": "1000.0123.4567"})
	require.Equal(t, http.StatusBadRequest, got.status)
	require.Contains(t, got.text, "not known here")
	require.NotContains(t, got.text, "1000.0123")
	got = m.write("tokens/lookup", nil)
	require.Equal(t, http.StatusBadRequest, got.status)
	require.Contains(t, got.text, "token is empty")
	got = m.delete("tokens/0123456789abcdef")
	require.Equal(t, http.StatusBadRequest, got.status)
	require.Contains(t, got.text, "tokens/lookup")
	require.Equal(t, http.StatusNotFound, m.read("tokens/0123456789abcdef").status)
}

func TestTokens_PageWithAfterAndLimit(t *testing.T) {
	t.Parallel()
	m, z := newWorld(t)
	m.write("config", fields{"request_budget": 100}).done(t)
	m.write("roles/own", fields{"refresh_token": z.refreshToken, "exclusive": true, "verify": false}).done(t)
	for range 5 {
		m.read("creds/own").done(t)
	}
	all := m.list("tokens/").keys(t)
	require.Len(t, all, 5)
	require.Equal(t, all[2:4], m.send(logical.ListOperation, "tokens/", fields{"after": all[1], "limit": 2}).keys(t))

	shared := m.read("creds/crm-sync").tokenID(t)
	for range 4 {
		m.clock.Advance(time.Second)
		m.read("creds/crm-sync").done(t)
	}
	seen := 0
	for after, pages := any(""), 0; pages == 0 || after != ""; pages++ {
		page := m.send(logical.ReadOperation, "tokens/"+shared, fields{"after": after, "limit": 2}).done(t)
		holders, _ := page.Data["holders"].([]map[string]any)
		require.LessOrEqual(t, len(holders), 2)
		seen += len(holders)
		after = page.Data["next"]
		require.Less(t, pages, 4)
	}
	require.Equal(t, 5, seen)
	require.Equal(t, http.StatusBadRequest, m.send(logical.ListOperation, "tokens/", fields{"limit": "many"}).status)
	require.Len(t, m.send(logical.ListOperation, "tokens/", fields{"limit": -1}).keys(t), 6)
}

func TestTokens_TenThousandHoldersAreToldInPages(t *testing.T) {
	t.Parallel()
	const n = 10_000
	m, _ := newWorld(t)
	leased := m.read("creds/crm-sync").done(t)
	for i := range n - 1 {
		req := request(t, logical.ReadOperation, "creds/crm-sync", nil)
		req.EntityID = fmt.Sprintf("entity-%d", i)
		_, err := m.backend.HandleRequest(t.Context(), req)
		require.NoError(t, err)
	}
	infos, _ := m.list("tokens/").done(t).Data["key_info"].(map[string]any)
	info, _ := infos[leased.tokenID(t)].(map[string]any)
	require.Equal(t, n, info["holders"])
	holders, _ := m.send(logical.ReadOperation, "tokens/"+leased.tokenID(t), fields{"limit": 100}).done(t).Data["holders"].([]map[string]any)
	require.Len(t, holders, 100)
	m.write("tokens/lookup", fields{"token": leased.token()}).done(t)
	m.delete("tokens/" + leased.tokenID(t)).done(t)
}

// A refresh token is no access token, but it is what somebody may have found.
func TestTokens_LookupOfARefreshTokenIsAnAnswer(t *testing.T) {
	t.Parallel()
	m, z := newWorld(t)
	m.write("roles/other", z.role()).done(t)
	m.read("creds/crm-sync").done(t)
	found := m.write("tokens/lookup", fields{"token": z.refreshToken}).done(t)
	require.Equal(t, map[string]any{
		"kind": "refresh_token", "state": "in use", "roles": []string{"crm-sync", "other"}, "data_center": "", "accounts_url": z.url,
	}, found.Data)
	require.Contains(t, found.warnings(), "roles/crm-sync/deauthorize force=true")
	require.NotContains(t, found.warnings(), z.refreshToken)
	require.Equal(t, "access_token", m.write("tokens/lookup", fields{"token": m.read("creds/crm-sync").token()}).done(t).Data["kind"])
}
