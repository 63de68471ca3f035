package zohosim

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
)

// An answer is what an endpoint says, before it is written.
type answer struct {
	status   int
	header   http.Header
	body     []byte
	word     string    // the error, for the journal
	fault    FaultKind // what happens to it on its way
	promised int       // Content-Length, where it is a lie
}

func textAnswer(status int, contentType, body string) answer {
	return answer{
		status: status,
		header: http.Header{"Content-Type": {contentType}},
		body:   []byte(body),
	}
}

// jsonAnswer has the headers of a recorded answer: github.com/asciisd/zoho,
// issues 6 and 18.
func jsonAnswer(status int, body any) answer {
	encoded, err := json.Marshal(body)
	if err != nil {
		panic("zohosim: " + err.Error()) // only our own maps and structs come here
	}
	out := textAnswer(status, "application/json;charset=UTF-8", string(encoded))
	out.header.Set("Server", "ZGS")
	out.header.Set("Content-Language", "en-US")
	out.header.Set("Set-Cookie", "iamcsr="+newSecret()+";path=/;SameSite=None;Secure;priority=high")
	return out
}

// refuse is Zoho's way to say no: HTTP 200 with an error in the body.
// Source: github.com/asciisd/zoho, issues 6 and 18 (recorded answers).
func refuse(word string) answer {
	return refuseWith(http.StatusOK, word)
}

func refuseWith(status int, word string) answer {
	out := jsonAnswer(status, map[string]string{"error": word})
	out.word = word
	return out
}

// bareBadRequest answers a wrong method and a missing grant_type.
// Sources: the error table of Zoho's Accounts documentation ("400 Bad Request"),
// the OAuth page of Zoho Books ("server error" on GET).
func bareBadRequest(text string) answer {
	out := textAnswer(http.StatusBadRequest, "text/html;charset=UTF-8", text)
	out.word = "bad_request"
	return out
}

// throttleAnswer has no Retry-After; none is documented.
// Sources: github.com/guanguans/notify, src/ZohoCliq/Authenticator.php (both
// languages), zoho.com/accounts/protocol/oauth/token-limits.html.
func throttleAnswer(rule Throttle) answer {
	body := struct {
		Description string `json:"error_description"`
		Error       string `json:"error"`
		Status      string `json:"status"`
	}{"You have made too many requests continuously. Please try again after some time.", "Access Denied", "failure"}
	if rule.Chinese {
		body.Description, body.Error = "您已连续提出过多请求，请稍后再试。", "拒绝访问"
	}
	out := jsonAnswer(rule.Status, body)
	out.word = body.Error
	return out
}

// A newTokens is what a grant gives.
type newTokens struct {
	access    *accessToken
	refresh   string // "" where the answer has none
	idToken   string // likewise
	withScope bool
}

func (s *Sim) tokenAnswer(c *call, given newTokens) answer {
	token := given.access
	shape := s.opts.Answer
	life := int64(token.expires.Sub(c.now).Seconds())
	body := map[string]any{"access_token": token.value, "token_type": "Bearer"}

	switch shape.Expiry {
	case ExpiryMissing:
	case ExpiryString:
		body["expires_in"] = strconv.FormatInt(life, 10)
	case ExpiryMillis:
		body["expires_in"] = life * 1000
	case ExpiryMillisWithSec:
		body["expires_in"], body["expires_in_sec"] = life*1000, life
	default:
		body["expires_in"] = life
	}
	if !shape.NoAPIDomain {
		body["api_domain"] = s.apiDomain(c)
	}
	if given.withScope || shape.WithScope {
		body["scope"] = strings.Join(token.scopes, " ")
	}
	if given.refresh != "" {
		body["refresh_token"] = given.refresh
		switch shape.BesideRefreshToken {
		case AccessTokenGiven:
		case AccessTokenMissing:
			delete(body, "access_token")
		case AccessTokenEmpty:
			body["access_token"] = ""
		case AccessTokenNull:
			body["access_token"] = nil
		}
	}
	if given.idToken != "" {
		body["id_token"] = given.idToken
	}
	return jsonAnswer(http.StatusOK, body)
}

func (s *Sim) apiDomain(c *call) string {
	domain := s.opts.Answer.APIDomain
	switch {
	case domain != "":
	case s.opts.RealDomains:
		domain = c.dc.api
	default:
		domain = c.base
	}
	if s.opts.Answer.APIDomainSlash {
		domain += "/"
	}
	return domain
}
