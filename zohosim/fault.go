package zohosim

import (
	"net/http"
	"slices"
	"strconv"
)

// FaultKind is what goes wrong with a request.
type FaultKind string

// The kinds of faults.
const (
	FaultAnswer    FaultKind = "answer"    // Fault.Status and Fault.Body verbatim
	FaultHTML500   FaultKind = "html-500"  // an error page with status 500
	FaultEmpty200  FaultKind = "empty-200" // status 200, no body
	FaultThrottled FaultKind = "throttled" // the throttle's answer, without its block
	FaultTruncated FaultKind = "truncated" // half of the real answer, as a complete body
	FaultCut       FaultKind = "cut"       // half of the real answer, then the connection breaks
	FaultHang      FaultKind = "hang"      // no answer until the caller gives up
	FaultClose     FaultKind = "close"     // the connection is closed without an answer

	faultDown FaultKind = "down" // SetDown: like FaultClose, everywhere
)

// A Fault replaces or spoils answers of an endpoint. A token request that
// meets a fault still counts against the throttle: it did arrive.
type Fault struct {
	Kind  FaultKind
	Count int // how many requests it hits; 0: all, until ClearFaults

	// Processed lets the request be carried out before its answer is lost or
	// replaced: a token is minted or revoked, and the caller does not learn of
	// it. FaultTruncated and FaultCut imply it.
	Processed bool

	// For FaultAnswer.
	Status      int // default 200
	Body        string
	ContentType string      // default application/json;charset=UTF-8
	Header      http.Header // further headers
}

// FaultKinds returns the kinds that Fault takes.
func FaultKinds() []FaultKind {
	return []FaultKind{
		FaultAnswer, FaultHTML500, FaultEmpty200, FaultThrottled,
		FaultTruncated, FaultCut, FaultHang, FaultClose,
	}
}

// Fault lets an endpoint of all data centres fail. Further faults of the same
// endpoint wait until those before them have hit their Count. It panics on a
// kind or an endpoint that does not exist.
func (s *Sim) Fault(endpoint Endpoint, fault Fault) {
	if !slices.Contains(FaultKinds(), fault.Kind) || !slices.Contains(Endpoints(), endpoint) {
		panic("zohosim: no fault " + strconv.Quote(string(fault.Kind)) + " of " + strconv.Quote(string(endpoint)))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults[endpoint] = append(s.faults[endpoint], fault)
}

// ClearFaults ends all faults. Requests that hang already keep hanging.
func (s *Sim) ClearFaults() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.faults)
}

// SetDown takes all data centres down or up again. While down they close each
// connection without an answer; listeners stay open, so that they come up with
// the same address.
func (s *Sim) SetDown(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
}

// nextFault takes the fault that hits the next request.
func (s *Sim) nextFault(endpoint Endpoint) (Fault, bool) {
	waiting := s.faults[endpoint]
	if len(waiting) == 0 {
		return Fault{}, false
	}
	next := waiting[0]
	if next.Count == 1 {
		s.faults[endpoint] = waiting[1:]
	} else if next.Count > 1 {
		waiting[0].Count--
	}
	return next, true
}

// withFault answers a call that meets a fault.
func (s *Sim) withFault(c *call, f Fault) answer {
	var real answer
	if f.Processed || f.Kind == FaultTruncated || f.Kind == FaultCut {
		real = s.route(c)
	} else if c.endpoint == EndpointToken {
		s.allowTokenRequest(c)
	}
	out := real
	switch f.Kind {
	case FaultAnswer:
		out = textAnswer(orDefault(f.Status, http.StatusOK), orDefault(f.ContentType, "application/json;charset=UTF-8"), f.Body)
		for name, values := range f.Header {
			out.header[http.CanonicalHeaderKey(name)] = values
		}
	case FaultHTML500:
		out = textAnswer(http.StatusInternalServerError, "text/html;charset=UTF-8",
			plainPage("Error", "An error occurred/500 server error"))
	case FaultEmpty200:
		out = textAnswer(http.StatusOK, "application/json;charset=UTF-8", "")
	case FaultThrottled:
		out = throttleAnswer(s.opts.Throttle)
	case FaultTruncated:
		out.body = real.body[:len(real.body)/2]
	case FaultCut:
		out.promised = len(real.body)
		out.body = real.body[:len(real.body)/2]
	case FaultHang, FaultClose: // nothing to write
	}
	out.fault = f.Kind
	return out
}
