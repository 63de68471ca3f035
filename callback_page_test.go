package zohosecrets

import (
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/vault/sdk/logical"
	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend/zoho"
)

func TestCallbackPage_NamesRoleMountAndDataCentre(t *testing.T) {
	t.Parallel()
	m, z := newWorld(t)
	m.awaitsConsent(z)
	m.write("roles/of-eu", fields{"data_center": "eu", "client_id": "1000.ABCDEFGHIJKLMNOPQRSTUVWXYZ0123", "client_secret": "of-eu", "scopes": "ZohoCRM.modules.ALL"}).done(t)
	shows := func(back fields) string {
		req := request(t, logical.ReadOperation, "callback", back)
		req.MountPoint = "zoho/"
		resp, err := m.backend.HandleRequest(t.Context(), req)
		require.NoError(t, err)
		body, _ := resp.Data[logical.HTTPRawBody].([]byte)
		requireSelfContained(t, string(body))
		return string(body)
	}
	const role, mount, dataCentre = "<dt>Role</dt><dd>person</dd>", "<dt>Mount</dt><dd>zoho/</dd>", "<dt>Data centre</dt>"
	denied := shows(fields{"state": stateOf(m.begin("roles/person")), "error": "access_denied"})
	require.Contains(t, denied, role)
	require.Contains(t, denied, mount)
	require.NotContains(t, denied, dataCentre, "the Accounts server is none of Zoho's")
	require.Contains(t, shows(fields{"state": stateOf(m.begin("roles/of-eu")), "error": "access_denied"}), dataCentre+"<dd>eu</dd>")
	require.Contains(t, denied, "<pre><code>vault write -f zoho/roles/person/authorize</code></pre>")

	back := m.agree("roles/person")
	agreed := shows(back)
	require.Contains(t, agreed, "<h1>You gave consent</h1>")
	for _, named := range []string{role, mount} {
		require.Contains(t, agreed, named)
	}

	// Who has no state that leads to a role learns of none.
	used := shows(back)
	require.Contains(t, used, mount)
	require.NotContains(t, strings.ReplaceAll(used, "the person who", "the one who"), "person")
	require.NotContains(t, used, dataCentre)
}

func TestCallbackPage_SetsCommandsApartFromSentences(t *testing.T) {
	t.Parallel()
	type parts = []passage
	sentence := func(text string) passage { return passage{Text: text} }
	command := func(text string) passage { return passage{Text: text, IsCommand: true} }
	for text, want := range map[string]parts{
		"":             nil,
		"All is well.": {sentence("All is well.")},
		"To try again: vault write -f zoho/roles/a.b/authorize":            {sentence("To try again:"), command("vault write -f zoho/roles/a.b/authorize")},
		"Begin: vault write -f z/roles/a/authorize. The next attempt.":     {sentence("Begin:"), command("vault write -f z/roles/a/authorize"), sentence("The next attempt.")},
		"First: vault read a/b. Then: vault write a/b c=... d=... or wait": {sentence("First:"), command("vault read a/b"), sentence("Then:"), command("vault write a/b c=... d=..."), sentence("or wait")},
		"with vault write, or delete it":                                   {sentence("with vault write, or delete it")},
		"vault list zoho/roles":                                            {command("vault list zoho/roles")},
	} {
		require.Equal(t, want, passagesOf(text), text)
	}
}

// The page can tell each command of the engine's messages from the sentences around it.
func TestCallbackPage_KnowsEveryCommandOfAMessage(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("backend/*.go")
	require.NoError(t, err)
	commands := 0
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		for _, text := range sentencesIn(t, file) {
			text = strings.NewReplacer("%s", "app", "%q", `"app"`, "<mount>/", "zoho/").Replace(text)
			shown := 0
			for _, passage := range passagesOf(text) {
				if passage.IsCommand {
					require.NotRegexp(t, `\w\. `, passage.Text, "a sentence is part of it")
					shown++
				}
			}
			require.Equal(t, len(regexp.MustCompile(`vault \w+ (-\w+ )?zoho/`).FindAllString(text, -1)), shown, text)
			commands += shown
		}
	}
	require.Greater(t, commands, 5)
}

func TestCallbackPage_KnowsTheCommandsOfAnAccountElsewhere(t *testing.T) {
	t.Parallel()
	m, z := newWorld(t)
	m.awaitsConsent(z)
	eu, err := zoho.LookupDataCenter("eu")
	require.NoError(t, err)
	page := m.callback(m.fresh(z).with(fields{"accounts-server": eu.AccountsURL}))
	require.Equal(t, http.StatusBadRequest, page.status)
	require.Equal(t, 3, strings.Count(page.body, "<pre><code>vault write "), page.body)
	require.Contains(t, page.body, "data_center=eu client_id=... client_secret=...</code></pre>")
}
