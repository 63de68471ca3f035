package tokenserver

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
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

const minSecret = 16

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

// PairFromFile reads the pair from a file, which it makes with a new pair, of
// mode 0600, if it is not there. So a pair outlives the program, and the programs
// that have read it need not be started again.
func PairFromFile(file string) (*Pair, error) {
	info, err := os.Stat(file)
	if errors.Is(err, fs.ErrNotExist) {
		pair, err := NewPair()
		if err != nil {
			return nil, err
		}
		return pair, pair.write(file)
	}
	if err != nil {
		return nil, err
	}
	// Windows has no such mode.
	if mode := info.Mode().Perm(); runtime.GOOS != "windows" && mode&0o027 != 0 {
		return nil, fmt.Errorf("%s has mode %04o, so others may read or change the client secret in it; make it 0600, or 0640 for a group of the callers", file, mode)
	}
	content, err := os.ReadFile(file) // #nosec G304 -- the operator names it
	if err != nil {
		return nil, err
	}
	values := map[string]string{}
	for line := range strings.Lines(string(content)) {
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

// write makes the file appear with all of its content, so that others may wait
// for it. A temporary file has mode 0600 from its creation on.
func (p *Pair) write(path string) error {
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(file, "%s=%s\n%s=%s\n", EnvClientID, p.ID, EnvClientSecret, p.Secret.Reveal())
	if err = errors.Join(err, file.Close()); err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	return nil
}
