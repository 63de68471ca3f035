package refreshtoken_test

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"time"

	"vault-plugin-secrets-zoho/backend/refreshtoken"
)

// always returns the rule that is broken now; empty if none is.
func (w *world) always() string {
	if w.broken != "" {
		return w.broken
	}
	for name, role := range w.roles {
		if id := recordID(role.token); role.token != "" && !role.broken && !w.damaged[id] && w.records[id] == nil {
			return fmt.Sprintf("role %s is stored with %s, which has no record", name, role.token)
		}
	}
	for id, stored := range w.records {
		r := w.stored(id)
		if r == nil {
			continue
		}
		state := r.State(func(name string) refreshtoken.Presence { return w.presence(name, id, nil) })
		if state == refreshtoken.Left && (bytes.Contains(stored, []byte(`"t":"`+tokenOf(id)+`"`)) || bytes.Contains(stored, []byte("secret-of"))) && len(r.Roles) == 0 {
			return id + " is left, and its record still has a secret"
		}
		if state == refreshtoken.Ends && slices.ContainsFunc(slices.Collect(maps.Keys(w.roles)), func(name string) bool { return w.has(name, id) && !w.roles[name].broken }) {
			return id + " is ending and in use"
		}
		if r.Origin != refreshtoken.Hand && !r.Revoke {
			return id + " came from Zoho, and would not be revoked"
		}
		if in := w.memory[id]; in != nil && encoded(in) != string(stored) && !w.jumped {
			return "memory knows another record of " + id
		}
	}
	return ""
}

// rest stops everything, lets time pass and leases end, and reconciles until nothing
// changes. It returns the rule that does not hold then.
func (w *world) rest() string {
	w.crash()
	w.skew = 0
	for calm := 0; calm < 2; {
		for tokenID := range w.leases {
			w.finishNow(w.release(tokenID))
		}
		changed := false
		for range 100 {
			did := false
			for _, id := range slices.Sorted(maps.Keys(w.records)) {
				before := string(w.records[id])
				if o := w.reconcile(id); o != nil {
					w.finishNow(o)
					did = true
				}
				did = did || before != string(w.records[id])
			}
			for _, tokenID := range slices.Sorted(maps.Keys(w.tokens)) {
				if o := w.round(tokenID); o != nil {
					w.finishNow(o)
					did = true
				}
			}
			if bad := w.always(); bad != "" {
				return bad
			}
			if !did {
				break
			}
			changed = true
		}
		w.pass(18 * time.Hour)       // longer than the longest pause
		for _, t := range w.tokens { // whoever died with a crash holds nothing for longer than the token lives
			t.holders = 0
		}
		if calm++; changed {
			calm = 0
		}
		if w.now.Sub(start) > 60*24*time.Hour {
			return "nothing comes to rest"
		}
	}
	return w.afterRest()
}

func (w *world) finishNow(o *op) {
	if !slices.Contains(w.ops, o) {
		w.begin(o)
	}
	for slices.Contains(w.ops, o) {
		if w.canStep(o) {
			w.step(o, fine)
			continue
		}
		for _, other := range slices.Clone(w.ops) { // one of them has the turn
			if other != o && w.canStep(other) {
				w.step(other, fine)
			}
		}
	}
}

// afterRest returns the rule that does not hold when everything has come to rest.
func (w *world) afterRest() string {
	inUse := func(id string) bool {
		return slices.ContainsFunc(slices.Collect(maps.Keys(w.roles)), func(name string) bool { return w.has(name, id) })
	}
	for token := range w.given {
		if w.living[token] && !inUse(recordID(token)) && !w.told[token] && !w.damaged[recordID(token)] {
			return fmt.Sprintf("%s, which Zoho gave, lives on, and no role has it", token)
		}
	}
	for id := range w.records {
		if !inUse(id) {
			return fmt.Sprintf("the record %s stays for ever: %s", id, w.records[id])
		}
	}
	for name, token := range w.want {
		role, there := w.roles[name]
		switch {
		case token == "-" && there:
			return fmt.Sprintf("role %s was deleted, and is there", name)
		case token != "-" && (role.token != token || !w.has(name, recordID(token))) && !w.damaged[recordID(token)]:
			return fmt.Sprintf("role %s was written with %s, nobody took it away, and it has it no more", name, token)
		}
	}
	for name, role := range w.roles {
		if id := recordID(role.token); role.token != "" && !role.broken && !w.damaged[id] && !w.has(name, id) {
			return fmt.Sprintf("role %s is stored with %s, and does not have it", name, role.token)
		}
	}
	return ""
}
