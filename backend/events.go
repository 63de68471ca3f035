package backend

import (
	"strings"
	"time"

	"vault-plugin-secrets-zoho/backend/zoho"
)

// Event is something that an operator or auditor may want to be told of. It
// holds no secret. Nobody has to listen, and nothing waits for those who do.
type Event struct {
	Type     string // one of the Event constants
	Failed   bool
	Path     string // within the mount: where to read more
	Modified bool   // the change can be read there
	Details  map[string]string
}

// The types of events. Those of writes, mints and revocations can also have
// failed.
const (
	EventConfigWrite         = "config-write"
	EventConfigDelete        = "config-delete"
	EventRoleWrite           = "role-write"
	EventRoleDelete          = "role-delete"
	EventRoleAuthorize       = "role-authorize"             // a person's consent came back
	EventRoleDeauthorize     = "role-deauthorize"           // its refresh token is given up, and revoked
	EventTokenMint           = "token-mint"                 // an access token
	EventTokenRevoke         = "token-revoke"               // an access token
	EventRefreshTokenRevoke  = "refresh-token-revoke"       // one that a role had, at Zoho
	EventRefreshTokenAbandon = "refresh-token-abandon"      // one that Zoho did not revoke for days, and that may live on
	EventGrantRefuse         = "grant-refuse"               // Zoho does not take the credentials
	EventGrantThrottle       = "grant-throttle"             // Zoho has throttled the grant
	EventReauthorizeRequired = "grant-reauthorize-required" // the refresh token is dead: a person is needed
)

// EventTypes lists all types.
func EventTypes() []string {
	return []string{
		EventConfigWrite, EventConfigDelete, EventRoleWrite, EventRoleDelete, EventRoleAuthorize, EventRoleDeauthorize,
		EventTokenMint, EventTokenRevoke, EventRefreshTokenRevoke,
		EventRefreshTokenAbandon, EventGrantRefuse, EventGrantThrottle, EventReauthorizeRequired,
	}
}

// report sends an event in the background. Details are names and values in turn.
func (e *Engine) report(eventType, path string, err error, details ...string) {
	if e.notify == nil {
		return
	}
	event := Event{Type: eventType, Failed: err != nil, Path: path, Details: make(map[string]string)}
	for i := 0; i+1 < len(details); i += 2 {
		event.Details[details[i]] = details[i+1]
	}
	switch eventType {
	case EventConfigWrite, EventConfigDelete, EventRoleWrite, EventRoleDelete, EventRoleAuthorize, EventRoleDeauthorize:
		event.Modified = err == nil
	}
	e.work.Go(func() { e.notify(event) })
}

// reportRole is report for what happens to a role.
func (e *Engine) reportRole(eventType, role string, err error) {
	e.report(eventType, prefixRoles+role, err, "role", role)
}

// reportToken is report for what happens to an access token.
func (e *Engine) reportToken(eventType string, t *token, roles []string, err error) {
	e.report(eventType, prefixTokens+t.rec.ID, err, "roles", strings.Join(roles, ","), "grant", t.rec.GrantID,
		"token_id", t.rec.ID, "expires_at", t.rec.ExpiresAt.UTC().Format(time.RFC3339))
}

// reportMint logs a new access token, and tells of it.
func (e *Engine) reportMint(t *token, roles []string) {
	e.log().Info("minted an access token", "roles", roles, "grant", t.rec.GrantID, "token_id", t.rec.ID, "expires_at", t.rec.ExpiresAt)
	e.reportToken(EventTokenMint, t, roles, nil)
}

// reportFailure tells of a mint that failed, and why. needsPerson calls for a person: once,
// not with every attempt, and not for a trial, which a person waits for already.
func (e *Engine) reportFailure(g *grant, failed *GrantError, roles []string, needsPerson bool) {
	details := []string{"roles", strings.Join(roles, ","), "grant", g.id, "kind", failed.Kind.String(), "code", failed.Code}
	path := ""
	if len(roles) > 0 {
		path = prefixRoles + roles[0] + "/status"
	}
	e.report(EventTokenMint, path, failed, details...)
	switch {
	case failed.Kind.Definite():
		e.report(EventGrantRefuse, path, nil, details...)
	case failed.Kind == zoho.Throttled:
		e.report(EventGrantThrottle, path, nil, append(details, "retry_at", failed.RetryAt.UTC().Format(time.RFC3339))...)
	}
	if needsPerson {
		e.report(EventReauthorizeRequired, path, nil, details...)
	}
}
