package zohosim

import (
	"context"
	"net/http"
	"strconv"
)

// A dcHandler is the HTTP side of one data centre.
type dcHandler struct {
	sim  *Sim
	dc   dataCenter
	base string // "" for a handler that does not listen by itself
}

// ServeHTTP decides under the lock and writes without it, so that a slow
// reader or a hanging request holds up nobody else.
func (h dcHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx, stop := context.WithCancel(r.Context())
	defer stop()
	defer context.AfterFunc(h.sim.closing, stop)()

	c := readCall(w, r, h.dc, h.base)
	out, arrival, latency := h.sim.decide(c)
	if latency > 0 && h.sim.wait(ctx, latency) != nil {
		out.fault = FaultClose // the caller has left, or the simulator stops
	}
	if out.fault == FaultHang {
		<-ctx.Done()
	}
	h.sim.answered(arrival, out)
	switch out.fault {
	case FaultHang, FaultClose, faultDown:
		panic(http.ErrAbortHandler) // net/http's way to drop a connection
	}
	for name, values := range out.header {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Length", strconv.Itoa(max(out.promised, len(out.body))))
	w.WriteHeader(out.status)
	_, _ = w.Write(out.body) // a caller that has left does not want it
	if out.promised > len(out.body) {
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
}
