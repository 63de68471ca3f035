package zohosim_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"

	"vault-plugin-secrets-zoho/zohosim"
)

const invalidToken = `{"code":"INVALID_TOKEN","details":{},"message":"invalid oauth token","status":"error"}`

func TestAPI_ALiveTokenIsServedWithEitherScheme(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{})
	token := w.mint()
	for _, scheme := range []string{"Zoho-oauthtoken ", "Bearer "} {
		out := w.callAPI(w.url, scheme+token)
		assert.Equal(t, 200, out.status)
		assert.Equal(t, []any{"ZohoCRM.modules.ALL", "ZohoCRM.org.READ"}, out.json["scopes"])
		assert.Equal(t, "user@example.com", out.text("owner"))
	}
}

func TestAPI_AnythingElseIsAnInvalidToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{})
	token := w.mint()
	for _, header := range []string{"", "Zoho-oauthtoken 1000.aa.bb", "zoho-oauthtoken " + token, "Zoho-oauthtoken  " + token, token, "Bearer " + w.refresh} {
		out := w.callAPI(w.url, header)
		assert.Equal(t, 401, out.status, header)
		assert.Equal(t, invalidToken, out.raw)
	}
	out := w.do(w.request(http.MethodGet, w.url+"/crm/v8/org?access_token="+token, ""))
	assert.Equal(t, invalidToken, out.raw, "not from the query")
}

func TestAPI_ATokenOfAnotherDataCentreIsInvalid(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{})
	out := w.callAPI(listen(t, w.Sim, "us"), "Zoho-oauthtoken "+w.mint())
	assert.Equal(t, 401, out.status)
	assert.Equal(t, invalidToken, out.raw)
}

func TestServerInfo_ListsWhatListensAndNeverChina(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{})
	american := listen(t, w.Sim, "us")
	listen(t, w.Sim, "cn")
	out := w.do(w.request(http.MethodGet, w.url+"/oauth/serverinfo", ""))
	assert.Equal(t, map[string]any{"result": "success", "locations": map[string]any{"eu": w.url, "us": american}}, out.json)
}

func TestServerInfo_MayListZohosRealServers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{RealDomains: true})
	locations, _ := w.do(w.request(http.MethodGet, w.url+"/oauth/serverinfo", "")).json["locations"].(map[string]any)
	assert.Len(t, locations, 10)
	assert.Equal(t, "https://accounts.zohocloud.ca", locations["ca"])
}

func TestOther_PathsAre404(t *testing.T) {
	t.Parallel()
	w := newWorld(t, zohosim.Options{})
	for _, path := range []string{"/", "/oauth/v2/token/", "/oauth/v3/device/codes", "//oauth/v2/token"} {
		assert.Equal(t, 404, w.do(w.request(http.MethodPost, w.url+path, "")).status, path)
	}
}
