package metrics

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	// MostRoles is how many roles have series of their own.
	MostRoles = 2000

	// InUseFor is how long after its last read a role is in use: a day, and an hour for the
	// job that runs once a day.
	InUseFor = 25 * time.Hour
)

// reads counts reads by result.
type reads [results]atomic.Uint64

// table has the roles in use. Whether a role has series of its own is decided when it comes,
// and stays so until it is no longer in use: what was counted in the sum once stays there.
type table struct {
	rows sync.Map // by role name: *row
	rest reads    // of roles without series of their own, and of names that no role has

	mu    sync.Mutex // guards what follows, and that a row comes and goes
	named int        // rows with series of their own
}

// row is a role in use.
type row struct {
	*reads
	own  bool         // has series of its own
	used atomic.Int64 // when it was read last, in Unix seconds
}

// Read counts a read of an access token. exists reports whether there is such a role; it is
// asked only about a role that is not in use yet.
func (m *Metrics) Read(role string, result Result, now time.Time, exists func() bool) {
	r := m.roles.find(role)
	if r == nil && exists() {
		r = m.roles.enter(role)
	}
	if r == nil {
		m.roles.rest[result].Add(1)
		return
	}
	r.touch(now)
	r.reads[result].Add(1)
}

// Holds takes up that somebody leases an access token of a role. Another node, or a former
// process, may have handed it out.
func (m *Metrics) Holds(role string, now time.Time) { m.roles.enter(role).touch(now) }

// RolesInUse names the roles in use: those with series of their own, and those that are left
// out. It forgets the roles that are not in use any more.
func (m *Metrics) RolesInUse(now time.Time) (own, leftOut []string) {
	m.roles.rows.Range(func(name, value any) bool {
		role, isName := name.(string)
		r, isRow := value.(*row)
		switch {
		case !isName || !isRow:
		case now.Sub(time.Unix(r.used.Load(), 0)) > InUseFor:
			m.roles.leave(role)
		case r.own:
			own = append(own, role)
		default:
			leftOut = append(leftOut, role)
		}
		return true
	})
	return own, leftOut
}

// Forget drops a role that is gone.
func (m *Metrics) Forget(role string) { m.roles.leave(role) }

func (t *table) find(role string) *row {
	value, _ := t.rows.Load(role)
	r, _ := value.(*row)
	return r
}

func (t *table) enter(role string) *row {
	if r := t.find(role); r != nil {
		return r
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if r := t.find(role); r != nil {
		return r
	}
	r := &row{reads: &t.rest}
	if t.named < MostRoles {
		t.named++
		r.reads, r.own = new(reads), true
	}
	t.rows.Store(role, r)
	return r
}

func (t *table) leave(role string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if r := t.find(role); r != nil {
		t.rows.Delete(role)
		if r.own {
			t.named--
		}
	}
}

// touch notes a read. Readers of a hot role do not all write the same number.
func (r *row) touch(now time.Time) {
	if seconds := now.Unix(); r.used.Load() != seconds {
		r.used.Store(seconds)
	}
}
