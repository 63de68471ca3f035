package tokenserver

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
)

// maxBody bounds what is read of a request. Real ones have some hundred bytes.
const maxBody = 64 << 10

var (
	errTooLarge = errors.New("the body is larger than 64 KiB")
	errNotAForm = errors.New("the body is neither an urlencoded form nor multipart form data")
	errBadForm  = errors.New("the parameters cannot be decoded")
)

// params are the parameters of a request, from its query and its body.
// The query counts first, as in package zohosim.
type params struct {
	query, form url.Values
	r           *http.Request
}

func readParams(w http.ResponseWriter, r *http.Request) (params, error) {
	p := params{r: r, form: url.Values{}}
	body := http.MaxBytesReader(w, r.Body, maxBody)
	r.Body = body
	defer func() { _, _ = io.Copy(io.Discard, body) }() // up to the limit; then net/http sees a caller leave
	var err error
	if p.query, err = url.ParseQuery(r.URL.RawQuery); err != nil {
		return p, errBadForm // the error itself quotes what was sent
	}
	contentType, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch contentType {
	case "application/x-www-form-urlencoded":
		if err = r.ParseForm(); err == nil {
			p.form = r.PostForm
		}
	case "multipart/form-data":
		// The body is bounded and fits into memory, so nothing goes to a file.
		if err = r.ParseMultipartForm(maxBody); err == nil { // #nosec G120 -- see above
			p.form = r.MultipartForm.Value
		}
	default:
		var content []byte
		if content, err = io.ReadAll(body); err == nil && !isEmptyObject(content) {
			return p, errNotAForm
		}
	}
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return p, errTooLarge
	case err != nil:
		return p, errBadForm
	default:
		return p, nil
	}
}

// isEmptyObject reports whether a body has nothing in it, or a JSON object that has
// nothing in it: axios.post(url, {}, {params}) sends one, and its parameters in the query.
func isEmptyObject(body []byte) bool {
	var object map[string]json.RawMessage
	return len(bytes.TrimSpace(body)) == 0 || json.Unmarshal(body, &object) == nil && len(object) == 0
}

func (p params) get(name string) string {
	if p.query.Has(name) {
		return p.query.Get(name)
	}
	return p.form.Get(name)
}

// client returns the client's ID and secret, for which Zoho also takes a Basic
// header.
func (p params) client() (id, value string) {
	id, value, _ = p.r.BasicAuth()
	id, value = decoded(id), decoded(value)
	if sent := p.get("client_id"); sent != "" {
		id = sent
	}
	if sent := p.get("client_secret"); sent != "" {
		value = sent
	}
	return id, value
}

const maxRoleName = 128

// IsRoleName reports whether name can be that of a role. What looks like a token of
// Zoho's was put into the wrong setting: asked for as a role, it would stand in
// clear in Vault's audit log.
func IsRoleName(name string) bool {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_"
	inside := strings.Trim(name, letters) // from the first to the last other character
	onTheEdge := name == "" || strings.ContainsAny(name[:1]+name[len(name)-1:], "-.")
	return len(name) <= maxRoleName && !onTheEdge && strings.Trim(inside, letters+"-.") == "" && !isLikeToken(name)
}

// isLikeToken reports whether text has the form of Zoho's tokens, which is
// 1000.HEX.HEX.
func isLikeToken(text string) bool {
	parts := strings.Split(text, ".")
	if len(parts) != 3 || len(parts[0]) != 4 || strings.Trim(parts[0], "0123456789") != "" {
		return false
	}
	for _, part := range parts[1:] {
		if len(part) < 16 || strings.Trim(part, "0123456789abcdef") != "" {
			return false
		}
	}
	return true
}
