package refreshtoken

import (
	"strings"
	"time"
	"unicode/utf8"

	"vault-plugin-secrets-zoho/backend/clock"
)

// Bounds of texts that come from outside, in bytes.
const (
	maxText   = 1 << 10
	maxWord   = 256
	maxScopes = 8 << 10 // of all together
)

// notAfter is t, or now if a clock that was ahead wrote t.
func notAfter(now, t time.Time) time.Time {
	if clock.IsFuture(now, t) {
		return now
	}
	return t
}

// notBeyond is t, or now if t is further off than it can have been set.
func notBeyond(now, t time.Time, longest time.Duration) time.Time {
	if t.After(now) && !clock.IsWithin(now, t, longest) {
		return now
	}
	return t
}

// cut bounds a text from outside, and makes it valid UTF-8.
func cut(text string, most int) string {
	text = strings.ToValidUTF8(text, string(utf8.RuneError))
	if len(text) <= most {
		return text
	}
	for !utf8.RuneStart(text[most]) {
		most--
	}
	return strings.Clone(text[:most])
}

// cutList keeps as many texts from outside as fit.
func cutList(texts []string) (kept []string) {
	total := 0
	for _, text := range texts {
		text = cut(text, maxWord)
		if total += len(text) + 3; total > maxScopes {
			break
		}
		kept = append(kept, text)
	}
	return kept
}
