package tokenserver

import (
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"vault-plugin-secrets-zoho/backend/secret"
)

// vaultToken is the Vault token that somebody else, such as Vault Agent, keeps in
// a file.
type vaultToken struct {
	file string // "" for none

	mu      sync.Mutex
	changed time.Time // the file's, when it was read last
	size    int64
	known   secret.Value
	count   int
}

// maxTokenFile bounds what is read of a file; Vault's tokens are shorter than 2 kB.
const maxTokenFile = 16 << 10

// number counts the Vault tokens that there have been: it changes when the
// file has another. A file that is missing or empty is being replaced.
func (t *vaultToken) number() int {
	_, _ = t.read() // the next request tells what is wrong
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.count
}

// read returns the Vault token, or the zero value if none is kept in a file. It
// opens the file only if that has changed.
func (t *vaultToken) read() (secret.Value, error) {
	if t.file == "" {
		return secret.Value{}, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	info, err := os.Stat(t.file)
	if err == nil && info.ModTime().Equal(t.changed) && info.Size() == t.size && !t.known.IsZero() {
		return t.known, nil
	}
	if err == nil {
		err = t.take(info)
	}
	if !t.known.IsZero() {
		return t.known, nil // the latest one that was there
	}
	return secret.Value{}, err
}

func (t *vaultToken) take(info os.FileInfo) error {
	file, err := os.Open(t.file)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // it was only read
	content, err := io.ReadAll(io.LimitReader(file, maxTokenFile))
	if err != nil {
		return err
	}
	token := secret.New(strings.TrimSpace(string(content)))
	if token.IsZero() {
		return errors.New(t.file + " is empty")
	}
	t.changed, t.size = info.ModTime(), info.Size()
	if !token.Equal(t.known) {
		t.known = token
		t.count++
	}
	return nil
}
