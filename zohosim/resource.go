package zohosim

import "net/http"

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
