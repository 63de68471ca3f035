package refreshtoken_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"vault-plugin-secrets-zoho/backend/quota"
	"vault-plugin-secrets-zoho/backend/refreshtoken"
	"vault-plugin-secrets-zoho/backend/secret"
)

// world carries out plans, as an engine does, on a storage, a Zoho and a clock of its own.
// Each step of an operation is one step of the world, so anything can come between two.

var (
	start  = time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	limits = quota.Limits{Budget: 10, Window: 10 * time.Minute, Timeout: 10 * time.Second, MaxLive: 10}
)

// Clients: Zoho takes the secret of one of them only.
const (
	goodClient = "g-good"
	badClient  = "g-bad"
)

// fault is what happens to a write or a question.
type fault int

const (
	fine    fault = iota
	refused       // it fails, and was not carried out
	carried       // it fails, and was carried out all the same
)

type storedRole struct {
	token  string // its refresh token; empty: none
	client string
	broken bool
}

type storedToken struct {
	record  string
	holders int
	closed  bool
	expires time.Time
}

type world struct {
	now     time.Time
	skew    time.Duration // of the server's clock
	jumped  bool          // it was wrong before
	records map[string][]byte
	memory  map[string]*refreshtoken.Record
	roles   map[string]storedRole
	tokens  map[string]*storedToken

	// Zoho.
	living   map[string]bool   // refresh tokens
	access   map[string]string // living access tokens, with their refresh token
	until    map[string]time.Time
	repeated map[string]bool // access tokens that came with a refresh token that the server had given before
	minted   int

	ops []*op

	// What the rules are about.
	given   map[string]bool            // Zoho gave it, and its record was written
	told    map[string]bool            // an operator was told that it may live on
	decided map[string]map[string]bool // of a record: the roles for which an operator decided that they lose it
	want    map[string]string          // of a role: what a write that was acknowledged has left; "-": no role
	leases  map[string]int             // of an access token
	damaged map[string]bool            // the record, or a role with it, was damaged
	broken  string                     // the first rule that was broken
}

func newWorld() *world {
	return &world{
		now: start, records: map[string][]byte{}, memory: map[string]*refreshtoken.Record{}, roles: map[string]storedRole{},
		tokens: map[string]*storedToken{}, living: map[string]bool{"H": true}, access: map[string]string{}, until: map[string]time.Time{}, repeated: map[string]bool{}, given: map[string]bool{},
		told: map[string]bool{}, decided: map[string]map[string]bool{}, want: map[string]string{}, leases: map[string]int{}, damaged: map[string]bool{},
	}
}

func (w *world) breaks(format string, args ...any) {
	if w.broken == "" {
		w.broken = fmt.Sprintf(format, args...)
	}
}

func recordID(token string) string { return "id-" + token }

func tokenOf(id string) string { return strings.TrimPrefix(id, "id-") }

func entering(role, token, client string, now time.Time) refreshtoken.EnteringRole {
	return refreshtoken.EnteringRole{
		Credential: refreshtoken.Credential{
			RefreshToken: secret.New(token), AccountsURL: "https://accounts.zoho.eu", ClientID: "client", ClientSecret: secret.New("secret-of-" + client),
		},
		Role: role, Grant: client, Now: now,
	}
}

// load is the record as the engine sees it. A damaged one is rebuilt.
func (w *world) load(id string) *refreshtoken.Record {
	if r, ok := w.memory[id]; ok {
		return r
	}
	var r *refreshtoken.Record
	if stored, ok := w.records[id]; ok {
		var err error
		if r, err = refreshtoken.Decode(stored, w.clock()); err != nil {
			if r = w.rebuild(id); r != nil {
				w.records[id] = []byte(encoded(r))
			}
		}
	}
	w.memory[id] = r
	return r
}

func (w *world) rebuild(id string) *refreshtoken.Record {
	found := refreshtoken.Found{Now: w.clock(), Limits: limits}
	for _, name := range slices.Sorted(maps.Keys(w.roles)) {
		if role := w.roles[name]; role.token == tokenOf(id) && !role.broken {
			found.Roles = append(found.Roles, name)
			found.Credential = entering(name, role.token, role.client, w.clock()).Credential
		}
	}
	for tokenID, t := range w.tokens {
		if t.record == id {
			found.Live = append(found.Live, quota.Request{At: t.expires.Add(-time.Hour), Until: t.expires, Token: tokenID})
		}
	}
	return refreshtoken.Rebuild(found)
}

// store writes what write does, unless the fault says otherwise.
func store(f fault, write func()) error {
	if f != refused {
		write()
	}
	if f != fine {
		return fmt.Errorf("storage has failed")
	}
	return nil
}

func (w *world) change(id string, change refreshtoken.Change, f fault) (was *refreshtoken.Record, err error) {
	was = w.load(id)
	before := encoded(was)
	after, err := change(was)
	if encoded(was) != before {
		w.breaks("a change has changed what it got")
	}
	if err != nil || after == was {
		return was, err
	}
	if refreshtoken.LivesOn(was, after) {
		w.told[tokenOf(id)] = true
	}
	err = store(f, func() {
		if after == nil {
			delete(w.records, id)
			return
		}
		w.records[id] = []byte(encoded(after))
	})
	if err != nil {
		delete(w.memory, id) // what storage has is not known
		return was, err
	}
	w.memory[id] = after
	return was, nil
}

func encoded(r *refreshtoken.Record) string {
	if r == nil {
		return ""
	}
	stored, err := refreshtoken.Encode(r)
	if err != nil {
		panic(err)
	}
	return string(stored)
}

// has reports whether a role has a refresh token, by the contract.
func (w *world) has(role, id string) bool {
	stored := w.roles[role]
	return (stored.broken || stored.token != "" && recordID(stored.token) == id) && w.inRecord(role, id)
}

func (w *world) inRecord(role, id string) bool {
	r := w.stored(id)
	return r.Names(role) && !r.IsEnding()
}

// stored is the record that storage has; nil also for a damaged one.
func (w *world) stored(id string) *refreshtoken.Record {
	r, err := refreshtoken.Decode(w.records[id], w.clock())
	if err != nil {
		return nil
	}
	return r
}

// op is an operation that is under way.
type op struct {
	name string
	role string // its slot is taken
	turn string // the record whose turn is taken
	plan refreshtoken.Plan
	then func(err error) // when the plan is done; nil: the operation is over
	err  error

	toStore storedRole
	holder  bool // a reader waits for the token that is stored
	given   string
	answer  string // the access token that Zoho gave; empty: it refused
	lost    bool   // the answer was lost
}

func (w *world) slotTaken(role string) bool {
	return slices.ContainsFunc(w.ops, func(o *op) bool { return o.role == role })
}

func (w *world) turnTaken(id string, by *op) bool {
	return slices.ContainsFunc(w.ops, func(o *op) bool { return o != by && o.turn == id })
}

func (w *world) begin(o *op) {
	if o.plan != nil || o.then != nil {
		w.ops = append(w.ops, o)
	}
}

func (w *world) finish(o *op) {
	w.ops = slices.DeleteFunc(w.ops, func(other *op) bool { return other == o })
}

// canStep reports whether an operation does not wait for a turn.
func (w *world) canStep(o *op) bool {
	return len(o.plan) == 0 || !o.plan[0].Turn || !w.turnTaken(o.plan[0].Record, o)
}

// step takes the next step of an operation.
func (w *world) step(o *op, f fault) {
	if len(o.plan) > 0 {
		s := o.plan[0]
		o.plan = o.plan[1:]
		if s.Turn {
			o.turn = s.Record
		}
		was, err := w.do(o, s, f)
		if err != nil && !s.GoOn {
			o.err, o.plan = err, nil
			if s.IfFails != nil {
				o.plan = s.IfFails(was)
			}
		}
	}
	for len(o.plan) == 0 {
		then := o.then
		if o.then = nil; then == nil {
			w.finish(o)
			return
		}
		then(o.err)
	}
}

func (w *world) do(o *op, s refreshtoken.Step, f fault) (was *refreshtoken.Record, err error) {
	switch s.Do {
	case refreshtoken.ChangeRecord:
		return w.change(s.Record, s.Change, f)
	case refreshtoken.StoreToken:
		err = store(f, func() {
			t := &storedToken{record: s.Record, expires: w.clock().Add(time.Hour)}
			if o.holder {
				t.holders = 1
			}
			w.tokens[s.Tokens[0]] = t
		})
	case refreshtoken.StoreRole:
		delete(w.want, o.role)
		err = store(f, func() { w.roles[o.role] = o.toStore })
	case refreshtoken.DeleteRole:
		delete(w.want, o.role)
		err = store(f, func() { delete(w.roles, o.role) })
	case refreshtoken.ForgetInRoles:
		for _, name := range s.Roles {
			role := w.roles[name]
			if role.token != tokenOf(s.Record) || role.broken || w.slotTaken(name) && o.role != name {
				continue
			}
			err = store(f, func() { w.roles[name] = storedRole{client: role.client} })
		}
	case refreshtoken.CloseTokens:
		for _, id := range s.Tokens {
			if t := w.tokens[id]; t != nil && t.holders == 0 {
				err = store(f, func() { t.closed = true })
			}
		}
	case refreshtoken.DropTokens:
		for _, id := range s.Tokens {
			err = store(f, func() { delete(w.tokens, id); delete(w.leases, id) })
		}
	case refreshtoken.AskMint:
		w.mints(o, s.Record, f)
	case refreshtoken.AskRevoke:
		err = w.revokes(s.Record, f, o)
	case refreshtoken.AskRevokeNow:
		if w.load(s.Record).IsTracked() {
			break
		}
		w.checkRevoke(s.Record, o.role)
		if f == refused {
			w.told[o.given] = true // the log has it
			return nil, fmt.Errorf("Zoho cannot be reached")
		}
		w.dies(o.given)
	case refreshtoken.AskEndToken:
		if f == refused {
			return nil, fmt.Errorf("Zoho cannot be reached")
		}
		delete(w.access, s.Tokens[0])
	case refreshtoken.TellGivenUp:
		w.told[tokenOf(s.Record)] = true
	case refreshtoken.Nothing:
	}
	return nil, err
}

// mints is Zoho's answer to a request for an access token.
func (w *world) mints(o *op, id string, f fault) {
	o.answer, o.lost = "", f != fine
	if r := w.stored(id); r.IsEnding() {
		w.breaks("%s: minted from a refresh token that is ending", o.name)
	}
	if f == refused || !w.living[tokenOf(id)] || o.toStore.client == badClient {
		return
	}
	w.minted++
	token := fmt.Sprintf("at-%d", w.minted)
	w.access[token], w.until[token] = tokenOf(id), w.now.Add(time.Hour)
	if f == fine {
		o.answer = token
	}
	w.checkCounted(id)
}

// checkCounted: what may live at Zoho has to count, or Zoho could end a leased token for another.
func (w *world) checkCounted(id string) {
	living := 0
	for access, token := range w.access {
		if token == tokenOf(id) && !w.repeated[access] {
			living++
		}
	}
	if r := w.stored(id); r != nil && living > len(r.Quota.Live(w.clock().Add(-time.Minute))) && !w.damaged[id] && !w.jumped {
		w.breaks("%d access tokens of %s live, and %d count", living, id, len(r.Quota.Live(w.clock())))
	}
}

func (w *world) checkRevoke(id, by string) {
	for name := range w.roles {
		if name != by && w.has(name, id) && !w.decided[id][name] {
			w.breaks("%s is revoked while role %s has it", id, name)
		}
	}
	for tokenID, n := range w.leases {
		if n > 0 && w.access[tokenID] == tokenOf(id) && len(w.decided[id]) == 0 && !w.damaged[id] {
			w.breaks("%s is revoked, which nobody has decided, while %s is leased", id, tokenID)
		}
	}
}

func (w *world) dies(token string) {
	delete(w.living, token)
	maps.DeleteFunc(w.access, func(_, of string) bool { return of == token })
}

// revokes asks Zoho to revoke a refresh token, and goes on with the answer.
func (w *world) revokes(id string, f fault, o *op) error {
	r := w.load(id)
	if !r.IsEnding() {
		w.breaks("%s is revoked without a decision in storage", id)
		return nil
	}
	if stored := w.stored(id); !stored.IsEnding() && !w.damaged[id] {
		w.breaks("%s is revoked without a decision in storage", id)
	}
	w.checkRevoke(id, "")
	if r.RefreshToken.Reveal() != tokenOf(id) || r.ClientSecret.IsZero() {
		w.breaks("the record of %s has not what is needed to revoke it", id)
	}
	then := o.then
	if f == refused {
		o.plan, o.then = refreshtoken.RevokeFailed(id, r, w.clock(), "Zoho cannot be reached"), then
		return nil
	}
	outcome := refreshtoken.Revoked
	if !w.living[tokenOf(id)] {
		outcome = refreshtoken.AlreadyGone
	}
	w.dies(tokenOf(id))
	if f == carried {
		o.plan = refreshtoken.RevokeFailed(id, r, w.clock(), "no answer")
		return nil
	}
	o.plan = refreshtoken.RevokeAnswered(id, outcome)
	return nil
}

// clock is what the server's clock says, which can be wrong.
func (w *world) clock() time.Time { return w.now.Add(w.skew) }

// pass lets time pass.
func (w *world) pass(d time.Duration) {
	w.now = w.now.Add(d)
	maps.DeleteFunc(w.access, func(token, _ string) bool { return !w.until[token].After(w.now) })
}

// crash leaves storage and Zoho.
func (w *world) crash() {
	for access, token := range w.access {
		if r := w.stored(recordID(token)); r == nil || !r.Counts(access) && len(r.Quota.Requests) == 0 {
			w.repeated[access] = true // the answer to a code that nobody has written down
		}
	}
	w.ops, w.memory = nil, map[string]*refreshtoken.Record{}
}

// mintFailed is a plan that takes up why Zoho gave no access token.
func mintFailed(id string, f refreshtoken.Failed) refreshtoken.Plan {
	return refreshtoken.Plan{{Do: refreshtoken.ChangeRecord, Record: id, Turn: true, Change: refreshtoken.InRecord(f.At, func(u *refreshtoken.Usage) { u.Failed(f) })}}
}

func misdate(tokenID string, now time.Time) refreshtoken.Change {
	return refreshtoken.InRecord(now, func(u *refreshtoken.Usage) { u.Misdate(tokenID, now) })
}

func forgive(grant string, now time.Time) refreshtoken.Change {
	return refreshtoken.InRecord(now, func(u *refreshtoken.Usage) { u.Forgive(grant) })
}
