package refreshtoken

import (
	"encoding/json"
	"errors"
	"time"

	"vault-plugin-secrets-zoho/backend/quota"
	"vault-plugin-secrets-zoho/backend/secret"
)

// ErrDamaged says of an entry that it cannot be decoded: see Rebuild. It quotes nothing.
var ErrDamaged = errors.New("the stored record of a refresh token is damaged")

// entry is a record as it is stored: with its secrets, and with its requests in a short form,
// since they are most of it.
type entry struct {
	*Record
	Token  string     `json:"t,omitempty"`
	Secret string     `json:"s,omitempty"`
	Quota  usageEntry `json:"q"`
}

// usageEntry is the part of a Usage that package quota knows.
type usageEntry struct {
	Requests  []requestEntry `json:"r,omitempty"`
	Throttled *quota.Silence `json:"x,omitempty"`
	Denied    *quota.Silence `json:"d,omitempty"`
	HasWorked bool           `json:"h,omitempty"`
}

// requestEntry has its times in milliseconds: when it was sent, and how long a token of it
// lives at most.
type requestEntry struct {
	At        int64  `json:"a"`
	Life      int64  `json:"l"`
	Token     string `json:"t,omitempty"`
	NoToken   bool   `json:"n,omitempty"`
	Exchange  bool   `json:"x,omitempty"`
	Seen      int64  `json:"s,omitempty"`
	ReserveOf string `json:"r,omitempty"`
	ClaimOf   string `json:"c,omitempty"`
	Guess     bool   `json:"g,omitempty"`
}

// Encode is the record as it is stored, with its secrets.
func Encode(r *Record) ([]byte, error) {
	return json.Marshal(entry{r, r.RefreshToken.Reveal(), r.ClientSecret.Reveal(), r.Usage.entry()}) //nolint:gosec // G117: storage is where the secrets belong, and Vault encrypts it
}

// Decode is the record of an entry. Times that a wrong clock wrote are corrected, which the
// next change stores. The error is ErrDamaged.
func Decode(stored []byte, now time.Time) (*Record, error) {
	e := entry{Record: &Record{}}
	if err := json.Unmarshal(stored, &e); err != nil || e.Record == nil {
		return nil, ErrDamaged // the decoder's error may quote what it read
	}
	r := e.Record
	r.RefreshToken, r.ClientSecret, r.Quota = secret.New(e.Token), secret.New(e.Secret), e.Quota.quota()
	if !r.isSound() {
		return nil, ErrDamaged
	}
	r.normalise(now)
	return r, nil
}

// isSound reports whether a record can have been written as it is.
func (r *Record) isSound() bool {
	for i := range r.Roles {
		if r.Roles[i] == "" || i > 0 && r.Roles[i-1] >= r.Roles[i] {
			return false
		}
	}
	switch r.Origin {
	case Hand, Code, Consent, Device:
	default:
		return false
	}
	needed := len(r.Roles) > 0 || r.Revoke || r.Ending != nil
	return r.AccountsURL != "" && (!needed || !r.RefreshToken.IsZero()) && (r.Revoke || r.Origin == Hand)
}

func (u *Usage) entry() usageEntry {
	e := usageEntry{Throttled: u.Quota.Throttled, Denied: u.Quota.Denied, HasWorked: u.Quota.HasWorked}
	for _, q := range u.Quota.Requests {
		sent := requestEntry{
			q.At.UnixMilli(), q.Until.Sub(q.At).Milliseconds(), q.Token, q.NoLiveToken, q.Exchange, 0, q.ReserveOf, q.ClaimOf, q.Guess,
		}
		if !q.Seen.IsZero() {
			sent.Seen = q.Seen.UnixMilli()
		}
		e.Requests = append(e.Requests, sent)
	}
	return e
}

func (e usageEntry) quota() quota.Record {
	rec := quota.Record{Throttled: e.Throttled, Denied: e.Denied, HasWorked: e.HasWorked}
	for _, sent := range e.Requests {
		at := time.UnixMilli(sent.At).UTC()
		q := quota.Request{
			At: at, Until: at.Add(time.Duration(sent.Life) * time.Millisecond), Token: sent.Token, NoLiveToken: sent.NoToken,
			Exchange: sent.Exchange, ReserveOf: sent.ReserveOf, ClaimOf: sent.ClaimOf, Guess: sent.Guess,
		}
		if sent.Seen != 0 {
			q.Seen = time.UnixMilli(sent.Seen).UTC()
		}
		rec.Requests = append(rec.Requests, q)
	}
	return rec
}
