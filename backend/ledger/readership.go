package ledger

import (
	"cmp"
	"slices"
	"time"
)

// Readership is one reader of an access token: all its leases together, those
// that have ended among them. A token that has leaked may have leaked from any
// of them.
type Readership struct {
	Role        string    `json:"role"`
	EntityID    string    `json:"entity_id,omitempty"`
	DisplayName string    `json:"display_name,omitempty"`
	Leases      int       `json:"leases"`
	First       time.Time `json:"first"`
	Last        time.Time `json:"last"`
}

type readerKey struct{ role, entityID, displayName string }

func (h Holder) reader() readerKey { return readerKey{h.Role, h.EntityID, h.DisplayName} }

// countReaderLocked counts a lease. It is not taken back: a lease that
// never began is one too many, which an auditor can live with.
func (l *Ledger) countReaderLocked(h Holder) {
	key := h.reader()
	r := l.readers[key]
	if r == nil {
		r = &Readership{Role: h.Role, EntityID: h.EntityID, DisplayName: h.DisplayName, First: h.Since}
		l.readers[key] = r
	}
	r.Leases++
	if h.Since.After(r.Last) {
		r.Last = h.Since
	}
	if _, known := l.roles[h.Role]; !known {
		l.roles[h.Role] = time.Time{}
	}
}

// Readership lists everybody who was given the token, the latest last.
func (l *Ledger) Readership() []Readership {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make([]Readership, 0, len(l.readers))
	for _, r := range l.readers {
		all = append(all, *r)
	}
	slices.SortFunc(all, func(a, b Readership) int {
		return cmp.Or(a.Last.Compare(b.Last), cmp.Compare(a.Role, b.Role), cmp.Compare(a.EntityID, b.EntityID), cmp.Compare(a.DisplayName, b.DisplayName))
	})
	return all
}

// Roles names the roles of a readership.
func Roles(readers []Readership) []string {
	var roles []string
	for _, r := range readers {
		if !slices.Contains(roles, r.Role) {
			roles = append(roles, r.Role)
		}
	}
	slices.Sort(roles)
	return roles
}
