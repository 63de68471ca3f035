package tokenserver

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"vault-plugin-secrets-zoho/backend/secret"
)

// A Pair is the client ID and secret that callers have to send. It is the
// server's own, and has nothing to do with a client at Zoho.
type Pair struct {
	ID     string
	Secret secret.Value
}

// The names of both in the environment and in a file.
const (
	EnvClientID     = "ZOHO_CLIENT_ID"
	EnvClientSecret = "ZOHO_CLIENT_SECRET" // #nosec G101 -- a name
)

const (
	minSecret   = 16
	maxPairFile = 64 << 10
)

// ParsePair checks a pair that somebody has chosen. Other characters would have to
// be escaped in a Basic header, which clients do in different ways.
func ParsePair(id, value string) (*Pair, error) {
	plain := regexp.MustCompile(`^[A-Za-z0-9._~-]+$`)
	switch {
	case !plain.MatchString(id) || !plain.MatchString(value):
		return nil, fmt.Errorf("%s and %s have to be set, of letters, digits and . _ ~ - only", EnvClientID, EnvClientSecret)
	case len(value) < minSecret:
		return nil, fmt.Errorf("%s has to be %d characters or longer: everybody on this machine can try", EnvClientSecret, minSecret)
	}
	return &Pair{ID: id, Secret: secret.New(value)}, nil
}

// NewPair makes a pair that looks like one of Zoho's.
func NewPair() (*Pair, error) {
	var value [21]byte
	if _, err := rand.Read(value[:]); err != nil {
		return nil, err
	}
	return &Pair{ID: "1000." + rand.Text(), Secret: secret.New(hex.EncodeToString(value[:]))}, nil
}

// isSame compares in constant time, and always both parts. The hashes have the
// same length, whatever was sent.
func (p *Pair) isSame(id, value string) bool {
	equal := func(a, b string) int {
		hashA, hashB := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
		return subtle.ConstantTimeCompare(hashA[:], hashB[:])
	}
	return equal(id, p.ID)&equal(value, p.Secret.Reveal()) == 1
}

// PairFromFile reads the pair from a file, which it makes with a new pair if it is not
// there. So a pair outlives the program, and the programs that have read it need not
// be started again. Of several programs that make the file at the same time all get
// the pair that is in it.
func PairFromFile(file string) (*Pair, error) {
	if err := privateDir(filepath.Dir(file), 0o700); err != nil {
		return nil, err
	}
	pair, err := ReadPair(file)
	if !errors.Is(err, fs.ErrNotExist) {
		return pair, err
	}
	if pair, err = NewPair(); err != nil {
		return nil, err
	}
	if err := pair.write(file); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return ReadPair(file)
}

// ReadPair reads the pair from a file that no other user can write, and that only a
// group may read besides.
func ReadPair(file string) (*Pair, error) {
	dir, err := os.OpenRoot(filepath.Dir(file)) // the one that is checked is the one that is used
	if err != nil {
		return nil, err
	}
	defer func() { _ = dir.Close() }() // it was only read
	info, err := dir.Stat(".")
	if err != nil {
		return nil, err
	}
	if err := checkAccess(filepath.Dir(file), info, 0o022); err != nil {
		return nil, err
	}
	content, err := readPrivate(dir, filepath.Base(file), file)
	if err != nil {
		return nil, err
	}
	values := map[string]string{}
	for line := range strings.Lines(content) {
		if name, value, found := strings.Cut(strings.TrimSpace(line), "="); found {
			values[name] = value
		}
	}
	pair, err := ParsePair(values[EnvClientID], values[EnvClientSecret])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return pair, nil
}

// readPrivate reads a file of a directory, but follows no link, and looks at the owner
// and the mode of what it has opened.
func readPrivate(dir *os.Root, name, shown string) (string, error) {
	named, err := dir.Lstat(name)
	if err != nil {
		return "", err
	}
	if !named.Mode().IsRegular() {
		return "", fmt.Errorf("%s is a link, or something else that is no file; name the file itself", shown)
	}
	file, err := dir.Open(name)
	if err != nil {
		return "", err
	}
	defer func() { _ = file.Close() }() // it was only read
	opened, err := file.Stat()
	if err != nil {
		return "", err
	}
	if !os.SameFile(named, opened) {
		return "", fmt.Errorf("%s was replaced while it was opened", shown)
	}
	if err := checkAccess(shown, opened, 0o027); err != nil {
		return "", fmt.Errorf("%w (0600, or 0640 for a group of the callers)", err)
	}
	content, err := io.ReadAll(io.LimitReader(file, maxPairFile))
	return string(content), err
}

// write makes the file appear with all of its content, so that others may wait for
// it, and never in the place of one that is there. A temporary file has mode 0600 from
// its creation on.
func (p *Pair) write(path string) error {
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(file, "%s=%s\n%s=%s\n", EnvClientID, p.ID, EnvClientSecret, p.Secret.Reveal())
	if err = errors.Join(err, file.Sync(), file.Close()); err == nil {
		err = os.Link(file.Name(), path) // unlike a rename, it replaces nothing
	}
	return errors.Join(err, os.Remove(file.Name()))
}
