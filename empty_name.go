package zohosecrets

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/vault/sdk/logical"
)

// A name that a command has in a variable can be empty. "zoho/roles//deauthorize" then
// arrives as "roles/deauthorize": Vault's command line and its HTTP server make one slash of
// two, and the command line takes one away at the end of a path. Vault's own answers,
// "unsupported path" and "No value found", do not say what is wrong.

const emptyVariable = "; if it is in a variable, that is empty"

// missingName says which name a path lacks; empty if it lacks none.
func missingName(req *logical.Request) string {
	switch req.Operation {
	case logical.ReadOperation, logical.CreateOperation, logical.UpdateOperation, logical.PatchOperation, logical.DeleteOperation:
	default:
		return ""
	}
	if strings.Contains(req.Path, "//") {
		return "a part of the path is missing between two slashes, such as the name of a role or a token_id" + emptyVariable
	}
	switch strings.TrimSuffix(req.Path, "/") {
	case "roles", "creds":
		return "the name of the role is missing at the end of the path" + emptyVariable + ". To list the roles: vault list <mount>/roles"
	case "tokens":
		return "the token_id is missing at the end of the path" + emptyVariable + ". To list the access tokens: vault list <mount>/tokens"
	default:
		return ""
	}
}

// explainAction adds to an answer that there is no role of an action's name that the name
// of the role may be missing before the action.
func (b *zohoBackend) explainAction(ctx context.Context, req *logical.Request, resp *logical.Response) *logical.Response {
	action, ofRole := strings.CutPrefix(req.Path, "roles/")
	refused := isWrite(req.Operation) && resp != nil && resp.IsError()
	if !ofRole || !slices.Contains([]string{"status", "authorize", "deauthorize", "rotate"}, action) || !refused && (req.Operation != logical.ReadOperation || resp != nil) {
		return resp
	}
	if role, err := b.engine.Role(ctx, action); role != nil || err != nil {
		return resp
	}
	text := fmt.Sprintf("role %q does not exist", action)
	if refused {
		text = resp.Error().Error()
	}
	return logical.ErrorResponse(fmt.Sprintf("the name of the role is missing before %s: <mount>/roles/<name>/%s%s. If a role of the name %s is meant: %s", action, action, emptyVariable, action, text))
}
