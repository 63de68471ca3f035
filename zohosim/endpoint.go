package zohosim

import "strings"

// An Endpoint is one of the things a simulated data centre answers.
type Endpoint string

// The endpoints.
const (
	EndpointToken        Endpoint = "token"         // POST /oauth/v2/token
	EndpointLegacyRevoke Endpoint = "legacy-revoke" // POST /oauth/v2/token/revoke
	EndpointRevoke       Endpoint = "revoke"        // POST /oauth/v2/revoke/token
	EndpointAuth         Endpoint = "auth"          // /oauth/v2/auth, the consent page
	EndpointOrgAuth      Endpoint = "org-auth"      // /oauth/v2/org/auth, the same for an organisation
	EndpointDeviceCode   Endpoint = "device-code"   // POST /oauth/v3/device/code
	EndpointDeviceToken  Endpoint = "device-token"  // POST /oauth/v3/device/token, a poll
	EndpointDevice       Endpoint = "device"        // /oauth/v3/device, where a user code is entered
	EndpointUserInfo     Endpoint = "userinfo"      // GET /oauth/user/info
	EndpointServerInfo   Endpoint = "serverinfo"    // GET /oauth/serverinfo
	EndpointAPI          Endpoint = "api"           // /crm/..., the resource API
	EndpointOther        Endpoint = "other"         // everything else: 404
)

// Endpoints returns all endpoints.
func Endpoints() []Endpoint {
	return []Endpoint{
		EndpointToken, EndpointLegacyRevoke, EndpointRevoke, EndpointAuth, EndpointOrgAuth,
		EndpointDeviceCode, EndpointDeviceToken, EndpointDevice, EndpointUserInfo, EndpointServerInfo, EndpointAPI, EndpointOther,
	}
}

// endpointOf compares paths exactly: a trailing slash is another path.
func endpointOf(path string) Endpoint {
	switch path {
	case "/oauth/v2/token":
		return EndpointToken
	case "/oauth/v2/token/revoke":
		return EndpointLegacyRevoke
	case "/oauth/v2/revoke/token":
		return EndpointRevoke
	case "/oauth/v2/auth":
		return EndpointAuth
	case "/oauth/v2/org/auth":
		return EndpointOrgAuth
	case "/oauth/v3/device/code":
		return EndpointDeviceCode
	case "/oauth/v3/device/token":
		return EndpointDeviceToken
	case "/oauth/v3/device":
		return EndpointDevice
	case "/oauth/user/info":
		return EndpointUserInfo
	case "/oauth/serverinfo":
		return EndpointServerInfo
	}
	if strings.HasPrefix(path, "/crm/") {
		return EndpointAPI
	}
	return EndpointOther
}
