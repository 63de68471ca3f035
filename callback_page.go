package zohosecrets

import (
	"bytes"
	"html/template"
	"regexp"
	"strings"

	"github.com/hashicorp/vault/sdk/logical"
)

// consentPage is what a person sees in the browser after a consent. Its texts are the
// engine's and what is stored of the role; none of them comes from the request, which
// anybody can make up.
type consentPage struct {
	Title      string
	Text       string   // with commands among the sentences
	Notes      []string // further sentences, without
	Role       string   // empty: the request does not lead to one
	Mount      string
	DataCenter string
}

// passage is a part of a page's text: sentences, or one command.
type passage struct {
	Text      string
	IsCommand bool
}

// Passages splits the text before and behind each command, so that a command can be
// seen, and selected, as a whole.
func (p consentPage) Passages() (passages []passage) {
	add := func(text string, isCommand bool) {
		if text = strings.TrimSpace(text); strings.Trim(text, ".") != "" {
			passages = append(passages, passage{Text: text, IsCommand: isCommand})
		}
	}
	// Its words are options, paths and fields: a sentence that goes on has none of them.
	command := regexp.MustCompile(`vault (?:delete|list|patch|read|write)(?: -[a-z]+| [^\s,;()]*[/=][^\s,;()]*)+`)
	rest := p.Text
	for at := command.FindStringIndex(rest); at != nil; at = command.FindStringIndex(rest) {
		found := rest[at[0]:at[1]]
		if !strings.HasSuffix(found, "...") { // which stands for a value
			found = strings.TrimSuffix(found, ".")
		}
		add(rest[:at[0]], false)
		add(found, true)
		rest = strings.TrimPrefix(rest[at[0]+len(found):], ".")
	}
	add(rest, false)
	return passages
}

// answer is the page as Vault sends it to a browser. The template escapes whatever it
// is given; the page runs nothing and loads nothing.
func (p consentPage) answer(status int) (*logical.Response, error) {
	tmpl, err := template.New("page").Parse(consentPageTemplate)
	if err != nil {
		return nil, err
	}
	var body bytes.Buffer
	if err := tmpl.Execute(&body, p); err != nil {
		return nil, err
	}
	return &logical.Response{Data: map[string]any{
		logical.HTTPContentType:        "text/html; charset=utf-8",
		logical.HTTPStatusCode:         status,
		logical.HTTPRawBody:            body.Bytes(),
		logical.HTTPCacheControlHeader: "no-store",
	}}, nil
}

const consentPageTemplate = `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'">
<title>{{.Title}}</title>
<style>
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 36em; margin: 3em auto; padding: 0 1.25em; overflow-wrap: anywhere; }
h1 { font-size: 1.5em; }
pre { font: .9em/1.5 ui-monospace, monospace; white-space: pre-wrap; margin: 1em 0; padding: .75em 1em; border: 1px solid; border-radius: .4em; background: rgba(128, 128, 128, .12); border-color: rgba(128, 128, 128, .5); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25em 1.25em; margin: 1.5em 0; }
dt { opacity: .75; }
dd { margin: 0; font-weight: 600; }
footer { margin-top: 2em; font-size: .875em; opacity: .75; }
</style>
</head>
<body>
<h1>{{.Title}}</h1>
{{range .Passages}}{{if .IsCommand}}<pre><code>{{.Text}}</code></pre>{{else}}<p>{{.Text}}</p>{{end}}
{{end}}{{range .Notes}}<p>{{.}}</p>
{{end}}{{if or .Role .Mount .DataCenter}}<dl>
{{with .Role}}<dt>Role</dt><dd>{{.}}</dd>
{{end}}{{with .Mount}}<dt>Mount</dt><dd>{{.}}</dd>
{{end}}{{with .DataCenter}}<dt>Data centre</dt><dd>{{.}}</dd>
{{end}}</dl>
{{end}}<footer>The Zoho secrets engine in Vault</footer>
</body>
</html>
`
