package ledger

import (
	"strings"
	"time"
	"unicode/utf8"
)

// Requester is who asks for something, as Vault tells it.
type Requester struct {
	EntityID    string `json:"entity_id,omitempty"`
	DisplayName string `json:"display_name,omitempty"`
	RequestID   string `json:"request_id,omitempty"`
}

// Bounded is r with its texts cut to what a record keeps of them.
func (r Requester) Bounded() Requester {
	return Requester{EntityID: cut(r.EntityID), DisplayName: cut(r.DisplayName), RequestID: cut(r.RequestID)}
}

// Holder is one lease on an access token, with what an auditor asks about it.
// Vault gives a lease its ID only after the engine has answered, so a holder
// has an ID of its own, which the lease carries: the name of its place. Times are kept to
// the millisecond.
type Holder struct {
	ID   string `json:"id"`
	Role string `json:"role"`
	Requester
	Since time.Time `json:"since"`
	Until time.Time `json:"until"`
}

// maxText is how many bytes of a text from outside a record keeps. Vault's IDs
// have 36. A display name is as long as whoever made the reader's Vault token
// likes, so that without a bound two of them would fill an entry of storage.
const maxText = 256

// cut bounds a text to maxText, and makes it valid UTF-8: storage keeps nothing else.
func cut(text string) string {
	text = strings.ToValidUTF8(text, string(utf8.RuneError))
	if len(text) <= maxText {
		return text
	}
	end := maxText
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return strings.Clone(text[:end]) // the rest need not stay in memory
}
