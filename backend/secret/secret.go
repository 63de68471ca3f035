// Package secret holds text that must not be printed by accident.
package secret

import (
	"crypto/subtle"
	"fmt"
	"io"
)

const redacted = "[redacted]"

// Value is a client secret, a refresh token or an access token. Whatever
// prints or encodes it - fmt with any verb, a logger, JSON - gets
// "[redacted]"; only Reveal gives the text. It deliberately cannot be decoded
// from JSON either: what is stored goes through a record that names the field.
//
// The text is behind a pointer: fmt calls no method of a field that is not exported, and
// would print the text of such a field.
type Value struct{ plain *string }

// New wraps plain.
func New(plain string) Value {
	if plain == "" {
		return Value{}
	}
	return Value{plain: &plain}
}

// Reveal returns the text itself. Its callers are the places to look at in a
// security review: the request to Zoho, the record in Vault's storage, the
// answer to a reader.
func (v Value) Reveal() string {
	if v.plain == nil {
		return ""
	}
	return *v.plain
}

// IsZero reports whether there is no text.
func (v Value) IsZero() bool { return v.plain == nil }

// Equal compares in constant time.
func (v Value) Equal(other Value) bool {
	return subtle.ConstantTimeCompare([]byte(v.Reveal()), []byte(other.Reveal())) == 1
}

func (Value) String() string               { return redacted }
func (Value) GoString() string             { return redacted }
func (Value) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Format covers the verbs that go past String, such as %x and %d.
func (Value) Format(state fmt.State, _ rune) {
	// A fmt.State never fails: it appends to fmt's own buffer.
	_, _ = io.WriteString(state, redacted)
}
