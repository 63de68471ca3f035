package refreshtoken_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// chooser draws what comes next.
type chooser interface {
	number(below int, what string) int
}

// digits draws from one number, so that an event that does not matter can be left out.
type digits struct{ left uint64 }

func (d *digits) number(below int, _ string) int {
	n := int(d.left % uint64(below))
	d.left /= uint64(below)
	return n
}

// event does one thing that can happen, and says what.
func (w *world) event(c chooser) string {
	w.pass(time.Millisecond)
	role := fmt.Sprintf("r%d", c.number(3, "role")+1)
	free := !w.slotTaken(role)
	switch kind := c.number(24, "event"); {
	case kind < 9:
		if len(w.ops) == 0 {
			return "nothing is under way"
		}
		o := w.ops[c.number(len(w.ops), "operation")]
		if !w.canStep(o) {
			return o.name + " waits for a turn"
		}
		f := w.fault(c)
		what := fmt.Sprintf("%s: step %v, %d", o.name, o.plan, f)
		if len(o.plan) > 0 {
			what = fmt.Sprintf("%s: step %d, fault %d", o.name, o.plan[0].Do, f)
		}
		w.step(o, f)
		return what
	case kind < 12:
		return w.reconcileSome(c)
	case kind < 13:
		return w.roundSome(c)
	case kind == 13 && free:
		token := []string{"H", "H", "A"}[c.number(3, "token")]
		if slices.ContainsFunc(w.ops, func(o *op) bool { return o.given == token && o.role != "" }) {
			return "nobody can know it yet"
		}
		client := []string{goodClient, goodClient, badClient}[c.number(3, "client")]
		o := w.byHand(role, token, client, c.number(2, "trial") == 0)
		w.begin(o)
		return "begins " + o.name
	case kind == 14 && free:
		token := []string{"A", "B", "C"}[c.number(3, "token")]
		o := w.exchange(role, token, w.fault(c))
		w.begin(o)
		return "begins " + o.name
	case kind == 15 && free:
		o := w.remove(role)
		w.begin(o)
		return "begins " + o.name
	case kind == 16 && free:
		o := w.deauthorize(role, c.number(2, "force") == 0)
		w.begin(o)
		return "begins " + o.name
	case kind < 20:
		o := w.read(role)
		w.begin(o)
		return "begins " + o.name
	case kind == 20:
		leased := slices.Sorted(maps.Keys(w.leases))
		if len(leased) == 0 {
			return "no lease"
		}
		o := w.release(leased[c.number(len(leased), "lease")])
		w.begin(o)
		return "begins " + o.name
	case kind == 21:
		for _, o := range slices.Clone(w.ops) { // nothing that is under way takes so long
			w.finishNow(o)
		}
		w.pass(time.Duration(c.number(5, "minutes")*c.number(40, "times")) * time.Minute)
		return "time passes"
	case kind == 22:
		w.crash()
		return "CRASH"
	case kind == 23 && c.number(4, "damage") == 0:
		return w.damage(c)
	}
	return "nothing"
}

func (w *world) fault(c chooser) fault {
	if c.number(8, "fault") > 1 {
		return fine
	}
	return fault(c.number(3, "kind of fault"))
}

func (w *world) reconcileSome(c chooser) string {
	ids := slices.Sorted(maps.Keys(w.records))
	if len(ids) == 0 {
		return "no record"
	}
	id := ids[c.number(len(ids), "record")]
	o := w.reconcile(id)
	if o == nil {
		return "nothing to reconcile"
	}
	w.begin(o)
	if w.canStep(o) {
		w.step(o, w.fault(c))
	} else {
		w.finish(o)
	}
	return o.name
}

func (w *world) roundSome(c chooser) string {
	ids := slices.Sorted(maps.Keys(w.tokens))
	if len(ids) == 0 {
		return "no token"
	}
	o := w.round(ids[c.number(len(ids), "token")])
	if o == nil {
		return "nothing to end"
	}
	w.begin(o)
	return "begins " + o.name
}

// damage makes an entry unreadable, while nothing is under way.
func (w *world) damage(c chooser) string {
	w.crash()
	ids := slices.Sorted(maps.Keys(w.records))
	if len(ids) == 0 {
		return "no record"
	}
	id := ids[c.number(len(ids), "record")]
	w.damaged[id] = true
	if c.number(2, "what") == 0 {
		w.records[id] = []byte(`{"u":"https://accounts.zoho.eu`)
		delete(w.decided, id)
		return "DAMAGE of " + id
	}
	name := fmt.Sprintf("r%d", c.number(3, "role")+1)
	if role, there := w.roles[name]; there && role.token != "" {
		role.broken = true
		w.damaged[recordID(role.token)] = true
		w.roles[name] = role
		delete(w.want, name)
		return "DAMAGE of " + name
	}
	return "nothing"
}

// Any sequence of events, from any state: no refresh token is in use and ending, none of
// Zoho's is neither in use nor to be revoked, and nothing is handed out of one that ends.
func TestEvents_InAnyOrderKeepTheRules(t *testing.T) {
	t.Parallel()
	anyEvents(t, func(w *world, c chooser) string { return w.event(c) })
}

// Invariant 17, and all others but what is counted: the server's clock is days ahead or hours
// behind at times.
func TestEvents_WhileTheClockJumpsKeepTheRulesAndComeToRest(t *testing.T) {
	t.Parallel()
	anyEvents(t, func(w *world, c chooser) string {
		if c.number(8, "jump") > 0 {
			return w.event(c)
		}
		w.jumped = true
		w.skew = []time.Duration{0, 0, 2 * time.Hour, 1000 * time.Hour, -3 * time.Hour, 30 * time.Second}[c.number(6, "clock")]
		return "the clock is wrong by " + w.skew.String()
	})
}

func anyEvents(t *testing.T, next func(*world, chooser) string) {
	for range 3 { // times as many as -rapid.checks says
		rapid.Check(t, func(t *rapid.T) {
			w := newWorld()
			length := rapid.SampledFrom([]int{1, 20, 80}).Draw(t, "at least")
			for _, event := range rapid.SliceOfN(rapid.Uint64(), length, 2*length).Draw(t, "events") {
				what := next(w, &digits{event})
				t.Log(what)
				if bad := w.always(); bad != "" {
					t.Fatal(bad)
				}
			}
			if bad := w.rest(); bad != "" {
				t.Fatal("after everything has come to rest: ", bad)
			}
		})
	}
}
