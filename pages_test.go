package zohosecrets

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend"
)

// The pages: README.md, its neighbours, and everything in docs/.

// pages returns the text of each page by its path.
func pages(t *testing.T) map[string]string {
	t.Helper()
	texts := map[string]string{}
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/decisions/*.md", "bench/*.md"} {
		files, err := filepath.Glob(pattern)
		require.NoError(t, err)
		require.NotEmpty(t, files, pattern)
		for _, file := range files {
			content, err := os.ReadFile(file)
			require.NoError(t, err)
			texts[filepath.ToSlash(file)] = string(content)
		}
	}
	return texts
}

// prose is a page without its code blocks.
func prose(page string) string {
	return regexp.MustCompile("(?ms)^ *```.*?^ *```").ReplaceAllString(page, "")
}

// isPrograms reports whether a Go file is of the plugin or of the token server, and no
// test.
func isPrograms(name string) bool {
	top, _, below := strings.Cut(name, "/")
	return strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go") &&
		(!below || slices.Contains([]string{"backend", "tokenserver", "cmd"}, top))
}

// sentencesIn returns the texts of a Go file that have more than one word.
func sentencesIn(t *testing.T, name string) (sentences []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
	require.NoError(t, err)
	ast.Inspect(file, func(node ast.Node) bool {
		literal, ok := node.(*ast.BasicLit)
		if !ok || literal.Kind != token.STRING {
			return true
		}
		text, err := strconv.Unquote(literal.Value)
		require.NoError(t, err)
		if strings.Contains(text, " ") {
			sentences = append(sentences, text)
		}
		return true
	})
	return sentences
}

// A reader of a log or of a page does not know the source.
func TestDocumentation_NoMessageAndNoPageNamesAFunction(t *testing.T) {
	t.Parallel()
	var files []string
	functions := functions(t, func(name string) bool {
		if isPrograms(name) {
			files = append(files, name)
		}
		return isPrograms(name)
	})
	delete(functions, "Go") // the language
	var sentences []string
	for _, name := range files {
		sentences = append(sentences, sentencesIn(t, name)...)
	}
	require.Greater(t, len(sentences), 500)
	for name, page := range pages(t) {
		if path.Dir(name) == "docs" && name != "docs/invariants.md" { // that is for who changes the engine
			sentences = append(sentences, prose(page))
		}
	}
	// In the middle of a sentence a word with a capital letter is a name.
	word := regexp.MustCompile("[^\\s.:|#>*?!)\\-][ \n]([A-Za-z]*[A-Z][A-Za-z]*)\\b")
	for _, text := range sentences {
		for _, found := range word.FindAllStringSubmatch(text, -1) {
			require.False(t, functions[found[1]], "%s is a function's name, in: %s", found[1], found[0])
		}
	}
}

// A heading's address in its page, as code hosts make it.
func anchor(heading string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(heading) {
		switch {
		case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
			b.WriteRune(r)
		case r == ' ':
			b.WriteByte('-')
		}
	}
	return b.String()
}

func anchors(page string) (all []string) {
	for _, heading := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(prose(page), -1) {
		all = append(all, anchor(heading[1]))
	}
	return all
}

// links returns the targets of a page's links.
func links(page string) (all []string) {
	for _, link := range regexp.MustCompile(`\]\(([^)\s]+)\)`).FindAllStringSubmatch(prose(page), -1) {
		all = append(all, link[1])
	}
	return all
}

func TestDocumentation_LinksLeadSomewhere(t *testing.T) {
	t.Parallel()
	texts, followed := pages(t), 0
	for name, text := range texts {
		for _, link := range links(text) {
			if strings.HasPrefix(link, "https://") || strings.HasPrefix(link, "http://") {
				continue
			}
			target, fragment, _ := strings.Cut(link, "#")
			file := name
			if target != "" {
				file = path.Join(path.Dir(name), target)
			}
			_, err := os.Stat(file)
			require.NoError(t, err, "%s links to %s", name, link)
			if fragment != "" {
				require.Contains(t, anchors(texts[file]), fragment, "%s links to %s", name, link)
			}
			followed++
		}
	}
	require.Greater(t, followed, 50)
}

// A page that nothing links to is not found.
func TestDocumentation_EveryPageIsLinkedFromAnother(t *testing.T) {
	t.Parallel()
	texts := pages(t)
	for name := range texts {
		if path.Dir(name) == "." {
			continue // at the top, where a reader looks first
		}
		linked := false
		for from, text := range texts {
			linked = linked || from != name && slices.ContainsFunc(links(text), func(link string) bool {
				target, _, _ := strings.Cut(link, "#")
				file := path.Join(path.Dir(from), target)
				return file == name || path.Join(file, "README.md") == name
			})
		}
		require.True(t, linked, name)
	}
}

// Vault replaces a mount's list of audit keys: a second command would undo the first.
func TestDocumentation_HasOneListOfAuditKeysWithAllThatAuditorsSearchBy(t *testing.T) {
	t.Parallel()
	const flag = "-audit-non-hmac-response-keys="
	var keys []string
	for name, text := range pages(t) {
		for line := range strings.Lines(text) {
			if !strings.Contains(line, flag) {
				continue
			}
			require.Equal(t, "docs/auditing.md", name)
			require.Empty(t, keys, "a second command")
			for _, key := range regexp.MustCompile(flag+`(\w+)`).FindAllStringSubmatch(line, -1) {
				keys = append(keys, key[1])
			}
		}
	}
	searched := regexp.MustCompile(`\.response\.data\.(\w+)`).FindAllStringSubmatch(pages(t)["docs/auditing.md"], -1)
	require.NotEmpty(t, searched)
	for _, field := range searched {
		if field[1] != "access_token" { // it is searched for by its hash
			require.Contains(t, keys, field[1])
		}
	}
	terraform, err := os.ReadFile("examples/terraform/main.tf")
	require.NoError(t, err)
	list := regexp.MustCompile(`audit_non_hmac_response_keys = \[(.*)\]`).FindSubmatch(terraform)
	require.NotNil(t, list)
	require.Equal(t, `"`+strings.Join(keys, `", "`)+`"`, string(list[1]))
}

// consoleCommands are the commands of a page, each in one line.
func consoleCommands(page string) (commands []string) {
	for _, block := range regexp.MustCompile("(?ms)^ *```console\n(.*?)^ *```").FindAllStringSubmatch(page, -1) {
		for _, command := range regexp.MustCompile(`(?m)^ *\$ (.*(?:\\\n.*)*)$`).FindAllStringSubmatch(block[1], -1) {
			commands = append(commands, strings.ReplaceAll(command[1], "\\\n", " "))
		}
	}
	return commands
}

// Vault takes an empty list of members and an empty ID, and a path without its name is
// another path. So what one command finds is kept, and the next one is not run without it.
func TestDocumentation_NoCommandWritesWithAnIDThatWasNotFound(t *testing.T) {
	t.Parallel()
	assignment, checked := regexp.MustCompile(`^(\w+)=\$\(`), 0
	for name, text := range pages(t) {
		found := map[string]bool{}
		for _, command := range consoleCommands(text) {
			if variable := assignment.FindStringSubmatch(command); variable != nil {
				found[variable[1]] = true
				command = strings.TrimPrefix(command, variable[0])
			}
			isVaults := strings.HasPrefix(command, "vault ")
			require.False(t, isVaults && strings.Contains(command, "$(vault "), "%s: %s", name, command)
			for variable := range found {
				require.NotRegexp(t, `\$(\{`+variable+`\}|`+variable+`\b)`, command, "%s: write ${%s:?}", name, variable)
				checked += strings.Count(command, "${"+variable+":?")
			}
		}
	}
	require.Greater(t, checked, 10)
}

// zsh takes a "?" for a pattern, and refuses the command when no file fits; and at its
// prompt it takes no comments.
func TestDocumentation_CommandsCanBePastedIntoZsh(t *testing.T) {
	t.Parallel()
	quoted, unquoted, commands := regexp.MustCompile(`'[^']*'|"[^"]*"`), regexp.MustCompile(`[^\s{:]\?\w`), 0
	for name, text := range pages(t) {
		for _, command := range consoleCommands(text) {
			rest := quoted.ReplaceAllString(command, "")
			require.NotRegexp(t, unquoted, rest, "%s: quote the address: %s", name, command)
			require.NotRegexp(t, `\s#`, rest, "%s: say it in the text: %s", name, command)
			commands++
		}
	}
	require.Greater(t, commands, 100)
}

// Two tables of the states would soon differ.
func TestDocumentation_ExplainsEachStateInOneTable(t *testing.T) {
	t.Parallel()
	for _, state := range []backend.GrantState{
		backend.StateNeverTried, backend.StateReady, backend.StateThrottled,
		backend.StateRefused, backend.StateUnreachable, backend.StateDeauthorized, backend.StateBroken,
	} {
		var explained []string
		for name, text := range pages(t) {
			if name != "docs/reference.md" && strings.Contains(text, "\n| `"+string(state)+"` |") { // that has a field "deauthorized"
				explained = append(explained, name)
			}
		}
		require.Equal(t, []string{"docs/troubleshooting.md"}, explained, state)
	}
}

// A decision that nobody finds, or whose tests are gone, is made again.
func TestDecisions_AreListedAndNameWhatExists(t *testing.T) {
	t.Parallel()
	const dir = "docs/decisions/"
	texts, known := pages(t), tests(t)
	listed := links(texts[dir+"README.md"])
	require.Contains(t, links(texts["CONTRIBUTING.md"]), dir+"README.md")
	decisions := 0
	for name, text := range texts {
		if path.Dir(name)+"/" != dir || name == dir+"README.md" {
			continue
		}
		decisions++
		require.Contains(t, listed, path.Base(name))
		for _, part := range []string{"**Context.**", "**Decision.**", "**What it costs.**", "**What would change our mind.**", "\nShown by "} {
			require.Equal(t, 1, strings.Count(text, part), "%s: %s", name, part)
		}
		require.Less(t, strings.Count(text, "\n"), 30, "%s is more than half a screen", name)
		for _, test := range regexp.MustCompile("`(Test\\w+)`").FindAllStringSubmatch(text, -1) {
			require.True(t, known[test[1]], "%s: %s", name, test[1])
		}
		for _, file := range regexp.MustCompile("`((?:backend|zohosim|tokenserver)/[\\w/.]+)`").FindAllStringSubmatch(text, -1) {
			_, err := os.Stat(file[1])
			require.NoError(t, err, name)
		}
	}
	require.Equal(t, 13, decisions)
}

func TestDocumentation_TheSDKIsTheOneThatWasDecidedOn(t *testing.T) {
	t.Parallel()
	module, err := os.ReadFile("go.mod")
	require.NoError(t, err)
	version := regexp.MustCompile(`hashicorp/vault/sdk (v\S+)`).FindSubmatch(module)
	require.NotNil(t, version)
	require.Contains(t, pages(t)["docs/decisions/sdk-version.md"], "# The SDK is "+string(version[1])+"\n")
}

func TestContributing_NamesEveryDirectory(t *testing.T) {
	t.Parallel()
	_, layout, found := strings.Cut(pages(t)["CONTRIBUTING.md"], "## How the code is laid out")
	require.True(t, found)
	layout, _, _ = strings.Cut(layout, "## House rules")
	for _, pattern := range []string{"*", "backend/*", "cmd/*"} {
		entries, err := filepath.Glob(pattern)
		require.NoError(t, err)
		for _, entry := range entries {
			info, err := os.Stat(entry)
			require.NoError(t, err)
			if info.IsDir() && entry != "bin" && !strings.HasPrefix(entry, ".") { // bin is not in the repository
				require.Contains(t, layout, filepath.ToSlash(entry))
			}
		}
	}
}
