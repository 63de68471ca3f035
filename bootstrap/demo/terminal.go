//go:build unix

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"time"

	"vault-plugin-secrets-zoho/bootstrap"
)

// terminal shows commands as one would type them, with what they print. What it shows is what it runs, except that curl, which
// may not be installed, is only shown: the same request is then sent from here.
type terminal struct {
	out     io.Writer
	vault   *bootstrap.Vault
	dir     string // the working directory of the commands
	shorten bool   // do not show whole tokens, because they are real
}

// say prints a sentence as a comment between the commands.
func (t terminal) say(format string, args ...any) {
	fmt.Fprintf(t.out, "\n# "+format+"\n", args...)
}

// run runs a command of Vault's CLI and gives what it printed.
func (t terminal) run(ctx context.Context, args ...string) (string, error) {
	var printed bytes.Buffer
	cmd := t.vault.Command(ctx, t.vault.RootToken(), args...)
	cmd.Dir = t.dir
	cmd.Stdout, cmd.Stderr = &printed, &printed

	t.showCommand(append([]string{t.cli()}, args...))
	err := cmd.Run()
	t.show(strings.TrimRight(printed.String(), "\n"))
	if err != nil {
		return "", fmt.Errorf("the command above failed: %w", err)
	}
	return printed.String(), nil
}

// quietly runs a command that is not shown.
func (t terminal) quietly(ctx context.Context, args ...string) (string, error) {
	cmd := t.vault.Command(ctx, t.vault.RootToken(), args...)
	cmd.Dir = t.dir
	out, err := cmd.Output()
	return string(out), err
}

// get calls Zoho's API with a token, as the curl command that it shows.
func (t terminal) get(ctx context.Context, url, authorization string) (status int, body string, err error) {
	t.showCommand([]string{"curl", "-w", `\nHTTP %{http_code}\n`, "-H", "Authorization: " + authorization, url})

	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("Authorization", authorization)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return 0, "", err
	}
	body = strings.TrimSpace(string(b))
	shown := body
	if len(shown) > 1000 {
		shown = shown[:1000] + " ... (cut here)"
	}
	t.show(fmt.Sprintf("%s\nHTTP %d", shown, resp.StatusCode))
	return resp.StatusCode, body, nil
}

// cli is the name of the server's CLI as it would be typed.
func (t terminal) cli() string {
	if t.vault.OpenBao() {
		return "bao"
	}
	return "vault"
}

func (t terminal) showCommand(words []string) {
	quoted := make([]string, len(words))
	for i, word := range words {
		quoted[i] = word
		if !regexp.MustCompile(`^[A-Za-z0-9_@%+=:,./-]+$`).MatchString(word) {
			quoted[i] = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
		}
	}
	t.show("$ " + strings.Join(quoted, " "))
}

func (t terminal) show(text string) {
	if t.shorten {
		text = regexp.MustCompile(`(1000\.[0-9a-f]{6})[0-9a-f]*\.[0-9a-f]+`).ReplaceAllString(text, "$1...")
	}
	if text != "" {
		fmt.Fprintln(t.out, text)
	}
}
