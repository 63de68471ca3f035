package zohosecrets

import (
	"errors"
	"net/http"

	"github.com/hashicorp/vault/sdk/logical"

	"vault-plugin-secrets-zoho/backend"
	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/backend/zoho"
)

// respond is the one place that turns an error of the engine into an answer of
// Vault's.
//
// Between plugin and Vault an error loses its Go type, save for a few that are
// recognised bare: the pairs below are those that arrive with the right status
// and without decoration. An error text is in clear in the audit log, an
// ErrorResponse is not; neither may hold a secret.
// Source: sdk/plugin/pb/translation.go and sdk/logical/response_util.go.
func respond(err error) (*logical.Response, error) {
	var bad *settings.UserError
	var failed *backend.GrantError
	switch {
	case errors.As(err, &bad):
		return logical.ErrorResponse(bad.Error()), nil // 400
	case !errors.As(err, &failed):
		return nil, err // 500, or what Vault makes of its own errors
	}
	switch failed.Kind {
	case zoho.Refused, zoho.Misconfigured:
		return logical.ErrorResponse(failed.Error()), nil // 400
	case zoho.Throttled:
		return logical.ErrorResponse(failed.Error()), logical.ErrRateLimitQuotaExceeded // 429
	case zoho.BadAnswer:
		return logical.ErrorResponse(failed.Error()), logical.ErrUpstreamRateLimited // 502
	default:
		return nil, logical.CodedError(http.StatusServiceUnavailable, failed.Error())
	}
}
