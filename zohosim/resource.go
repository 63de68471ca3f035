package zohosim

import (
	"net/http"
	"slices"
	"strings"
)

// api answers /crm/...: with a little JSON to a token that is alive here. A
// token of another data centre is as unknown as a dead one.
// Sources: github.com/solspace/craft-freeform, issue 1372 (body),
// github.com/trycompai/comp, issue 3229 (wrong data centre).
func (s *Sim) api(c *call) answer {
	_, value := c.bearer()
	token := s.tokens.access[value]
	if token == nil || token.dc != c.dc.location {
		return apiRefusal("INVALID_TOKEN", "invalid oauth token")
	}
	forCRM := func(scope string) bool { return strings.HasPrefix(scope, "ZohoCRM.") }
	if !slices.ContainsFunc(token.scopes, forCRM) {
		return apiRefusal("OAUTH_SCOPE_MISMATCH", "invalid oauth scope to access this URL")
	}
	return jsonAnswer(http.StatusOK, map[string]any{
		"org":         []map[string]string{{"company_name": "Zylker", "zgid": organisationID, "country_code": c.dc.location}},
		"data_center": c.dc.location,
		"owner":       token.owner.name,
		"scopes":      token.scopes,
	})
}

func apiRefusal(code, message string) answer {
	out := jsonAnswer(http.StatusUnauthorized, struct {
		Code    string   `json:"code"`
		Details struct{} `json:"details"`
		Message string   `json:"message"`
		Status  string   `json:"status"`
	}{Code: code, Message: message, Status: "error"})
	out.word = code
	return out
}

// serverInfo lists the Accounts servers. China's is run separately and is not
// in the list.
// Source: zoho.com/accounts/protocol/oauth/multi-dc.html; the shape is the one
// that public code reads.
func (s *Sim) serverInfo(c *call) answer {
	if c.r.Method != http.MethodGet {
		return bareBadRequest("server error")
	}
	locations := map[string]string{}
	for _, dc := range dataCenters() {
		if dc.location == "cn" {
			continue
		}
		if url, ok := s.accountsURL(c, dc); ok {
			locations[dc.location] = url
		}
	}
	return jsonAnswer(http.StatusOK, map[string]any{"result": "success", "locations": locations})
}

// accountsURL tells where a data centre's Accounts server is, if it runs.
func (s *Sim) accountsURL(c *call, dc dataCenter) (string, bool) {
	if s.opts.RealDomains {
		return dc.accounts, true
	}
	if dc == c.dc {
		return c.base, true
	}
	url, ok := s.bases[dc.location]
	return url, ok
}
