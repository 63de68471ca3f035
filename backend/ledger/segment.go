package ledger

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"
)

// A ledger is kept in segments: entries of some seven records, the last of which is written
// again with each commit until it is full. So a commit is one write of bounded size, however
// many holders there are, and a token's records are deleted with the token. fullSegment is in
// bytes. A larger one makes every write of a reader who is alone larger, and a smaller one
// makes more entries to delete.
const fullSegment = 768

// record is one change of a ledger: one field is set, and at with release.
type record struct {
	hold    *Holder
	release string    // the holder's ID
	at      time.Time // of a release whose role wants the token kept
	ending  time.Time
	reserve *reservation
}

// segment is one entry of a ledger. It is a value: with returns another one.
type segment struct {
	number  int
	text    []byte            // its records, a line each
	readers map[readerKey]int // whose texts the segment has
}

// line is one record as storage has it. A segment has what its records share once: the first
// line names the series of its places, and the first hold of each reader has that reader's texts.
// Times are in milliseconds of Unix time.
type line struct {
	Series  string     `json:"s,omitempty"` // the first line of a segment
	Hold    int        `json:"h,omitempty"` // the place, of the segment's series
	Reader  int        `json:"w,omitempty"` // of a hold: the number of its reader
	Texts   *[3]string `json:"n,omitempty"` // role, entity ID and display name of that reader
	At      int64      `json:"t,omitempty"` // of a hold, an end, or a release whose role wants the token kept
	Life    int64      `json:"l,omitempty"` // of the lease
	Request string     `json:"q,omitempty"`
	Release int        `json:"x,omitempty"` // the place, of the segment's series
	Other   string     `json:"y,omitempty"` // a release of another series: the holder's ID
	Ending  bool       `json:"e,omitempty"`
	From    int        `json:"f,omitempty"` // a reservation: its first place, of the segment's series
	Count   int        `json:"c,omitempty"` // and how many there are
}

// with returns the segment with more records. series is that of the ledger's places.
func (s segment) with(series string, records []record) (segment, error) {
	s.readers = maps.Clone(s.readers)
	if s.readers == nil {
		s.readers = make(map[readerKey]int)
	}
	text := bytes.NewBuffer(bytes.Clone(s.text))
	encoder := json.NewEncoder(text) // ends each value with a line's end
	if len(s.text) == 0 {
		if err := encoder.Encode(line{Series: series}); err != nil {
			return s, err
		}
	}
	for _, r := range records {
		if err := encoder.Encode(s.line(series, r)); err != nil {
			return s, err
		}
	}
	s.text = text.Bytes()
	return s, nil
}

// line encodes a record, and notes its reader as known.
func (s segment) line(series string, r record) line {
	switch {
	case r.hold != nil:
		place, _ := placeIn(series, r.hold.ID)
		encoded := line{Hold: place, At: r.hold.Since.UnixMilli(), Life: r.hold.Until.Sub(r.hold.Since).Milliseconds(), Request: r.hold.RequestID}
		key, known := r.hold.reader(), false
		if encoded.Reader, known = s.readers[key]; !known {
			encoded.Reader = len(s.readers) + 1
			s.readers[key] = encoded.Reader
			encoded.Texts = &[3]string{key.role, key.entityID, key.displayName}
		}
		return encoded
	case r.reserve != nil:
		return line{From: r.reserve.From, Count: r.reserve.To - r.reserve.From}
	case r.release != "":
		var encoded line
		if place, own := placeIn(series, r.release); own {
			encoded.Release = place
		} else {
			encoded.Other = r.release
		}
		if !r.at.IsZero() {
			encoded.At = r.at.UnixMilli()
		}
		return encoded
	default:
		return line{Ending: true, At: r.ending.UnixMilli()}
	}
}

// records decodes a stored segment, and reports whether all of it could be read.
func records(text []byte) (all []record, whole bool) {
	whole = bytes.HasSuffix(text, []byte("\n"))
	var series string
	readers := make(map[int][3]string)
	for encoded := range bytes.Lines(text) {
		var l line
		if json.Unmarshal(encoded, &l) != nil {
			whole = false
			continue
		}
		if l.Series != "" {
			series = l.Series
			continue
		}
		if l.Texts != nil {
			readers[l.Reader] = *l.Texts
		}
		r, ok := l.record(series, readers)
		if whole = whole && ok; ok {
			all = append(all, r)
		}
	}
	return all, whole
}

// record decodes a line, and reports whether it says something that can be understood.
func (l line) record(series string, readers map[int][3]string) (r record, ok bool) {
	at := time.UnixMilli(l.At).UTC()
	switch {
	case l.Ending:
		return record{ending: at}, true
	case l.Other != "":
		r.release = l.Other
	case series == "":
		return r, false
	case l.Hold > 0:
		texts, known := readers[l.Reader]
		return record{hold: &Holder{
			ID: placeID(series, l.Hold), Role: texts[0], Requester: Requester{EntityID: texts[1], DisplayName: texts[2], RequestID: l.Request},
			Since: at, Until: at.Add(time.Duration(l.Life) * time.Millisecond),
		}}, known
	case l.From > 0:
		return record{reserve: &reservation{Series: series, From: l.From, To: l.From + l.Count}}, true
	case l.Release > 0:
		r.release = placeID(series, l.Release)
	default:
		return r, false
	}
	if l.At != 0 {
		r.at = at
	}
	return r, true
}

func placeID(series string, place int) string { return fmt.Sprintf("%s-%d", series, place) }

// placeIn is the place of a holder, and whether it is one of the series.
func placeIn(series, id string) (place int, own bool) {
	number, own := strings.CutPrefix(id, series+"-")
	if !own {
		return 0, false
	}
	place, err := strconv.Atoi(number)
	return place, err == nil && place > 0 && placeID(series, place) == id
}
