package zohosim_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"

	"vault-plugin-secrets-zoho/zohosim"
)

// ask calls the resource API with a new token that has the scopes.
func (w *world) ask(method, path string, scopes ...string) reply {
	w.t.Helper()
	w.refresh = w.Consent(w.client, "eu", "jo.doe@example.com", scopes)
	r := w.request(method, w.url+path, "")
	r.Header.Set("Authorization", "Zoho-oauthtoken "+w.mint())
	return w.do(r)
}

func TestCRM_UnknownPathsAndMethodsGetZohosErrors(t *testing.T) {
	t.Parallel()
	w := newWorld(t, unthrottled())
	for _, refused := range []struct {
		method, path string
		status       int
		code         string
	}{
		{http.MethodGet, "/crm/nonsense", 404, "INVALID_URL_PATTERN"},
		{http.MethodGet, "/crm/v8", 404, "INVALID_URL_PATTERN"},
		{http.MethodGet, "/crm/v1/org", 404, "INVALID_URL_PATTERN"},
		{http.MethodGet, "/crm/v8/org/", 404, "INVALID_URL_PATTERN"},
		{http.MethodGet, "/crm/v8/Leads/1/Notes", 404, "INVALID_URL_PATTERN"},
		{http.MethodGet, "/crm/v8/nonsense", 400, "INVALID_MODULE"},
		{http.MethodGet, "/crm/v8/leads?fields=Last_Name", 400, "INVALID_MODULE"},
		{http.MethodGet, "/crm/v8/org/600123434", 400, "INVALID_MODULE"},
		{http.MethodDelete, "/crm/v8/Leads", 400, "INVALID_REQUEST_METHOD"},
		{http.MethodPost, "/crm/v8/org", 400, "INVALID_REQUEST_METHOD"},
		{http.MethodPut, "/crm/v8/users", 400, "INVALID_REQUEST_METHOD"},
		{http.MethodGet, "/crm/v8/Leads", 400, "REQUIRED_PARAM_MISSING"},
		{http.MethodGet, "/crm/v8/Leads/1", 400, "INVALID_DATA"},
	} {
		out := w.ask(refused.method, refused.path, "ZohoCRM.modules.ALL", "ZohoCRM.org.ALL", "ZohoCRM.users.ALL")
		assert.Equal(t, refused.status, out.status, refused.path)
		assert.Equal(t, refused.code, out.text("code"), refused.path)
		assert.Equal(t, "error", out.text("status"), refused.path)
	}
}

func TestCRM_EachResourceNeedsItsOwnScope(t *testing.T) {
	t.Parallel()
	w := newWorld(t, unthrottled())
	for path, scope := range map[string]string{
		"/crm/v8/org": "ZohoCRM.org.READ", "/crm/v8/users?type=CurrentUser": "ZohoCRM.users.READ",
		"/crm/v8/Leads?fields=Email": "ZohoCRM.modules.leads.READ", "/crm/v2.1/Leads": "ZohoCRM.modules.ALL",
	} {
		assert.Equal(t, 200, w.ask(http.MethodGet, path, scope).status, path)
		out := w.ask(http.MethodGet, path, "ZohoCRM.settings.ALL", "ZohoCRM.modules.contacts.ALL", "ZohoCRM.modules.CREATE")
		assert.Equal(t, 401, out.status, path)
		assert.Equal(t, "OAUTH_SCOPE_MISMATCH", out.text("code"), path)
	}
}

// Zoho's SDKs look this up after a refresh; one of them dies without users.
func TestCRM_TheCurrentUserIsWhoeverConsented(t *testing.T) {
	t.Parallel()
	out := newWorld(t, zohosim.Options{}).ask(http.MethodGet, "/crm/v8/users?type=CurrentUser", "ZohoCRM.users.READ")
	users, _ := out.json["users"].([]any)
	assert.Len(t, users, 1)
	user, _ := users[0].(map[string]any)
	assert.Equal(t, "jo.doe@example.com", user["email"])
	assert.Equal(t, "Jo Doe", user["full_name"])
	assert.NotEmpty(t, user["id"])
}

func TestCRM_RecordsHaveTheFieldsThatWereAskedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{})
	found, _ := w.ask(http.MethodGet, "/crm/v8/Leads?fields=Last_Name,Email", "ZohoCRM.modules.READ").json["data"].([]any)
	assert.Len(t, found, 2)
	lead, _ := found[0].(map[string]any)
	assert.Len(t, lead, 3, "the fields, and the ID")
	id, _ := lead["id"].(string)
	one, _ := w.ask(http.MethodGet, "/crm/v8/Leads/"+id, "ZohoCRM.modules.READ").json["data"].([]any)
	assert.Len(t, one, 1)
	assert.Contains(t, one[0], "Company")
}
