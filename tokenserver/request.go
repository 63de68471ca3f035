package tokenserver

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
)

const (
	// maxBody bounds what is read of a request. Real ones have some hundred bytes.
	maxBody = 16 << 10
	// maxParams bounds the parameters of the query, and of a form. Real ones have up to
	// ten, and each costs many times what is sent of it.
	maxParams = 64
)

var (
	errTooLarge = errors.New("the body is larger than 16 KiB")
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
	if p.query, err = parseQuery(r.URL.RawQuery); err != nil {
		return p, err
	}
	contentType, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch contentType {
	case "application/x-www-form-urlencoded":
		var text []byte
		if text, err = io.ReadAll(body); err == nil {
			p.form, err = parseQuery(string(text))
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
	text := string(bytes.Join(bytes.Fields(body), nil))
	return text == "" || text == "{}" || text == "null"
}

func parseQuery(text string) (url.Values, error) {
	if strings.Count(text, "&") >= maxParams {
		return nil, errBadForm
	}
	values, err := url.ParseQuery(text)
	if err != nil {
		return nil, errBadForm // the error itself quotes what was sent
	}
	return values, nil
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
