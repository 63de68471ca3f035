package refreshtoken_test

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend/refreshtoken"
)

// The states from which each operation is tried. A role with "again" is authorized anew.
var before = map[string]func(w *world){
	"nothing":                    func(*world) {},
	"by hand":                    func(w *world) { w.setUp(w.byHand("r1", "H", goodClient, true)) },
	"by hand, untried":           func(w *world) { w.setUp(w.byHand("r1", "H", goodClient, false)) },
	"by hand, of another client": func(w *world) { w.setUp(w.byHand("r1", "H", badClient, false)) },
	"by hand, leased":            func(w *world) { w.setUp(w.byHand("r1", "H", goodClient, true), w.read("r1")) },
	"from Zoho":                  func(w *world) { w.setUp(w.exchange("r1", "A", fine)) },
	"from Zoho, leased":          func(w *world) { w.setUp(w.exchange("r1", "A", fine), w.read("r1")) },
	"by hand, and r2 has it":     func(w *world) { w.setUp(w.byHand("r1", "H", goodClient, true), w.byHand("r2", "H", goodClient, false)) },
	"by hand, of two clients":    func(w *world) { w.setUp(w.byHand("r1", "H", goodClient, true), w.byHand("r2", "H", badClient, false)) },
	"from Zoho, and r2 has it": func(w *world) {
		w.setUp(w.exchange("r1", "A", fine), w.byHand("r2", "A", goodClient, false), w.read("r2"))
	},
	"r1 is damaged":            func(w *world) { w.setUp(w.byHand("r1", "H", goodClient, true)); w.damageRole("r1") },
	"r1 is damaged, from Zoho": func(w *world) { w.setUp(w.exchange("r1", "A", fine)); w.damageRole("r1") },
	"r1 has left what it had": func(w *world) {
		w.setUp(w.byHand("r1", "H", goodClient, true), w.read("r1"), w.exchange("r1", "A", fine))
	},
	"r1 was deauthorized in vain":  func(w *world) { w.setUp(w.exchange("r1", "A", fine)); w.inVain(w.deauthorize("r1", false)) },
	"r1 had it from Zoho, deleted": func(w *world) { w.setUp(w.exchange("r1", "A", fine), w.read("r1"), w.remove("r1")) },
}

var operations = map[string]func(w *world) *op{
	"write by hand":            func(w *world) *op { return w.byHand("r1", "H", goodClient, false) },
	"try and write by hand":    func(w *world) *op { return w.byHand("r1", "H", goodClient, true) },
	"write what is refused":    func(w *world) *op { return w.byHand("r1", "H", badClient, true) },
	"write what Zoho gave":     func(w *world) *op { return w.byHand("r2", "A", goodClient, false) },
	"exchange":                 func(w *world) *op { return w.exchange("r1", "B", fine) },
	"exchange for the same":    func(w *world) *op { return w.exchange("r1", "A", fine) },
	"exchange, given to r1":    func(w *world) *op { return w.exchange("r2", "A", fine) },
	"delete":                   func(w *world) *op { return w.remove("r1") },
	"deauthorize":              func(w *world) *op { return w.deauthorize("r1", false) },
	"deauthorize with force":   func(w *world) *op { return w.deauthorize("r1", true) },
	"read":                     func(w *world) *op { return w.read("r1") },
	"read of the other":        func(w *world) *op { return w.read("r2") },
	"release":                  func(w *world) *op { return w.releaseAny() },
	"reconcile what r1 had":    func(w *world) *op { return w.reconcileAny() },
	"end a token of the round": func(w *world) *op { return w.roundAny() },
}

// setUp carries operations out, one after the other.
func (w *world) setUp(ops ...*op) {
	for _, o := range ops {
		w.finishNow(o)
		w.pass(time.Second)
	}
}

// inVain carries out an operation while Zoho cannot be reached.
func (w *world) inVain(o *op) {
	w.begin(o)
	for slices.Contains(w.ops, o) {
		f := fine
		if len(o.plan) > 0 && o.plan[0].Do == refreshtoken.AskRevoke {
			f = refused
		}
		w.step(o, f)
	}
}

func (w *world) damageRole(name string) {
	role := w.roles[name]
	role.broken = true
	w.roles[name] = role
	w.damaged[recordID(role.token)] = true
	delete(w.want, name)
}

func (w *world) releaseAny() *op {
	for tokenID := range w.leases {
		return w.release(tokenID)
	}
	return &op{}
}

func (w *world) reconcileAny() *op {
	delete(w.roles, "r1")
	delete(w.want, "r1")
	for _, id := range slices.Sorted(maps.Keys(w.records)) {
		if o := w.reconcile(id); o != nil {
			return o
		}
	}
	return &op{}
}

func (w *world) roundAny() *op {
	w.pass(2 * time.Hour)
	for tokenID := range w.tokens {
		if o := w.round(tokenID); o != nil {
			return o
		}
	}
	return &op{}
}

// cut is how the step is cut at which an operation does not go on.
type cut struct {
	fault fault
	crash bool // right after it
}

// Each operation is cut after each of its steps, and each step fails in each way. Whatever
// that leaves, Reconcile brings it to one of the ends that the contract allows.
func TestCut_AfterAnyStepOfAnyOperationReconcileBringsItToAnAllowedEnd(t *testing.T) {
	t.Parallel()
	cuts := []cut{{fine, true}, {refused, false}, {carried, false}, {refused, true}, {carried, true}}
	tried := 0
	for state, setUp := range before {
		for name, begin := range operations {
			for _, c := range cuts {
				for at := 0; ; at++ {
					w := newWorld()
					setUp(w)
					require.Empty(t, w.always(), state)
					o := begin(w)
					w.begin(o)
					reached := false
					for n := 0; slices.Contains(w.ops, o); n++ {
						f := fine
						if n == at {
							f, reached = c.fault, true
						}
						w.step(o, f)
						require.Empty(t, w.always(), "%s; %s; step %d: %v", state, name, at, c)
						if n == at && c.crash {
							w.crash()
						}
					}
					tried++
					require.Empty(t, w.rest(), "%s; %s; step %d: %v", state, name, at, c)
					if !reached {
						break
					}
				}
			}
		}
	}
	t.Logf("%d cuts", tried)
}
