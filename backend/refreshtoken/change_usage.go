package refreshtoken

import (
	"maps"
	"reflect"
	"time"
)

// What changes of what a record counts. Who has the refresh token stays as it is.

// changeUsage is a change of what the record counts, of a record that is there.
func changeUsage(now time.Time, change func(*Record)) Change {
	return func(was *Record) (*Record, error) {
		if was == nil {
			return nil, &RefusedError{Reason: Gone}
		}
		r := was.clone()
		r.normalise(now)
		change(r)
		return r, nil
	}
}

// InRecord changes what a record counts. It never creates one.
func InRecord(now time.Time, change func(*Usage)) Change {
	return func(was *Record) (*Record, error) {
		if was == nil {
			return nil, nil
		}
		r := was.clone()
		r.normalise(now)
		change(&r.Usage)
		if reflect.DeepEqual(r, was) {
			return was, nil
		}
		return r, nil
	}
}

// See takes up which times are in the future, and that this was seen now.
func See(now time.Time) Change { return InRecord(now, func(*Usage) {}) }

// uncount takes a dead access token out. It never creates a record.
func uncount(tokenID string) Change {
	return func(was *Record) (*Record, error) {
		if was == nil {
			return nil, nil
		}
		if r := was.clone(); r.Ended(tokenID) {
			return r, nil
		}
		return was, nil
	}
}

// minted takes up an access token.
func (r *Record) minted(m Minted) {
	r.Succeeded(m)
	if r.Worked.IsZero() {
		r.Worked = m.Asked
	}
	if !r.isLeft() { // then its secrets are erased
		r.ClientID, r.ClientSecret, r.CACert = m.ClientID, m.ClientSecret, m.CACert
	}
	delete(r.Unproven, m.Role)
	maps.DeleteFunc(r.Unproven, func(_, grant string) bool { return grant == m.Grant })
}

// normalise corrects times that a wrong clock wrote.
func (r *Record) normalise(now time.Time) {
	r.Since, r.Worked = notAfter(now, r.Since), notAfter(now, r.Worked)
	if r.Former != nil {
		r.Former = &Former{Role: r.Former.Role, At: notAfter(now, r.Former.At)}
	}
	if r.Ending != nil {
		ending := *r.Ending
		ending.At, ending.RetryAt = notAfter(now, ending.At), notBeyond(now, ending.RetryAt, longestPause)
		r.Ending = &ending
	}
	r.Usage.normalise(now)
}
