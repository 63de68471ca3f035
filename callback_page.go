package zohosecrets

import (
	"bytes"
	"html/template"
	"regexp"
	"strings"

	"github.com/hashicorp/vault/sdk/logical"

	"vault-plugin-secrets-zoho/backend"
)

// consentPage is what a person sees in the browser after a consent: first what it means for
// them and, apart from that, what the operator wants to know. Its texts are the engine's and
// what is stored of the role; besides Zoho's word for the person and the scopes of a consent
// that was given, none of them comes from outside.
type consentPage struct {
	Title      string
	Happened   string   // to the person
	ToDo       []string // what the person can do, in paragraphs
	Account    string   // whose it is; empty: Zoho did not say
	SOID       string   // of the organisation
	Scopes     []string // that were given
	ScopesAre  string   // what is known of them
	Operator   []string // paragraphs, with commands among the sentences
	Role       string   // empty: the request does not lead to one
	Mount      string
	DataCenter string
}

// consentPageOf is the page of what became of a consent.
func consentPageOf(req *logical.Request, c backend.Consent) consentPage {
	page := consentPage{
		Title: c.Texts.Title, Happened: c.Texts.Happened, ToDo: strings.Split(c.Texts.ToDo, "\n"),
		SOID: c.SOID, Role: c.Role, Mount: req.MountPoint, DataCenter: c.DataCenter,
	}
	if c.Account.Name != "" {
		page.Account = c.Account.Name + " (" + string(c.Account.Kind) + ")"
	}
	page.Scopes, page.ScopesAre = c.Granted, "Access"
	if len(c.Granted) == 0 {
		page.Scopes, page.ScopesAre = c.Asked, "Access asked for"
	}
	for _, text := range append([]string{c.Cause, c.Texts.Operator}, c.Doubts...) {
		if text != "" {
			page.Operator = append(page.Operator, atMount(req, strings.TrimSuffix(text, ".")+"."))
		}
	}
	return page
}

// passage is a part of a page's text: sentences, or one command.
type passage struct {
	Text      string
	IsCommand bool
}

// passagesOf splits a text before and behind each command, so that a command can be
// seen, and selected, as a whole.
func passagesOf(paragraph string) (passages []passage) {
	add := func(text string, isCommand bool) {
		if text = strings.TrimSpace(text); strings.Trim(text, ".") != "" {
			passages = append(passages, passage{Text: text, IsCommand: isCommand})
		}
	}
	// Its words are options, paths and fields: a sentence that goes on has none of them.
	command := regexp.MustCompile(`vault (?:delete|list|patch|read|write)(?: -[a-z]+| [^\s,;()]*[/=][^\s,;()]*)+`)
	rest := paragraph
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

// Passages are those of all paragraphs for the operator.
func (p consentPage) Passages() (passages []passage) {
	for _, paragraph := range p.Operator {
		passages = append(passages, passagesOf(paragraph)...)
	}
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
h1 { font-size: 1.5em; line-height: 1.25; }
h2 { font-size: 1em; margin: 0 0 .75em; }
pre { font: .9em/1.5 ui-monospace, monospace; white-space: pre-wrap; margin: 1em 0; padding: .75em 1em; border: 1px solid rgba(128, 128, 128, .5); border-radius: .4em; background: rgba(128, 128, 128, .12); }
dl { display: grid; grid-template-columns: fit-content(40%) 1fr; gap: .25em 1.25em; margin: 1.5em 0; }
dt { opacity: .75; }
dd { margin: 0; font-weight: 600; }
ul { margin: 0; padding: 0; list-style: none; }
section { margin-top: 2.5em; padding: 1em 1.25em; border: 1px solid rgba(128, 128, 128, .5); border-radius: .4em; font-size: .9375em; }
section dl { margin-bottom: 0; }
section > :last-child { margin-bottom: 0; }
@media (max-width: 30em) { body > dl { grid-template-columns: 1fr; gap: 0; } body > dl dd { margin-bottom: .75em; } }
footer { margin-top: 2em; font-size: .875em; opacity: .75; }
</style>
</head>
<body>
<h1>{{.Title}}</h1>
<p>{{.Happened}}</p>
{{if or .Account .SOID .Scopes}}<dl>
{{with .Account}}<dt>Account</dt><dd>{{.}}</dd>
{{end}}{{with .SOID}}<dt>Organisation</dt><dd>{{.}}</dd>
{{end}}{{if .Scopes}}<dt>{{.ScopesAre}}</dt><dd><ul>{{range .Scopes}}<li>{{.}}</li>{{end}}</ul></dd>
{{end}}</dl>
{{end}}{{range .ToDo}}<p>{{.}}</p>
{{end}}<section>
<h2>For the operator of Vault</h2>
{{range .Passages}}{{if .IsCommand}}<pre><code>{{.Text}}</code></pre>{{else}}<p>{{.Text}}</p>{{end}}
{{end}}{{if or .Role .Mount .DataCenter}}<dl>
{{with .Role}}<dt>Role</dt><dd>{{.}}</dd>
{{end}}{{with .Mount}}<dt>Mount</dt><dd>{{.}}</dd>
{{end}}{{with .DataCenter}}<dt>Data centre</dt><dd>{{.}}</dd>
{{end}}</dl>
{{end}}</section>
<footer>The Zoho secrets engine in Vault</footer>
</body>
</html>
`
