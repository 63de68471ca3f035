package zohosim

import (
	"bytes"
	"html/template"
	"net/http"
)

// page shows the consent form, or what is wrong with the request.
func (s *Sim) page(problem string, data map[string]any) answer {
	var body bytes.Buffer
	err := s.consentPage.Execute(&body, map[string]any{"Problem": problem, "Ask": data})
	if err != nil {
		panic("zohosim: " + err.Error()) // the template is ours
	}
	out := textAnswer(http.StatusOK, "text/html;charset=UTF-8", body.String())
	if problem != "" {
		out.status, out.word = http.StatusBadRequest, problem
	}
	out.header.Set("Cache-Control", "no-store")
	out.header.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
	out.header.Set("Referrer-Policy", "no-referrer")
	return out
}

// pageHead makes a page readable on a phone, and dark where the browser is.
const pageHead = `<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<style>
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 32em; margin: 3em auto; padding: 0 1.25em; overflow-wrap: anywhere; }
h1 { font-size: 1.5em; line-height: 1.25; }
button { font: inherit; padding: .6em 1.4em; margin: 0 .5em .5em 0; }
</style>`

// plainPage is a page of a few words.
func plainPage(title, text string) string {
	return `<!DOCTYPE html><html lang="en"><head>` + pageHead + "<title>" + title + "</title></head><body>" + text + "</body></html>"
}

func newConsentPage() *template.Template {
	return template.Must(template.New("consent").Parse(`<!DOCTYPE html>
<html lang="en"><head>` + pageHead + `<title>Simulated Zoho Accounts</title>
</head><body>
{{if .Problem}}<h1>{{.Problem}}</h1>
<p>The simulated Zoho shows no consent page for this link.</p>{{else}}{{with .Ask -}}
<h1>Simulated Zoho Accounts ({{.Home}})</h1>
<p>Client <code>{{.Client}}</code> would like to access, as <b>{{.User}}</b>
{{- with .Organisation}}, on behalf of the whole organisation <b>{{.}}</b>{{end}}:</p>
<ul>{{range .Scopes}}<li><code>{{.}}</code></li>{{end}}</ul>
<form method="post">
<button id="accept" name="decision" value="accept">Accept</button>
<button id="deny" name="decision" value="deny">Deny</button>
</form>{{end}}{{end}}
</body></html>
`))
}

// deviceForm shows the page of the device flow.
func (s *Sim) deviceForm(data map[string]any) answer {
	var body bytes.Buffer
	if err := s.devicePages.Execute(&body, data); err != nil {
		panic("zohosim: " + err.Error()) // the template is ours
	}
	out := textAnswer(http.StatusOK, "text/html;charset=UTF-8", body.String())
	out.word, _ = data["Problem"].(string)
	out.header.Set("Cache-Control", "no-store")
	out.header.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
	out.header.Set("Referrer-Policy", "no-referrer")
	return out
}

func newDevicePage() *template.Template {
	return template.Must(template.New("device").Parse(`<!DOCTYPE html>
<html lang="en"><head>` + pageHead + `<title>Simulated Zoho Accounts</title>
</head><body>
{{if .Done}}<h1>{{.Done}}</h1>
<p>You can close this window.</p>{{else if .Ask}}<h1>Simulated Zoho Accounts ({{.Home}})</h1>
<p>Client <code>{{.Client}}</code> would like to access, as <b>{{.User}}</b>:</p>
<ul>{{range .Scopes}}<li><code>{{.}}</code></li>{{end}}</ul>
<form method="post" action="/oauth/v3/device">
<input type="hidden" name="user_code" value="{{.Code}}">
<button id="accept" name="decision" value="accept">Accept</button>
<button id="deny" name="decision" value="deny">Deny</button>
</form>{{else}}<h1>{{with .Problem}}{{.}}{{else}}Enter the code{{end}}</h1>
<form method="post" action="/oauth/v3/device">
<p><label for="user_code">The code that your device shows:</label>
<input id="user_code" name="user_code" value="{{.Code}}" autocomplete="off" required></p>
<button id="verify">Verify</button>
</form>{{end}}
</body></html>
`))
}
