package settings

import (
	"maps"
	"regexp"
	"slices"
	"unicode"
)

// What a role's metadata may have, in bytes where it is not a number of pairs.
// Vault stores a copy of it with each lease, so the whole is bounded more closely
// than its parts.
const (
	maxMetadataPairs = 32
	maxMetadataKey   = 64
	maxMetadataValue = 512
	maxMetadata      = 2 << 10

	// shortMetadata is how much of it a list of roles shows of each.
	shortMetadata = 256
)

// MetadataChange is a write to the metadata of a role: pairs of no secrecy that
// its readers need or that say whose it is.
type MetadataChange struct {
	Pairs map[string]*string // nil takes a pair away
	Merge bool               // pairs that are not named stay; otherwise they go
}

// apply returns what becomes of the metadata, which it leaves as it was: a role
// that somebody reads at the moment has it. A nil change changes nothing.
func (ch *MetadataChange) apply(old map[string]string) map[string]string {
	if ch == nil {
		return old
	}
	updated := map[string]string{}
	if ch.Merge {
		maps.Copy(updated, old)
	}
	for key, value := range ch.Pairs {
		if value == nil {
			delete(updated, key)
			continue
		}
		updated[key] = *value
	}
	return updated
}

// checkMetadata refuses what is too long, cannot be shown, or is a secret. No
// error repeats what was not found to be in order.
func checkMetadata(metadata map[string]string) error {
	if len(metadata) > maxMetadataPairs {
		return UserErrorf("metadata has %d pairs, and at most %d can be kept; leave out what readers of the role do not need", len(metadata), maxMetadataPairs)
	}
	if size := metadataSize(metadata); size > maxMetadata {
		return UserErrorf("metadata has %d bytes, keys and values together, and at most %d can be kept, since every lease has a copy; leave out what readers of the role do not need", size, maxMetadata)
	}
	keys := slices.Sorted(maps.Keys(metadata))
	for _, key := range keys {
		if err := checkMetadataKey(key); err != nil {
			return err
		}
	}
	for _, key := range keys {
		if err := checkMetadataValue(key, metadata[key]); err != nil {
			return err
		}
	}
	return nil
}

var metadataKey = regexp.MustCompile(`^\w[\w.-]*$`)

func checkMetadataKey(key string) error {
	switch {
	case len(key) > maxMetadataKey || !metadataKey.MatchString(key):
		return UserErrorf("metadata has a key that is none: use letters, digits, '_', '-' and '.', with a letter, a digit or '_' at the beginning, %d characters at the most; for example organization_id", maxMetadataKey)
	case LooksSecret(key):
		return errSecretMetadata("a key")
	default:
		return nil
	}
}

func checkMetadataValue(key, value string) error {
	if len(value) > maxMetadataValue {
		return UserErrorf("metadata has a value of %d bytes at the key %s, and at most %d can be kept; shorten it", len(value), key, maxMetadataValue)
	}
	for _, r := range value {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return UserErrorf("metadata has a line break, a control character or an invisible character in the value of the key %s; write the value again without it", key)
		}
	}
	if LooksSecret(value) {
		return errSecretMetadata("the value of the key " + key)
	}
	return nil
}

func errSecretMetadata(what string) error {
	return UserErrorf("metadata is no place for a secret, and %s looks like a token or a client secret of Zoho's: whoever may read the role or its access tokens can read it. Write a secret to refresh_token, code or client_secret, and leave it out of metadata", what)
}

// A token, a refresh token and a grant code are four digits and two hexadecimal
// words, of 16 to 33 digits in those that were published. A client secret is one
// word of 41 or 42; the hashes that people note have 40 or 64.
var (
	TokenForm  = regexp.MustCompile(`\d{4}\.[[:xdigit:]]{8,}\.[[:xdigit:]]{8,}`)
	secretForm = regexp.MustCompile(`(?:^|[^[:xdigit:]])[[:xdigit:]]{41,42}(?:$|[^[:xdigit:]])`)
)

// LooksSecret reports whether a text has something in it of the form of Zoho's
// secrets. It is not compared with the stored ones: whoever may write metadata
// could then find out by trial what they are.
func LooksSecret(text string) bool {
	return TokenForm.MatchString(text) || secretForm.MatchString(text)
}

func metadataSize(metadata map[string]string) (bytes int) {
	for key, value := range metadata {
		bytes += len(key) + len(value)
	}
	return bytes
}

// Shortened is the metadata for a list; nil if it is too long for one.
func Shortened(metadata map[string]string) map[string]string {
	if metadataSize(metadata) > shortMetadata {
		return nil
	}
	return Copied(metadata)
}

// Copied is never nil, so that it reads as {} and not as null.
func Copied(metadata map[string]string) map[string]string {
	c := make(map[string]string, len(metadata))
	maps.Copy(c, metadata)
	return c
}
