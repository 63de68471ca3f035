package zohosim

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// api answers /crm/vN/..., a small part of Zoho CRM's API that can be read and not
// written: org, users, and the records of the module Leads. A token of another data
// centre is as unknown as a dead one. The token is checked before the path.
//
// Sources: github.com/solspace/craft-freeform, issue 1372 (body of a dead token),
// github.com/trycompai/comp, issue 3229 (wrong data centre), Kaizen #25, "Common Errors
// and Error Handling" (the codes and their HTTP statuses), and the pages of the CRM API
// for what an answer holds. Which check comes first is inferred.
func (s *Sim) api(c *call) answer {
	_, value := c.bearer()
	token := s.tokens.access[value]
	if token == nil || token.dc != c.dc.location {
		return apiError(http.StatusUnauthorized, "INVALID_TOKEN", "invalid oauth token", nil)
	}
	path := crmPath(c.r.URL.Path)
	if path == nil {
		return apiError(http.StatusNotFound, "INVALID_URL_PATTERN", "Please check if the URL trying to access is a correct one", nil)
	}
	resource, of := s.crmResource(path.name)
	switch {
	case resource == nil, path.id != "" && !of.byID:
		return apiError(http.StatusBadRequest, "INVALID_MODULE", "the module name given seems to be invalid", map[string]any{"resource_path_index": 0})
	case c.r.Method != http.MethodGet:
		return apiError(http.StatusBadRequest, "INVALID_REQUEST_METHOD", "The http request method type is not a valid one", nil)
	case !slices.ContainsFunc(token.scopes, func(scope string) bool { return of.isReadBy(scope) }):
		return apiError(http.StatusUnauthorized, "OAUTH_SCOPE_MISMATCH", "invalid oauth scope to access this URL", nil)
	}
	return resource(c, token, path.id)
}

// A crmRequest is the path of a request: /crm/v8/name or /crm/v8/name/id.
type crmRequest struct{ name, id string }

func crmPath(path string) *crmRequest {
	parts := regexp.MustCompile(`^/crm/v[2-9](?:\.1)?/([^/]+)(?:/([^/]+))?$`).FindStringSubmatch(path)
	if parts == nil {
		return nil
	}
	return &crmRequest{name: parts[1], id: parts[2]}
}

// A crmAccess says which scopes read a resource, and whether one of it has an address.
type crmAccess struct {
	scopes []string // without the operation, in lower case
	byID   bool
}

// isReadBy compares scopes as Zoho's pages write them: settings.ALL and settings.all are
// the same.
func (a crmAccess) isReadBy(scope string) bool {
	scope = strings.ToLower(scope)
	return slices.ContainsFunc(a.scopes, func(of string) bool { return scope == of+".all" || scope == of+".read" })
}

func (s *Sim) crmResource(name string) (func(c *call, token *accessToken, id string) answer, crmAccess) {
	switch name {
	case "org":
		return s.crmOrg, crmAccess{scopes: []string{"zohocrm.org"}}
	case "users":
		return s.crmUsers, crmAccess{scopes: []string{"zohocrm.users"}}
	case "Leads":
		return s.crmLeads, crmAccess{scopes: []string{"zohocrm.modules", "zohocrm.modules.leads"}, byID: true}
	}
	return nil, crmAccess{}
}

// crmOrg also tells what tests want to know of the token: Zoho does not.
func (s *Sim) crmOrg(c *call, token *accessToken, _ string) answer {
	return jsonAnswer(http.StatusOK, map[string]any{
		"org":         []map[string]string{{"id": organisationID, "company_name": "Zylker", "zgid": organisationID, "country_code": c.dc.location}},
		"data_center": c.dc.location,
		"owner":       token.owner.name,
		"scopes":      token.scopes,
	})
}

// crmUsers knows one user: whoever consented. An organisation's token is read as that of
// its administrator, whose name nobody has; no page says what Zoho answers.
func (s *Sim) crmUsers(_ *call, token *accessToken, _ string) answer {
	user := s.profileOf(token.owner)
	if token.owner.organisation {
		user = profile{First: "Super", Last: "Admin", Display: "Super Admin", Email: "admin@zylker.example"}
	}
	return jsonAnswer(http.StatusOK, map[string]any{
		"users": []map[string]any{{
			"id": organisationID + "0001", "email": user.Email, "full_name": user.Display, "first_name": user.First, "last_name": user.Last,
			"status": "active", "confirm": true, "role": map[string]string{"name": "CEO", "id": organisationID + "0002"},
			"profile": map[string]string{"name": "Administrator", "id": organisationID + "0003"},
		}},
		"info": pageOf(1),
	})
}

func leads() []map[string]any {
	return []map[string]any{
		{"id": organisationID + "1001", "Last_Name": "Boyle", "First_Name": "Patricia", "Company": "King", "Email": "patricia.boyle@example.com"},
		{"id": organisationID + "1002", "Last_Name": "Schmidt", "First_Name": "Zoë", "Company": "Zylker", "Email": "zoe.schmidt@example.com"},
	}
}

// crmLeads wants to be told which fields, from version 3 of the API on, as Zoho does for
// a list.
// Source: zoho.com/crm/developer/docs/api/v8/get-records.html ("mandatory when fetching
// all records").
func (s *Sim) crmLeads(c *call, _ *accessToken, id string) answer {
	found := leads()
	if id != "" {
		found = slices.DeleteFunc(found, func(lead map[string]any) bool { return lead["id"] != id })
		if len(found) == 0 {
			return apiError(http.StatusBadRequest, "INVALID_DATA", "the id given seems to be invalid", nil)
		}
		return jsonAnswer(http.StatusOK, map[string]any{"data": found})
	}
	fields := strings.Split(c.query.Get("fields"), ",")
	if fields[0] == "" && !strings.HasPrefix(c.r.URL.Path, "/crm/v2") {
		return apiError(http.StatusBadRequest, "REQUIRED_PARAM_MISSING", "One of the expected parameter is missing", map[string]any{"param_name": "fields"})
	}
	for _, lead := range found {
		for field := range lead {
			if fields[0] != "" && field != "id" && !slices.Contains(fields, field) {
				delete(lead, field)
			}
		}
	}
	return jsonAnswer(http.StatusOK, map[string]any{"data": found, "info": pageOf(len(found))})
}

func pageOf(count int) map[string]any {
	return map[string]any{"per_page": 200, "count": count, "page": 1, "more_records": false}
}

func apiError(status int, code, message string, details map[string]any) answer {
	if details == nil {
		details = map[string]any{}
	}
	out := jsonAnswer(status, struct {
		Code    string         `json:"code"`
		Details map[string]any `json:"details"`
		Message string         `json:"message"`
		Status  string         `json:"status"`
	}{Code: code, Details: details, Message: message, Status: "error"})
	out.word = code
	return out
}
