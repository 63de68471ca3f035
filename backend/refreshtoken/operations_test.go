package refreshtoken_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"vault-plugin-secrets-zoho/backend/quota"
	"vault-plugin-secrets-zoho/backend/refreshtoken"
)

// The operations, as an engine composes them of plans.

func (w *world) former(role string) (ids []string) {
	for id := range w.records { // the directory; of a damaged role it names all
		if w.load(id).Names(role) {
			ids = append(ids, id)
		}
	}
	if stored := w.roles[role]; stored.token != "" && !stored.broken {
		ids = append(ids, recordID(stored.token))
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

func (w *world) leaves(role string) refreshtoken.LeavingRole {
	return refreshtoken.LeavingRole{Role: role, Now: w.clock(), Limits: limits}
}

// byHand writes a refresh token to a role, and tries it first if trial is set.
func (w *world) byHand(role, token, client string, trial bool) *op {
	id := recordID(token)
	e := entering(role, token, client, w.clock())
	o := &op{name: "by hand " + role + " " + token, role: role, toStore: storedRole{token: token, client: client}}
	former := w.former(role)
	o.plan = refreshtoken.Enter(id, e)
	acknowledge := func(err error) {
		if err == nil {
			w.want[role] = token
		}
	}
	write := func() {
		o.turn = ""
		plan := refreshtoken.Write(id, e, w.leaves(role), former...)
		o.plan, o.then = plan[:2], func(err error) { // what is after that nobody waits for
			acknowledge(err)
			if err == nil {
				o.plan = plan[2:]
			}
		}
	}
	leave := func() {
		l := w.leaves(role)
		l.Unsaid, o.turn, o.err = true, "", nil
		if w.roles[role].token != token { // otherwise it had the same before
			o.plan = refreshtoken.Leave(id, l)
		}
	}
	o.then = func(err error) {
		if err != nil {
			return
		}
		if !trial {
			write()
			return
		}
		w.mint(o, id, func(err error) {
			switch {
			case err != nil:
				leave()
			case o.answer == "" && !o.lost:
				leave()
			default:
				write()
			}
		})
	}
	return o
}

// exchange writes a refresh token to a role that Zoho gives for a code.
func (w *world) exchange(role, token string, f fault) *op {
	if r := w.stored(recordID(token)); r.IsEnding() && !w.living[token] {
		return &op{} // no server gives a refresh token again that it is about to revoke, or has
	}
	w.minted++
	access := fmt.Sprintf("at-%d", w.minted)
	w.repeated[access] = f != fine || w.living[token] || w.records[recordID(token)] != nil || slices.ContainsFunc(w.ops, func(o *op) bool { return o.toStore.token == token })
	if !w.living[token] { // what became of the former one of this name says nothing of this one
		delete(w.given, token)
		delete(w.told, token)
	}
	w.living[token], w.access[access], w.until[access] = true, token, w.now.Add(time.Hour)
	if f != fine { // the answer was lost: it lives on, unknown
		w.told[token] = true
		return &op{}
	}
	id := recordID(token)
	o := &op{name: "exchange " + role + " " + token, role: role, toStore: storedRole{token: token, client: goodClient}, given: token}
	g := refreshtoken.Given{Origin: refreshtoken.Code, Minted: refreshtoken.Minted{
		EnteringRole: entering(role, token, goodClient, w.clock()), TokenID: access, Asked: w.clock(), Life: time.Hour, Limits: limits,
	}}
	plan := refreshtoken.Exchanged(id, g, w.leaves(role), w.former(role)...)
	o.plan, o.then = plan[:1], func(err error) {
		w.given[token] = w.given[token] || w.stored(id) != nil
		if err != nil {
			if w.stored(id) == nil {
				w.given[token] = true // nothing is stored: it has to be revoked, or told
			}
			return
		}
		o.plan, o.then = plan[1:4], func(err error) {
			if err == nil {
				w.want[role] = token
				o.plan = plan[4:]
			}
		}
	}
	return o
}

func (w *world) remove(role string) *op {
	former := w.former(role)
	o := &op{name: "delete " + role, role: role}
	plan := refreshtoken.Delete(w.leaves(role), former...)
	o.plan, o.then = plan[:1], func(err error) {
		if err == nil {
			w.want[role] = "-"
			o.plan = plan[1:]
		}
	}
	return o
}

func (w *world) deauthorize(role string, force bool) *op {
	stored := w.roles[role]
	if stored.token == "" || stored.broken {
		return &op{}
	}
	id := recordID(stored.token)
	o := &op{name: fmt.Sprintf("deauthorize %s (force %t)", role, force), role: role}
	r := w.load(id)
	d := refreshtoken.Deauthorization{Role: role, Force: force, Now: w.clock(), Holds: map[string]refreshtoken.Presence{}}
	plan := refreshtoken.Deauthorize(id, d)
	first := plan[0]
	change := first.Change
	first.Change = func(was *refreshtoken.Record) (*refreshtoken.Record, error) {
		if was != nil {
			for _, name := range was.Roles { // in the turn
				d.Holds[name] = w.presence(name, id, o)
			}
		}
		after, err := change(was)
		if err == nil {
			w.decided[id] = map[string]bool{role: true}
			for _, name := range was.Roles {
				w.decided[id][name] = true
				delete(w.want, name)
			}
		}
		return after, err
	}
	_ = r
	o.plan = append(refreshtoken.Plan{first}, plan[1:]...)
	return o
}

// presence is what the engine knows of a role that a record names.
func (w *world) presence(name, id string, by *op) refreshtoken.Presence {
	role, there := w.roles[name]
	switch {
	case w.slotTaken(name) && (by == nil || by.role != name):
		return refreshtoken.Writing
	case !there:
		return refreshtoken.NotThere
	case role.broken:
		return refreshtoken.Broken
	case role.token == tokenOf(id):
		return refreshtoken.Has
	case role.token == "" || w.load(recordID(role.token)) == nil || w.load(recordID(role.token)).Origin == refreshtoken.Hand:
		return refreshtoken.Other
	default:
		return refreshtoken.Again
	}
}

// mint asks for an access token for o's role.
func (w *world) mint(o *op, id string, then func(error)) {
	asked := w.clock()
	o.answer, o.lost = "", false
	o.plan = refreshtoken.Mint(id, refreshtoken.Sending{Role: o.name1(), Sent: quota.Request{At: asked}, Limits: limits})
	o.then = func(err error) {
		if err != nil {
			then(err)
			return
		}
		if o.answer == "" {
			o.plan = mintFailed(id, refreshtoken.Failed{Failure: refreshtoken.Failure{At: w.clock(), Definite: !o.lost, Text: "refused"}, Grant: o.toStore.client, Asked: asked, NoToken: !o.lost, Trial: o.role != "", Limits: limits})
		} else {
			o.plan = refreshtoken.MintAnswered(id, refreshtoken.Minted{
				EnteringRole: entering(o.name1(), tokenOf(id), o.toStore.client, w.clock()), TokenID: o.answer, Asked: asked, Life: time.Hour, Limits: limits,
			})
		}
		o.then = then
	}
}

// name1 is the role of an operation, whether or not it has its slot.
func (o *op) name1() string {
	if o.role != "" {
		return o.role
	}
	return o.given
}

// read hands out an access token, and mints one if there is none.
func (w *world) read(role string) *op {
	o := &op{name: "read " + role, given: role, holder: true}
	stored := w.roles[role]
	if stored.token == "" || stored.broken {
		return o
	}
	o.toStore = stored
	id := recordID(stored.token)
	o.then = func(error) {
		r := w.load(id)
		if r == nil || r.IsEnding() || !r.Names(role) {
			return
		}
		current := r.Grants[stored.client].Current
		if t := w.tokens[current]; t != nil && t.expires.After(w.clock()) && r.MayHandOut(role, current) == nil {
			o.hold(w, id, current, false)
			return
		}
		if used, _ := r.Quota.Left(w.clock(), limits); used <= 0 || r.Quota.Throttled.Forbids(w.clock(), limits) || r.Grants[stored.client].Failure.Forbids(w.clock()) {
			return
		}
		w.mint(o, id, func(err error) {
			o.turn = ""
			switch {
			case err == nil && o.answer != "":
				o.hold(w, id, o.answer, true)
			case o.answer != "": // it is given to nobody
				if t := w.tokens[o.answer]; t != nil {
					t.holders = max(0, t.holders-1)
				}
			}
		})
	}
	return o
}

// hold enters the reader as a holder, and then looks at the record once more.
func (o *op) hold(w *world, id, tokenID string, already bool) {
	o.plan, o.then = refreshtoken.Plan{{Do: refreshtoken.Nothing}}, func(error) {
		t := w.tokens[tokenID]
		if t == nil || t.closed {
			return
		}
		if !already {
			t.holders++
		}
		o.plan, o.then = refreshtoken.Plan{{Do: refreshtoken.Nothing}}, func(error) {
			if err := w.load(id).MayHandOut(o.given, tokenID); err != nil {
				t.holders--
				return
			}
			if w.access[tokenID] == "" && (w.stored(id) == nil || w.stored(id).IsEnding() || w.tokens[tokenID] == nil || t.closed) {
				w.breaks("%s: a dead access token is handed out", o.name)
			}
			if w.stored(id).IsEnding() {
				w.breaks("%s: handed out from a refresh token that is ending", o.name)
			}
			w.leases[tokenID]++
		}
	}
}

// release gives a lease back.
func (w *world) release(tokenID string) *op {
	o := &op{name: "release " + tokenID}
	t := w.tokens[tokenID]
	if w.leases[tokenID]--; w.leases[tokenID] <= 0 {
		delete(w.leases, tokenID)
	}
	if t == nil || t.holders == 0 {
		return o
	}
	if t.holders--; t.holders == 0 {
		t.closed = true
		o.plan = refreshtoken.Release(t.record, tokenID)
	}
	return o
}

// reconcile takes the next step for a record; nil if there is none.
func (w *world) reconcile(id string) *op {
	r := w.load(id)
	if _, there := w.records[id]; r == nil && there { // damaged, and no role has it
		delete(w.records, id)
		delete(w.memory, id)
		return nil
	}
	step, err := refreshtoken.Reconcile(id, r, refreshtoken.World{
		Now: w.clock(), Limits: limits, TurnFree: !w.turnTaken(id, nil),
		Role: func(name string) refreshtoken.Presence { return w.presence(name, id, nil) },
		Tokens: func() (tokens []refreshtoken.Token, err error) {
			for _, tokenID := range slices.Sorted(maps.Keys(w.tokens)) {
				if t := w.tokens[tokenID]; t.record == id {
					tokens = append(tokens, refreshtoken.Token{ID: tokenID, Held: t.holders > 0, Closed: t.closed})
				}
			}
			return tokens, nil
		},
	})
	if err != nil || step.Do == refreshtoken.Nothing {
		return nil
	}
	return &op{name: fmt.Sprintf("reconcile %s: %d", id, step.Do), plan: refreshtoken.Plan{step}}
}

// round does what the round does for access tokens.
func (w *world) round(tokenID string) *op {
	t := w.tokens[tokenID]
	r := w.load(t.record)
	switch {
	case !t.expires.After(w.clock()):
		delete(w.access, tokenID)
		if slices.ContainsFunc(w.ops, func(o *op) bool { return o.answer == tokenID }) {
			return nil
		}
		plan := refreshtoken.Release(t.record, tokenID)
		return &op{name: "expired " + tokenID, plan: plan[1:]}
	case t.expires.Sub(w.clock()) > time.Hour+time.Minute && r != nil && !r.IsMisdated(tokenID): // a wrong clock dated it
		return &op{name: "misdated " + tokenID, plan: refreshtoken.Plan{{Do: refreshtoken.ChangeRecord, Record: t.record, Change: misdate(tokenID, w.clock())}}}
	case t.closed:
	case t.holders == 0 && !w.turnTaken(t.record, nil) && (r == nil || !r.Keeps(tokenID)) && !w.isArriving(tokenID):
		t.closed = true
	default:
		return nil
	}
	return &op{name: "end " + tokenID, plan: refreshtoken.Release(t.record, tokenID)}
}

func (w *world) isArriving(tokenID string) bool {
	return slices.ContainsFunc(w.ops, func(o *op) bool { return o.answer == tokenID })
}

func isRefusal(err error, reason refreshtoken.Reason) bool {
	var refusal *refreshtoken.RefusedError
	return errors.As(err, &refusal) && refusal.Reason == reason
}
