package zohosecrets

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-secure-stdlib/parseutil"
	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/helper/errutil"
	"github.com/hashicorp/vault/sdk/logical"

	"vault-plugin-secrets-zoho/backend"
	"vault-plugin-secrets-zoho/backend/settings"
)

// HandleRequest stands before the framework: it refuses values of a wrong form
// and turns a panic into an error.
func (b *zohoBackend) HandleRequest(ctx context.Context, req *logical.Request) (resp *logical.Response, err error) {
	defer b.recoverRequest(req, &resp, &err)
	b.engine.MountedAt(req.MountPoint)
	if address := addressOf(req); backend.HasSecret(address) {
		if err := b.open(ctx, req); err != nil {
			return nil, err
		}
		resp, err = respond(b.engine.ExplainSecretInAddress(ctx, address))
		return placed(req, resp, err)
	}
	if text := missingName(req); text != "" {
		return placed(req, logical.ErrorResponse(text), nil)
	}
	path := b.Route(req.Path)
	plainForm(path, req)
	if text := malformed(path, req); text != "" {
		if req.Path == pathCallbackName { // a person reads it
			return consentPageOf(req, b.engine.EndedConsent(backend.ConsentOddAnswer, text)).answer(http.StatusBadRequest)
		}
		return logical.ErrorResponse(atMount(req, text)), nil
	}
	if err := b.open(ctx, req); err != nil {
		return nil, err
	}
	if resp, err = b.Backend.HandleRequest(ctx, req); err == nil {
		resp = b.explainAction(ctx, req, resp)
	}
	return placed(req, resp, err)
}

// addressOf is what Vault writes to its audit log in clear: the path, where IDs and names
// belong, and what a read has behind it. No role has the name of a secret, and no path of
// the engine takes one there, save for the code that Zoho sends to callback.
func addressOf(req *logical.Request) string {
	switch req.Operation {
	case logical.CreateOperation, logical.UpdateOperation, logical.PatchOperation:
		return req.Path
	case logical.ReadOperation, logical.DeleteOperation, logical.ListOperation:
		address := req.Path
		for _, name := range slices.Sorted(maps.Keys(req.Data)) {
			if text, isText := req.Data[name].(string); isText && req.Path != pathCallbackName {
				address += " " + text
			}
		}
		return address
	default: // not a revocation: it has to go on
		return ""
	}
}

// placed puts the mount's path into what an answer tells.
func placed(req *logical.Request, resp *logical.Response, err error) (*logical.Response, error) {
	if resp != nil {
		if text, told := resp.Data["error"].(string); told {
			resp.Data["error"] = atMount(req, text)
		}
		for i, warning := range resp.Warnings {
			resp.Warnings[i] = atMount(req, warning)
		}
	}
	var coded logical.HTTPCodedError
	if errors.As(err, &coded) {
		err = logical.CodedError(coded.Code(), atMount(req, coded.Error()))
	}
	return resp, err
}

// open makes the engine ready for a request. A revocation goes on if that fails; info
// does without, and so does callback, which opens the engine by itself: a person gets a
// page, whatever fails.
func (b *zohoBackend) open(ctx context.Context, req *logical.Request) error {
	if req.Path == pathInfoName || req.Path == pathCallbackName {
		return nil
	}
	err := b.engine.Open(ctx)
	if req.Operation == logical.RevokeOperation {
		return nil
	}
	return err
}

func requesterOf(req *logical.Request) settings.Requester {
	return settings.Requester{EntityID: req.EntityID, DisplayName: req.DisplayName, RequestID: req.ID}
}

// atMount puts the mount's path into the commands of a text, so that they can
// be pasted. The engine does not know where it is mounted.
func atMount(req *logical.Request, text string) string {
	if req.MountPoint == "" {
		return text
	}
	return strings.ReplaceAll(text, "<mount>/", req.MountPoint)
}

// HandleExistenceCheck does the same for the question that Vault asks before a
// create or update. Vault logs its error in clear.
func (b *zohoBackend) HandleExistenceCheck(ctx context.Context, req *logical.Request) (found, exists bool, err error) {
	defer b.recoverRequest(req, nil, &err)
	if backend.HasSecret(addressOf(req)) {
		return false, false, nil // the request itself tells
	}
	path := b.Route(req.Path)
	question := *req // the request itself comes later
	question.Data = maps.Clone(req.Data)
	req = &question
	plainForm(path, req)
	if text := malformed(path, req); text != "" {
		return false, false, errutil.UserError{Err: atMount(req, text)}
	}
	return b.Backend.HandleExistenceCheck(ctx, req)
}

const panicText = "internal error in the Zoho secrets engine; the server log has it as \"panic in a request\", please report it"

// recoverRequest keeps a panic in one request from ending the process, and with
// it every mount that it serves. A person at a browser gets a page as resp.
func (b *zohoBackend) recoverRequest(req *logical.Request, resp **logical.Response, err *error) {
	p := recover()
	if p == nil {
		return
	}
	b.engine.Panicked()
	b.Logger().Error("panic in a request", "operation", req.Operation, "path", req.Path, "panic", p, "stack", string(debug.Stack()))
	if resp != nil && req.Operation == logical.ReadOperation && req.Path == pathCallbackName {
		*resp, *err = consentPageOf(req, b.engine.EndedConsent(backend.ConsentFailedInVault, panicText)).answer(http.StatusInternalServerError)
		return
	}
	*err = logical.CodedError(http.StatusInternalServerError, panicText)
}

// plainForm takes what the command line can write for what is meant. A secret that
// was pasted or piped ends with a line break. An empty text, for a field that is no
// text or has a default, takes the field back to its default, as null does.
func plainForm(path *framework.Path, req *logical.Request) {
	if path == nil || !isWrite(req.Operation) {
		return
	}
	for name, value := range req.Data {
		schema := path.Fields[name]
		text, isText := value.(string)
		if schema == nil || !isText {
			continue
		}
		if schema.DisplayAttrs != nil && schema.DisplayAttrs.Sensitive {
			if line, ended := strings.CutSuffix(text, "\n"); ended {
				text = strings.TrimSuffix(line, "\r")
			}
			req.Data[name] = text
		}
		if text == "" && (schema.Type != framework.TypeString || schema.Default != nil) {
			req.Data[name] = nil
		}
	}
}

func isWrite(op logical.Operation) bool {
	return op == logical.CreateOperation || op == logical.UpdateOperation || op == logical.PatchOperation
}

// malformed says which field has a value of a wrong form; nothing if all are
// well. The framework would say it, too, but repeats the value, which may be a
// secret, and takes half a second for none.
func malformed(path *framework.Path, req *logical.Request) string {
	switch req.Operation {
	case logical.CreateOperation, logical.UpdateOperation, logical.PatchOperation, logical.ReadOperation, logical.DeleteOperation, logical.ListOperation:
	default:
		return ""
	}
	if path == nil {
		return ""
	}
	for _, name := range slices.Sorted(maps.Keys(req.Data)) {
		schema := path.Fields[name]
		if schema == nil {
			continue
		}
		if req.Data[name] == "null" && isWrite(req.Operation) {
			return fmt.Sprintf("%s is the word null, which the command line sends as a text. To take a field back to its default, write it empty: %s=\"\" - or send JSON: echo '{\"%s\":null}' | vault patch <mount>/%s -", name, name, name, req.Path)
		}
		d := framework.FieldData{Raw: map[string]any{name: req.Data[name]}, Schema: path.Fields}
		if d.Validate() != nil {
			return fmt.Sprintf("%s has a value of a wrong form; write %s", name, wanted(schema.Type))
		}
		exact, err := parseutil.ParseDurationSecond(req.Data[name])
		if schema.Type == framework.TypeDurationSecond && err == nil && exact > 0 && exact < time.Second {
			return fmt.Sprintf("%s is less than a second; write %s", name, wanted(schema.Type))
		}
	}
	return ""
}

// wanted describes a value of a type to somebody who has written another.
func wanted(t framework.FieldType) string {
	switch t {
	case framework.TypeBool:
		return "true or false"
	case framework.TypeInt:
		return "a whole number"
	case framework.TypeCommaStringSlice:
		return "a list, with commas between"
	case framework.TypeKVPairs:
		return "pairs such as organization_id=60012345678, or a JSON object with texts"
	case framework.TypeDurationSecond:
		return "a number of seconds, or a duration such as 10m; not a negative one"
	default:
		return "one piece of text"
	}
}
