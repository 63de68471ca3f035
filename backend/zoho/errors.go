package zoho

import (
	"fmt"
	"strings"
	"unicode"
)

// Kind says what a failed call means to the caller, whatever words and status
// Zoho chose for it. It is stored as a number, so a new kind goes to the end.
type Kind int

const (
	// Refused: the refresh token or code is dead. A person has to authorise again.
	Refused Kind = iota + 1
	// Misconfigured: the client, its secret, the scopes or the data centre are
	// wrong. Asking again changes nothing before somebody corrects them.
	Misconfigured
	// Throttled: too many requests. Silence is the only thing that helps.
	Throttled
	// BadAnswer: 5xx, a web page, or something else that is no answer of an OAuth server.
	// It may pass.
	BadAnswer
	// Unreachable: no connection, or no answer in time. It may pass.
	Unreachable
)

func (k Kind) String() string {
	switch k {
	case Refused:
		return "refused"
	case Misconfigured:
		return "misconfigured"
	case Throttled:
		return "throttled"
	case BadAnswer:
		return "bad answer"
	case Unreachable:
		return "unreachable"
	default:
		return "unknown"
	}
}

// Definite reports whether asking again with the same credentials is useless.
func (k Kind) Definite() bool { return k == Refused || k == Misconfigured }

// Error is a call to an Accounts server that failed. Its text is meant for the
// operator: what happened, why, what to do next. It is bounded, and holds no
// secret and nothing of Zoho's answer but an error word of Zoho's own vocabulary.
type Error struct {
	Kind   Kind
	Code   string // Zoho's error word, such as "invalid_code"; empty if there was none
	Status int    // HTTP status; 0 if no answer came
	msg    string
	unsent bool // there was no connection to send the call on

	// Unexplained: access was denied in the way of a throttle answer, and no word says
	// that there were too many requests. To the exchange of a grant code Zoho also
	// answers so when the user has all the refresh tokens that a user may have.
	// Source: the OAuth FAQ of Zoho Projects.
	Unexplained bool

	// UnknownWord: an answer in order holds an error word that nobody knows. It may pass
	// or it may be for good, so it is worth asking again, and seldom.
	UnknownWord bool
}

// NoToken reports whether it is certain that the call left no new token at
// Zoho. An answer that got lost may have carried one.
func (e *Error) NoToken() bool {
	return e.unsent || e.Kind.Definite() || e.Kind == Throttled
}

func (e *Error) Error() string { return e.msg }

// remedy is what a person at 3 a.m. should know about one of Zoho's error
// words: what it means here, and what to do.
type remedy struct {
	kind Kind
	text string
}

// lookupRemedy explains Zoho's error words.
// Source of the meanings: zoho.com/accounts/protocol/oauth (2026 text), with
// the words that implementers report beside them.
func lookupRemedy(code string) (remedy, bool) {
	const checkDC = "Check client_id, client_secret and data_center: each data centre has its own Accounts server and, by default, its own client secret"
	switch code {
	case "invalid_code", "invalid_grant":
		return remedy{Refused, "the refresh token or grant code is invalid, revoked, used or expired, or belongs to another client or data centre. Get a new one: in Zoho's API console generate a grant code and write it to the role as code, or send a person through the role's authorize"}, true
	case "invalid_client":
		return remedy{Misconfigured, "this Accounts server does not know the client. " + checkDC + "; look for a stray space or line break too"}, true
	case "invalid_client_secret":
		return remedy{Misconfigured, "the client secret is wrong, was regenerated, or is that of another data centre. " + checkDC}, true
	case "invalid_redirect_uri":
		return remedy{Misconfigured, "redirect_uri is not the one registered for the client. Use exactly the one in Zoho's API console"}, true
	case "invalid_scope":
		return remedy{Misconfigured, "a scope is unknown or not allowed for this client. Compare scopes with the product's API documentation: they look like ZohoCRM.modules.ALL"}, true
	case "missing_org_info":
		return remedy{Misconfigured, "the product wants to know the organisation. Write soid to the role: the service's name and the organisation's ID, for example ZohoCRM.123456789"}, true
	case "unauthorized_client", "unsupported_grant_type", "invalid_request":
		return remedy{Misconfigured, "the client may not make this kind of request. Check in Zoho's API console which type of client it is"}, true
	case "general_error", "server_error", "temporarily_unavailable": // the latter two: RFC 6749, section 4.1.2.1
		return remedy{BadAnswer, "Zoho reports an internal error. Try again in a few minutes"}, true
	default:
		return remedy{}, false
	}
}

// IsOfRole reports whether an error word blames what one role asks for, and not
// the client that it asks with.
func IsOfRole(code string) bool { return code == "invalid_scope" || code == "missing_org_info" }

func errorFromCode(call call, code string, status int) *Error {
	known, _ := lookupRemedy(code)
	return &Error{Kind: known.kind, Code: code, Status: status,
		msg: fmt.Sprintf("Zoho (%s) refused %s with %s: %s.", call.accounts, call.what, code, known.text)}
}

func errorThrottled(call call, status int) *Error {
	return &Error{Kind: Throttled, Code: "Access Denied", Status: status,
		msg: fmt.Sprintf("Zoho (%s) throttles %s: too many requests in a short time. Every further request may prolong this, so wait; if it happens again, look for other programs that use the same refresh token or client.", call.accounts, call.what)}
}

func errorBadAnswer(call call, status int, what string) *Error {
	return &Error{Kind: BadAnswer, Status: status,
		msg: fmt.Sprintf("Zoho (%s) answered %s with %s (HTTP %d) instead of what its OAuth documentation says. This mostly passes; if it stays, check accounts_url and any proxy between Vault and Zoho.", call.accounts, call.what, what, status)}
}

// errorUnknownWord is a refusal in a word that lookupRemedy does not have. Zoho answers
// so, in HTTP 200, to credentials that it does not take; but a word that says "later"
// looks the same, and to take that for a refusal would end what works.
func errorUnknownWord(call call, status int, word string) *Error {
	return &Error{Kind: BadAnswer, Status: status, UnknownWord: true,
		msg: fmt.Sprintf("Zoho (%s) refused %s with the error word %s (HTTP %d), which this version does not know. Look for it in Zoho's documentation: it may blame the client, the scopes, or the user's account. In case it passes, Vault asks again, after pauses that grow from a minute to half an hour; new credentials and the role's rotate are tried at once.", call.accounts, call.what, word, status)}
}

func errorUnreachable(call call, why string) *Error {
	return &Error{Kind: Unreachable,
		msg: fmt.Sprintf("Zoho (%s) could not be reached for %s: %s. Check DNS, proxy, firewall and ca_cert on the Vault server, and Zoho's status page.", call.accounts, call.what, why)}
}

// IsDenied reports whether a consent page's error word says that nobody agreed.
// Zoho sends it as well when it was asked too often.
// Source: zoho.com/accounts/protocol/oauth/web-apps/authorization.html.
func IsDenied(word string) bool { return word == "access_denied" }

// IsOutage reports whether a consent page's error word says that Zoho is at fault.
// Source: github.com/PipedreamHQ/pipedream issue 14420.
func IsOutage(word string) bool {
	known, ok := lookupRemedy(word)
	return ok && known.kind == BadAnswer
}

// BlamesScopes reports whether a consent page's error word says that the scopes which
// were asked for are at fault.
func BlamesScopes(word string) bool { return word == "invalid_scope" }

// clip keeps a value from outside from filling the log. limit is in bytes.
func clip(s string, limit int) string {
	s = strings.ToValidUTF8(s, "?")
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "..."
}

// printable takes away what could forge a log line or steer a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsGraphic(r) {
			return '?'
		}
		return r
	}, s)
}
